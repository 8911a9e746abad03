//===- ConvertLayout.cpp - channels last -------------------------------------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_CONVERTLAYOUT
#include "passes/normalize/Passes.h.inc"

namespace {

/// [b, c, s...] -> [b, s..., c].
SmallVector<int64_t> toLast(int64_t rank) {
  SmallVector<int64_t> permutation{0};
  for (int64_t axis = 2; axis < rank; ++axis)
    permutation.push_back(axis);
  permutation.push_back(1);
  return permutation;
}

/// [b, s..., c] -> [b, c, s...].
SmallVector<int64_t> toFirst(int64_t rank) {
  SmallVector<int64_t> permutation{0, rank - 1};
  for (int64_t axis = 1; axis < rank - 1; ++axis)
    permutation.push_back(axis);
  return permutation;
}

SmallVector<int64_t> permuted(llvm::ArrayRef<int64_t> values, llvm::ArrayRef<int64_t> order) {
  SmallVector<int64_t> result;
  for (int64_t axis : order)
    result.push_back(values[axis]);
  return result;
}

/// The channels-last value that `value` turns to channels first, or null.
Value turned(Value value) {
  auto transpose = value.getDefiningOp<sd::TransposeOp>();
  if (!transpose || shapeOf(value).size() < 3 ||
      transpose.getPermutation() != llvm::ArrayRef<int64_t>(toFirst(shapeOf(value).size())))
    return {};
  return transpose.getInput();
}

Value channelsLast(OpBuilder &builder, Value value) {
  if (Value last = turned(value))
    return last;
  return transposeBy(builder, value, toLast(shapeOf(value).size()), "/nhwc");
}

/// A copy of `op` on other operands (weights stay), its result channels last.
Operation *copyChannelsLast(OpBuilder &builder, Operation *op, unsigned operands) {
  SmallVector<Value> inputs;
  for (Value operand : op->getOperands().take_front(operands))
    inputs.push_back(channelsLast(builder, operand));
  Operation *copy = builder.clone(*op);
  for (auto [index, input] : llvm::enumerate(inputs))
    copy->setOperand(index, input);
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  SmallVector<int64_t> shape;
  for (int64_t axis : toLast(type.getRank()))
    shape.push_back(type.getDimSize(axis));
  copy->getResult(0).setType(RankedTensorType::get(shape, type.getElementType()));
  return copy;
}

/// A reshape that keeps batch and channels of a turned value: the pixels are reshaped instead.
Value reshapePixels(OpBuilder &builder, sd::ReshapeOp op) {
  Value last = turned(op.getInput());
  llvm::ArrayRef<int64_t> from = shapeOf(op.getInput()), to = shapeOf(op);
  if (!last || to.size() < 3 || from.take_front(2) != to.take_front(2))
    return {};
  SmallVector<int64_t> shape{to[0]};
  llvm::append_range(shape, to.drop_front(2));
  shape.push_back(to[1]);
  auto type = RankedTensorType::get(shape, getElementTypeOrSelf(op.getResult()));
  return sd::ReshapeOp::create(builder, op.getLoc(), type, last);
}

bool readsTurned(Operation *op) {
  return llvm::any_of(op->getOperands(), [](Value value) { return !!turned(value); });
}

/// The channels-last value that `op` turns back, or null. Of three dimensions, there and back are
/// the same permutation: what leads back is not to be taken for one that leads there.
Value turnedBack(Operation *op) {
  auto transpose = dyn_cast<sd::TransposeOp>(op);
  Value last = transpose ? turned(transpose.getInput()) : Value();
  bool isBack = last && transpose.getPermutation() ==
                            llvm::ArrayRef<int64_t>(toLast(shapeOf(transpose).size()));
  return isBack ? last : Value();
}

/// `op` channels last, or null if it stays.
Value converted(OpBuilder &builder, Operation *op) {
  auto isFirst = [](sd::Layout layout) { return layout == sd::Layout::nchw; };
  if (auto conv = dyn_cast<sd::Conv2dOp>(op); conv && isFirst(conv.getLayout())) {
    auto copy = cast<sd::Conv2dOp>(copyChannelsLast(builder, op, 1));
    copy.setLayout(sd::Layout::nhwc);
    return copy;
  }
  if (auto norm = dyn_cast<sd::GroupNormOp>(op); norm && isFirst(norm.getLayout())) {
    auto copy = cast<sd::GroupNormOp>(copyChannelsLast(builder, op, 1));
    copy.setLayout(sd::Layout::nhwc);
    return copy;
  }
  if (auto upsample = dyn_cast<sd::UpsampleOp>(op); upsample && isFirst(upsample.getLayout())) {
    auto copy = cast<sd::UpsampleOp>(copyChannelsLast(builder, op, 1));
    copy.setLayout(sd::Layout::nhwc);
    return copy;
  }
  if (!readsTurned(op))
    return {};
  if (isa<sd::SiluOp, sd::GeluOp, sd::GeluTanhOp, sd::QuickGeluOp, sd::SigmoidOp, sd::UnaryOp>(op))
    return copyChannelsLast(builder, op, 1)->getResult(0);
  if (auto add = dyn_cast<sd::AddOp>(op); add && shapeOf(add.getLhs()) == shapeOf(add.getRhs()))
    return copyChannelsLast(builder, op, 2)->getResult(0);
  if (auto concat = dyn_cast<sd::ConcatOp>(op)) {
    auto copy = cast<sd::ConcatOp>(copyChannelsLast(builder, op, op->getNumOperands()));
    int64_t rank = shapeOf(concat).size(), axis = concat.getAxis();
    copy.setAxis(toFirst(rank)[axis < 0 ? axis + rank : axis]);
    return copy;
  }
  if (isa<sd::SliceOp>(op) && shapeOf(op->getResult(0)).size() <= 4) {
    auto copy = cast<sd::SliceOp>(copyChannelsLast(builder, op, 1));
    const SmallVector<int64_t> order = toLast(shapeOf(copy).size());
    copy.setStarts(permuted(copy.getStarts(), order));
    copy.setEnds(permuted(copy.getEnds(), order));
    copy.setSteps(permuted(copy.getSteps(), order));
    return copy;
  }
  if (auto reshape = dyn_cast<sd::ReshapeOp>(op))
    return reshapePixels(builder, reshape);
  return {};
}

struct ConvertLayout : impl::ConvertLayoutBase<ConvertLayout> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    for (Operation &op : llvm::make_early_inc_range(getOperation().getOps())) {
      if (Value last = turnedBack(&op)) {
        op.getResult(0).replaceAllUsesWith(last);
        continue;
      }
      builder.setInsertionPoint(&op);
      Value last = converted(builder, &op);
      if (!last)
        continue;
      int64_t rank = shapeOf(last).size();
      op.getResult(0).replaceAllUsesWith(transposeBy(builder, last, toFirst(rank), "/nchw"));
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
