//===- EvaluationContext.h - what an evaluation runs on ---------*- C++ -*-===//

#ifndef SDOPT_DIALECTS_SD_EVALUATIONCONTEXT_H
#define SDOPT_DIALECTS_SD_EVALUATIONCONTEXT_H

#include "compiler/kernels/Tensor.h"

namespace sdopt {

class IntegerKernels;
class ScaleCache;
class WeightStore;

/// Kernels and weights behind an evaluation. All outlive it.
struct EvaluationContext {
  const IntegerKernels *kernels = nullptr; ///< never null
  const WeightStore *weights = nullptr;    ///< null: `sd.weight` is an error
  ScaleCache *scales = nullptr;            ///< null: scales are searched every time
  /// Convolution, matrix product and attention in float by naive loops instead of the fast ones.
  bool naiveFloat = false;
};

} // namespace sdopt

#endif // SDOPT_DIALECTS_SD_EVALUATIONCONTEXT_H
