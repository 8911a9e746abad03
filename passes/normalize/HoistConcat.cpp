//===- HoistConcat.cpp - concatenations before reshapes and transposes -------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_HOISTCONCAT
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "hoist-concat";

int64_t axisOf(sd::ConcatOp concat) {
  auto axis = static_cast<int64_t>(concat.getAxis());
  return axis < 0 ? axis + static_cast<int64_t>(shapeOf(concat).size()) : axis;
}

/// What the parts are made of, if all come from operations of one kind that nobody else reads.
template <typename Op> SmallVector<Op> sourcesOf(sd::ConcatOp concat) {
  SmallVector<Op> sources;
  for (Value part : concat.getParts())
    if (auto op = part.getDefiningOp<Op>(); op && op->hasOneUse())
      sources.push_back(op);
  return sources.size() == concat.getParts().size() ? sources : SmallVector<Op>();
}

template <typename Op> SmallVector<Value> inputsOf(llvm::ArrayRef<Op> sources) {
  SmallVector<Value> inputs;
  for (Op source : sources)
    inputs.push_back(source->getOperand(0));
  return inputs;
}

/// So that what the parts were made of has one reader again.
void eraseAll(sd::ConcatOp concat, llvm::ArrayRef<Operation *> sources) {
  concat.erase();
  for (Operation *source : sources)
    source->erase();
}

/// The concatenation of what equal transposes read.
sd::ConcatOp beforeTransposes(OpBuilder &builder, sd::ConcatOp concat) {
  SmallVector<sd::TransposeOp> sources = sourcesOf<sd::TransposeOp>(concat);
  if (sources.empty())
    return nullptr;
  llvm::ArrayRef<int64_t> permutation = sources[0].getPermutation();
  for (sd::TransposeOp source : sources)
    if (source.getPermutation() != permutation)
      return nullptr;
  auto joined = sd::ConcatOp::create(builder, sd::renamedLoc(concat.getLoc(), "/joined"),
                                     inputsOf<sd::TransposeOp>(sources),
                                     permutation[axisOf(concat)], concat.getExponentsAttr());
  SmallVector<Operation *> absorbed(sources.begin(), sources.end());
  replaceWith(concat,
              sd::TransposeOp::create(builder, sd::fuseLocs(concat, absorbed), joined, permutation),
              kPass);
  eraseAll(concat, absorbed);
  return joined;
}

/// The concatenation of what reshapes read that change only what lies inside of its dimension.
sd::ConcatOp beforeReshapes(OpBuilder &builder, sd::ConcatOp concat) {
  SmallVector<sd::ReshapeOp> sources = sourcesOf<sd::ReshapeOp>(concat);
  if (sources.empty())
    return nullptr;
  size_t kept = axisOf(concat) + 1;
  llvm::ArrayRef<int64_t> inner = shapeOf(sources[0].getInput());
  for (sd::ReshapeOp source : sources) {
    llvm::ArrayRef<int64_t> from = shapeOf(source.getInput()), to = shapeOf(source);
    if (from.size() < kept || from.take_front(kept) != to.take_front(kept) ||
        from.size() != inner.size() || from.drop_front(kept) != inner.drop_front(kept))
      return nullptr;
  }
  auto joined = sd::ConcatOp::create(builder, sd::renamedLoc(concat.getLoc(), "/joined"),
                                     inputsOf<sd::ReshapeOp>(sources), axisOf(concat),
                                     concat.getExponentsAttr());
  SmallVector<Operation *> absorbed(sources.begin(), sources.end());
  replaceWith(
      concat,
      sd::ReshapeOp::create(builder, sd::fuseLocs(concat, absorbed), concat.getType(), joined),
      kPass);
  eraseAll(concat, absorbed);
  return joined;
}

struct HoistConcat : impl::HoistConcatBase<HoistConcat> {
  void runOnOperation() override {
    for (sd::ConcatOp concat : collect<sd::ConcatOp>(getOperation()))
      while (concat) {
        OpBuilder builder(concat);
        sd::ConcatOp earlier = beforeTransposes(builder, concat);
        concat = earlier ? earlier : beforeReshapes(builder, concat);
      }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
