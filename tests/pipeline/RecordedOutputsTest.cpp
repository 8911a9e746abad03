//===- RecordedOutputsTest.cpp - packages against ONNX Runtime ----------------===//
//
// Simulates finished packages of both exports on the recorded test inputs and compares with what
// ONNX Runtime recorded for the float model. Nothing of the compiler but the package takes part.
//
//===----------------------------------------------------------------------===//

#include "compiler/simulator/Simulator.h"
#include "compiler/weights/TensorFile.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include <cmath>

using namespace sdopt;
using namespace sdopt::test;

namespace {

constexpr double kLeastPsnr = 40;

/// Sums over all compared elements.
struct Differences {
  double squares = 0, largest = 0;
  int64_t count = 0;

  void add(const Tensor &actual, const Tensor &expected, int64_t firstElement) {
    std::span<const float> a = actual.values<float>(), b = expected.values<float>();
    for (size_t i = firstElement; i < b.size(); ++i) {
      double difference = static_cast<double>(a[i]) - b[i];
      squares += difference * difference;
      largest = std::max(largest, std::abs(static_cast<double>(b[i])));
      ++count;
    }
  }
  double psnr() const {
    return 20 * std::log10(largest / std::sqrt(squares / static_cast<double>(count)));
  }
};

/// One run's part of a recorded tensor: call `run`, or the rows [first, first + batch).
Tensor part(const TensorFile &file, const TensorInfo &info, int64_t run, int64_t first,
            bool calls) {
  absl::StatusOr<Tensor> rows =
      calls ? file.rows(info.name, run, 1) : file.rows(info.name, first, info.logicalShape[0]);
  EXPECT_TRUE(rows.ok()) << rows.status();
  return rows->reshaped(info.logicalShape);
}

const TensorInfo &firstOf(const Network &network, TensorRole role) {
  return *std::find_if(network.tensors.begin(), network.tensors.end(),
                       [&](const TensorInfo &tensor) { return tensor.role == role; });
}

/// PSNR of the simulated package over all recorded test rows.
double simulatedPsnr(const PackageModule &module, const Target &target, const TensorFile &file) {
  const Network &network = module.info.network;
  const TensorInfo &output = firstOf(network, TensorRole::Output);
  absl::StatusOr<Tensor> recorded = file.get(output.name);
  EXPECT_TRUE(recorded.ok()) << recorded.status();
  bool calls = recorded->rank() == static_cast<int64_t>(output.logicalShape.size()) + 1;
  int64_t rows = recorded->dim(0), batch = calls ? 1 : output.logicalShape[0];
  Simulator simulator(module, target);
  SimulatorOptions options;
  options.timing = false;
  Differences differences;
  for (int64_t row = 0, run = 0; row < rows; row += batch, ++run) {
    int64_t first = std::min(row, rows - batch);
    std::map<std::string, Tensor> inputs;
    for (const TensorInfo &tensor : network.tensors)
      if (tensor.role == TensorRole::Input)
        inputs[tensor.name] = part(file, tensor, run, first, calls);
    absl::StatusOr<std::map<std::string, Tensor>> outputs =
        runModule(simulator, module, inputs, options);
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    if (!outputs.ok())
      return 0;
    // Rows that the run before had too count once.
    int64_t seen = (row - first) * (elementCount(output.logicalShape) / output.logicalShape[0]);
    differences.add(outputs->at(output.name), part(file, output, run, first, calls), seen);
  }
  return differences.psnr();
}

class RecordedOutputs : public testing::TestWithParam<const char *> {
protected:
  /// Compiles `modules` and expects of each the PSNR that its report states.
  void expectGoodPackages(const std::vector<std::string> &modules, const std::string &samples) {
    TemporaryFolder folder;
    CompileOptions options = optionsFor(folder.path("out"), modules);
    options.model = modelFolder(GetParam());
    options.samples = samples;
    CompileResult result = compiled(options);
    absl::StatusOr<std::unique_ptr<Package>> package = Package::open(options.output);
    absl::StatusOr<Target> target = loadTarget(options.target);
    ASSERT_TRUE(package.ok() && target.ok()) << package.status();
    EXPECT_TRUE((*package)->checkDigest().ok());
    for (const std::string &name : modules) {
      const PackageModule *module = (*package)->find(name);
      ASSERT_NE(module, nullptr);
      absl::StatusOr<std::unique_ptr<TensorFile>> file =
          TensorFile::open(samples + "/" + name + "_test.safetensors");
      ASSERT_TRUE(file.ok()) << file.status();
      double psnr = simulatedPsnr(*module, *target, **file);
      RecordProperty(name, std::to_string(psnr));
      EXPECT_GE(psnr, kLeastPsnr) << name;
      // The report states the worst of all outputs; not all of them were recorded.
      double reported = moduleOf(result.report, name).psnr();
      if (name == "text_encoder")
        EXPECT_GE(psnr, reported);
      else
        EXPECT_NEAR(psnr, reported, 1e-3) << name;
    }
  }
};

TEST_P(RecordedOutputs, SmallModules) {
  expectGoodPackages({"text_encoder", "vae_encoder", "vae_decoder"}, samplesFolder());
}

TEST_P(RecordedOutputs, UnetOnAFewCalls) {
  TemporaryFolder folder;
  writeFewSamples(folder.path("samples"), "unet", 10);
  expectGoodPackages({"unet"}, folder.path("samples"));
}

INSTANTIATE_TEST_SUITE_P(Exports, RecordedOutputs, testing::Values(kFloatExport, kHalfExport),
                         [](const auto &info) {
                           return std::string(info.param == kFloatExport ? "Float" : "Half");
                         });

} // namespace
