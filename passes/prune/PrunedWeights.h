//===- PrunedWeights.h - pruned weights in the IR ---------------*- C++ -*-===//

#ifndef SDOPT_PASSES_PRUNE_PRUNEDWEIGHTS_H
#define SDOPT_PASSES_PRUNE_PRUNEDWEIGHTS_H

#include "compiler/prune/Masks.h"
#include "dialects/sd/Sd.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sdopt {

class Recipe;
class TensorFile;

/// Attribute of what adds to a layer's bias the mean that pruning took from its output.
constexpr llvm::StringLiteral kPruningCorrection = "sdopt.pruning_correction";
/// Attribute of a function that was pruned: digest of what was asked for.
constexpr llvm::StringLiteral kPrunedAttribute = "sdopt.pruned";
/// Attribute of a pruned layer that is to keep all its weights after all.
constexpr llvm::StringLiteral kKeptAttribute = "sdopt.kept";

/// Puts a mask on a layer's weights, with other values for the kept ones and an addition to the
/// bias if there are any (tensors without bytes: none). All goes to the overlay.
mlir::LogicalResult setPruned(mlir::Operation *layer, const Mask &mask, const Tensor &values,
                              const Tensor &correction);

/// The function as if it had not been pruned, but with all that was done since.
void undoPruning(mlir::func::FuncOp function);
/// Of layers with kKeptAttribute alone.
void undoMarkedPruning(mlir::func::FuncOp function);

/// For people: how many weights of how many layers are zero, and which layers keep all theirs for
/// which reason though the recipe prunes.
std::vector<std::string> pruningSummary(mlir::func::FuncOp function, const Recipe &recipe,
                                        const TensorFile *masks);

/// The masks of all pruned layers, as booleans of the weights' shapes, by exchangeName().
mlir::FailureOr<std::vector<std::pair<std::string, Tensor>>> masksOf(mlir::func::FuncOp function);

} // namespace sdopt

#endif // SDOPT_PASSES_PRUNE_PRUNEDWEIGHTS_H
