//===- StridedViewTest.cpp - views against moved elements --------------------===//

#include "passes/normalize/StridedView.h"

#include "gtest/gtest.h"

#include <numeric>
#include <random>

using namespace mlir;

namespace sdopt {
namespace {

using Indices = std::vector<int64_t>;

/// The elements of a row-major tensor in the order that a permutation gives.
Indices transposed(const Indices &elements, ArrayRef<int64_t> shape,
                   ArrayRef<int64_t> permutation) {
  Indices result;
  for (size_t i = 0; i < elements.size(); ++i) {
    SmallVector<int64_t> index(shape.size());
    int64_t rest = i, offset = 0;
    for (size_t axis = permutation.size(); axis-- > 0;) {
      index[permutation[axis]] = rest % shape[permutation[axis]];
      rest /= shape[permutation[axis]];
    }
    for (size_t axis = 0; axis < shape.size(); ++axis)
      offset = offset * shape[axis] + index[axis];
    result.push_back(elements[offset]);
  }
  return result;
}

Indices elementsOf(const StridedView &view, int64_t count) {
  Indices result;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    SmallVector<Run> runs = view.runs();
    for (Run run : llvm::reverse(runs)) {
      offset += rest % run.count * run.stride;
      rest /= run.count;
    }
    result.push_back(offset);
  }
  return result;
}

/// `count` as a product of a few random factors.
SmallVector<int64_t> randomShape(int64_t count, std::mt19937 &random) {
  SmallVector<int64_t> shape(1 + random() % 4, 1);
  for (int64_t prime : {2, 3, 5, 7})
    for (; count % prime == 0; count /= prime)
      shape[random() % shape.size()] *= prime;
  return shape;
}

TEST(StridedView, FollowsRandomChains) {
  std::mt19937 random(7);
  int regular = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    int64_t count = std::array<int64_t, 5>{1, 7, 24, 60, 210}[random() % 5];
    SmallVector<int64_t> shape = randomShape(count, random);
    StridedView view = StridedView::rowMajor(shape);
    Indices elements(count);
    std::iota(elements.begin(), elements.end(), 0);
    Indices source = elements;
    for (int step = 0; step < 4; ++step) {
      if (random() % 2) {
        SmallVector<int64_t> permutation(shape.size());
        std::iota(permutation.begin(), permutation.end(), 0);
        std::shuffle(permutation.begin(), permutation.end(), random);
        elements = transposed(elements, shape, permutation);
        view = view.transposed(permutation);
        SmallVector<int64_t> turned;
        for (int64_t axis : permutation)
          turned.push_back(shape[axis]);
        shape = turned;
      } else {
        SmallVector<int64_t> target = randomShape(count, random);
        std::optional<StridedView> next = view.reshaped(target);
        if (!next)
          continue;
        view = *next;
        shape = target;
        ++regular;
      }
      ASSERT_EQ(elementsOf(view, count), elements);
      ASSERT_EQ(view.isRowMajor(), elements == source);
    }
  }
  EXPECT_GT(regular, 3000);
}

// The running example: 2 heads of 3 channels over 5 tokens, batch 4.
TEST(StridedView, MergesBatchAndHeads) {
  StridedView heads = StridedView::rowMajor({4, 5, 2, 3}).transposed({0, 2, 1, 3});
  std::optional<StridedView> merged = heads.reshaped({8, 5, 3});
  ASSERT_TRUE(merged);
  EXPECT_EQ(merged->dim(0).size(), 2u);
  EXPECT_EQ(merged->reshaped({4, 2, 5, 3}), heads);
  EXPECT_FALSE(merged->isRowMajor());
  // 5 tokens of 3 channels do not lie side by side.
  EXPECT_EQ(heads.reshaped({4, 2, 15})->dim(2).size(), 2u);
  EXPECT_FALSE(StridedView::rowMajor({2, 3}).transposed({1, 0}).reshaped({2, 3}));
}

} // namespace
} // namespace sdopt
