//===- DeterminismTest.cpp - the same bytes from the same inputs --------------===//

#include "compiler/kernels/VectorLoop.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

using namespace sdopt;
using namespace sdopt::test;

namespace {

std::vector<std::string> allModules() {
  return {"text_encoder", "vae_encoder", "unet", "vae_decoder"};
}

/// A few calls of each module: what a sample file holds does not matter here.
std::string fewSamples(const TemporaryFolder &folder) {
  std::string samples = folder.path("samples");
  for (const std::string &module : allModules())
    writeFewSamples(samples, module, 2);
  return samples;
}

TEST(Determinism, ThreadsAndFolderDecideNothing) {
  TemporaryFolder folder;
  std::string samples = fewSamples(folder);
  for (int threads : {1, 2}) {
    std::string place = folder.path(threads == 1 ? "one" : "a longer/path");
    CompileOptions options = optionsFor(place, allModules());
    options.samples = samples;
    options.threads = threads;
    options.statisticsOut = place + "/statistics";
    compiled(options);
  }
  expectSameOutputs(folder.path("one"), folder.path("a longer/path"));
  for (const std::string &module : allModules())
    EXPECT_TRUE(bytesOf(folder.path("one/statistics/" + module + ".pb")) ==
                bytesOf(folder.path("a longer/path/statistics/" + module + ".pb")))
        << module;

  // The statistics say all that calibration found out.
  for (int threads : {1, 2}) {
    CompileOptions options = optionsFor(folder.path("given" + std::to_string(threads)), {});
    options.samples = samples;
    options.threads = threads;
    for (const std::string &module : allModules())
      options.statistics.push_back(folder.path("one/statistics/" + module + ".pb"));
    compiled(options);
    expectSameOutputs(folder.path("one"), folder.path("given" + std::to_string(threads)));
  }
}

// Calibration included: float sums are made of the same fused multiply-adds at each level.
TEST(Determinism, VectorInstructionsDecideNothing) {
  TemporaryFolder folder;
  std::string samples = fewSamples(folder);
  for (VectorLevel level : {VectorLevel::Avx512, VectorLevel::Avx2, VectorLevel::Portable}) {
    limitVectorLevel(level);
    CompileOptions options =
        optionsFor(folder.path(std::to_string(static_cast<int>(level))), smallModules());
    options.samples = samples;
    compiled(options);
  }
  limitVectorLevel(VectorLevel::Avx512);
  expectSameOutputs(folder.path("2"), folder.path("1"));
  expectSameOutputs(folder.path("2"), folder.path("0"));
}

TEST(Determinism, AllRecordedSamples) {
  TemporaryFolder folder;
  for (int threads : {1, 2, 3}) {
    CompileOptions options = optionsFor(folder.path(std::to_string(threads)), smallModules());
    options.threads = threads;
    compiled(options);
  }
  expectSameOutputs(folder.path("1"), folder.path("2"));
  expectSameOutputs(folder.path("1"), folder.path("3"));
}

TEST(Determinism, VerificationAndSnapshotsChangeNothing) {
  TemporaryFolder folder;
  compiled(optionsFor(folder.path("plain"), smallModules()));
  CompileOptions options = optionsFor(folder.path("verified"), smallModules());
  options.verify = VerifyMode::Spec;
  options.stageFolder = folder.path("stages");
  std::vector<std::string> lines;
  Messages messages;
  messages.line = [&](std::string_view line) {
    if (line.find(": verified ") != line.npos)
      lines.emplace_back(line);
  };
  absl::StatusOr<CompileResult> result = compile(options, messages);
  ASSERT_TRUE(result.ok()) << result.status();
  expectSameOutputs(folder.path("plain"), folder.path("verified"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(lines[0].starts_with("text_encoder: verified ")) << lines[0];
  EXPECT_TRUE(lines[1].starts_with("vae_encoder: verified ")) << lines[1];
}

} // namespace
