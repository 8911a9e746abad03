//===- ExportOnnx.cpp - quantized sd to ONNX with QDQ -------------------------===//

#include "compiler/export/ExportOnnx.h"

#include "compiler/export/ExportOps.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace sdopt {

LogicalResult exportOperation(Operation *op, QdqBuilder &build) {
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case<sd::AddOp, sd::AttentionOp, sd::ConcatOp, sd::Conv2dOp, sd::DequantizeOp,
            sd::EmbeddingOp, sd::GegluOp, sd::GeluOp, sd::GeluTanhOp, sd::GroupNormOp,
            sd::LayerNormOp, sd::LinearOp, sd::ModulateOp, sd::PoolTokenOp, sd::QuantizeOp,
            sd::QuickGeluOp, sd::RequantizeOp, sd::ReshapeOp, sd::RmsNormOp, sd::SigmoidOp,
            sd::SiluOp, sd::SliceOp, sd::TimeEmbeddingOp, sd::TransposeOp, sd::UpsampleOp>(
          [&](auto known) {
            exportOp(known, build);
            return success();
          })
      .Default([](Operation *unknown) -> LogicalResult {
        return unknown->emitOpError("has no form in ONNX; quantize the module first");
      });
}

absl::Status exportOnnx(func::FuncOp function, const EvaluationContext &context, AtomicFile &model,
                        AtomicFile &data, const std::string &dataName) {
  QdqBuilder build(function, context);
  for (Operation &op : function.getBody().front()) {
    if (op.hasTrait<OpTrait::IsTerminator>()) {
      for (auto [i, operand] : llvm::enumerate(op.getOperands()))
        build.defineResult(i, operand);
      continue;
    }
    // Constants are taken up by what reads them; codes of constants are activations.
    if (isConstantExpression(&op) && !isa<sd::QuantizeOp>(op))
      continue;
    if (failed(exportOperation(&op, build)))
      return absl::InvalidArgumentError("");
  }
  return build.graph().write(model, data, dataName);
}

} // namespace sdopt
