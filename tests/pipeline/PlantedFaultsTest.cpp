//===- PlantedFaultsTest.cpp - verification finds what is wrong ---------------===//
//
// Plants one fault at a time in a compiled module and reads what verification says: the step, the
// value, the operation and the first element that differs.
//
//===----------------------------------------------------------------------===//

#include "compiler/calibration/Samples.h"
#include "compiler/import/Import.h"
#include "compiler/pipeline/Emit.h"
#include "compiler/pipeline/Registration.h"
#include "compiler/pipeline/StageFolder.h"
#include "compiler/pipeline/Verify.h"
#include "dialects/npu/Npu.h"
#include "passes/schedule/NpuNetwork.h"
#include "tests/pipeline/Compiling.h"
#include "tests/pipeline/FaultyKernels.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

using namespace mlir;
using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;
using testing::StartsWith;

namespace {

constexpr const char *kModule = "vae_encoder";

/// A module in memory as the simulator reads it from a package: constants packed, nothing written.
struct LoadedModule {
  PackageModule module;
  std::vector<std::byte> bytes;
};

absl::StatusOr<std::unique_ptr<LoadedModule>>
loadModule(EmittableModule emittable, const Target &target, const EvaluationContext &context) {
  auto loaded = std::make_unique<LoadedModule>();
  absl::StatusOr<std::vector<std::byte>> bytes = packInMemory(emittable, target, context);
  if (!bytes.ok())
    return bytes.status();
  loaded->bytes = *std::move(bytes);
  loaded->module.info = std::move(emittable.info);
  loaded->module.constants = loaded->bytes;
  return loaded;
}

/// One compiled module in all its forms: integer sd, npu, package in memory, and one recorded
/// input.
class PlantedFaults : public testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    CompileOptions options = optionsFor(folder_->path("out"), {kModule});
    options.output.clear();
    options.reportFolder.clear();
    options.stageFolder = folder_->path("stages");
    options.stopAfter = Stage::Schedule;
    compiled(options);
  }
  static void TearDownTestSuite() { delete folder_; }

  void SetUp() override {
    DialectRegistry registry;
    registerSdoptDialects(registry);
    context_ = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
    context_->loadAllAvailableDialects();
    evaluation_.kernels = &fastKernels();
    evaluation_.weights = &weights_;
    sd::resources(context_.get()).evaluation = evaluation_;
    absl::StatusOr<Target> target = loadTarget("mobile");
    ASSERT_TRUE(target.ok());
    target_ = *target;
    loadForms();
    readInput();
  }

  func::FuncOp quantized() { return *quantized_->getOps<func::FuncOp>().begin(); }
  func::FuncOp npu() { return *npu_->getOps<func::FuncOp>().begin(); }
  const Network &network() { return loaded_->module.info.network; }

  using NamedCodes = std::map<std::string, Tensor>;

  /// Keeps what a run shows.
  static CodeRun keeping(CodeRun run, NamedCodes &codes) {
    return [run = std::move(run), &codes](const CodeObserver &observe) {
      codes.clear();
      return run([&](const std::string &name, const std::string &op, const Tensor &tensor) {
        codes.emplace(name, tensor);
        observe(name, op, tensor);
      });
    };
  }
  absl::Status compare(Evaluator &trusted, const CodeRun &actual, const std::string &step) {
    CodeRun reference = keeping(functionRun(trusted, input_), expected_);
    absl::StatusOr<RunDigests> digests = digestsOf(reference);
    if (!digests.ok())
      return digests.status();
    return compareRuns(*digests, reference, keeping(actual, actual_), resultNames(quantized()),
                       step, counts_);
  }

  /// Runs the package on the recorded input and compares it with the integer sd function.
  absl::Status verifySamples(const IntegerKernels *kernels = nullptr) {
    std::map<std::string, Tensor> named;
    for (auto [i, tensor] : llvm::enumerate(input_))
      named[sd::valueName(quantized().getArgument(i))] = tensor;
    Evaluator trusted(quantized(), evaluation_);
    return compare(trusted, simulatorRun(loaded_->module, target_, named, kernels), "emit");
  }
  absl::Status verifyLowered() { return verifyLowered(evaluation_, evaluation_); }
  absl::Status verifyLowered(const EvaluationContext &before, const EvaluationContext &after) {
    Evaluator trusted(quantized(), before), lowered(npu(), after);
    return compare(trusted, functionRun(lowered, input_), "lower");
  }
  absl::Status verifyOps() { return verifyOps(evaluation_, evaluation_); }
  absl::Status verifyOps(const EvaluationContext &before, const EvaluationContext &after) {
    Evaluator trusted(quantized(), before), lowered(npu(), after);
    return verifyOpsInIsolation(trusted, lowered, counts_);
  }
  absl::Status verifyLayers() {
    Evaluator scheduled(npu(), evaluation_);
    return verifyLayersInIsolation(scheduled, loaded_->module, target_, counts_);
  }

  /// The exact message about `value`, whose first different code is found by a plain loop.
  std::string message(const std::string &step, const std::string &value, const std::string &op) {
    const Tensor &before = expected_.at(value), &after = actual_.at(value);
    std::span<const int16_t> a = before.values<int16_t>(), b = after.values<int16_t>();
    size_t first = 0;
    while (first < a.size() && a[first] == b[first])
      ++first;
    if (first == a.size())
      return "no difference";
    const Shape &shape = after.shape();
    std::string position;
    for (size_t axis = 0, stride = a.size(); axis < shape.size(); ++axis) {
      stride /= shape[axis];
      position += (axis ? ", " : "") + std::to_string(first / stride % shape[axis]);
    }
    return "verify: '" + step + "' changed value '" + value + "' (op '" + op + "'): element [" +
           position + "] is " + std::to_string(b[first]) + " but was " + std::to_string(a[first]) +
           " before";
  }

  /// Index of the layer of kind `kind` that comes `nth`.
  size_t layerOf(const std::string &kind, int nth) {
    for (size_t i = 0; i < network().layers.size(); ++i)
      if (kindName(network().layers[i]) == kind && nth-- == 0)
        return i;
    ADD_FAILURE() << "no layer of kind " << kind;
    return 0;
  }
  std::byte *constant(ConstantId id) {
    return loaded_->bytes.data() + loaded_->module.info.constantOffsets[id];
  }
  /// The first command of a layer that has arguments of type T.
  template <typename T> T &commandOf(size_t layer) {
    for (Command &command : loaded_->module.info.program.commands)
      if (command.layer == static_cast<int32_t>(layer) && std::holds_alternative<T>(command.args))
        return std::get<T>(command.args);
    throw std::logic_error("no such command");
  }

  static TemporaryFolder *folder_;
  std::unique_ptr<MLIRContext> context_;
  WeightStore weights_;
  EvaluationContext evaluation_;
  Target target_;
  OwningOpRef<ModuleOp> quantized_, npu_;
  std::unique_ptr<LoadedModule> loaded_;
  std::vector<Tensor> input_;
  NamedCodes expected_, actual_;
  VerifyCounts counts_;

private:
  void loadForms() {
    ImportOptions options;
    options.name = kModule;
    options.inputShapes["sample"] = {1, 3, 64, 64};
    absl::StatusOr<ImportedModel> imported =
        importOnnx(modelFolder() + "/" + kModule + "/model.onnx", options, *context_, weights_);
    ASSERT_TRUE(imported.ok()) << imported.status();
    StageFolder stages(folder_->path("stages"), kModule);
    StageState state;
    state.digests = imported->digests;
    absl::StatusOr<OwningOpRef<ModuleOp>> quantized =
        stages.load(Stage::Quantize, *context_, state);
    absl::StatusOr<OwningOpRef<ModuleOp>> scheduled =
        stages.load(Stage::Schedule, *context_, state);
    ASSERT_TRUE(quantized.ok() && scheduled.ok()) << quantized.status() << scheduled.status();
    ASSERT_TRUE(stages.loadOverlay(weights_).ok());
    quantized_ = *std::move(quantized);
    npu_ = *std::move(scheduled);
    absl::StatusOr<EmittableModule> emittable = prepareModule(npu(), target_);
    ASSERT_TRUE(emittable.ok()) << emittable.status();
    absl::StatusOr<std::unique_ptr<LoadedModule>> loaded =
        loadModule(*std::move(emittable), target_, evaluation_);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    loaded_ = *std::move(loaded);
  }

  void readInput() {
    absl::StatusOr<SampleFile> file =
        SampleFile::open(samplesFolder() + "/" + kModule + "_test.safetensors");
    ASSERT_TRUE(file.ok()) << file.status();
    absl::StatusOr<SampleReader> reader = SampleReader::open(quantized(), {*file}, 1);
    ASSERT_TRUE(reader.ok()) << reader.status();
    absl::StatusOr<Sample> sample = reader->read(0);
    ASSERT_TRUE(sample.ok()) << sample.status();
    input_ = sample->inputs;
  }
};

TemporaryFolder *PlantedFaults::folder_ = nullptr;

TEST_F(PlantedFaults, NothingIsReportedWithoutOne) {
  EXPECT_TRUE(verifyLowered().ok());
  EXPECT_TRUE(verifyOps().ok());
  EXPECT_TRUE(verifySamples().ok());
  EXPECT_TRUE(verifySamples(&naiveKernels()).ok());
  EXPECT_TRUE(verifyLayers().ok());
}

TEST_F(PlantedFaults, ResultsOfTheModuleAreCompared) {
  ASSERT_TRUE(verifySamples().ok());
  for (const Layer &layer : network().layers)
    if (network().tensors[layer.output].role == TensorRole::Output) {
      EXPECT_TRUE(expected_.contains(layer.name)) << layer.name;
      EXPECT_TRUE(actual_.contains(layer.name)) << layer.name;
    }
}

TEST_F(PlantedFaults, ResultThatIsLost) {
  size_t last = network().layers.size() - 1;
  while (network().tensors[network().layers[last].output].role != TensorRole::Output)
    --last;
  std::string name = network().layers[last].name;
  loaded_->module.info.network.layers[last].name = "other";
  absl::Status status = verifySamples();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(textOf(status), "verify: 'emit' lost value '" + name + "', a result of the module");
}

TEST_F(PlantedFaults, FirstOfSeveralIsReported) {
  size_t early = layerOf("conv", 1);
  for (size_t layer : {layerOf("conv", 3), early})
    *constant(std::get<MatrixLayer>(network().layers[layer].spec).weights) ^= std::byte{0x20};
  absl::Status status = verifySamples();
  EXPECT_EQ(textOf(status), message("emit", network().layers[early].name, "conv"));
}

TEST_F(PlantedFaults, FewValuesAreNotCompared) {
  ASSERT_TRUE(verifySamples().ok());
  EXPECT_LE(counts_.uncompared, counts_.values / 10);
}

TEST_F(PlantedFaults, BitOfAWeight) {
  size_t layer = layerOf("conv", 3);
  const auto &matrix = std::get<MatrixLayer>(network().layers[layer].spec);
  *constant(matrix.weights) ^= std::byte{0x20};
  absl::Status status = verifySamples();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  std::string name = network().layers[layer].name;
  EXPECT_EQ(textOf(status), message("emit", name, "conv"));
  absl::Status alone = verifyLayers();
  EXPECT_THAT(textOf(alone), StartsWith("verify: 'emit' on '"));
  EXPECT_THAT(textOf(alone), HasSubstr(" codes' changed value '" + name + "' (op 'npu.conv2d')"));
}

TEST_F(PlantedFaults, EveryBitOfAWeightIsSeenByItsLayerAlone) {
  size_t layer = layerOf("conv", 1);
  const auto &matrix = std::get<MatrixLayer>(network().layers[layer].spec);
  for (int bit = 0; bit < 8; ++bit) {
    *constant(matrix.weights) ^= std::byte(1 << bit);
    EXPECT_FALSE(verifyLayers().ok()) << bit;
    *constant(matrix.weights) ^= std::byte(1 << bit);
  }
  EXPECT_TRUE(verifyLayers().ok());
}

TEST_F(PlantedFaults, BoundOfATile) {
  size_t layer = layerOf("conv", 2);
  ConvCommand &conv = commandOf<ConvCommand>(layer);
  conv.tile.outputHeight -= 1;
  absl::Status status = verifySamples();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(textOf(status), message("emit", network().layers[layer].name, "conv"));
}

TEST_F(PlantedFaults, AddressOfATile) {
  const auto isLoad = [](const Command &command) {
    const auto *load = std::get_if<DmaLoad>(&command.args);
    return load && load->region == sdopt::Region::Arena;
  };
  auto &commands = loaded_->module.info.program.commands;
  const auto first = std::find_if(commands.begin(), commands.end(), isLoad);
  ASSERT_NE(first, commands.end());
  DmaLoad &load = std::get<DmaLoad>(first->args);
  load.dram += load.dram >= 64 ? -64 : 64;
  const auto &layer = network().layers[static_cast<size_t>(first->layer)];
  absl::Status status = verifySamples();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(textOf(status), message("emit", layer.name, kindName(layer)));
}

TEST_F(PlantedFaults, AddressOfAResident) {
  size_t layer = layerOf("combine", 0);
  ASSERT_EQ(loaded_->module.info.plan.layers[layer].cost.dramReadBytes, 0);
  CombineCommand &combine = commandOf<CombineCommand>(layer);
  combine.a += combine.a >= 64 ? -64 : 64;
  absl::Status status = verifySamples();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(textOf(status), message("emit", network().layers[layer].name, "combine"));
}

TEST_F(PlantedFaults, RequantizationConstantOfAChannel) {
  size_t layer = layerOf("conv", 4);
  const auto &matrix = std::get<MatrixLayer>(network().layers[layer].spec);
  constexpr int64_t kChannel = 5;
  auto *params = reinterpret_cast<ChannelParams *>(constant(matrix.params)) + kChannel;
  params->multiplier += params->multiplier >> 8;
  absl::Status status = verifySamples();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  std::string expected = message("emit", network().layers[layer].name, "conv");
  EXPECT_EQ(textOf(status), expected);
  EXPECT_NE(expected.find(", " + std::to_string(kChannel) + "] is "), std::string::npos);
  EXPECT_EQ(verifyLayers().code(), absl::StatusCode::kDataLoss);
}

TEST_F(PlantedFaults, RequantizationConstantOfASum) {
  npu::CombineOp combine = *npu().getOps<npu::CombineOp>().begin();
  std::string name = sd::valueName(combine.getResult());
  combine.setLhsMultiplier(combine.getLhsMultiplier() + (combine.getLhsMultiplier() >> 8));
  absl::Status status = verifyLowered();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(textOf(status), message("lower", name, "npu.combine"));
  absl::Status alone = verifyOps();
  EXPECT_THAT(textOf(alone), StartsWith("verify: 'lower' on '"));
  EXPECT_THAT(textOf(alone),
              HasSubstr(" codes' changed value '" + name + "' (op 'npu.combine'): element ["));
}

TEST_F(PlantedFaults, FastKernelInTheSimulator) {
  WrongLastElement kernels;
  absl::Status status = verifySamples(&kernels);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(textOf(status), message("emit", network().layers[layerOf("table", 0)].name, "table"));
}

TEST_F(PlantedFaults, FastKernelInTheEvaluator) {
  WrongLowestCode kernels;
  EvaluationContext spec = evaluation_, fast = evaluation_;
  spec.kernels = &naiveKernels();
  fast.kernels = &kernels;
  // Recorded inputs keep clear of the ends of the codes' range: only extreme codes find this one.
  EXPECT_TRUE(verifyLowered(spec, fast).ok());
  absl::Status status = verifyOps(spec, fast);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(textOf(status), StartsWith("verify: 'lower' on 'all minimum codes' changed value '"));
  EXPECT_THAT(textOf(status), HasSubstr("(op 'npu.combine'): element [0, 0, 0, 0] is "));
}

} // namespace
