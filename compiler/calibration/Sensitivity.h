//===- Sensitivity.h - what the output loses by one layer -------*- C++ -*-===//
//
// One layer at a time gets narrower weights, everything else stays float: the error of the
// function's results, over recorded inputs, is what that width costs. Errors of layers that are
// narrowed together nearly add up, so that widths can be chosen by these numbers (Allocation.h).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_SENSITIVITY_H
#define SDOPT_COMPILER_CALIBRATION_SENSITIVITY_H

#include "compiler/calibration/Samples.h"
#include "dialects/sd/EvaluationContext.h"

#include <functional>

namespace sdopt {

/// One way to store the weights of a layer.
struct WidthVariant {
  std::string form; ///< tells variants of a layer apart in the cache
  /// Changes the weights of `layer`, an operation of a copy of the function.
  std::function<mlir::LogicalResult(mlir::Operation *layer)> apply;
  /// The bits that the changed weights take; called from several threads, with different copies.
  std::function<mlir::FailureOr<int64_t>(mlir::Operation *layer)> bits;
};

struct LayerVariants {
  mlir::Operation *layer = nullptr; ///< of the function
  std::vector<WidthVariant> variants;
};

struct SensitivityOptions {
  int threads = 1;
  int64_t limit = 4; ///< at most so many evaluations of the samples, spread evenly; 0: all
  /// Measurements are kept in a file of this folder as they are made, and taken from there:
  /// CACHENAME-KEY.sensitivity.pb, where KEY tells apart the function, the samples and `decides`,
  /// so that searches of any recipes can share a folder. Empty: no file.
  std::string cacheFolder, cacheName;
  std::string decides; ///< digests of whatever else variants and their bits depend on
  std::function<void(int64_t done, int64_t total)> progress = {};
};

struct Sensitivity {
  /// [layer][variant]: sum error^2 / sum reference^2 over all results and evaluations.
  std::vector<std::vector<double>> losses;
  std::vector<std::vector<int64_t>> bits; ///< [layer][variant]
  /// Of the reference's results, for PSNR: largest magnitude^2 * count / sum reference^2.
  double peakToMean = 0;
};

/// Evaluates the float `function` once for each variant and evaluation. The result does not depend
/// on the number of threads.
absl::StatusOr<Sensitivity> measureSensitivity(mlir::func::FuncOp function,
                                               const std::vector<LayerVariants> &layers,
                                               const EvaluationContext &context,
                                               const std::vector<SampleFile> &samples,
                                               const SensitivityOptions &options);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_SENSITIVITY_H
