//===- MemoryNeed.h - memory that an evaluation takes at least --*- C++ -*-===//

#ifndef SDOPT_COMPILER_REFERENCE_MEMORYNEED_H
#define SDOPT_COMPILER_REFERENCE_MEMORYNEED_H

#include "dialects/sd/Sd.h"

namespace sdopt {

/// Bytes that an evaluation of the function has at once, at least: the activations that are alive
/// at one operation, with what the operation reads of the weights.
int64_t leastEvaluationBytes(mlir::func::FuncOp function);

} // namespace sdopt

#endif // SDOPT_COMPILER_REFERENCE_MEMORYNEED_H
