//===- ModuleCompiler.cpp - one module through all stages ---------------------===//

#include "compiler/pipeline/ModuleCompiler.h"

#include "compiler/calibration/Calibration.h"
#include "compiler/calibration/Quality.h"
#include "compiler/files/Blake3.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/pipeline/CostReport.h"
#include "compiler/pipeline/Diagnostics.h"
#include "compiler/pipeline/QualityReport.h"
#include "compiler/pipeline/Registration.h"
#include "compiler/pipeline/WeightReport.h"
#include "compiler/pipeline/WidthSearch.h"
#include "compiler/recipe/NamePattern.h"
#include "compiler/reference/MemoryNeed.h"
#include "compiler/report/Numbers.h"
#include "compiler/weights/Safetensors.h"
#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/FormatNames.h"
#include "passes/lower/Passes.h"
#include "passes/normalize/Passes.h"
#include "passes/prune/Passes.h"
#include "passes/prune/PrunedLayers.h"
#include "passes/prune/PrunedWeights.h"
#include "passes/quantize/Codebooks.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/schedule/Passes.h"
#include "passes/winograd/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include <cmath>
#include <filesystem>
#include <thread>

using namespace mlir;

namespace sdopt {

namespace {

/// A module's sample set, or an error that names what was looked for.
absl::StatusOr<SampleFile> openSamples(const CompileOptions &options, const std::string &module,
                                       const char *set) {
  if (options.samples.empty())
    return absl::NotFoundError("module '" + module + "' has neither samples nor statistics: give " +
                               "--samples DIR, or --statistics .../" + module + ".pb");
  std::string stem = (std::filesystem::path(options.samples) / (module + "_" + set)).string();
  for (const char *extension : {".safetensors", ".npz"})
    if (std::filesystem::exists(stem + extension))
      return SampleFile::open(stem + extension);
  return absl::NotFoundError("no samples of module '" + module + "': '" + stem +
                             ".safetensors' (or .npz) is missing");
}

/// The file for a module among those given, or empty.
std::string fileFor(const std::vector<std::string> &files, const std::string &module) {
  for (const std::string &file : files)
    if (std::filesystem::path(file).stem() == module)
      return file;
  return {};
}

std::string statisticsFor(const CompileOptions &options, const std::string &module) {
  return fileFor(options.statistics, module);
}

std::string digestOf(const Statistics &statistics) {
  std::string bytes = statistics.serialize();
  return blake3Hex(std::as_bytes(std::span(bytes)));
}

/// Tells recipes of one name apart.
std::string identity(const Recipe &recipe) {
  std::string text = recipe.canonicalText();
  return recipe.name + " (" + blake3Hex(std::as_bytes(std::span(text))).substr(0, 16) + ")";
}

absl::Status otherSettings(const std::string &folder, const char *what, const std::string &before,
                           const std::string &now, Stage hint) {
  return absl::FailedPreconditionError("the snapshots in '" + folder + "' were made for " + what +
                                       " " + before + ", not " + now + "; use --start-from " +
                                       name(hint) + " or an earlier stage");
}

/// Are layers by F(4x4, 3x3) where the target is faster with it, or none because it is not?
bool asksForTaps(const Recipe &recipe) {
  const auto asks = [](const RecipeRule &rule) { return rule.winogradMinSqnr.value_or(0) > 0; };
  return asks(recipe.global) || llvm::any_of(recipe.types, asks) ||
         llvm::any_of(recipe.modules, asks) || llvm::any_of(recipe.names, asks);
}

int threadsOf(const CompileOptions &options) {
  return options.threads.value_or(std::max(1u, std::thread::hardware_concurrency()));
}

} // namespace

ModuleCompiler::ModuleCompiler(const ModelModule &model, const CompileOptions &options,
                               const Messages &messages, const Target &target, Recipe &recipe)
    : model_(model), options_(options), messages_(messages), target_(target), recipe_(recipe) {
  setKernelThreads(threadsOf(options));
  DialectRegistry registry;
  registerSdoptDialects(registry);
  context_ = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context_->loadAllAvailableDialects();
  context_->printOpOnDiagnostic(false); // an error names its value; the whole function says nothing
  collectRemarks(context_.get(), model.name, &remarks_);
  opened_.lendTo(*context_);
  Resources &resources = sd::resources(context_.get());
  resources.recipe = &recipe_;
  resources.target = &target_;
  evaluation_ = reference_ = resources.evaluation;
  if (options.verify == VerifyMode::Spec)
    reference_.kernels = &naiveKernels();
}

ModuleCompiler::~ModuleCompiler() = default;

func::FuncOp ModuleCompiler::function(ModuleOp module) const {
  return *module.getOps<func::FuncOp>().begin();
}

void ModuleCompiler::progress(const std::string &text) const {
  if (messages_.progress)
    messages_.progress(model_.name + ": " + text);
}

/// Progress of a task as "task 3/10".
std::function<void(double, int64_t)> ModuleCompiler::counter(const std::string &task) const {
  return [this, task](double done, int64_t all) { progress(task + " " + outOf(done, all)); };
}

absl::Status ModuleCompiler::start(const StageFolder &folder) {
  ErrorCollector errors(context_.get());
  // The store needs the original weights, whatever stage the IR comes from.
  if (absl::Status status = importModel(/*isFirst=*/false); !status.ok())
    return errors.explain(status, "import failed");
  OwningOpRef<ModuleOp> imported = std::move(module_);
  absl::StatusOr<OwningOpRef<ModuleOp>> loaded =
      folder.load(*options_.startFrom, *context_, state_);
  if (!loaded.ok())
    return errors.explain(loaded.status(), "snapshot can't be read");
  module_ = *std::move(loaded);
  if (absl::Status status = checkShapes(function(*imported)); !status.ok())
    return status;
  if (absl::Status status = folder.loadOverlay(opened_.weights); !status.ok())
    return errors.explain(status, "snapshot can't be read");
  remarks_.assign(state_.partial.remarks().begin(), state_.partial.remarks().end());
  done_ = options_.startFrom;
  dropOldQuality();
  absl::Status status = restore(folder);
  return status.ok() ? status : errors.explain(status, "snapshot can't be read");
}

/// What was measured on a snapshot is not known of one that was edited since.
void ModuleCompiler::dropOldQuality() {
  ModuleReport &report = *state_.partial.mutable_modules(0);
  if (state_.edited.empty() || report.samples() == 0)
    return;
  clearQuality(report);
  std::string text = "'" + state_.edited +
                     "' is not as it was written: the PSNR that was measured on it is left " +
                     "out; edit an earlier snapshot to have it measured";
  addRemark("measure", text);
  if (messages_.warning)
    messages_.warning(model_.name + ": " + text);
}

absl::Status ModuleCompiler::runStages(Stage last) {
  if (options_.stopAfter)
    last = std::min(last, *options_.stopAfter);
  StageFolder folder(options_.stageFolder, model_.name);
  if (options_.startFrom && !done_)
    if (absl::Status status = start(folder); !status.ok())
      return status;
  ErrorCollector errors(context_.get());
  while (!done_ || *done_ < last) {
    Stage stage = done_ ? static_cast<Stage>(static_cast<int>(*done_) + 1) : Stage::Import;
    progress(name(stage));
    absl::Status status = stage == Stage::Calibrate ? checkMemoryNeed(last) : absl::OkStatus();
    if (status.ok())
      status = withinMemory(name(stage), runStage(stage));
    if (absl::IsResourceExhausted(status) && refusedMemory() > 0)
      return status;
    if (!status.ok())
      return errors.explain(status, std::string(name(stage)) + " failed");
    if (!options_.stageFolder.empty()) {
      state_.partial.clear_remarks();
      for (const Remark &remark : remarks_)
        *state_.partial.add_remarks() = remark;
      if (absl::Status saved = folder.save(stage, *module_, opened_.weights, state_); !saved.ok())
        return saved;
    }
    done_ = stage;
  }
  return absl::OkStatus();
}

void ModuleCompiler::matchRecipe() {
  if (done_ == Stage::Normalize || done_ == Stage::Calibrate)
    matchLayers(recipe_, function(*module_));
}

int64_t ModuleCompiler::explain(const std::string &pattern, std::string &text) const {
  int64_t layers = 0;
  for (const ExplainedLayer &layer : explainLayers(recipe_, function(*module_))) {
    ++layers;
    if (!fitsAny(pattern, layer.names))
      continue;
    text += model_.name + " " + layer.type + " " + layer.names.front() + "\n";
    for (size_t i = 1; i < layer.names.size(); ++i)
      text += "  also " + layer.names[i] + "\n";
    for (const std::string &setting : layer.settings)
      text += "  " + setting + "\n";
  }
  return layers;
}

absl::Status ModuleCompiler::checkMemoryNeed(Stage last) const {
  bool calibrates = statisticsFor(options_, model_.name).empty();
  bool measures = last >= Stage::Quantize && !options_.samples.empty();
  if (memoryLimit() == 0 || (!calibrates && !measures))
    return absl::OkStatus();
  int64_t needed = privateBytes() + leastEvaluationBytes(function(*module_));
  if (needed <= memoryLimit())
    return absl::OkStatus();
  return outOfMemory(name(calibrates ? Stage::Calibrate : Stage::Quantize), needed);
}

absl::Status ModuleCompiler::withinMemory(const char *stage, const absl::Status &status) const {
  if (status.ok() ? fitsMemory(0) : refusedMemory() == 0)
    return status;
  return outOfMemory(stage, refusedMemory());
}

MemoryEstimate ModuleCompiler::memoryEstimate() const {
  return estimateMemory(function(*module_), recipe_, options_, target_, threadsOf(options_));
}

absl::Status ModuleCompiler::outOfMemory(const char *stage, int64_t bytes) const {
  const std::string_view at = stage;
  // The next need may be a little more.
  const double allowed = static_cast<double>(std::max(expectedMemory_, bytes + bytes / 16));
  std::string hints = "allow " + fixed(std::ceil(allowed / 1e6), 0) + " MB";
  if (at != name(Stage::Import) && at != name(Stage::Normalize) && threadsOf(options_) > 1)
    hints += ", use fewer --threads";
  if ((at == name(Stage::Lower) || at == kVerifyStage) && options_.verify != VerifyMode::Off)
    hints += ", leave out --verify";
  if (options_.modules.size() != 1)
    hints += ", compile fewer --modules at once";
  auto megabytes = [](int64_t count) { return fixed(static_cast<double>(count) / 1e6, 1) + " MB"; };
  return absl::ResourceExhaustedError(
      "module '" + model_.name + "', stage " + stage + ": needs at least " + megabytes(bytes) +
      " of memory but --memory-limit is " + megabytes(memoryLimit()) + "; " + hints);
}

/// Forms of the module that later stages compare with, from earlier snapshots.
absl::Status ModuleCompiler::restore(const StageFolder &folder) {
  Stage start = *options_.startFrom;
  StageState ignored = state_;
  const Report &partial = state_.partial;
  if (start >= Stage::Quantize && partial.recipe() != identity(recipe_))
    return otherSettings(options_.stageFolder, "recipe", partial.recipe(), identity(recipe_),
                         Stage::Calibrate);
  if (start >= Stage::Quantize && !partial.target_digest().empty() &&
      partial.target_digest() != target_.digest)
    return otherSettings(options_.stageFolder, "target", partial.target(), target_.name,
                         start >= Stage::Schedule ? Stage::Lower : Stage::Calibrate);
  if (start >= Stage::Calibrate) {
    absl::StatusOr<Statistics> statistics = Statistics::load(folder.statisticsPath());
    if (!statistics.ok())
      return statistics.status();
    opened_.lendStatistics(*std::move(statistics));
    statisticsDigest_ = digestOf(opened_.statistics);
  }
  if (start == Stage::Calibrate)
    if (absl::Status status = checkPruning(); !status.ok())
      return status;
  if (start == Stage::Normalize || start == Stage::Calibrate) {
    normalized_ = module_->clone();
    undoPruning(function(*normalized_));
  } else if (start > Stage::Calibrate) {
    absl::StatusOr<OwningOpRef<ModuleOp>> quantized =
        folder.load(Stage::Quantize, *context_, ignored);
    if (!quantized.ok())
      return quantized.status();
    quantized_ = *std::move(quantized);
  }
  return absl::OkStatus();
}

/// A snapshot has the zeros of the recipe and masks that it was made with.
absl::Status ModuleCompiler::checkPruning() {
  if (absl::Status status = openMasks(); !status.ok())
    return status;
  auto pruned = function(*module_)->getAttrOfType<StringAttr>(kPrunedAttribute);
  OwningOpRef<ModuleOp> now = std::exchange(module_, module_->clone());
  undoPruning(function(*module_));
  const absl::StatusOr<std::string> asked = askedPruning();
  module_ = std::move(now);
  if (!asked.ok())
    return asked.status();
  const std::string before = pruned ? pruned.str() : "none";
  return before == *asked
             ? absl::OkStatus()
             : otherSettings(options_.stageFolder, "pruning", before, *asked, Stage::Normalize);
}

absl::Status ModuleCompiler::runStage(Stage stage) {
  switch (stage) {
  case Stage::Import:
    return importModel(/*isFirst=*/true);
  case Stage::Normalize:
    return normalize();
  case Stage::Calibrate:
    return calibrateModel();
  case Stage::Quantize:
    return quantize();
  case Stage::Lower:
    return lower();
  case Stage::Schedule:
    return schedule();
  case Stage::Emit:
    break;
  }
  return absl::OkStatus();
}

absl::Status ModuleCompiler::runPasses(const char *what,
                                       const std::function<void(OpPassManager &)> &add) {
  PassManager manager(context_.get());
  add(manager);
  return succeeded(manager.run(*module_)) ? absl::OkStatus() : absl::InvalidArgumentError("");
}

absl::Status ModuleCompiler::importModel(bool isFirst) {
  absl::StatusOr<ImportedModel> imported =
      importOnnx(model_.path, model_.import, *context_, opened_.weights);
  if (!imported.ok())
    return imported.status();
  state_.digests = imported->digests;
  dimensionNames_ = imported->dimensionNames;
  opened_.imposed = std::move(imported->imposed);
  module_ = std::move(imported->module);
  if (absl::Status status = checkBatch(); !status.ok() || !isFirst)
    return status;
  ModuleReport &report = *state_.partial.add_modules();
  report.set_name(model_.name);
  report.set_parameters(imported->parameters);
  report.set_fp32_bytes(imported->fp32Bytes);
  return absl::OkStatus();
}

/// --batch means nothing to a model whose rows are fixed, unless it has as many.
absl::Status ModuleCompiler::checkBatch() const {
  if (!options_.batch || model_.import.batch != options_.batch)
    return absl::OkStatus();
  func::FuncOp func = function(*module_);
  for (BlockArgument argument : func.getArguments()) {
    auto type = cast<RankedTensorType>(argument.getType());
    if (type.getRank() >= 2 && type.getDimSize(0) != *options_.batch)
      return absl::InvalidArgumentError(
          "--batch " + std::to_string(*options_.batch) + ": input '" + sd::valueName(argument) +
          "' of module '" + model_.name + "' has " + std::to_string(type.getDimSize(0)) +
          " rows; leave --batch out, or export the model with a symbolic batch");
  }
  return absl::OkStatus();
}

/// A snapshot has the shapes that it was made with; flags that are not repeated ask for none.
absl::Status ModuleCompiler::checkShapes(func::FuncOp asked) const {
  if (!options_.batch && options_.dimensions.empty() && options_.inputShapes.empty())
    return absl::OkStatus();
  func::FuncOp func = function(*module_);
  for (auto [argument, wanted] : llvm::zip(func.getArguments(), asked.getArguments())) {
    const Shape before(cast<ShapedType>(argument.getType()).getShape()),
        now(cast<ShapedType>(wanted.getType()).getShape());
    if (before != now)
      return absl::FailedPreconditionError(
          "the snapshots in '" + options_.stageFolder + "' have input '" + sd::valueName(argument) +
          "' of module '" + model_.name + "' as " + toString(before) + ", not as " + toString(now) +
          "; compile anew, without --start-from");
  }
  return absl::OkStatus();
}

absl::Status ModuleCompiler::normalize() {
  absl::Status status =
      runPasses("normalize", [](OpPassManager &manager) { buildNormalizePipeline(manager); });
  if (status.ok())
    normalized_ = module_->clone();
  return status;
}

void ModuleCompiler::openRecordedInputs(const char *task) {
  recordedInputs_.open = [this]() -> absl::StatusOr<std::vector<SampleFile>> {
    absl::StatusOr<SampleFile> file = openSamples(options_, model_.name, "calibration");
    if (!file.ok())
      return file.status();
    return std::vector<SampleFile>{*std::move(file)};
  };
  recordedInputs_.progress = counter(task);
  sd::resources(context_.get()).samples = options_.samples.empty() ? nullptr : &recordedInputs_;
  setKernelThreads(threadsOf(options_));
}

absl::Status ModuleCompiler::openMasks() {
  return opened_.openMasks(fileFor(options_.masks, model_.name));
}

absl::StatusOr<std::string> ModuleCompiler::askedPruning() const {
  Recipe recipe = recipe_;
  FailureOr<PruningPlan> plan = planPruning(function(*module_), recipe, opened_.masks.get());
  if (failed(plan))
    return absl::InvalidArgumentError("");
  if (plan->layers.empty())
    return "none";
  Blake3 hash;
  auto add = [&](const std::string &text) {
    hash.update(std::as_bytes(std::span(text)));
    hash.update(std::as_bytes(std::span("\n", 1)));
  };
  add(name(recipe.pruneTimesteps));
  for (const PrunedLayer &layer : plan->layers) {
    add(sd::valueName(layer.op->getResult(0)) + " " + name(layer.recipe.pruning) + " " +
        name(layer.recipe.sparsity) + " " + name(layer.recipe.pruneScope) + " " +
        (layer.needsDensePower() ? "dense " : "") + name(layer.update()) +
        (layer.recipe.biasCorrection ? " corrected" : ""));
    if (layer.mask.empty())
      continue;
    if (absl::StatusOr<Tensor> mask = opened_.masks->get(layer.mask); mask.ok())
      hash.update({mask->bytes(), static_cast<size_t>(mask->byteSize())});
  }
  return hash.hex().substr(0, 16);
}

absl::Status ModuleCompiler::prune() {
  if (absl::Status status = openMasks(); !status.ok())
    return status;
  absl::StatusOr<std::string> asked = askedPruning();
  if (!asked.ok())
    return asked.status();
  if (*asked == "none")
    return exportMasks();
  openRecordedInputs("prune");
  absl::Status status = runPasses(
      "prune", [](OpPassManager &manager) { manager.addNestedPass<func::FuncOp>(createPrune()); });
  if (!status.ok())
    return status;
  func::FuncOp func = function(*module_);
  func->setAttr(kPrunedAttribute, StringAttr::get(context_.get(), *asked));
  if (messages_.line)
    for (const std::string &line : pruningSummary(func, recipe_, opened_.masks.get()))
      messages_.line(model_.name + ": " + line);
  return exportMasks();
}

absl::Status ModuleCompiler::exportMasks() {
  if (options_.masksOut.empty())
    return absl::OkStatus();
  auto masks = masksOf(function(*module_));
  if (failed(masks))
    return absl::InternalError("");
  return prepareExport(options_.masksOut, *masks);
}

absl::Status
ModuleCompiler::prepareExport(const std::string &folder,
                              const std::vector<std::pair<std::string, Tensor>> &tensors) {
  if (absl::Status status = makeFolder(folder); !status.ok())
    return status;
  prepared_.erase(folder); // what another choice had
  auto file = prepareSafetensors(folder + "/" + model_.name + ".safetensors", tensors);
  if (!file.ok())
    return file.status();
  prepared_[folder] = *std::move(file);
  return absl::OkStatus();
}

/// Where statistics are kept.
std::vector<std::string> ModuleCompiler::statisticsFiles() const {
  std::vector<std::string> files;
  if (!options_.statisticsOut.empty())
    files.push_back(options_.statisticsOut + "/" + model_.name + ".pb");
  if (!options_.stageFolder.empty())
    files.push_back(StageFolder(options_.stageFolder, model_.name).statisticsPath());
  return files;
}

/// Where a calibration that was interrupted goes on from; empty: nowhere.
std::string ModuleCompiler::partialFile() const {
  const std::vector<std::string> files = statisticsFiles();
  return files.empty() ? std::string()
                       : std::filesystem::path(files[0]).replace_extension(".partial.pb").string();
}

absl::Status ModuleCompiler::calibrateModel() {
  if (absl::Status status = prune(); !status.ok())
    return status;
  func::FuncOp func = function(*module_);
  std::string given = statisticsFor(options_, model_.name);
  if (!given.empty()) {
    absl::StatusOr<Statistics> statistics = Statistics::load(given);
    if (!statistics.ok())
      return statistics.status();
    if (statistics->functionDigest() != functionDigest(func))
      return absl::InvalidArgumentError(
          "'" + given + "' holds statistics of another module, or of module '" + model_.name +
          "' as it was before; calibrate again with --samples and --statistics-out");
    opened_.lendStatistics(*std::move(statistics));
  } else {
    absl::StatusOr<SampleFile> file = openSamples(options_, model_.name, "calibration");
    if (!file.ok())
      return file.status();
    CalibrationOptions calibration;
    calibration.threads = threadsOf(options_);
    calibration.progress = counter("calibrate");
    calibration.partialFile = partialFile();
    calibration.splitFor(recipe_);
    absl::StatusOr<Statistics> statistics = calibrate(func, evaluation_, {*file}, calibration);
    if (!statistics.ok())
      return statistics.status();
    opened_.lendStatistics(*std::move(statistics));
    given = file->path;
  }
  warnOfOneTimestep(given);
  statisticsDigest_ = digestOf(opened_.statistics);
  for (const std::string &file : statisticsFiles()) {
    absl::Status status = makeFolder(std::filesystem::path(file).parent_path());
    if (status.ok())
      status = opened_.statistics.save(file);
    if (!status.ok())
      return status;
  }
  std::error_code error; // nothing reads what stays but a calibration that goes on from it
  if (const std::string partial = partialFile(); !partial.empty())
    std::filesystem::remove(partial, error);
  return absl::OkStatus();
}

/// What such samples hide is clipped at all other steps. The remark is the same wherever the
/// statistics come from.
void ModuleCompiler::warnOfOneTimestep(const std::string &path) {
  const std::vector<TimestepBuckets::Interval> &timesteps = opened_.statistics.timesteps();
  if (timestepInput(function(*module_)) < 0 || timesteps.size() != 1 ||
      timesteps[0].first != timesteps[0].last)
    return;
  std::string text = "all of timestep " + significant(timesteps[0].first) +
                     ": ranges of other steps are not known; record whole trajectories";
  addRemark("calibrate", "calibration samples are " + text);
  if (messages_.warning)
    messages_.warning(model_.name + ": samples of '" + path + "' are " + text);
}

absl::Status ModuleCompiler::smooth() {
  OwningOpRef<ModuleOp> before;
  if (options_.verify != VerifyMode::Off)
    before = module_->clone();
  openRecordedInputs("smooth");
  recordedInputs_.scaled = [this](const std::string &layer, const OutputPower &power) {
    scaled_[layer] = power;
  };
  absl::Status status = runPasses("smooth", [this](OpPassManager &manager) {
    if (recipe_.splitConcats)
      manager.addNestedPass<func::FuncOp>(createSplitConcatScales());
    manager.addNestedPass<func::FuncOp>(createSmooth());
  });
  if (!status.ok() || !function(*module_)->hasAttr(kCalibratedAttribute))
    return status; // nothing moved
  if (before)
    status = verifySmoothed(function(*before), function(*module_));
  normalized_ = module_->clone();
  undoPruning(function(*normalized_));
  return status;
}

absl::Status ModuleCompiler::round() {
  openRecordedInputs("round");
  recordedInputs_.rounded = [this](const std::string &layer, const OutputPower &power) {
    rounded_[layer] = power;
  };
  return runPasses(
      "round", [](OpPassManager &manager) { manager.addNestedPass<func::FuncOp>(createRound()); });
}

absl::StatusOr<double> ModuleCompiler::psnrIfQuantized(const SampleFile &samples) {
  OwningOpRef<ModuleOp> copy = module_->clone();
  undoMarkedPruning(function(*copy));
  PassManager manager(context_.get());
  addQuantizePasses(manager);
  if (failed(manager.run(*copy)))
    return absl::InvalidArgumentError("");
  QualityOptions quality;
  quality.threads = threadsOf(options_);
  quality.limit = options_.sensitivitySamples;
  quality.perLayer = false;
  absl::StatusOr<QualityResult> result =
      measureQuality(function(*normalized_), function(*copy), evaluation_, {samples}, quality);
  return result.ok() ? absl::StatusOr<double>(psnr(*result)) : result.status();
}

absl::Status ModuleCompiler::allocateWidths() {
  absl::StatusOr<SampleFile> file = openSamples(options_, model_.name, "calibration");
  if (!file.ok())
    return file.status();
  SensitivityOptions search;
  search.threads = threadsOf(options_);
  search.limit = options_.sensitivitySamples;
  search.cacheFolder = options_.sensitivityFolder;
  search.cacheName = model_.name;
  search.decides = statisticsDigest_ + " " + target_.digest + (recipe_.winograd ? " winograd" : "");
  auto report = counter("sensitivity");
  search.progress = [&](int64_t done, int64_t total) { report(static_cast<double>(done), total); };
  absl::StatusOr<std::string> summary = searchWidths(
      function(*module_), recipe_, evaluation_, {*file}, search,
      {.psnr = [&] { return psnrIfQuantized(*file); }, .storedBits = [&] { return storedBits(); }});
  if (!summary.ok())
    return summary.status();
  addRemark("allocate", *summary);
  if (messages_.line)
    messages_.line(model_.name + ": " + *summary);
  undoMarkedPruning(function(*module_));
  return exportMasks();
}

absl::Status ModuleCompiler::exportCodebooks(const std::map<std::string, std::string> &names) {
  if (options_.codebooksOut.empty())
    return absl::OkStatus();
  FailureOr<Codebooks> codebooks = codebooksOf(function(*module_), names);
  if (failed(codebooks))
    return absl::InternalError("");
  if (codebooks->tensors.empty() && codebooks->unnamed == 0 && messages_.line)
    messages_.line(model_.name + ": there are no codebooks, no weights are in palettes");
  if (codebooks->unnamed > 0 && messages_.line)
    messages_.line(model_.name + ": codebooks of " + std::to_string(codebooks->unnamed) +
                   (codebooks->unnamed == 1 ? " layer" : " layers") +
                   " stay here: other layers read the weights too, or smoothing scaled them");
  return prepareExport(options_.codebooksOut, codebooks->tensors);
}

absl::Status ModuleCompiler::quantize() {
  if (absl::Status status = opened_.openCodebooks(fileFor(options_.codebooks, model_.name));
      !status.ok())
    return status;
  if (absl::Status status = smooth(); !status.ok())
    return status;
  if (opened_.codebooks)
    if (absl::Status status =
            runPasses("quantize",
                      [](OpPassManager &manager) {
                        manager.addNestedPass<func::FuncOp>(createImposeCodebooks());
                      });
        !status.ok())
      return status;
  if (recipe_.budget)
    if (absl::Status status = allocateWidths(); !status.ok())
      return status;
  if (trial_)
    takeTrial();
  else if (absl::Status status = round(); !status.ok())
    return status;
  std::map<std::string, std::string> names;
  if (!options_.codebooksOut.empty())
    names = codebookNames(function(*module_));
  if (absl::Status status = runQuantizePasses(); !status.ok())
    return status;
  if (absl::Status status = exportCodebooks(names); !status.ok())
    return status;
  quantized_ = module_->clone();
  state_.partial.set_recipe(identity(recipe_));
  state_.partial.mutable_modules(0)->set_recipe(recipe_.name);
  if (asksForTaps(recipe_))
    noteTarget();
  return measure();
}

void ModuleCompiler::addQuantizePasses(OpPassManager &manager) const {
  if (recipe_.timestepBuckets > 1)
    manager.addPass(createSplitTimesteps());
  manager.addNestedPass<func::FuncOp>(createQuantize());
}

absl::Status ModuleCompiler::runQuantizePasses() {
  openRecordedInputs("quantize");
  winogradSqnr_.clear();
  recordedInputs_.winograd = [this](const std::string &layer, double sqnr) {
    winogradSqnr_[layer] = sqnr;
  };
  return runPasses("quantize", [this](OpPassManager &manager) {
    addQuantizePasses(manager);
    manager.addPass(createCSEPass());
    manager.addPass(createQuantizeWinograd());
  });
}

absl::Status ModuleCompiler::measure() {
  if (options_.samples.empty())
    return absl::OkStatus();
  absl::StatusOr<SampleFile> file = openSamples(options_, model_.name, "test");
  if (!file.ok())
    return file.status();
  QualityOptions quality;
  quality.threads = threadsOf(options_);
  quality.progress = counter("measure");
  absl::StatusOr<QualityResult> result =
      measureQuality(function(*normalized_), function(*quantized_), evaluation_, {*file}, quality);
  if (!result.ok())
    return result.status();
  tellUnrecorded(*result, file->path);
  ModuleReport &report = *state_.partial.mutable_modules(0);
  setQuality(*result, report);
  std::map<std::string, double> terms = winogradSqnr_;
  for (LayerReport &layer : *report.mutable_layers()) {
    if (auto found = rounded_.find(layer.name()); found != rounded_.end()) {
      layer.set_nearest_codes_sqnr(found->second.sqnrBefore());
      layer.set_rounded_codes_sqnr(found->second.sqnrAfter());
    }
    if (auto found = scaled_.find(layer.name()); found != scaled_.end()) {
      layer.set_unscaled_codes_sqnr(found->second.sqnrBefore());
      layer.set_scaled_codes_sqnr(found->second.sqnrAfter());
    }
    if (auto found = terms.extract(layer.name()))
      layer.set_winograd_sqnr(found.mapped());
  }
  // Of weights of 16 bits: no layers of the float model.
  for (const auto &[name, sqnr] : terms) {
    LayerReport &layer = *report.add_layers();
    layer.set_name(name);
    layer.set_winograd_sqnr(sqnr);
  }
  return absl::OkStatus();
}

/// Names results without a recorded reference, if others have one.
void ModuleCompiler::tellUnrecorded(const QualityResult &result, const std::string &path) {
  std::string names;
  size_t count = 0;
  for (const OutputQuality &output : result.outputs)
    if (!output.againstRecorded) {
      names += (names.empty() ? "'" : ", '") + output.name + "'";
      ++count;
    }
  if (count == 0 || count == result.outputs.size())
    return;
  std::string text = "samples '" + path + "' record no " + names +
                     ", which is compared with the float model; the other results are compared " +
                     "with the recorded ones";
  addRemark("measure", text);
  if (messages_.line)
    messages_.line(model_.name + ": " + text);
}

/// On the module as a whole.
void ModuleCompiler::addRemark(const char *pass, const std::string &text) {
  Remark &remark = remarks_.emplace_back();
  remark.set_kind(Remark::MISSED);
  remark.set_pass(pass);
  remark.set_module(model_.name);
  remark.set_where(model_.name);
  remark.set_what(text);
}

absl::Status ModuleCompiler::lower() {
  absl::Status status = runLowerPasses();
  return status.ok() ? verifyLowered() : status;
}

absl::Status ModuleCompiler::runLowerPasses() {
  return runPasses("lower", [](OpPassManager &manager) {
    manager.addNestedPass<func::FuncOp>(createLowerToNpu());
    manager.addPass(createCSEPass());
  });
}

/// What was decided so far holds for this target.
void ModuleCompiler::noteTarget() {
  state_.partial.set_target(target_.name);
  state_.partial.set_target_digest(target_.digest);
}

absl::Status ModuleCompiler::schedule() {
  noteTarget();
  return runSchedulePasses();
}

absl::Status ModuleCompiler::runSchedulePasses() {
  return runPasses("schedule", [this](OpPassManager &manager) {
    if (recipe_.hoist)
      manager.addNestedPass<func::FuncOp>(createHoist());
    if (recipe_.winograd)
      manager.addNestedPass<func::FuncOp>(createWinograd());
    manager.addNestedPass<func::FuncOp>(createStore());
    manager.addNestedPass<func::FuncOp>(createSchedule());
  });
}

absl::StatusOr<ModuleCompiler::Cost> ModuleCompiler::costOn(const Target &target) {
  ErrorCollector errors(context_.get());
  progress("schedule for " + target.name);
  // What the schedule passes change and say is of this target alone.
  OwningOpRef<ModuleOp> lowered = std::exchange(module_, module_->clone());
  const size_t remarks = remarks_.size();
  sd::resources(context_.get()).target = &target;
  absl::Status status = runSchedulePasses();
  absl::StatusOr<Cost> cost =
      status.ok()
          ? costOfScheduled(target)
          : absl::ResourceExhaustedError(errors.explain(status, "schedule failed").message());
  sd::resources(context_.get()).target = &target_;
  remarks_.resize(remarks);
  module_ = std::move(lowered);
  return cost.ok() ? cost : errors.explain(cost.status(), "the module cannot be timed");
}

absl::StatusOr<ModuleCompiler::Cost> ModuleCompiler::costOfScheduled(const Target &target) {
  absl::StatusOr<EmittableModule> emittable = prepareModule(function(*module_), target);
  if (!emittable.ok())
    return emittable.status();
  const absl::StatusOr<TimedConstants> constants =
      TimedConstants::create(*emittable, target, evaluation_);
  if (!constants.ok())
    return constants.status();
  PackageModule module{.info = std::move(emittable->info),
                       .constants = constants->bytes(),
                       .bytes = static_cast<int64_t>(constants->bytes().size())};
  Cost cost{.report = state_.partial.modules(0)};
  const absl::StatusOr<RunStatistics> run = setCosts(module, target, cost.report);
  if (!run.ok())
    return run.status();
  double bytes = 0;
  for (const LayerReport &layer : cost.report.layers())
    bytes += static_cast<double>(layer.dram_lower_bound_bytes());
  cost.floorSeconds = std::max({run->arrayFloor / target.clock, run->vectorFloor / target.clock,
                                bytes / target.dram.bandwidth});
  for (const TensorInfo &tensor : module.info.network.tensors)
    if (tensor.role == TensorRole::Input && tensor.logicalShape.size() >= 2) {
      cost.rows = tensor.logicalShape[0];
      break;
    }
  return cost;
}

absl::StatusOr<std::vector<std::vector<Tensor>>> ModuleCompiler::verifyInputs(func::FuncOp function,
                                                                              int64_t limit) const {
  absl::StatusOr<SampleFile> file = openSamples(options_, model_.name, "test");
  if (!file.ok())
    return file.status();
  absl::StatusOr<SampleReader> reader = SampleReader::open(function, {*file}, limit);
  if (!reader.ok())
    return reader.status();
  std::vector<std::vector<Tensor>> inputs;
  auto add = [&](const SampleReader &from, int64_t call) {
    absl::StatusOr<Sample> sample = from.read(call);
    if (sample.ok())
      inputs.push_back(std::move(sample->inputs));
    return sample.status();
  };
  for (int64_t i = 0; i < reader->size(); ++i)
    if (absl::Status status = add(*reader, i); !status.ok())
      return status;
  const SmallVector<func::FuncOp> functions = sd::bucketFunctions(function);
  if (functions.size() == 1)
    return inputs;
  // Of the buckets of timesteps that these leave out, the first.
  absl::StatusOr<SampleReader> all = SampleReader::open(function, {*file}, 0);
  if (!all.ok())
    return all.status();
  std::set<size_t> seen;
  for (const SampleReader *from : {&*reader, &*all}) {
    absl::StatusOr<std::vector<double>> timesteps = timestepsOf(function, *from);
    if (!timesteps.ok())
      return timesteps.status();
    for (size_t i = 0; i < timesteps->size(); ++i)
      if (seen.insert(sd::bucketOf(functions, (*timesteps)[i])).second && from == &*all)
        if (absl::Status status = add(*all, static_cast<int64_t>(i)); !status.ok())
          return status;
  }
  return inputs;
}

absl::Status ModuleCompiler::emit(PackageWriter &writer, const std::vector<double> &timesteps) {
  progress("emit");
  ErrorCollector errors(context_.get());
  absl::StatusOr<EmittableModule> emittable = prepareModule(function(*module_), target_);
  if (!emittable.ok())
    return errors.explain(emittable.status(), "emit failed");
  emittable_ = *std::move(emittable);
  ConstantPacker packer(emittable_, target_, evaluation_);
  auto told = counter("emit MB");
  const ModuleInfo &info = emittable_.info;
  double done = 0, all = 0;
  for (size_t i = 0; i < info.network.constants.size(); ++i)
    all += static_cast<double>(info.network.constants[i].bytes) / 1e6;
  absl::Status status = writer.addModule(
      info,
      [&](ConstantId id) {
        done += static_cast<double>(info.network.constants[id].bytes) / 1e6;
        told(std::floor(done), static_cast<int64_t>(std::ceil(all)));
        return packer.pack(id);
      },
      [&](std::vector<int64_t> offsets, int64_t bytes) {
        return completeModule(emittable_, target_, std::move(offsets), bytes);
      });
  if (!status.ok())
    return status;
  absl::StatusOr<int64_t> baked = bakeSchedule(info, target_, timesteps, writer);
  if (baked.ok() && *baked > 0 && messages_.line)
    messages_.line(model_.name + ": the schedule of " + std::to_string(timesteps.size()) +
                   " steps lies in the package, " + std::to_string(*baked) + " bytes");
  return baked.status();
}

absl::Status ModuleCompiler::checkPackage(const PackageModule &module) {
  ErrorCollector errors(context_.get());
  if (absl::Status status = simulateOnce(module); !status.ok())
    return errors.explain(status, "simulation failed");
  if (options_.verify != VerifyMode::Off)
    if (absl::Status status = verifyPackage(module); !status.ok())
      return errors.explain(status, "verify failed");
  state_.partial.clear_remarks();
  for (const Remark &remark : remarks_)
    *state_.partial.add_remarks() = remark;
  return absl::OkStatus();
}

absl::Status ModuleCompiler::simulateOnce(const PackageModule &module) {
  progress("simulate");
  ModuleReport &report = *state_.partial.mutable_modules(0);
  if (absl::StatusOr<RunStatistics> run = setCosts(module, target_, report); !run.ok())
    return run.status();
  setRanges(opened_.statistics, report);
  addWeightSizes(module.info, emittable_.entropies, report);
  return absl::OkStatus();
}

} // namespace sdopt
