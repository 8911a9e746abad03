//===- FormatNames.h - what codes are known by ------------------*- C++ -*-===//
//
// Files of other tools know values and weights by the names of ONNX tensors. What smoothing scaled
// is no longer that tensor, and is called "NAME.smooth".
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_DIALECTS_SD_FORMATNAMES_H
#define SDOPT_DIALECTS_SD_FORMATNAMES_H

#include "dialects/sd/Sd.h"

namespace sdopt {

/// Attributes of an sd.weight that holds codes: weightName() of what they were made of, and that
/// areTransposed().
inline constexpr llvm::StringLiteral kCodesOfAttribute = "sdopt.codes_of",
                                     kTransposedAttribute = "sdopt.transposed";

/// Attribute of a quantized operation whose result smoothing scaled.
inline constexpr llvm::StringLiteral kSmoothedAttribute = "sdopt.smoothed";
/// Added to a value's name: its 8-bit code, where its other code has 16 bits.
inline constexpr llvm::StringLiteral kNarrowSuffix = ".a8";
inline constexpr llvm::StringLiteral kSmoothSuffix = ".smooth";
/// Ends the names of the two layers that a layer with 16-bit weights becomes. The fine one's
/// weights are "WEIGHT.fine".
inline constexpr llvm::StringLiteral kCoarseSuffix = ".coarse", kFineSuffix = ".fine";

/// The initializer that float weights are, in whatever layout; the expression's own name if it
/// changes or cuts the numbers ("W.smooth").
inline std::string weightName(mlir::Value weights) {
  while (mlir::Operation *op = weights.getDefiningOp()) {
    if (!mlir::isa<sd::TransposeOp, sd::ReshapeOp>(op))
      break;
    weights = op->getOperand(0);
  }
  return sd::valueName(weights);
}

/// True of linear weights [n, k] whose initializer is [k, n].
inline bool areTransposed(mlir::Value weights) {
  bool transposed = false;
  while (mlir::Operation *op = weights.getDefiningOp()) {
    transposed ^= mlir::isa<sd::TransposeOp>(op) || op->hasAttr(kTransposedAttribute);
    if (op->getNumOperands() == 0)
      break;
    weights = op->getOperand(0);
  }
  return transposed;
}

/// Keeps what is known of weights with codes that were made of them.
inline void markCodes(mlir::Value codes, mlir::Value weights) {
  mlir::Operation *op = codes.getDefiningOp();
  op->setAttr(kCodesOfAttribute, mlir::StringAttr::get(op->getContext(), weightName(weights)));
  if (areTransposed(weights))
    op->setAttr(kTransposedAttribute, mlir::UnitAttr::get(op->getContext()));
}

} // namespace sdopt

#endif // SDOPT_DIALECTS_SD_FORMATNAMES_H
