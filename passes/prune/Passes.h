//===- Passes.h - pruning passes --------------------------------*- C++ -*-===//

#ifndef SDOPT_PASSES_PRUNE_PASSES_H
#define SDOPT_PASSES_PRUNE_PASSES_H

#include "dialects/sd/Sd.h"

#include "mlir/Pass/Pass.h"

namespace sdopt {

#define GEN_PASS_DECL
#include "passes/prune/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/prune/Passes.h.inc"

} // namespace sdopt

#endif // SDOPT_PASSES_PRUNE_PASSES_H
