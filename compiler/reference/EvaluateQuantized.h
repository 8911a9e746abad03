//===- EvaluateQuantized.h - integer forms of the operations ----*- C++ -*-===//
//
// Called by the models when a value is quantized. The arithmetic is that of
// compiler/kernels/IntegerKernels.h; a whole tensor is one tile.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REFERENCE_EVALUATEQUANTIZED_H
#define SDOPT_COMPILER_REFERENCE_EVALUATEQUANTIZED_H

#include "compiler/reference/EvaluationModels.h"

namespace sdopt {

#define SDOPT_QUANTIZED_FORM(Op)                                                                   \
  mlir::LogicalResult computeQuantized(Op op, Operands operands, Results &results,                 \
                                       const EvaluationContext &context)
SDOPT_QUANTIZED_FORM(sd::ConcatOp);
SDOPT_QUANTIZED_FORM(sd::Conv2dOp);
SDOPT_QUANTIZED_FORM(sd::LinearOp);
SDOPT_QUANTIZED_FORM(sd::GroupNormOp);
SDOPT_QUANTIZED_FORM(sd::LayerNormOp);
SDOPT_QUANTIZED_FORM(sd::RmsNormOp);
SDOPT_QUANTIZED_FORM(sd::ModulateOp);
SDOPT_QUANTIZED_FORM(sd::AttentionOp);
SDOPT_QUANTIZED_FORM(sd::GegluOp);
SDOPT_QUANTIZED_FORM(sd::AddOp);
SDOPT_QUANTIZED_FORM(sd::TimeEmbeddingOp);
SDOPT_QUANTIZED_FORM(sd::EmbeddingOp);
SDOPT_QUANTIZED_FORM(sd::RequantizeOp);
#undef SDOPT_QUANTIZED_FORM

/// silu, gelu, gelu_tanh, quick_gelu, sigmoid.
mlir::LogicalResult computeTable(mlir::Operation *op, TableFunction function, Operands operands,
                                 Results &results, const EvaluationContext &context);

} // namespace sdopt

#endif // SDOPT_COMPILER_REFERENCE_EVALUATEQUANTIZED_H
