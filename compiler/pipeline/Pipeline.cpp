//===- Pipeline.cpp - from a model folder to a proven package -----------------===//

#include "compiler/pipeline/Pipeline.h"

#include "compiler/figures/CheckFigures.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/WholeFile.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/pipeline/ModuleCompiler.h"
#include "compiler/pipeline/PictureReport.h"
#include "compiler/pipeline/Places.h"
#include "compiler/pipeline/Rates.h"
#include "compiler/pipeline/Sweep.h"
#include "compiler/power/PowerReport.h"
#include "compiler/recipe/NamePattern.h"
#include "compiler/report/Report.h"
#include "compiler/report/Sweep.h"
#include "compiler/sampling/Timesteps.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace fs = std::filesystem;

namespace sdopt {

namespace {

constexpr const char *kVersion = SDOPT_VERSION;

/// "a b" -> "a\ b" as Make and Ninja read dependency files.
std::string escaped(const std::string &path) {
  std::string text;
  for (char c : path) {
    if (c == ' ' || c == '#' || c == '\\')
      text += '\\';
    if (c == '$')
      text += '$';
    text += c;
  }
  return text;
}

class Compilation {
public:
  Compilation(const CompileOptions &options, const Messages &messages, const Tell &tell)
      : options_(options), messages_(messages), tell_(tell) {}

  absl::StatusOr<CompileResult> run() {
    setMemoryLimit(0); // until it is known what all modules need
    absl::Status status = open();
    if (status.ok())
      status = work();
    if (status.ok() && tell_)
      status = tell_(result_);
    if (status.ok())
      status = publish();
    return status.ok() ? absl::StatusOr<CompileResult>(std::move(result_)) : status;
  }

private:
  absl::Status open() {
    if (absl::Status status = validate(options_); !status.ok())
      return status;
    absl::StatusOr<Target> target = loadTarget(options_.target);
    if (!target.ok())
      return target.status();
    target_ = *std::move(target);
    absl::StatusOr<Recipe> recipe = loadRecipe(options_.recipe);
    if (!recipe.ok())
      return recipe.status();
    recipe_ = *std::move(recipe);
    if (absl::Status status = checkExport(); !status.ok())
      return status;
    if (!options_.budget.empty())
      recipe_.budget = parseBudget(options_.budget);
    if (!options_.gates.empty()) {
      absl::StatusOr<std::vector<Gate>> gates = parseGates(options_.gates);
      if (!gates.ok())
        return gates.status();
      gates_ = *std::move(gates);
    }
    if (!options_.baseline.empty())
      if (absl::Status status = readBaseline(); !status.ok())
        return status;
    if (!options_.sweep.empty())
      if (absl::Status status = openSweep(); !status.ok())
        return status;
    absl::StatusOr<ModelFolder> model = openModelFolder(options_);
    if (!model.ok())
      return model.status();
    model_ = *std::move(model);
    for (const Place &input : inputPlaces(options_, model_))
      result_.inputs.push_back(input.path);
    for (const absl::Status &status : {checkStatisticsNames(), checkEncodingsNames(),
                                       checkGateNames(), checkPlaces(options_, model_)})
      if (!status.ok())
        return status;
    return absl::OkStatus();
  }

  absl::Status work() {
    if (options_.printInputs)
      return absl::OkStatus();
    if (!options_.explain.empty())
      return explainLayers();
    if (!options_.sweep.empty())
      return sweep();
    return !options_.stopAfter || *options_.stopAfter == Stage::Emit ? compileToPackage()
                                                                     : stopEarly();
  }

  /// What is exported has one scale for each value.
  absl::Status checkExport() const {
    if (recipe_.timestepBuckets < 2 ||
        (options_.exportFolder.empty() && options_.encodingsFolder.empty()))
      return absl::OkStatus();
    return absl::InvalidArgumentError(
        std::string(options_.exportFolder.empty() ? "--export-encodings" : "--export-onnx") +
        " has one scale for each value but recipe '" + recipe_.name + "' says 'timestep_buckets: " +
        std::to_string(recipe_.timestepBuckets) + "'; leave one of them out");
  }

  absl::Status openSweep() {
    absl::StatusOr<Sweep> sweep = parseSweep(options_.sweep);
    if (!sweep.ok())
      return sweep.status();
    sweep_ = *std::move(sweep);
    for (double value : sweep_.values) {
      absl::StatusOr<Target> target = targetWith(target_, sweep_.field, value);
      if (!target.ok())
        return target.status();
      sweepTargets_.push_back(*std::move(target));
    }
    return absl::OkStatus();
  }

  /// A gate on a module that is not there can only fail after everything was compiled.
  absl::Status checkGateNames() const {
    std::string names;
    for (const ModelModule &module : model_.modules)
      names += (names.empty() ? "" : ", ") + module.name;
    for (const Gate &gate : gates_)
      if (!gate.owner.empty() && gate.owner != "pipeline" &&
          std::none_of(model_.modules.begin(), model_.modules.end(),
                       [&](const ModelModule &module) { return module.name == gate.owner; }))
        return absl::NotFoundError("gate '" + gate.text + "': no module '" + gate.owner +
                                   "'; there are: " + names);
    return absl::OkStatus();
  }

  /// Statistics, masks and codebooks are found by their name: a file of no module would be passed
  /// over.
  absl::Status checkStatisticsNames() const {
    for (const std::string &file : options_.statistics)
      if (std::none_of(
              model_.modules.begin(), model_.modules.end(),
              [&](const ModelModule &module) { return fs::path(file).stem() == module.name; }))
        return absl::InvalidArgumentError("--statistics " + file +
                                          " is of no module that is compiled; it must be named " +
                                          model_.modules.front().name + ".pb or as another module");
    for (const auto &[option, files] :
         {std::pair("--masks ", &options_.masks), std::pair("--codebooks ", &options_.codebooks)})
      for (const std::string &file : *files)
        if (std::none_of(
                model_.modules.begin(), model_.modules.end(),
                [&](const ModelModule &module) { return fs::path(file).stem() == module.name; }))
          return absl::InvalidArgumentError(
              option + file + " is of no module that is compiled; it must be named " +
              model_.modules.front().name + ".safetensors or as another module");
    return absl::OkStatus();
  }

  /// The same for encodings, unless there is one module.
  absl::Status checkEncodingsNames() const {
    for (const std::string &file : options_.encodings)
      if (model_.modules.size() > 1 && std::none_of(model_.modules.begin(), model_.modules.end(),
                                                    [&](const ModelModule &module) {
                                                      return fs::path(file).stem() == module.name;
                                                    }))
        return absl::InvalidArgumentError(
            "--encodings " + file + " is of no module that is compiled; it must be named " +
            model_.modules.front().name + ".encodings or as another module");
    return absl::OkStatus();
  }

  absl::Status readBaseline() {
    absl::StatusOr<std::string> text = readFile(options_.baseline);
    if (!text.ok())
      return text.status();
    absl::StatusOr<Report> baseline = fromJson(*text, options_.baseline);
    if (!baseline.ok())
      return baseline.status();
    baseline_ = *std::move(baseline);
    return absl::OkStatus();
  }

  /// What can be wrong with any module is told before the first one takes its time.
  absl::Status normalizeAll() {
    for (const ModelModule &module : model_.modules) {
      compilers_.push_back(
          std::make_unique<ModuleCompiler>(module, options_, messages_, target_, recipe_));
      ModuleCompiler &compiler = *compilers_.back();
      if (absl::Status status = compiler.runStages(Stage::Normalize); !status.ok())
        return status;
      dimensionNames_.insert(compiler.dimensionNames().begin(), compiler.dimensionNames().end());
      compiler.matchRecipe();
      if (absl::Status status = compiler.imposeFormats(); !status.ok())
        return status;
    }
    for (const absl::Status &status : {checkDimensionNames(), checkRecipeRules()})
      if (!status.ok())
        return status;
    return checkMemory();
  }

  absl::Status checkMemory() {
    setMemoryLimit(options_.memoryLimit);
    if (memoryLimit() == 0)
      return absl::OkStatus();
    std::vector<MemoryEstimate> modules;
    for (const std::unique_ptr<ModuleCompiler> &compiler : compilers_)
      modules.push_back(compiler->memoryEstimate());
    const int64_t expected = estimatedLimit(residentBytes(), modules);
    for (std::unique_ptr<ModuleCompiler> &compiler : compilers_)
      compiler->expectMemory(expected);
    return compilers_.back()->withinMemory(name(Stage::Normalize), absl::OkStatus());
  }

  absl::Status explainLayers() {
    if (absl::Status status = normalizeAll(); !status.ok())
      return status;
    int64_t layers = 0;
    for (const std::unique_ptr<ModuleCompiler> &compiler : compilers_)
      layers += compiler->explain(options_.explain, result_.explanation);
    if (!result_.explanation.empty())
      return absl::OkStatus();
    return absl::NotFoundError("--explain " + options_.explain + " fits none of " +
                               std::to_string(layers) +
                               " layers; names are those of ONNX nodes, values and weights, with * "
                               "and ? or re:EXPRESSION");
  }

  /// Every rule must fit something, if only in a module that --modules leaves out.
  absl::Status checkRecipeRules() {
    // Pruning is part of stage calibrate.
    bool reads = (!options_.stopAfter || *options_.stopAfter >= Stage::Calibrate) &&
                 (!options_.startFrom || *options_.startFrom < Stage::Quantize);
    if (!reads || recipe_.checkAllMatched().ok())
      return absl::OkStatus();
    for (const ModelModule &module : model_.leftOut) {
      absl::StatusOr<std::vector<std::string>> names = layerNamesOfFile(module.path, module.name);
      if (!names.ok())
        names.emplace();
      addModulePaths(*names);
      recipe_.passOver(module.name, *names);
    }
    return recipe_.checkAllMatched();
  }

  absl::Status stopEarly() {
    if (absl::Status status = normalizeAll(); !status.ok())
      return status;
    for (std::unique_ptr<ModuleCompiler> &compiler : compilers_) {
      if (absl::Status status = compiler->runStages(Stage::Schedule); !status.ok())
        return status;
      if (absl::Status status = exportModule(*compiler); !status.ok())
        return status;
      collect(*compiler);
      compiler.reset();
    }
    return writeDepfile(options_.stageFolder);
  }

  /// The cost of every module on every target of the sweep: what comes before the schedule is done
  /// once.
  absl::Status sweep() {
    if (absl::Status status = normalizeAll(); !status.ok())
      return status;
    SweepReport &report = result_.sweep;
    report.set_version(kVersion);
    report.set_recipe(recipe_.name);
    report.set_target(target_.name);
    report.set_model(model_.name);
    report.set_field(name(sweep_.field));
    std::vector<Report> costs(sweep_.values.size());
    std::map<std::string, int64_t> rows;
    std::string lastProblem;
    bool fits = false;
    for (double value : sweep_.values) {
      SweepPoint &point = *report.add_points();
      point.set_value(valueText(sweep_.field, value));
      point.set_number(value);
    }
    for (std::unique_ptr<ModuleCompiler> &compiler : compilers_) {
      if (absl::Status status = compiler->runStages(Stage::Lower); !status.ok())
        return status;
      for (size_t i = 0; i < sweepTargets_.size(); ++i) {
        SweepModule &module = *report.mutable_points(static_cast<int>(i))->add_modules();
        module.set_name(compiler->state().partial.modules(0).name());
        const absl::StatusOr<ModuleCompiler::Cost> cost = compiler->costOn(sweepTargets_[i]);
        if (absl::IsResourceExhausted(cost.status()) && refusedMemory() == 0) {
          lastProblem = std::string(cost.status().message());
          module.set_problem(lastProblem);
          continue;
        }
        if (!cost.ok())
          return compiler->withinMemory("schedule", cost.status());
        fits = true;
        rows.emplace(module.name(), cost->rows);
        setSweepModule(*cost, module);
        *costs[i].add_modules() = cost->report;
      }
      compiler.reset();
    }
    if (!fits)
      return absl::ResourceExhaustedError("--sweep " + options_.sweep +
                                          ": nothing fits; with the last value: " + lastProblem);
    for (size_t i = 0; i < costs.size(); ++i) {
      if (static_cast<size_t>(costs[i].modules_size()) < compilers_.size())
        continue;
      setRates(costs[i], stepsOfPicture(), rows);
      if (costs[i].has_pipeline())
        *report.mutable_points(static_cast<int>(i))->mutable_pipeline() = costs[i].pipeline();
    }
    return options_.reportFolder.empty() ? absl::OkStatus()
                                         : writeSweep(report, options_.reportFolder, outputs_);
  }

  static void setSweepModule(const ModuleCompiler::Cost &cost, SweepModule &module) {
    const ModuleReport &report = cost.report;
    module.set_cycles(report.cycles());
    module.set_seconds(report.seconds());
    module.set_dram_bytes(report.dram_read_bytes() + report.dram_write_bytes());
    module.set_sram_peak_bytes(report.sram_peak_bytes());
    module.set_energy(report.energy());
    module.set_floor_seconds(cost.floorSeconds);
  }

  /// One set of --dimension serves all modules; what serves none is a slip.
  absl::Status checkDimensionNames() const {
    std::string known;
    for (const std::string &name : dimensionNames_)
      known += (known.empty() ? "'" : ", '") + name + "'";
    std::error_code error;
    const bool isFolder = fs::is_directory(options_.model, error);
    for (const auto &[name, value] : options_.dimensions)
      if (std::ranges::none_of(
              isFolder ? namesOfSize(name) : std::vector<std::string>{name},
              [&](const std::string &known) { return dimensionNames_.contains(known); }))
        return absl::InvalidArgumentError(
            "--dimension " + name + "=" + std::to_string(value) + ": no module that is compiled " +
            "has a symbolic dimension '" + name + "'; " +
            (known.empty() ? "all their shapes are fixed" : "there are " + known));
    return absl::OkStatus();
  }

  void collect(const ModuleCompiler &compiler) {
    const Report &partial = compiler.state().partial;
    for (const ModuleReport &module : partial.modules())
      *result_.report.add_modules() = module;
    for (const Remark &remark : partial.remarks())
      *result_.report.add_remarks() = remark;
  }

  absl::Status compileToPackage() {
    absl::StatusOr<std::unique_ptr<PackageWriter>> writer = PackageWriter::create(options_.output);
    if (!writer.ok())
      return writer.status();
    Provenance provenance;
    provenance.version = kVersion;
    provenance.recipe = recipe_.canonicalText();
    provenance.target = canonicalText(target_);
    provenance.targetDigest = target_.digest;
    absl::StatusOr<std::vector<double>> timesteps = timestepsOfPicture();
    if (!timesteps.ok())
      return timesteps.status();
    timesteps_ = *std::move(timesteps);
    if (absl::Status status = normalizeAll(); !status.ok())
      return status;
    for (size_t i = 0; i < compilers_.size(); ++i) {
      ModuleCompiler &compiler = *compilers_[i];
      if (absl::Status status = compiler.runStages(Stage::Schedule); !status.ok())
        return status;
      if (absl::Status status = exportModule(compiler); !status.ok())
        return status;
      if (absl::Status status = compiler.withinMemory("emit", compiler.emit(**writer, timesteps_));
          !status.ok())
        return status;
      for (const auto &[file, digest] : compiler.state().digests)
        provenance.inputDigests[model_.modules[i].name + "/" + file] = digest;
      provenance.statisticsDigest += compiler.statisticsDigest();
    }
    for (const Asset &asset : model_.assets)
      if (absl::Status status = (*writer)->addAsset(asset); !status.ok())
        return status;
    provenance.statisticsDigest = blake3Hex(std::as_bytes(std::span(provenance.statisticsDigest)));
    if (absl::Status status = (*writer)->complete(provenance); !status.ok())
      return status;
    package_ = *std::move(writer);
    return checkAndReport(package_->partialPath());
  }

  int stepsOfPicture() const { return options_.steps.value_or(kUsualSteps); }

  /// Those of --steps; none without it.
  absl::StatusOr<std::vector<double>> timestepsOfPicture() const {
    constexpr const char *kScheduler = "scheduler/scheduler_config.json";
    if (!options_.steps)
      return std::vector<double>();
    const auto asset = std::ranges::find(model_.assets, kScheduler, &Asset::name);
    absl::StatusOr<std::vector<double>> timesteps =
        asset == model_.assets.end()
            ? absl::NotFoundError(std::string("the model has no ") + kScheduler)
            : timestepsOfRun(asset->bytes, *options_.steps);
    if (timesteps.ok())
      return timesteps;
    return absl::InvalidArgumentError("--steps " + std::to_string(*options_.steps) + ": " +
                                      std::string(timesteps.status().message()) +
                                      "; without --steps the package runs any schedule");
  }

  void tellOfSchedule(const Package &package) const {
    if (timesteps_.empty() || !messages_.warning ||
        std::ranges::any_of(package.modules(),
                            [](const PackageModule &module) { return !module.schedule.empty(); }))
      return;
    messages_.warning("--steps " + std::to_string(*options_.steps) +
                      ": nothing is computed for each timestep alone; rates alone are for so many "
                      "steps");
  }

  absl::Status exportModule(ModuleCompiler &compiler) {
    return compiler.withinMemory("export", compiler.exportTo(outputs_));
  }

  absl::Status publish() {
    for (std::unique_ptr<AtomicFile> &file : outputs_)
      if (absl::Status status = file->commit(); !status.ok())
        return status;
    return package_ ? package_->publish() : absl::OkStatus();
  }

  absl::Status checkAndReport(const std::string &path) {
    absl::StatusOr<std::unique_ptr<Package>> package = Package::open(path);
    if (!package.ok())
      return package.status();
    for (size_t i = 0; i < compilers_.size(); ++i) {
      const PackageModule *module = (*package)->find(model_.modules[i].name);
      if (!module)
        return absl::InternalError("package has no module '" + model_.modules[i].name + "'");
      if (absl::Status status = compilers_[i]->withinMemory(ModuleCompiler::kVerifyStage,
                                                            compilers_[i]->checkPackage(*module));
          !status.ok())
        return status;
      collect(*compilers_[i]);
    }
    tellOfSchedule(**package);
    Report &report = result_.report;
    report.set_version(kVersion);
    report.set_recipe(recipe_.name);
    report.set_target(target_.name);
    report.set_target_digest(target_.digest);
    *report.mutable_machine() = machineReport(target_);
    if (options_.verify != VerifyMode::Off)
      if (absl::Status status = checkFigures(target_, report.machine()); !status.ok())
        return status;
    report.set_model(model_.name);
    report.set_package_bytes((*package)->fileBytes());
    for (const std::string &assumption : target_.assumptions)
      report.add_assumptions(assumption);
    setRates(report, stepsOfPicture(), rowsOfRuns(**package));
    absl::StatusOr<std::vector<GateResult>> gates = evaluateGates(report, gates_);
    if (!gates.ok())
      return gates.status();
    result_.gates = *std::move(gates);
    if (!options_.baseline.empty())
      result_.regressions = compareWithBaseline(report, baseline_);
    if (!options_.reportFolder.empty()) {
      auto power =
          powerReport((*package)->modules(), target_, stepsOfPicture(), rowsOfRuns(**package));
      if (!power.ok())
        return power.status();
      if (*power)
        *report.mutable_power() = **std::move(power);
      if (absl::Status status = writeReport(report, options_.reportFolder, outputs_); !status.ok())
        return status;
    }
    return writeDepfile(options_.output);
  }

  /// Rows that one run of each module takes: its inputs' first dimension.
  static std::map<std::string, int64_t> rowsOfRuns(const Package &package) {
    std::map<std::string, int64_t> rows;
    for (const PackageModule &module : package.modules())
      for (const TensorInfo &tensor : module.info.network.tensors)
        if (tensor.role == TensorRole::Input && tensor.logicalShape.size() >= 2)
          rows.emplace(module.info.network.name, tensor.logicalShape[0]);
    return rows;
  }

  absl::Status writeDepfile(const std::string &output) {
    if (options_.depfile.empty())
      return absl::OkStatus();
    std::string text = escaped(output) + ":";
    for (const std::string &input : result_.inputs)
      text += " \\\n  " + escaped(input);
    absl::StatusOr<std::unique_ptr<AtomicFile>> file = AtomicFile::create(options_.depfile);
    if (!file.ok())
      return file.status();
    outputs_.push_back(*std::move(file));
    return outputs_.back()->write(text + "\n");
  }

  const CompileOptions &options_;
  const Messages &messages_;
  const Tell &tell_;
  Target target_;
  Sweep sweep_;
  std::vector<Target> sweepTargets_; ///< by value
  Recipe recipe_;
  std::vector<Gate> gates_;
  std::vector<double> timesteps_; ///< whose schedule the package has
  Report baseline_;
  ModelFolder model_;
  std::vector<std::unique_ptr<ModuleCompiler>> compilers_; ///< in the order of modules
  std::vector<std::unique_ptr<AtomicFile>> outputs_;       ///< written, not yet in their places
  std::unique_ptr<PackageWriter> package_;                 ///< the same
  std::set<std::string> dimensionNames_; ///< symbolic, of the modules compiled so far
  CompileResult result_;
};

} // namespace

bool CompileResult::passed() const {
  for (const GateResult &gate : gates)
    if (!gate.passed)
      return false;
  for (const Regression &regression : regressions)
    if (regression.kind == RegressionKind::Worse)
      return false;
  return true;
}

absl::StatusOr<CompileResult> compile(const CompileOptions &options, const Messages &messages,
                                      const Tell &tell) {
  absl::StatusOr<CompileResult> result = Compilation(options, messages, tell).run();
  if (!result.ok())
    removeEmptyFolders();
  return result;
}

} // namespace sdopt
