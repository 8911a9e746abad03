//===- StorageTest.cpp - weights in the form in which they are smallest -------===//

#include "compiler/package/Package.h"
#include "compiler/simulator/Simulator.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include <fstream>

using namespace sdopt;
using namespace sdopt::test;

namespace {

constexpr const char *kModule = "text_encoder";

/// The module with weights stored as the word says; verified.
CompileResult stored(const TemporaryFolder &folder, const std::string &word) {
  CompileOptions options = optionsFor(folder.path(word), {kModule});
  options.recipe = folder.path(word + ".yaml");
  std::ofstream(options.recipe) << "version: 1\nname: " << word
                                << "\nglobal: {weight_bits: 8, storage: " << word << "}\n";
  options.verify = VerifyMode::Fast;
  return compiled(options);
}

/// Bytes of constants that commands load or decode in one run, of weights only.
int64_t weightTraffic(const PackageModule &module) {
  int64_t bytes = 0;
  const ModuleInfo &info = module.info;
  for (const Command &command : info.program.commands) {
    const auto &spec = info.network.layers[command.layer].spec;
    const auto *matrix = std::get_if<MatrixLayer>(&spec);
    if (!matrix)
      continue;
    const int64_t begin = info.constantOffsets[matrix->weights];
    const int64_t end = begin + packedBytes(info.network, info.plan, matrix->weights);
    if (const auto *load = std::get_if<DmaLoad>(&command.args))
      bytes += load->region == Region::Constants && load->dram >= begin && load->dram < end
                   ? load->shape.bytes()
                   : 0;
    if (const auto *weights = std::get_if<DmaWeights>(&command.args))
      bytes += weights->bytes;
  }
  return bytes;
}

/// Report, package and simulated traffic agree to the byte, and less is more.
TEST(Storage, ReportPackageAndTrafficAgree) {
  TemporaryFolder folder;
  const CompileResult plain = stored(folder, "plain"), automatic = stored(folder, "auto");
  ASSERT_EQ(automatic.report.modules_size(), 1);
  const ModuleReport &report = automatic.report.modules(0);
  const std::string path = folder.path("auto/p.sdnpu");
  EXPECT_EQ(automatic.report.package_bytes(), static_cast<int64_t>(bytesOf(path).size()));
  EXPECT_LE(automatic.report.package_bytes(), plain.report.package_bytes()); // whole pages
  EXPECT_LT(report.weight_bytes(), plain.report.modules(0).weight_bytes());

  const auto package = Package::open(path);
  ASSERT_TRUE(package.ok()) << package.status();
  const PackageModule &module = (*package)->modules()[0];
  int64_t streams = 0, ofForms = 0, fetched = 0;
  for (const LayerReport &layer : report.layers()) {
    const Layer &source = module.info.network.layers[layer.index()];
    const auto *matrix = std::get_if<MatrixLayer>(&source.spec);
    if (!matrix)
      continue;
    const ConstantInfo &weights = module.info.network.constants[matrix->weights];
    int64_t listed = weights.form.varies() ? 0 : layer.plain_weight_bytes();
    for (int64_t bytes : weights.blockBytes)
      listed += bytes;
    EXPECT_EQ(layer.weight_stream_bytes(), listed) << layer.name();
    EXPECT_EQ(layer.weight_bytes(),
              packedBytes(module.info.network, module.info.plan, matrix->weights));
    EXPECT_LE(layer.weight_stream_bytes(), layer.plain_weight_bytes());
    EXPECT_GT(layer.weight_entropy_bytes(), 0);
    streams += listed;
  }
  for (const WeightFormReport &form : report.weight_forms())
    ofForms += form.stream_bytes();
  EXPECT_EQ(streams, ofForms);
  EXPECT_GT(report.weight_forms_size(), 1);
  fetched = weightTraffic(module);
  EXPECT_GE(fetched, streams);

  // What the simulator moves is what the commands say: activations are the same in both.
  const auto other = Package::open(folder.path("plain/p.sdnpu"));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(plain.report.modules(0).dram_read_bytes() - report.dram_read_bytes(),
            weightTraffic((*other)->modules()[0]) - fetched);
  EXPECT_LT(fetched, weightTraffic((*other)->modules()[0]));
}

TEST(Storage, EveryFormIsVerified) {
  TemporaryFolder folder;
  for (const char *word : {"entropy", "bitmap", "structured", "runs"}) {
    const CompileResult result = stored(folder, word);
    EXPECT_GT(result.report.package_bytes(), 0) << word;
  }
}

} // namespace
