//===- ImposedCodes.h - codes that were decided elsewhere -------*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_IMPOSEDCODES_H
#define SDOPT_PASSES_QUANTIZE_IMPOSEDCODES_H

#include "compiler/encodings/ImposedFormats.h"
#include "dialects/sd/Sd.h"

#include "mlir/IR/Builders.h"

#include <optional>

namespace sdopt {

/// The code imposed on a value under its name and `suffix`; nothing if there is none.
mlir::FailureOr<std::optional<ActivationCode>> imposedCode(mlir::Value value,
                                                           llvm::StringRef suffix = "");

struct ImposedScales {
  std::vector<float> scales; ///< of the output channels
  bool exact = false;        ///< the codes are the nearest ones, ties to even
};

/// True if scales are imposed on float weights as they are now. Codes from a quantized model whose
/// scales are not those of output channels don't count.
bool hasImposedScales(mlir::Value weights);

/// The scales imposed on float weights [o, ...]; nothing if there are none.
mlir::FailureOr<std::optional<ImposedScales>> imposedScales(mlir::Value weights);

/// int8 codes, scales of their output channels, and what is to be added to the bias (or null).
struct WeightCodes {
  mlir::Value codes, scales, correction;
};

/// The codes of float weights with imposed scales, made at once and kept in the store's overlay;
/// nothing if none are imposed. `means` as of sd.quantize_weight, may be null.
mlir::FailureOr<std::optional<WeightCodes>> imposedWeights(mlir::Value weights, mlir::Value means);

/// True if a code is imposed on a value as it is now, and none on what smoothing makes of it.
bool hasImposedCode(mlir::Value value);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_IMPOSEDCODES_H
