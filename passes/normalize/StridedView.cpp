//===- StridedView.cpp - reshapes and transposes as strides ------------------===//

#include "passes/normalize/StridedView.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace sdopt {

llvm::ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

namespace {

/// Adds an inner run to a list, as part of the last one where both step alike.
template <typename Runs> void append(Runs &runs, Run run) {
  if (run.count == 1)
    return;
  if (!runs.empty() && runs.back().stride == run.count * run.stride)
    runs.back() = {runs.back().count * run.count, run.stride};
  else
    runs.push_back(run);
}

/// Takes the innermost `count` elements off `runs`, innermost first. False if a run would break.
bool takeInner(SmallVector<Run> &runs, int64_t count, SmallVector<Run> &taken) {
  while (count > 1) {
    if (runs.empty())
      return false;
    Run &inner = runs.back();
    if (count % inner.count == 0) {
      count /= inner.count;
      taken.push_back(inner);
      runs.pop_back();
    } else if (inner.count % count == 0) {
      taken.push_back({count, inner.stride});
      inner = {inner.count / count, inner.stride * count};
      count = 1;
    } else {
      return false;
    }
  }
  return true;
}

} // namespace

StridedView StridedView::strided(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> strides) {
  StridedView view;
  for (auto [count, stride] : llvm::zip(shape, strides)) {
    view.dims_.emplace_back();
    append(view.dims_.back(), {count, stride});
  }
  return view;
}

StridedView StridedView::rowMajor(llvm::ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= shape[i])
    strides[i] = stride;
  return strided(shape, strides);
}

StridedView StridedView::transposed(llvm::ArrayRef<int64_t> permutation) const {
  StridedView view;
  for (int64_t axis : permutation)
    view.dims_.push_back(dims_[axis]);
  return view;
}

llvm::SmallVector<Run> StridedView::runs() const {
  SmallVector<Run> all;
  for (const auto &dim : dims_)
    for (Run run : dim)
      append(all, run);
  return all;
}

std::optional<StridedView> StridedView::reshaped(llvm::ArrayRef<int64_t> shape) const {
  SmallVector<Run> rest = runs();
  StridedView view;
  view.dims_.resize(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    SmallVector<Run> taken;
    if (shape[i] < 1 || !takeInner(rest, shape[i], taken))
      return std::nullopt;
    for (Run run : llvm::reverse(taken))
      append(view.dims_[i], run);
  }
  return view;
}

bool StridedView::isRowMajor() const {
  SmallVector<Run> all = runs();
  return all.empty() || (all.size() == 1 && all.front().stride == 1);
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
