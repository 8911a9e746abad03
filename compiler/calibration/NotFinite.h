//===- NotFinite.h - why an evaluation gives no number ----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_CALIBRATION_NOTFINITE_H
#define SDOPT_COMPILER_CALIBRATION_NOTFINITE_H

#include "absl/status/status.h"
#include "compiler/reference/Evaluator.h"

namespace sdopt {

/// INVALID_ARGUMENT about a value with a NaN or an infinity. Samples are finite when they are read:
/// a constant of the model that is not and that the value is computed from, the nearest one, is
/// named instead of the evaluation.
absl::Status notFinite(mlir::Value value, int64_t evaluation, const EvaluationContext &context);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_NOTFINITE_H
