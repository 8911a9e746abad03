//===- FloatModels.cpp - the four modules in fp32 -------------------------===//

#include "tests/benchmark/FloatModels.h"

#include "absl/strings/str_cat.h"
#include "compiler/import/Import.h"
#include "compiler/pipeline/Diagnostics.h"
#include "compiler/pipeline/ModelFolder.h"
#include "compiler/pipeline/Registration.h"
#include "compiler/reference/Evaluator.h"
#include "passes/normalize/Passes.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"

#include <map>

using namespace mlir;

namespace sdopt {

/// One module's normalized function with its weights.
class FloatModels::Module {
public:
  static absl::StatusOr<std::unique_ptr<Module>> create(const ModelModule &model) {
    std::unique_ptr<Module> module(new Module());
    absl::Status status = module->load(model);
    if (!status.ok())
      return status;
    return module;
  }

  /// Inputs by name; the first result of `rank` dimensions.
  absl::StatusOr<Tensor> run(const std::map<std::string, Tensor> &inputs, int64_t rank) {
    std::vector<Tensor> arguments;
    for (unsigned i = 0; i < function_.getNumArguments(); ++i) {
      auto name = function_.getArgAttrOfType<StringAttr>(i, "sd.name");
      auto input = name ? inputs.find(name.str()) : inputs.end();
      if (input == inputs.end())
        return absl::NotFoundError(absl::StrCat("module '", name_, "': no value for input ", i));
      arguments.push_back(input->second);
    }
    ErrorCollector errors(context_.get());
    FailureOr<llvm::SmallVector<Tensor>> results = evaluator_->run(arguments);
    if (failed(results))
      return errors.take(absl::StrCat("module '", name_, "' can't be evaluated"));
    for (Tensor &result : *results)
      if (result.rank() == rank)
        return result;
    return absl::NotFoundError(
        absl::StrCat("module '", name_, "': no result of ", rank, " dimensions"));
  }

  absl::StatusOr<Shape> inputShape(llvm::StringRef input) {
    for (unsigned i = 0; i < function_.getNumArguments(); ++i)
      if (function_.getArgAttrOfType<StringAttr>(i, "sd.name") == input) {
        auto shape = cast<RankedTensorType>(function_.getArgument(i).getType()).getShape();
        return Shape(shape.begin(), shape.end());
      }
    return absl::NotFoundError(
        absl::StrCat("module '", name_, "' has no input '", input.str(), "'"));
  }

private:
  Module() = default;

  absl::Status load(const ModelModule &model) {
    name_ = model.name;
    DialectRegistry registry;
    registerSdoptDialects(registry);
    context_ = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
    context_->loadAllAvailableDialects();
    ErrorCollector errors(context_.get());
    absl::StatusOr<ImportedModel> imported =
        importOnnx(model.path, model.import, *context_, weights_);
    if (!imported.ok())
      return imported.status();
    module_ = std::move(imported->module);
    EvaluationContext evaluation;
    evaluation.kernels = &fastKernels();
    evaluation.weights = &weights_;
    sd::resources(context_.get()).evaluation = evaluation;
    PassManager manager(context_.get());
    buildNormalizePipeline(manager);
    if (failed(manager.run(*module_)))
      return errors.take("normalize failed");
    function_ = *module_->getOps<func::FuncOp>().begin();
    evaluator_ = std::make_unique<Evaluator>(function_, evaluation);
    return absl::OkStatus();
  }

  std::string name_;
  WeightStore weights_;
  std::unique_ptr<MLIRContext> context_;
  OwningOpRef<ModuleOp> module_;
  func::FuncOp function_;
  std::unique_ptr<Evaluator> evaluator_;
};

FloatModels::FloatModels() = default;
FloatModels::~FloatModels() = default;

absl::StatusOr<std::unique_ptr<FloatModels>> FloatModels::create(const std::string &folder) {
  CompileOptions options;
  options.model = folder;
  absl::StatusOr<ModelFolder> model = openModelFolder(options);
  if (!model.ok())
    return model.status();
  std::unique_ptr<FloatModels> models(new FloatModels());
  std::map<std::string, std::unique_ptr<Module> *> slots = {{"text_encoder", &models->textEncoder_},
                                                            {"unet", &models->unet_},
                                                            {"vae_encoder", &models->vaeEncoder_},
                                                            {"vae_decoder", &models->vaeDecoder_}};
  for (const ModelModule &candidate : model->modules) {
    auto slot = slots.find(candidate.name);
    if (slot == slots.end())
      continue;
    absl::StatusOr<std::unique_ptr<Module>> module = Module::create(candidate);
    if (!module.ok())
      return module.status();
    *slot->second = *std::move(module);
  }
  for (const auto &[name, module] : slots)
    if (!*module)
      return absl::NotFoundError(absl::StrCat(folder, " has no module '", name, "'"));
  if (absl::Status status = models->readShapes(); !status.ok())
    return status;
  return models;
}

absl::Status FloatModels::readShapes() {
  absl::StatusOr<Shape> picture = vaeEncoder_->inputShape("sample"),
                        latent = vaeDecoder_->inputShape("latent_sample"),
                        ids = textEncoder_->inputShape("input_ids");
  for (const absl::StatusOr<Shape> *shape : {&picture, &latent, &ids})
    if (!shape->ok())
      return shape->status();
  shapes_ = {.height = (*picture)[2],
             .width = (*picture)[3],
             .latentChannels = (*latent)[1],
             .latentHeight = (*latent)[2],
             .latentWidth = (*latent)[3],
             .tokens = (*ids)[1]};
  return absl::OkStatus();
}

absl::StatusOr<Tensor> FloatModels::encodeText(const Tensor &ids) {
  return textEncoder_->run({{"input_ids", ids}}, 3);
}

absl::StatusOr<Tensor> FloatModels::unet(const Tensor &sample, int64_t timestep,
                                         const Tensor &hidden) {
  Tensor time = Tensor::of<int64_t>({1}, std::span<const int64_t>(&timestep, 1));
  return unet_->run({{"sample", sample}, {"timestep", time}, {"encoder_hidden_states", hidden}}, 4);
}

absl::StatusOr<Tensor> FloatModels::encodePicture(const Tensor &picture) {
  return vaeEncoder_->run({{"sample", picture}}, 4);
}

absl::StatusOr<Tensor> FloatModels::decodeLatent(const Tensor &latent) {
  return vaeDecoder_->run({{"latent_sample", latent}}, 4);
}

} // namespace sdopt
