//===- Passes.h - from exporter idioms to named operations ------*- C++ -*-===//
//
// After import a module holds ONNX operators one by one; after this phase it holds the named
// operators of the sd dialect, channels last, in an order that both exporters agree on. Each pass
// knows one idiom; what almost matches leaves a remark (missed) that says why.
//
// Passes that must see numbers (masks, frequencies, scales) read small constants from the IR and
// weights from sd::resources(context).evaluation.weights.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_PASSES_NORMALIZE_PASSES_H
#define SDOPT_PASSES_NORMALIZE_PASSES_H

#include "dialects/sd/Sd.h"

#include "mlir/Pass/Pass.h"

namespace mlir {
class OpPassManager;
}

namespace sdopt {

#define GEN_PASS_DECL
#include "passes/normalize/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/normalize/Passes.h.inc"

/// Adds the whole phase, in order, to a pass manager of modules; the last pass is CheckNormalized.
void buildNormalizePipeline(mlir::OpPassManager &manager);

/// Registers the phase as --sdopt-normalize.
void registerSdoptNormalizePipeline();

} // namespace sdopt

#endif // SDOPT_PASSES_NORMALIZE_PASSES_H
