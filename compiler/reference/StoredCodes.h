//===- StoredCodes.h - weights of a layer before packing --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_REFERENCE_STOREDCODES_H
#define SDOPT_COMPILER_REFERENCE_STOREDCODES_H

#include "compiler/reference/Evaluator.h"

namespace sdopt {

/// Codes [outputs][kh][kw][inputs] with what they need to be decoded, and the int8 weights that
/// they mean.
struct StoredCodes {
  llvm::SmallVector<Tensor> parts; ///< codes first
  Tensor meant;
  StoredWeights weights; ///< into parts
};

/// Of the weights that a matrix layer of the npu dialect reads. Scales that expressions share are
/// taken from `scales` and kept there.
mlir::FailureOr<StoredCodes> storedCodes(mlir::Value weights, const EvaluationContext &context,
                                         ConstantCache &scales);

/// The int8 weights [outputs.size()][kh][kw][inputs] of some outputs of a layer whose weights are 8
/// bits and stored as they are, without those of the others. Nothing if what they are depends on
/// other outputs, or a weight is not finite.
mlir::FailureOr<std::optional<Tensor>> weightsOfOutputs(mlir::Value weights,
                                                        llvm::ArrayRef<int64_t> outputs,
                                                        const EvaluationContext &context);

} // namespace sdopt

#endif // SDOPT_COMPILER_REFERENCE_STOREDCODES_H
