#include "compiler/kernels/FloatKernels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>

namespace sdopt {
namespace {

using ::testing::ElementsAre;

// 0, 1, 2, ... as int32.
Tensor iota(Shape shape) {
  Tensor t(ElementType::I32, std::move(shape));
  std::iota(t.mutableValues<int32_t>().begin(), t.mutableValues<int32_t>().end(), 0);
  return t;
}

std::vector<int32_t> list(const Tensor &t) {
  return {t.values<int32_t>().begin(), t.values<int32_t>().end()};
}

using Axes = std::vector<int64_t>;

TEST(TensorOps, transposeMovesEveryElement) {
  Tensor x = iota({2, 3, 5, 7});
  Tensor y = transpose(x, Axes{2, 0, 3, 1});
  EXPECT_EQ(y.shape(), (Shape{5, 2, 7, 3}));
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 3; ++b)
      for (int c = 0; c < 5; ++c)
        for (int d = 0; d < 7; ++d)
          ASSERT_EQ(y.values<int32_t>()[((c * 2 + a) * 7 + d) * 3 + b],
                    ((a * 3 + b) * 5 + c) * 7 + d);
  EXPECT_TRUE(transpose(y, Axes{1, 3, 0, 2}).sameBits(x));
  for (ElementType type : {ElementType::I8, ElementType::F16, ElementType::F64})
    EXPECT_TRUE(transpose(x.converted(type), Axes{2, 0, 3, 1}).sameBits(y.converted(type)));
}

TEST(TensorOps, transposeOfAnyShape) {
  const Shape shapes[] = {{37, 50}, {1, 300, 1, 20}, {3, 17, 33}, {20, 1, 40}, {2, 18, 3, 19}};
  for (const Shape &shape : shapes) {
    Tensor x = iota(shape);
    Axes axes(shape.size());
    std::iota(axes.begin(), axes.end(), 0);
    do {
      Tensor y = transpose(x, axes);
      for (int64_t i = 0; i < y.size(); ++i) {
        int64_t source = 0, rest = i;
        for (size_t axis = axes.size(); axis-- > 0; rest /= y.dim(axis)) {
          int64_t stride = 1;
          for (size_t inner = axes[axis] + 1; inner < shape.size(); ++inner)
            stride *= shape[inner];
          source += rest % y.dim(axis) * stride;
        }
        ASSERT_EQ(y.values<int32_t>()[i], source) << toString(shape) << " at " << i;
      }
      setKernelThreads(3);
      EXPECT_TRUE(transpose(x, axes).sameBits(y));
      setKernelThreads(1);
    } while (std::next_permutation(axes.begin(), axes.end()));
  }
}

TEST(TensorOps, concatAndSliceAreInverse) {
  for (int64_t axis : {0, 1, -1}) {
    Tensor x = iota({3, 4, 5});
    int64_t normal = axis < 0 ? axis + 3 : axis;
    Axes starts(3, 0), middle(3, 0), steps(3, 1), ends = x.shape(), cut = x.shape();
    middle[normal] = cut[normal] = 2;
    std::vector<Tensor> parts = {slice(x, starts, cut, steps), slice(x, middle, ends, steps)};
    EXPECT_TRUE(concat(parts, axis).sameBits(x));
  }
}

TEST(TensorOps, sliceStepsBothWays) {
  Tensor x = iota({7});
  EXPECT_THAT(list(slice(x, Axes{1}, Axes{7}, Axes{2})), ElementsAre(1, 3, 5));
  EXPECT_THAT(list(slice(x, Axes{6}, Axes{-1}, Axes{-3})), ElementsAre(6, 3, 0));
  EXPECT_THAT(list(slice(x, Axes{5}, Axes{2}, Axes{1})), ElementsAre());
}

TEST(TensorOps, expandRepeats) {
  EXPECT_THAT(list(expand(iota({2, 1}), {2, 2, 3})),
              ElementsAre(0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1));
  EXPECT_EQ(expand(iota({2, 3}), {1}).shape(), (Shape{2, 3}));
}

TEST(TensorOps, gatherTakesRowsFromAnyAxis) {
  const int64_t picks[] = {2, -1, 99, -99};
  Tensor indices = Tensor::of<int64_t>({4}, picks);
  EXPECT_THAT(list(gather(iota({3, 2}), indices, 0)), ElementsAre(4, 5, 4, 5, 4, 5, 0, 1));
  EXPECT_THAT(list(gather(iota({2, 3}), indices, 1)), ElementsAre(2, 2, 2, 0, 5, 5, 5, 3));
  EXPECT_EQ(gather(iota({3, 2}), Tensor::scalar<int32_t>(1), 0).shape(), (Shape{2}));
}

TEST(TensorOps, gatherNdTakesTuples) {
  const int64_t tuples[] = {0, 1, -1, 0};
  EXPECT_THAT(list(gatherNd(iota({2, 2, 2}), Tensor::of<int64_t>({2, 2}, tuples), 0)),
              ElementsAre(2, 3, 4, 5));
  const int64_t rows[] = {1, 0};
  EXPECT_THAT(list(gatherNd(iota({2, 2, 2}), Tensor::of<int64_t>({2, 1}, rows), 1)),
              ElementsAre(2, 3, 4, 5));
}

TEST(TensorOps, padAddsAndCrops) {
  EXPECT_THAT(list(pad(iota({2, 2}), Axes{0, 1}, Axes{1, 0}, 9)),
              ElementsAre(9, 0, 1, 9, 2, 3, 9, 9, 9));
  EXPECT_THAT(list(pad(iota({2, 3}), Axes{-1, 1}, Axes{0, -2}, 7)), ElementsAre(7, 3));
  EXPECT_EQ(pad(Tensor::scalar(1.5f).reshaped({1}), Axes{0}, Axes{1}, 0.5).values<float>()[1],
            0.5f);
}

TEST(TensorOps, upsampleRepeatsPixelsInBothLayouts) {
  Tensor first = upsampleNearest(iota({1, 1, 2, 2}), 2, 3, PictureLayout::NCHW);
  EXPECT_EQ(first.shape(), (Shape{1, 1, 4, 6}));
  std::vector<int32_t> values = list(first);
  EXPECT_THAT(std::vector<int32_t>(values.begin(), values.begin() + 6),
              ElementsAre(0, 0, 0, 1, 1, 1));
  EXPECT_THAT(std::vector<int32_t>(values.end() - 6, values.end()), ElementsAre(2, 2, 2, 3, 3, 3));
  Tensor x = iota({2, 3, 4, 5});
  Tensor expected = transpose(upsampleNearest(x, 2, 2, PictureLayout::NCHW), Axes{0, 2, 3, 1});
  EXPECT_TRUE(upsampleNearest(transpose(x, Axes{0, 2, 3, 1}), 2, 2, PictureLayout::NHWC)
                  .sameBits(expected));
}

TEST(TensorOps, whereChoosesWithBroadcasting) {
  const uint8_t flags[] = {1, 0};
  Tensor condition = Tensor::of<uint8_t>({2, 1}, flags);
  EXPECT_THAT(list(where(condition, iota({2}), Tensor::scalar<int32_t>(-1))),
              ElementsAre(0, 1, -1, -1));
}

TEST(TensorOps, argMaxBreaksTiesAsAsked) {
  const float values[] = {1, 3, 3, 2, 2, 0};
  Tensor x = Tensor::of<float>({2, 3}, values);
  Tensor first = argMax(x, -1, false, false), last = argMax(x, 1, true, true);
  EXPECT_EQ(first.shape(), (Shape{2}));
  EXPECT_EQ(last.shape(), (Shape{2, 1}));
  EXPECT_THAT(first.values<int64_t>(), ElementsAre(1, 0));
  EXPECT_THAT(last.values<int64_t>(), ElementsAre(2, 1));
  EXPECT_THAT(argMax(x, 0, false, false).values<int64_t>(), ElementsAre(1, 0, 0));
}

TEST(TensorOps, reduceOverAnyAxes) {
  Tensor x = iota({2, 3, 2});
  EXPECT_THAT(list(reduce(Reduction::Sum, x, Axes{0, 2}, false)), ElementsAre(14, 22, 30));
  EXPECT_THAT(list(reduce(Reduction::Max, x, Axes{1}, true)), ElementsAre(4, 5, 10, 11));
  EXPECT_THAT(list(reduce(Reduction::Min, x, Axes{-1}, false)), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_EQ(reduce(Reduction::Prod, iota({3}), Axes{}, false).values<int32_t>()[0], 0);
  Tensor mean = reduce(Reduction::Mean, x.converted(ElementType::F32), Axes{}, true);
  EXPECT_EQ(mean.shape(), (Shape{1, 1, 1}));
  EXPECT_EQ(mean.values<float>()[0], 5.5f);
}

} // namespace
} // namespace sdopt
