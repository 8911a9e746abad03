//===- WeightVariants.h - one layer at other widths -------------*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_WEIGHTVARIANTS_H
#define SDOPT_PASSES_QUANTIZE_WEIGHTVARIANTS_H

#include "compiler/recipe/Recipe.h"

#include "mlir/IR/Operation.h"

namespace sdopt {

/// Attribute of a matrix layer whose width was searched: it stands above the recipe's.
constexpr llvm::StringLiteral kWeightBitsAttribute = "sdopt.weight_bits";

/// True for conv2d and linear with float weights.
bool hasWeights(mlir::Operation *layer);

/// How many bits a matrix layer's weights take with these settings: codes, scales and zero points
/// of groups, palettes, 32 bits for each output channel's scale.
int64_t weightCost(mlir::Operation *layer, const LayerRecipe &settings);
int64_t weightCount(mlir::Operation *layer);

/// Replaces the float weights of a layer by the real values that their codes stand for. Palettes
/// weigh input channels by the importance in the weight store, if there is a key of it.
mlir::LogicalResult narrowWeights(mlir::Operation *layer, const LayerRecipe &settings,
                                  const std::string &importanceKey);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_WEIGHTVARIANTS_H
