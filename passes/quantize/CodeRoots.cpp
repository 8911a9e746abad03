//===- CodeRoots.cpp - whose codes a value carries ------------------------===//

#include "passes/quantize/CodeRoots.h"

#include "dialects/sd/Sd.h"

using namespace mlir;

namespace sdopt {

bool keepsCode(Operation *op) {
  return isa<sd::ReshapeOp, sd::TransposeOp, sd::UpsampleOp, sd::PoolTokenOp, sd::SliceOp>(op);
}

Value codeRoot(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!keepsCode(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

} // namespace sdopt
