//===- Calibration.h - statistics from recorded samples ---------*- C++ -*-===//
//
// Streams recorded inputs through a float function; nothing of a sample is kept. The result does
// not depend on the number of threads: extremes and counts are exact, and sums are formed per
// evaluation and added in their order.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_CALIBRATION_H
#define SDOPT_COMPILER_CALIBRATION_CALIBRATION_H

#include "compiler/calibration/Samples.h"
#include "compiler/calibration/Statistics.h"
#include "dialects/sd/EvaluationContext.h"

#include <functional>

namespace sdopt {

struct CalibrationOptions {
  int threads = 1;
  int64_t limit = 0;          ///< at most so many evaluations, spread evenly; 0: all
  size_t timestepBuckets = 5; ///< at most; with about as many calls each
  /// What is known is kept here after every 20th of the calls (PartialStatistics.h). Calibration
  /// goes on from what an earlier one of the same function and samples left, with the same result.
  /// The file stays for the caller to remove. Empty: no file.
  std::string partialFile = {};
  /// Called with the number of finished evaluations, parts of large ones counted, and of all; from
  /// one thread at a time.
  std::function<void(double done, int64_t total)> progress = {};

  /// As many buckets as the recipe's scales need, if it has any of their own.
  void splitFor(const Recipe &recipe) {
    if (recipe.timestepBuckets > 1)
      timestepBuckets = static_cast<size_t>(recipe.timestepBuckets);
  }
};

/// Statistics of every float activation of `function`. Errors: a sample that does not fit, an
/// evaluation that failed (its diagnostic has been emitted), two values of one name, a value
/// without a name, a value that is not finite (NaN, infinity).
absl::StatusOr<Statistics> calibrate(mlir::func::FuncOp function, const EvaluationContext &context,
                                     const std::vector<SampleFile> &samples,
                                     const CalibrationOptions &options = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_CALIBRATION_H
