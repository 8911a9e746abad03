//===- NotFinite.cpp - why an evaluation gives no number ----------------------===//

#include "compiler/calibration/NotFinite.h"

#include "absl/strings/str_cat.h"
#include "compiler/quantization/WeightQuantization.h"
#include "dialects/sd/Sd.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace sdopt {

absl::Status notFinite(Value value, int64_t evaluation, const EvaluationContext &context) {
  llvm::SetVector<Operation *> before; // in the order of their distance
  const auto add = [&](Operation *op) {
    if (op)
      before.insert(op);
  };
  add(value.getDefiningOp());
  for (size_t i = 0; i < before.size(); ++i) {
    Operation *op = before[i];
    for (Value operand : op->getOperands())
      add(operand.getDefiningOp());
    if (!isa<sd::WeightOp, sd::ConstantOp>(op))
      continue;
    const FailureOr<Tensor> constant = evaluateConstant(op->getResult(0), context);
    if (failed(constant) || constant->type() != ElementType::F32)
      continue;
    if (const int64_t at = firstNonFiniteWeight(*constant); at >= 0)
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", sd::valueName(op->getResult(0)), "' of the model is not finite at element ",
          at, ", so value '", sd::valueName(value), "' is not either"));
  }
  return absl::InvalidArgumentError(absl::StrCat("value '", sd::valueName(value),
                                                 "' is not finite in evaluation ", evaluation,
                                                 " of the samples"));
}

} // namespace sdopt
