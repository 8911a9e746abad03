//===- Compiling.cpp - whole compilations for tests ---------------------------===//

#include "tests/pipeline/Compiling.h"

#include "compiler/files/WholeFile.h"
#include "compiler/kernels/VectorLoop.h"
#include "compiler/weights/Safetensors.h"
#include "compiler/weights/TensorFile.h"

#include <cstring>
#include <filesystem>

namespace sdopt::test {

std::vector<std::string> smallModules() { return {"text_encoder", "vae_encoder"}; }

std::string modelFolder(const std::string &exported) {
  return SDOPT_TESTDATA "/patterns-sd2/" + exported;
}

std::string samplesFolder() { return SDOPT_TESTDATA "/patterns-sd2/samples"; }

CompileOptions optionsFor(const std::string &folder, const std::vector<std::string> &modules) {
  CompileOptions options;
  options.model = modelFolder();
  options.samples = samplesFolder();
  options.output = folder + "/p.sdnpu";
  options.reportFolder = folder + "/report";
  options.modules = modules;
  options.threads = 2;
  std::filesystem::create_directories(folder);
  return options;
}

CompileResult compiled(const CompileOptions &options) {
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : CompileResult();
}

std::string bytesOf(const std::string &file) {
  absl::StatusOr<std::string> bytes = readFile(file);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *std::move(bytes) : std::string();
}

void expectSameOutputs(const std::string &folder, const std::string &other) {
  for (const char *file : {"/p.sdnpu", "/report/report.json", "/report/report.html"}) {
    std::string bytes = bytesOf(folder + file);
    EXPECT_FALSE(bytes.empty()) << file;
    EXPECT_TRUE(bytes == bytesOf(other + file)) << folder << file << " and " << other << file;
  }
}

void expectNothingElseDecides(
    const std::string &stages,
    const std::function<CompileOptions(const std::string &place)> &options) {
  const CompileOptions through = options("through");
  compiled(through);
  const auto expectSame = [&](const CompileOptions &other) {
    compiled(other);
    const auto folderOf = [](const CompileOptions &o) {
      return std::filesystem::path(o.output).parent_path().string();
    };
    expectSameOutputs(folderOf(through), folderOf(other));
  };
  CompileOptions threads = options("threads");
  threads.threads = 3;
  expectSame(threads);

  CompileOptions restarted = options("restarted");
  restarted.stageFolder = stages;
  CompileOptions stopped = restarted;
  stopped.stopAfter = Stage::Quantize;
  stopped.output.clear();
  stopped.reportFolder.clear();
  compiled(stopped);
  restarted.startFrom = Stage::Quantize;
  expectSame(restarted);

  for (VectorLevel level : {VectorLevel::Avx2, VectorLevel::Portable}) {
    limitVectorLevel(level);
    expectSame(options("level"));
  }
  limitVectorLevel(VectorLevel::Avx512);
}

namespace {

/// `count` rows along axis 0, spread evenly.
Tensor spreadRows(const TensorFile &file, const std::string &name, int64_t count) {
  absl::StatusOr<Tensor> all = file.get(name);
  EXPECT_TRUE(all.ok() && all->dim(0) >= count) << name;
  Shape shape = all->shape();
  shape[0] = count;
  Tensor few(all->type(), shape);
  int64_t rowBytes = few.byteSize() / count;
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(few.mutableBytes() + i * rowBytes,
                all->bytes() + i * all->dim(0) / count * rowBytes, rowBytes);
  return few;
}

} // namespace

void writeFewSamples(const std::string &folder, const std::string &module, int64_t calls) {
  std::filesystem::create_directories(folder);
  for (const char *set : {"_calibration.safetensors", "_test.safetensors"}) {
    absl::StatusOr<std::unique_ptr<TensorFile>> all =
        TensorFile::open(samplesFolder() + "/" + module + set);
    ASSERT_TRUE(all.ok()) << all.status();
    std::vector<std::pair<std::string, Tensor>> few;
    for (const std::string &name : (*all)->names())
      few.emplace_back(name, spreadRows(**all, name, calls));
    absl::Status status = writeSafetensors(folder + "/" + module + set, few);
    ASSERT_TRUE(status.ok()) << status;
  }
}

const ModuleReport &moduleOf(const Report &report, const std::string &name) {
  static const ModuleReport kNoModule;
  for (const ModuleReport &module : report.modules())
    if (module.name() == name)
      return module;
  ADD_FAILURE() << "no module '" << name << "' in the report";
  return kNoModule;
}

} // namespace sdopt::test
