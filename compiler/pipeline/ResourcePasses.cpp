//===- ResourcePasses.cpp - what sdopt-opt opens for other passes -------------===//

#include "compiler/pipeline/ResourcePasses.h"

#include "compiler/calibration/Calibration.h"
#include "compiler/calibration/Moments.h"
#include "compiler/pipeline/ModelFolder.h"
#include "compiler/pipeline/OpenedResources.h"
#include "compiler/recipe/Recipe.h"
#include "compiler/target/Target.h"
#include "dialects/sd/Sd.h"

#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace sdopt {

namespace {

/// Lives as long as the pass manager.
struct OpenedFiles : OpenedResources {
  Recipe recipe;
  Target target;
};

LogicalResult report(Operation *op, const absl::Status &status) {
  return status.ok() ? success() : op->emitError() << std::string(status.message());
}

struct OpenResourcesPass : PassWrapper<OpenResourcesPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(OpenResourcesPass)

  OpenResourcesPass() = default;
  OpenResourcesPass(const OpenResourcesPass &other) : PassWrapper(other) {}

  StringRef getArgument() const override { return "sdopt-open-resources"; }
  StringRef getDescription() const override {
    return "Open weights, statistics, recipe and target for the passes that follow";
  }

  Option<std::string> model{
      *this, "model", llvm::cl::desc("folder of ONNX files that the function's weights are in")};
  Option<std::string> weights{*this, "weights",
                              llvm::cl::desc("overlay.safetensors of a snapshot")};
  Option<std::string> statistics{*this, "statistics", llvm::cl::desc("statistics of the function")};
  Option<std::string> recipe{*this, "recipe", llvm::cl::desc("name or file")};
  Option<std::string> target{*this, "target", llvm::cl::desc("name or file")};
  Option<std::string> masks{*this, "masks", llvm::cl::desc("zeros of weights (.safetensors)")};
  Option<std::string> codebooks{*this, "codebooks",
                                llvm::cl::desc("shared weights (.safetensors)")};

  void runOnOperation() override {
    opened_ = std::make_shared<OpenedFiles>();
    opened_->lendTo(getContext());
    if (failed(openModel()) || failed(openFiles(sd::resources(&getContext()))))
      signalPassFailure();
  }

private:
  std::string setting(const Option<std::string> &option) {
    if (!option.getValue().empty())
      return option;
    auto attribute = getOperation()->getAttrOfType<StringAttr>("sd." + option.ArgStr.str());
    return attribute ? attribute.str() : std::string();
  }

  /// Fills the store from the ONNX files of the modules that have a function here.
  LogicalResult openModel() {
    CompileOptions options;
    options.model = setting(model);
    if (options.model.empty())
      return success();
    absl::StatusOr<ModelFolder> folder = openModelFolder(options);
    if (!folder.ok())
      return report(getOperation(), folder.status());
    for (const ModelModule &module : folder->modules)
      if (getOperation().lookupSymbol<func::FuncOp>(module.name)) {
        absl::StatusOr<ImportedModel> imported =
            importOnnx(module.path, module.import, getContext(), opened_->weights);
        if (!imported.ok())
          return report(getOperation(), imported.status());
        if (!imported->imposed.tensors.empty() && !opened_->imposed.tensors.empty())
          return getOperation().emitError("several modules have codes of their own ('")
                 << opened_->imposed.origin << "', '" << imported->imposed.origin
                 << "'); open one at a time";
        if (!imported->imposed.tensors.empty())
          opened_->imposed = std::move(imported->imposed);
      }
    return success();
  }

  LogicalResult openFiles(Resources &resources) {
    if (std::string path = setting(weights); !path.empty())
      if (failed(report(getOperation(), opened_->weights.loadOverlay(path))))
        return failure();
    if (std::string path = setting(statistics); !path.empty()) {
      absl::StatusOr<Statistics> loaded = Statistics::load(path);
      if (!loaded.ok())
        return report(getOperation(), loaded.status());
      opened_->lendStatistics(*std::move(loaded));
    }
    if (std::string name = setting(recipe); !name.empty())
      if (failed(open(loadRecipe(name), opened_->recipe, resources.recipe)))
        return failure();
    if (std::string name = setting(target); !name.empty())
      if (failed(open(loadTarget(name), opened_->target, resources.target)))
        return failure();
    return success(succeeded(report(getOperation(), opened_->openMasks(setting(masks)))) &&
                   succeeded(report(getOperation(), opened_->openCodebooks(setting(codebooks)))));
  }

  template <typename T, typename Pointer>
  LogicalResult open(absl::StatusOr<T> value, T &owner, Pointer &pointer) {
    if (!value.ok())
      return report(getOperation(), value.status());
    owner = *std::move(value);
    pointer = &owner;
    return success();
  }

  std::shared_ptr<OpenedFiles> opened_;
};

struct CalibratePass : PassWrapper<CalibratePass, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CalibratePass)

  CalibratePass() = default;
  CalibratePass(const CalibratePass &other) : PassWrapper(other) {}

  StringRef getArgument() const override { return "sdopt-calibrate"; }
  StringRef getDescription() const override {
    return "Collect statistics of the function as it is now";
  }

  Option<std::string> samples{*this, "samples",
                              llvm::cl::desc("recorded samples (.safetensors, .npz)")};

  void runOnOperation() override {
    absl::StatusOr<SampleFile> file = SampleFile::open(samples);
    if (!file.ok())
      return fail(file.status());
    Resources &resources = sd::resources(&getContext());
    if (!resources.evaluation.kernels)
      resources.evaluation.kernels = &fastKernels();
    CalibrationOptions options;
    if (resources.recipe)
      options.splitFor(*resources.recipe);
    absl::StatusOr<Statistics> statistics =
        calibrate(getOperation(), resources.evaluation, {*file}, options);
    if (!statistics.ok())
      return fail(statistics.status());
    statistics_ = std::make_shared<Statistics>(*std::move(statistics));
    resources.statistics = statistics_.get();
    recorded_ = std::make_shared<RecordedInputs>();
    recorded_->open = [opened = *file] { return std::vector<SampleFile>{opened}; };
    resources.samples = recorded_.get();
  }

private:
  void fail(const absl::Status &status) {
    (void)report(getOperation(), status);
    signalPassFailure();
  }

  std::shared_ptr<Statistics> statistics_;
  std::shared_ptr<RecordedInputs> recorded_;
};

} // namespace

void registerResourcePasses() {
  PassRegistration<OpenResourcesPass>();
  PassRegistration<CalibratePass>();
}

} // namespace sdopt
