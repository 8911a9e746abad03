//===- PrunedLayers.h - which layers are pruned, and how --------*- C++ -*-===//

#ifndef SDOPT_PASSES_PRUNE_PRUNEDLAYERS_H
#define SDOPT_PASSES_PRUNE_PRUNEDLAYERS_H

#include "compiler/recipe/Recipe.h"
#include "dialects/sd/Sd.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace sdopt {

class TensorFile;

struct PrunedLayer {
  mlir::Operation *op = nullptr;
  LayerRecipe recipe = {};
  std::string block = {}; ///< of layers that are pruned together, "down_blocks.0.resnets.1"
  std::string mask = {};  ///< name among the given masks; empty: one is to be chosen

  PruneUpdate update() const;
  /// Must the power of what the layer reads be known, or its second moments, or either?
  bool needsPower() const;
  bool needsMoments() const;
  bool needsInputs() const { return needsPower() || needsMoments(); }
  /// Is the power that of the function before anything is pruned?
  bool needsDensePower() const;
};

struct DenseLayer {
  mlir::Operation *op = nullptr;
  std::string reason = {};
};

struct PruningPlan {
  std::vector<PrunedLayer> layers = {};
  std::vector<DenseLayer> dense = {}; ///< that the recipe would prune but for the exclusions
};

/// In program order. `masks` may be null. Settings that contradict each other or do not fit the
/// layer are errors on it; so is a mask that fits no layer.
mlir::FailureOr<PruningPlan> planPruning(mlir::func::FuncOp function, Recipe &recipe,
                                         const TensorFile *masks);

/// "down_blocks.0.resnets.1" of any of a layer's names that has such a part, else empty.
std::string blockOf(const std::vector<std::string> &names);

} // namespace sdopt

#endif // SDOPT_PASSES_PRUNE_PRUNEDLAYERS_H
