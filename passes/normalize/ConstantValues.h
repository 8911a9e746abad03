//===- ConstantValues.h - numbers that passes may look at -------*- C++ -*-===//

#ifndef SDOPT_PASSES_NORMALIZE_CONSTANTVALUES_H
#define SDOPT_PASSES_NORMALIZE_CONSTANTVALUES_H

#include "compiler/kernels/Tensor.h"
#include "dialects/sd/Sd.h"

#include <optional>

namespace sdopt {

/// True for weights, constants and expressions over them (at most 16 operations deep).
bool isConstant(mlir::Value value);

/// The elements of a constant, a weight or a cast, reshape, expansion or transpose of one, as
/// doubles in row-major order; none if the value is not constant or its weight cannot be read.
std::optional<std::vector<double>> constantValues(mlir::Value value);

/// The one number that all elements of a constant share.
std::optional<double> uniformValue(mlir::Value value);

/// True if `value` is within the rounding of half precision of `expected`.
bool isNear(double value, double expected);

} // namespace sdopt

#endif // SDOPT_PASSES_NORMALIZE_CONSTANTVALUES_H
