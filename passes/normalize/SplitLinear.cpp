//===- SplitLinear.cpp - one linear layer for each slice that is read --------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SPLITLINEAR
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "split-linear";

/// True if `slice` takes neighbouring channels of all rows.
bool takesChannels(sd::SliceOp slice) {
  llvm::ArrayRef<int64_t> input = shapeOf(slice.getInput()), result = shapeOf(slice);
  return !input.empty() && input.drop_back() == result.drop_back() && result.back() > 0 &&
         llvm::all_of(slice.getSteps(), [](int64_t step) { return step == 1; });
}

/// Entries [first, first + count) of a constant's first dimension, as an expression.
Value sliceRows(OpBuilder &builder, Value constant, int64_t first, int64_t count) {
  SmallVector<int64_t> starts(shapeOf(constant).size(), 0), ends(shapeOf(constant));
  starts[0] = first;
  ends[0] = first + count;
  return sd::SliceOp::create(builder,
                             sd::renamedLoc(constant.getLoc(), ".rows" + std::to_string(first)),
                             constant, starts, ends, SmallVector<int64_t>(starts.size(), 1));
}

void split(sd::LinearOp linear) {
  SmallVector<sd::SliceOp> slices;
  for (Operation *user : linear->getUsers()) {
    auto slice = dyn_cast<sd::SliceOp>(user);
    if (!slice || !takesChannels(slice))
      return;
    slices.push_back(slice);
  }
  if (slices.empty() || linear.getWeightScales())
    return;
  for (sd::SliceOp slice : slices) {
    OpBuilder builder(slice);
    int64_t first = slice.getStarts().back(), count = shapeOf(slice).back();
    Value weights = sliceRows(builder, linear.getWeights(), first, count);
    Value bias = linear.getBias() ? sliceRows(builder, linear.getBias(), first, count) : Value();
    replaceWith(slice,
                sd::LinearOp::create(builder, sd::fuseLocs(slice, {linear}), linear.getInput(),
                                     weights, /*weight_scales=*/Value(), bias),
                kPass);
  }
}

struct SplitLinear : impl::SplitLinearBase<SplitLinear> {
  void runOnOperation() override {
    for (sd::LinearOp linear : collect<sd::LinearOp>(getOperation()))
      split(linear);
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
