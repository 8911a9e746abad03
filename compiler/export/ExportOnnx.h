//===- ExportOnnx.h - quantized sd to ONNX with QDQ -------------*- C++ -*-===//
//
// A quantized function as an ONNX model that any runtime with QuantizeLinear and DequantizeLinear
// runs: opset 21, operators in float between codes.
//
//   X.codes --DequantizeLinear--> X.real --Conv--> Y --QuantizeLinear--> Y.codes --Dequantize...
//                                          ^
//   w (int8 [co, ci, kh, kw]) --DequantizeLinear (one scale for each co)--> w.real
//
// Y is named as in the source model, and pictures are [b, c, h, w] as they are there. Codes are
// those of the package: int16, or uint8 where it has int8, with 128 added to code and zero point
// (ONNX Runtime's kernels want uint8 activations). Biases of layers that read 8 bits are int32
// codes, as runtimes with integer kernels expect them; others are floats. What the package computes
// with one rounding from exact sums, a runtime computes in float: codes differ by the last bit
// where a sum lies near a half.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_EXPORT_EXPORTONNX_H
#define SDOPT_COMPILER_EXPORT_EXPORTONNX_H

#include "absl/status/status.h"
#include "compiler/files/AtomicFile.h"
#include "dialects/sd/Sd.h"

#include <string>

namespace sdopt {

/// Writes a function, as sdopt-quantize leaves it, to `model`, and tensors of 1 KiB and more to
/// `data`, which the model calls `dataName`. Weights are evaluated one at a time. The bytes are a
/// function of `function` and its weights. INVALID_ARGUMENT with a diagnostic on the operation that
/// cannot be expressed; errors of writing name the file.
absl::Status exportOnnx(mlir::func::FuncOp function, const EvaluationContext &context,
                        AtomicFile &model, AtomicFile &data, const std::string &dataName);

} // namespace sdopt

#endif // SDOPT_COMPILER_EXPORT_EXPORTONNX_H
