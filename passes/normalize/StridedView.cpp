//===- StridedView.cpp - reshapes and transposes as strides ------------------===//

#include "passes/normalize/StridedView.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace sdopt {

llvm::ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

StridedView StridedView::rowMajor(llvm::ArrayRef<int64_t> shape) {
  StridedView view{SmallVector<int64_t>(shape), SmallVector<int64_t>(shape.size())};
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= shape[i])
    view.strides[i] = stride;
  return view;
}

StridedView StridedView::transposed(llvm::ArrayRef<int64_t> permutation) const {
  StridedView view;
  for (int64_t axis : permutation) {
    view.shape.push_back(shape[axis]);
    view.strides.push_back(strides[axis]);
  }
  return view;
}

std::optional<StridedView> StridedView::reshaped(llvm::ArrayRef<int64_t> target) const {
  // Maximal runs of dimensions that lie densely inside each other, last first.
  SmallVector<std::pair<int64_t, int64_t>> runs; // elements, innermost stride
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1)
      continue;
    if (!runs.empty() && strides[i] == runs.back().first * runs.back().second)
      runs.back().first *= shape[i];
    else
      runs.push_back({shape[i], strides[i]});
  }
  StridedView view{SmallVector<int64_t>(target), SmallVector<int64_t>(target.size(), 0)};
  size_t run = 0;
  for (size_t i = target.size(); i-- > 0;) {
    if (target[i] == 1)
      continue;
    while (run < runs.size() && runs[run].first == 1)
      ++run;
    if (run == runs.size() || target[i] < 1 || runs[run].first % target[i] != 0)
      return std::nullopt;
    view.strides[i] = runs[run].second;
    runs[run].first /= target[i];
    runs[run].second *= target[i];
  }
  return view;
}

bool StridedView::isRowMajor() const { return sameAs(rowMajor(shape)); }

bool StridedView::sameAs(const StridedView &other) const {
  if (shape != other.shape)
    return false;
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] != 1 && strides[i] != other.strides[i])
      return false;
  return true;
}

std::optional<StridedView> viewThrough(Operation *op, const StridedView &input) {
  if (auto transpose = dyn_cast<sd::TransposeOp>(op))
    return input.transposed(transpose.getPermutation());
  return input.reshaped(shapeOf(op->getResult(0)));
}

llvm::SmallVector<Operation *> shapeChain(Value value) {
  SmallVector<Operation *> chain;
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<sd::ReshapeOp, sd::TransposeOp>(op))
      break;
    chain.push_back(op);
    value = op->getOperand(0);
  }
  return chain;
}

std::optional<StridedView> viewOverChain(llvm::ArrayRef<Operation *> chain, size_t count) {
  StridedView view = StridedView::rowMajor(shapeOf(chain[count - 1]->getOperand(0)));
  for (Operation *op : llvm::reverse(chain.take_front(count))) {
    std::optional<StridedView> next = viewThrough(op, view);
    if (!next)
      return std::nullopt;
    view = std::move(*next);
  }
  return view;
}

} // namespace sdopt
