//===- SplitTranspose.cpp - many dimensions in steps of up to four -----------===//

#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

#include <numeric>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SPLITTRANSPOSE
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "split-transpose";

/// Neighbouring blocks [first, middle) and [middle, last) of dimensions change places.
struct Swap {
  int64_t first, middle, last;
};

/// Swaps that make 0, 1, ... the permutation: each brings the longest run that is next to its
/// place.
SmallVector<Swap> swapsFor(llvm::ArrayRef<int64_t> permutation) {
  SmallVector<int64_t> order(permutation.size());
  std::iota(order.begin(), order.end(), 0);
  SmallVector<Swap> swaps;
  for (size_t first = 0; first < order.size(); ++first) {
    if (order[first] == permutation[first])
      continue;
    size_t middle = llvm::find(order, permutation[first]) - order.begin(), last = middle;
    while (last < order.size() && order[last] == permutation[first + last - middle])
      ++last;
    std::rotate(order.begin() + first, order.begin() + middle, order.begin() + last);
    swaps.push_back(
        {static_cast<int64_t>(first), static_cast<int64_t>(middle), static_cast<int64_t>(last)});
  }
  return swaps;
}

int64_t product(llvm::ArrayRef<int64_t> dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t(1), std::multiplies<int64_t>());
}

void split(sd::TransposeOp transpose) {
  OpBuilder builder(transpose);
  SmallVector<int64_t> shape(shapeOf(transpose.getInput()));
  Value value = transpose.getInput();
  int64_t step = 0;
  for (const Swap &swap : swapsFor(transpose.getPermutation())) {
    llvm::ArrayRef<int64_t> dims = shape;
    int64_t left = swap.middle - swap.first, right = swap.last - swap.middle;
    std::string suffix = "/step" + std::to_string(++step);
    value =
        reshapeTo(builder, value,
                  {product(dims.take_front(swap.first)), product(dims.slice(swap.first, left)),
                   product(dims.slice(swap.middle, right)), product(dims.drop_front(swap.last))},
                  suffix);
    value = transposeBy(builder, value, {0, 2, 1, 3}, suffix);
    std::rotate(shape.begin() + swap.first, shape.begin() + swap.middle, shape.begin() + swap.last);
  }
  replaceWith(transpose,
              sd::ReshapeOp::create(builder, transpose.getLoc(), transpose.getType(), value),
              kPass);
}

struct SplitTranspose : impl::SplitTransposeBase<SplitTranspose> {
  void runOnOperation() override {
    for (sd::TransposeOp transpose : collect<sd::TransposeOp>(getOperation()))
      if (shapeOf(transpose).size() > 4 &&
          isa<FloatType>(getElementTypeOrSelf(transpose.getResult())))
        split(transpose);
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
