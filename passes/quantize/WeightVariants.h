//===- WeightVariants.h - one layer at other widths -------------*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_WEIGHTVARIANTS_H
#define SDOPT_PASSES_QUANTIZE_WEIGHTVARIANTS_H

#include "compiler/recipe/Recipe.h"

#include "mlir/IR/Operation.h"

namespace sdopt {

/// Attributes of a matrix layer whose form was searched: they stand above the recipe's. An integer
/// and a number.
constexpr llvm::StringLiteral kWeightBitsAttribute = "sdopt.weight_bits",
                              kCodedBitsAttribute = "sdopt.coded_bits";

/// True for conv2d and linear with float weights.
bool hasWeights(mlir::Operation *layer);

/// How many bits the weights that narrowWeights() left take in a package with these settings: what
/// sdopt-store would choose is measured, in blocks that nobody tiled yet; of convolutions that may
/// become Winograd's the larger of both; and 32 bits for each output channel's scale. Without a
/// target, or with weights of 16 bits: as they are.
mlir::FailureOr<int64_t> weightCost(mlir::Operation *layer, const LayerRecipe &settings);
int64_t weightCount(mlir::Operation *layer);

/// Replaces the float weights of a layer by the real values that their codes stand for. Palettes
/// weigh input channels by the importance in the weight store, if there is a key of it.
mlir::LogicalResult narrowWeights(mlir::Operation *layer, const LayerRecipe &settings,
                                  const std::string &importanceKey);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_WEIGHTVARIANTS_H
