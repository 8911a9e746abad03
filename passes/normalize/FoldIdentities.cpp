//===- FoldIdentities.cpp - operations that change nothing -------------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FOLDIDENTITIES
#include "passes/normalize/Passes.h.inc"

namespace {

/// The operand that `op` hands on unchanged, or null.
Value unchangedOperand(sd::BinaryOp op) {
  bool isProduct =
      op.getFunction() == sd::BinaryKind::mul || op.getFunction() == sd::BinaryKind::div;
  bool isSum = op.getFunction() == sd::BinaryKind::add || op.getFunction() == sd::BinaryKind::sub;
  if (!isProduct && !isSum)
    return {};
  bool commutes =
      op.getFunction() == sd::BinaryKind::mul || op.getFunction() == sd::BinaryKind::add;
  double neutral = isProduct ? 1 : 0;
  if (op.getLhs().getType() == op.getType() && uniformValue(op.getRhs()) == neutral)
    return op.getLhs();
  if (commutes && op.getRhs().getType() == op.getType() && uniformValue(op.getLhs()) == neutral)
    return op.getRhs();
  return {};
}

bool padsNothing(sd::PadOp op) {
  auto isZero = [](int64_t amount) { return amount == 0; };
  return llvm::all_of(op.getBefore(), isZero) && llvm::all_of(op.getAfter(), isZero);
}

Value unchangedValue(Operation *op) {
  if (auto binary = dyn_cast<sd::BinaryOp>(op))
    return unchangedOperand(binary);
  if (isa<sd::CastOp, sd::ExpandOp>(op) &&
      op->getOperand(0).getType() == op->getResult(0).getType())
    return op->getOperand(0);
  if (auto pad = dyn_cast<sd::PadOp>(op); pad && padsNothing(pad))
    return pad.getInput();
  return {};
}

struct FoldIdentities : impl::FoldIdentitiesBase<FoldIdentities> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    for (Operation &op : llvm::make_early_inc_range(getOperation().getOps())) {
      if (Value value = unchangedValue(&op)) {
        op.getResult(0).replaceAllUsesWith(value);
      } else if (auto expand = dyn_cast<sd::ExpandOp>(op)) {
        auto type = expand.getType();
        if (cast<RankedTensorType>(expand.getInput().getType()).getNumElements() !=
            type.getNumElements())
          continue;
        builder.setInsertionPoint(&op);
        op.getResult(0).replaceAllUsesWith(
            sd::ReshapeOp::create(builder, op.getLoc(), type, expand.getInput()));
      }
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
