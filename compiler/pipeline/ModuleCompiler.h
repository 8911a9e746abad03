//===- ModuleCompiler.h - one module through all stages ---------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_MODULECOMPILER_H
#define SDOPT_COMPILER_PIPELINE_MODULECOMPILER_H

#include "compiler/calibration/Moments.h"
#include "compiler/calibration/Quality.h"
#include "compiler/files/AtomicFile.h"
#include "compiler/pipeline/Emit.h"
#include "compiler/pipeline/MemoryEstimate.h"
#include "compiler/pipeline/ModelFolder.h"
#include "compiler/pipeline/OpenedResources.h"
#include "compiler/pipeline/StageFolder.h"
#include "compiler/pipeline/Verify.h"
#include "compiler/recipe/Recipe.h"
#include "compiler/target/Target.h"

#include "mlir/IR/MLIRContext.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace mlir {
class OpPassManager;
}

namespace sdopt {

/// Takes one module from ONNX to package sections: import, normalize, calibrate, quantize, lower,
/// schedule, emit, check.
class ModuleCompiler {
public:
  ModuleCompiler(const ModelModule &model, const CompileOptions &options, const Messages &messages,
                 const Target &target, Recipe &recipe);
  ~ModuleCompiler();

  /// On to `last`, or to --stop-after if that comes first. Starts with --start-from or import.
  absl::Status runStages(Stage last);
  /// The float module's layers, if it is one now, are looked up in the recipe.
  void matchRecipe();
  /// Reads the module's --encodings and looks up all names; the module must be normalized.
  absl::Status imposeFormats();
  /// Writes the quantized module and its formats to --export-onnx and --export-encodings, if they
  /// are given; the files appear when they are committed, in order.
  absl::Status exportTo(std::vector<std::unique_ptr<AtomicFile>> &files);
  /// Adds what the recipe says of the layers whose names fit `pattern`; gives how many layers the
  /// normalized module has.
  int64_t explain(const std::string &pattern, std::string &text) const;
  /// Writes commands and constants, and what the schedule phase leaves for these timesteps.
  absl::Status emit(PackageWriter &writer, const std::vector<double> &timesteps);
  /// What the lowered module would cost on another target, without a package. The report keeps what
  /// is known of the module; RESOURCE_EXHAUSTED tells why it does not fit.
  struct Cost {
    ModuleReport report;
    double floorSeconds = 0; ///< no run is shorter
    int64_t rows = 1;        ///< of one run: its inputs' first dimension
  };
  absl::StatusOr<Cost> costOn(const Target &target);
  /// After the package is complete: the simulator on its bytes against the evaluator, and what a
  /// run costs.
  absl::Status checkPackage(const PackageModule &module);
  /// Of checkPackage(), in messages.
  static constexpr const char *kVerifyStage = "verify";
  /// Of the normalized module.
  MemoryEstimate memoryEstimate() const;
  /// What is told if memory runs out: a limit that the whole compilation should keep.
  void expectMemory(int64_t bytes) { expectedMemory_ = bytes; }
  /// What a stage gave, or that memory ran out in it.
  absl::Status withinMemory(const char *stage, const absl::Status &status) const;

  /// What is known of the module: one Module and its remarks.
  const StageState &state() const { return state_; }
  const std::string &statisticsDigest() const { return statisticsDigest_; }
  /// Symbolic dimensions of the ONNX model.
  const std::set<std::string> &dimensionNames() const { return dimensionNames_; }

private:
  void tellWhatIsNotKept();
  absl::Status exportModel(std::vector<std::unique_ptr<AtomicFile>> &files);
  absl::Status exportFormats(std::vector<std::unique_ptr<AtomicFile>> &files);
  absl::Status start(const StageFolder &folder);
  absl::Status runStage(Stage stage);
  /// Before the first evaluation: can it be done within the memory limit at all?
  absl::Status checkMemoryNeed(Stage last) const;
  absl::Status outOfMemory(const char *stage, int64_t bytes) const;
  absl::Status restore(const StageFolder &folder);
  void dropOldQuality();
  absl::Status importModel(bool isFirst);
  absl::Status checkBatch() const;
  absl::Status checkShapes(mlir::func::FuncOp asked) const;
  absl::Status normalize();
  /// Zeros among weights, for the layers whose recipe asks for them or that masks are given of.
  absl::Status prune();
  absl::Status openMasks();
  /// Writes FOLDER/<module>.safetensors for exportTo().
  absl::Status prepareExport(const std::string &folder,
                             const std::vector<std::pair<std::string, Tensor>> &tensors);
  absl::Status exportMasks();
  /// `names` are those of layers by their results.
  absl::Status exportCodebooks(const std::map<std::string, std::string> &names);
  /// What --samples records for calibration, for passes that look at what layers read.
  void openRecordedInputs(const char *task);
  /// "none", or a digest of what the recipe and the masks given ask for.
  absl::StatusOr<std::string> askedPruning() const;
  absl::Status checkPruning();
  std::vector<std::string> statisticsFiles() const;
  std::string partialFile() const;
  absl::Status calibrateModel();
  void warnOfOneTimestep(const std::string &path);
  absl::Status smooth();
  /// Codes of weights by second moments, for the layers whose recipe asks for them.
  absl::Status round();
  absl::Status verifySmoothed(mlir::func::FuncOp before, mlir::func::FuncOp after);
  /// Of the quantized function that the attributes of the float one give now.
  absl::StatusOr<double> psnrIfQuantized(const SampleFile &samples);
  /// Bits that a weight of a matrix layer takes in the package that the attributes of the float
  /// function give now, its channels' scales included. What was rounded stays in `trial_`.
  absl::StatusOr<double> storedBits();
  absl::StatusOr<double> storedBitsOfTrial();
  void takeTrial();
  /// The recipe's budget.
  absl::Status allocateWidths();
  absl::Status quantize();
  void addQuantizePasses(mlir::OpPassManager &manager) const;
  absl::Status runQuantizePasses();
  absl::Status measure();
  void tellUnrecorded(const QualityResult &result, const std::string &path);
  void addRemark(const char *pass, const std::string &text);
  absl::Status lower();
  absl::Status runLowerPasses();
  void noteTarget();
  absl::Status schedule();
  absl::Status runSchedulePasses();
  absl::StatusOr<Cost> costOfScheduled(const Target &target);
  absl::Status runPasses(const char *what, const std::function<void(mlir::OpPassManager &)> &add);
  /// Inputs of `limit` evaluations of the test samples.
  absl::StatusOr<std::vector<std::vector<Tensor>>> verifyInputs(mlir::func::FuncOp function,
                                                                int64_t limit) const;
  /// Runs the integer model that everything later is compared with, once.
  absl::Status trustQuantized();
  absl::Status verifyLowered();
  absl::Status verifyPackage(const PackageModule &module);
  absl::Status simulateOnce(const PackageModule &module);
  mlir::func::FuncOp function(mlir::ModuleOp module) const;
  void progress(const std::string &text) const;
  std::function<void(double, int64_t)> counter(const std::string &task) const;

  const ModelModule &model_;
  const CompileOptions &options_;
  const Messages &messages_;
  const Target &target_;
  Recipe &recipe_;

  std::optional<Stage> done_; ///< what module_ is after
  int64_t expectedMemory_ = 0;

  OpenedResources opened_;
  std::set<std::string> dimensionNames_;
  std::unique_ptr<mlir::MLIRContext> context_;
  mlir::OwningOpRef<mlir::ModuleOp> module_;
  mlir::OwningOpRef<mlir::ModuleOp>
      normalized_; ///< the float model that quality is measured against
  mlir::OwningOpRef<mlir::ModuleOp>
      quantized_; ///< the integer model that later stages are compared with
  EvaluationContext evaluation_;
  EvaluationContext reference_; ///< of the side that verification trusts
  RecordedInputs recordedInputs_;
  std::map<std::string, std::unique_ptr<AtomicFile>> prepared_; ///< by folder
  std::map<std::string, OutputPower> rounded_, scaled_; ///< by the name of the layer's value
  std::map<std::string, double> winogradSqnr_;          ///< the same
  std::string statisticsDigest_;
  std::vector<Remark> remarks_;
  StageState state_;
  EmittableModule emittable_;

  /// Forms of weights that were tried, as round() left them.
  struct Trial {
    mlir::OwningOpRef<mlir::ModuleOp> module;
    std::vector<Remark> remarks;
  };
  std::optional<Trial> trial_;

  struct TrustedRun {
    std::vector<Tensor> inputs;
    RunDigests digests;
    size_t bucket = 0; ///< of timesteps
  };
  std::deque<Evaluator> trusted_; ///< on the functions of `quantized_`
  std::vector<TrustedRun> trustedRuns_;
  VerifyCounts counts_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_MODULECOMPILER_H
