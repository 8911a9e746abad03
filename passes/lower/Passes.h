//===- Passes.h - from integer sd to npu ------------------------*- C++ -*-===//

#ifndef SDOPT_PASSES_LOWER_PASSES_H
#define SDOPT_PASSES_LOWER_PASSES_H

#include "dialects/npu/Npu.h"

#include "mlir/Pass/Pass.h"

namespace sdopt {

#define GEN_PASS_DECL
#include "passes/lower/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/lower/Passes.h.inc"

} // namespace sdopt

#endif // SDOPT_PASSES_LOWER_PASSES_H
