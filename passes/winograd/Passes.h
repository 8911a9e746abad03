//===- Passes.h - fewer products ----------------------------------*- C++ -*-===//

#ifndef SDOPT_PASSES_WINOGRAD_PASSES_H
#define SDOPT_PASSES_WINOGRAD_PASSES_H

#include "dialects/npu/Npu.h"

#include "mlir/Pass/Pass.h"

namespace sdopt {

#define GEN_PASS_DECL
#include "passes/winograd/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/winograd/Passes.h.inc"

} // namespace sdopt

#endif // SDOPT_PASSES_WINOGRAD_PASSES_H
