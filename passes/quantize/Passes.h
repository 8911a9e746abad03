//===- Passes.h - quantization passes ---------------------------*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_PASSES_H
#define SDOPT_PASSES_QUANTIZE_PASSES_H

#include "dialects/sd/Sd.h"

#include "mlir/Pass/Pass.h"

namespace sdopt {

#define GEN_PASS_DECL
#include "passes/quantize/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "passes/quantize/Passes.h.inc"

/// Names a layer is known under in recipes: its value name, its ONNX nodes, the keys of its
/// weights.
std::vector<std::string> layerNames(mlir::Operation *op);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_PASSES_H
