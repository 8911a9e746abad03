//===- FormGeglu.cpp - left half times gelu of the right half ----------------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMGEGLU
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-geglu";

/// True if `slice` takes [start, end) of the last dimension and all of the others.
bool takes(sd::SliceOp slice, int64_t start, int64_t end) {
  llvm::ArrayRef<int64_t> input = shapeOf(slice.getInput()), result = shapeOf(slice);
  if (input.empty() || slice.getSteps().back() != 1 || result.back() != end - start ||
      input.drop_back() != result.drop_back())
    return false;
  for (int64_t step : slice.getSteps())
    if (step < 0)
      return false;
  int64_t first = slice.getStarts().back();
  return (first < 0 ? first + input.back() : first) == start;
}

bool form(sd::BinaryOp product, Value plain, sd::GeluOp gelu) {
  auto left = plain.getDefiningOp<sd::SliceOp>();
  auto right = gelu.getInput().getDefiningOp<sd::SliceOp>();
  if (!left || !right || left.getInput() != right.getInput())
    return false;
  int64_t channels = shapeOf(left.getInput()).back();
  if (channels % 2 != 0 || !takes(left, 0, channels / 2) || !takes(right, channels / 2, channels)) {
    remarkMissed(product, kPass, "the slices are not the left and, under gelu, the right half");
    return true;
  }
  OpBuilder builder(product);
  Location loc = sd::fuseLocs(product, {left, right, gelu});
  replaceWith(product, sd::GegluOp::create(builder, loc, left.getInput()), kPass);
  return true;
}

struct FormGeglu : impl::FormGegluBase<FormGeglu> {
  void runOnOperation() override {
    for (auto product : collect<sd::BinaryOp>(getOperation())) {
      if (product.getFunction() != sd::BinaryKind::mul)
        continue;
      auto left = product.getLhs().getDefiningOp<sd::GeluOp>();
      auto right = product.getRhs().getDefiningOp<sd::GeluOp>();
      if (!(right && form(product, product.getLhs(), right)) && left)
        form(product, product.getRhs(), left);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
