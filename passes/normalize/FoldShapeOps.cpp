//===- FoldShapeOps.cpp - chains of reshapes and transposes ------------------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FOLDSHAPEOPS
#include "passes/normalize/Passes.h.inc"

namespace {

/// The permutation of a row-major tensor of shape `source` that gives `view`, if there is one.
/// Dimensions of one keep their order.
std::optional<SmallVector<int64_t>> permutationOf(llvm::ArrayRef<int64_t> source,
                                                  const StridedView &view) {
  StridedView dense = StridedView::rowMajor(source);
  SmallVector<bool> taken(source.size(), false);
  SmallVector<int64_t> permutation;
  for (int64_t i = 0; i < view.rank(); ++i) {
    auto fits = [&](int64_t axis) { return !taken[axis] && dense.dim(axis) == view.dim(i); };
    auto axes = llvm::seq<int64_t>(0, source.size());
    auto axis = llvm::find_if(axes, fits);
    if (axis == axes.end())
      return std::nullopt;
    taken[*axis] = true;
    permutation.push_back(*axis);
  }
  if (permutation.size() != source.size())
    return std::nullopt;
  return permutation;
}

/// A shorter way to `op`'s value, or null.
Value shortened(OpBuilder &builder, Operation *op) {
  SmallVector<Operation *> chain = shapeChain(op->getResult(0));
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  for (size_t count = chain.size(); count > 0; --count) {
    Value source = chain[count - 1]->getOperand(0);
    std::optional<StridedView> view = viewOverChain(chain, count);
    if (!view)
      continue;
    bool isOneReshape = count == 1 && isa<sd::ReshapeOp>(op);
    SmallVector<Operation *> absorbed(llvm::reverse(llvm::ArrayRef(chain).take_front(count)));
    if (view->isRowMajor()) {
      if (source.getType() == type)
        return source;
      if (!isOneReshape)
        return sd::ReshapeOp::create(builder, sd::fuseLocs(op, absorbed), type, source);
    } else if (auto permutation = permutationOf(shapeOf(source), *view); permutation && count > 1) {
      return sd::TransposeOp::create(builder, sd::fuseLocs(op, absorbed), source, *permutation);
    }
  }
  return {};
}

struct FoldShapeOps : impl::FoldShapeOpsBase<FoldShapeOps> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    for (Operation &op : llvm::make_early_inc_range(getOperation().getOps())) {
      if (!isa<sd::ReshapeOp, sd::TransposeOp>(op))
        continue;
      builder.setInsertionPoint(&op);
      Value best = op.getResult(0);
      for (Operation *next = &op; next && isa<sd::ReshapeOp, sd::TransposeOp>(next);
           next = best.getDefiningOp()) {
        Value value = shortened(builder, next);
        if (!value)
          break;
        best = value;
      }
      if (best != op.getResult(0))
        op.getResult(0).replaceAllUsesWith(best);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
