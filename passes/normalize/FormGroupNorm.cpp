//===- FormGroupNorm.cpp - instance norm over groups -> sd.group_norm --------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMGROUPNORM
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-group-norm";

/// A constant with one number for each index of dimension 1 of a tensor of rank `rank`.
bool isPerChannel(Value value, int64_t channels, int64_t rank) {
  auto type = cast<RankedTensorType>(value.getType());
  int64_t axis = type.getRank() - rank + 1;
  return isConstant(value) && type.getNumElements() == channels && axis >= 0 &&
         axis < type.getRank() && type.getDimSize(axis) == channels;
}

/// The per-channel constant of `op` = value (mul or add) constant, or null.
Value channelOperand(sd::BinaryOp op, Value value, sd::BinaryKind kind) {
  if (!op || op.getFunction() != kind || op.getType() != value.getType())
    return {};
  Value constant = otherOperand(op, value);
  llvm::ArrayRef<int64_t> shape = shapeOf(value);
  return constant && isPerChannel(constant, shape[1], shape.size()) ? constant : Value();
}

/// Empty on success, else why the idiom does not match.
llvm::StringRef form(sd::GroupNormOp inner) {
  auto split = inner.getInput().getDefiningOp<sd::ReshapeOp>();
  auto merge = dyn_cast_or_null<sd::ReshapeOp>(onlyUser(inner));
  if (!split || !merge)
    return "it does not stand between reshapes to groups and back";
  llvm::ArrayRef<int64_t> grouped = shapeOf(split), whole = shapeOf(merge);
  if (whole.size() < 3 || whole[0] != grouped[0] || whole[1] % grouped[1] != 0)
    return "the reshapes do not split channels into groups and back";
  if (uniformValue(inner.getGamma()) != 1.0 || uniformValue(inner.getBeta()) != 0.0)
    return "its own scale is not one or its shift not zero";
  auto scale = dyn_cast_or_null<sd::BinaryOp>(onlyUser(merge));
  Value gamma = channelOperand(scale, merge, sd::BinaryKind::mul);
  if (!gamma)
    return "no scale with one number for each channel follows";
  auto shift = dyn_cast_or_null<sd::BinaryOp>(onlyUser(scale));
  Value beta = channelOperand(shift, scale, sd::BinaryKind::add);
  if (!beta)
    return "no shift with one number for each channel follows";
  OpBuilder builder(shift);
  // All reshapes keep the order of elements, so that the input may be seen in the result's shape.
  Value input = reshapeTo(builder, split.getInput(), whole);
  Value gammas = reshapeTo(builder, gamma, {whole[1]});
  Value betas = reshapeTo(builder, beta, {whole[1]});
  Location loc = sd::fuseLocs(shift, {split, inner, merge, scale});
  replaceWith(shift,
              sd::GroupNormOp::create(builder, loc, input, gammas, betas, grouped[1],
                                      inner.getEpsilon(), sd::Layout::nchw),
              kPass);
  return {};
}

struct FormGroupNorm : impl::FormGroupNormBase<FormGroupNorm> {
  void runOnOperation() override {
    for (auto norm : collect<sd::GroupNormOp>(getOperation())) {
      // An instance norm: as many groups as channels.
      if (norm.getLayout() != sd::Layout::nchw ||
          static_cast<int64_t>(norm.getGroups()) != shapeOf(norm)[1])
        continue;
      if (llvm::StringRef reason = form(norm); !reason.empty())
        remarkMissed(norm, kPass, reason);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
