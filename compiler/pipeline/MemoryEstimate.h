//===- MemoryEstimate.h - memory of a whole compilation ---------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_MEMORYESTIMATE_H
#define SDOPT_COMPILER_PIPELINE_MEMORYESTIMATE_H

#include "compiler/pipeline/Options.h"
#include "compiler/recipe/Recipe.h"
#include "compiler/target/Target.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <vector>

namespace sdopt {

/// What a module takes from its calibration on, roughly: bytes.
struct MemoryEstimate {
  int64_t kept = 0;    ///< until the package is there: statistics, forms of the function
  int64_t passing = 0; ///< while it is compiled: activations, what verification simulates
  int64_t weights = 0; ///< of which each cache keeps some
  int64_t caches = 0;  ///< how many there are at once
};

/// Of a normalized function whose evaluations `threads` threads share.
MemoryEstimate estimateMemory(mlir::func::FuncOp function, Recipe recipe,
                              const CompileOptions &options, const Target &target, int threads);

/// A limit that a whole compilation should keep, where `resident` bytes are taken when all modules
/// are normalized.
int64_t estimatedLimit(int64_t resident, const std::vector<MemoryEstimate> &modules);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_MEMORYESTIMATE_H
