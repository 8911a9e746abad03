//===- Resources.h - what passes may read besides the IR --------*- C++ -*-===//
//
// Weights, statistics and the recipe reach passes through the sd dialect: the driver sets them on
// the loaded dialect before a pipeline runs (sdopt-opt from its flags), passes ask
// `sd::resources(context)`. Nothing here is owned.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_DIALECTS_SD_RESOURCES_H
#define SDOPT_DIALECTS_SD_RESOURCES_H

#include "dialects/sd/EvaluationContext.h"

namespace mlir {
class MLIRContext;
}

namespace sdopt {

struct ImposedFormats;
struct RecordedInputs;
class Recipe;
class Statistics;
struct Target;
class TensorFile;

struct Resources {
  EvaluationContext evaluation;
  WeightStore *overlay = nullptr; ///< the store of `evaluation`, for passes that make tensors
  const Statistics *statistics = nullptr; ///< of the module at hand
  Recipe *recipe = nullptr;
  const RecordedInputs *samples = nullptr; ///< that the statistics are of
  const Target *target = nullptr;
  const ImposedFormats *imposed = nullptr; ///< codes of the module that were decided elsewhere
  const TensorFile *masks = nullptr; ///< of weights, that pruning takes instead of choosing its own
  const TensorFile *codebooks = nullptr; ///< of weights, for sdopt-impose-codebooks
};

namespace sd {

/// The resources of the context's sd dialect; never null, members may be.
Resources &resources(mlir::MLIRContext *context);

} // namespace sd
} // namespace sdopt

#endif // SDOPT_DIALECTS_SD_RESOURCES_H
