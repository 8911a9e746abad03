#include "compiler/kernels/FloatKernels.h"
#include "RandomCodes.h"
#include "compiler/kernels/VectorLoop.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using testing::Random;

Tensor normal(Random &random, Shape shape) {
  Tensor t(ElementType::F32, std::move(shape));
  for (float &value : t.mutableValues<float>())
    value = static_cast<float>(random.normal());
  return t;
}

void expectClose(const Tensor &actual, const Tensor &expected, double tolerance) {
  ASSERT_EQ(actual.shape(), expected.shape());
  double peak = 1e-30, worst = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    peak = std::max<double>(peak, std::abs(expected.values<float>()[i]));
    worst = std::max<double>(
        worst, std::abs(double(actual.values<float>()[i]) - expected.values<float>()[i]));
  }
  EXPECT_LE(worst / peak, tolerance);
}

// Runs with several numbers of threads and levels of instructions; the bits must not differ.
template <typename Function> Tensor inAnyWay(Function function) {
  Tensor single = function();
  for (int threads : {2, 3}) {
    setKernelThreads(threads);
    EXPECT_TRUE(function().sameBits(single)) << threads << " threads";
  }
  setKernelThreads(1);
  for (VectorLevel level : {VectorLevel::Avx2, VectorLevel::Portable}) {
    limitVectorLevel(level);
    EXPECT_TRUE(function().sameBits(single)) << "level " << static_cast<int>(level);
  }
  limitVectorLevel(VectorLevel::Avx512);
  return single;
}

TEST(FloatConvolution, equalsNaiveForAnyGeometryAndThreads) {
  struct Case {
    int64_t channels, height, width, filters, kernelHeight, kernelWidth;
    ConvShape shape;
  };
  const Case cases[] = {{4, 8, 6, 4, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                        {9, 16, 13, 32, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                        {64, 12, 12, 48, 1, 1, {}},
                        {32, 17, 16, 16, 3, 3, {2, 2, 1, 1, 0, 0, 1, 1, 1}},
                        {1, 7, 5, 3, 5, 2, {2, 1, 1, 1, 2, 1, 3, 0, 1}},
                        {6, 11, 9, 8, 3, 3, {1, 1, 2, 3, 2, 3, 2, 3, 1}},
                        {8, 9, 9, 12, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 4}},
                        {16, 9, 9, 16, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 16}},
                        {3, 2, 2, 5, 3, 3, {1, 1, 1, 1, 4, 4, 4, 4, 1}},
                        {150, 5, 7, 70, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                        // From here on in Winograd's form where it pays.
                        {40, 16, 13, 35, 3, 3, {1, 1, 1, 1, 1, 1, 1, 1, 1}},
                        {17, 9, 15, 16, 3, 3, {1, 1, 1, 1, 0, 2, 3, 1, 1}},
                        {48, 12, 8, 64, 3, 3, {1, 1, 1, 1, 0, 0, 0, 0, 2}},
                        {16, 12, 11, 16, 3, 3, {1, 1, 2, 2, 2, 2, 2, 2, 1}},
                        {1100, 3, 2, 33, 1, 1, {}}};
  Random random(1);
  for (const Case &c : cases)
    for (PictureLayout layout : {PictureLayout::NCHW, PictureLayout::NHWC})
      for (bool hasBias : {true, false}) {
        Tensor x =
            normal(random, layout == PictureLayout::NCHW ? Shape{2, c.channels, c.height, c.width}
                                                         : Shape{2, c.height, c.width, c.channels});
        Tensor w =
            normal(random, {c.filters, c.channels / c.shape.groups, c.kernelHeight, c.kernelWidth});
        Tensor bias = hasBias ? normal(random, {c.filters}) : Tensor();
        Tensor y = inAnyWay([&] { return conv2d(x, w, bias, c.shape, layout); });
        expectClose(y, naive::conv2d(x, w, bias, c.shape, layout), 2e-6);
      }
}

TEST(FloatMatmul, equalsNaiveWithBroadcasting) {
  struct Case {
    Shape a, b;
    bool transposeB;
  };
  const Case cases[] = {{{5, 7}, {7, 3}, false},
                        {{5, 7}, {3, 7}, true},
                        {{2, 3, 5, 7}, {7, 4}, false},
                        {{2, 1, 5, 7}, {3, 7, 4}, false},
                        {{3, 5, 7}, {2, 1, 4, 7}, true},
                        {{7}, {7, 4}, false},
                        {{5, 7}, {7}, false},
                        {{7}, {7}, false},
                        {{300, 64}, {64, 130}, false},
                        {{2, 257, 33}, {2, 65, 33}, true},
                        {{1, 2000}, {2000, 1}, false},
                        {{13, 2500}, {300, 2500}, true},
                        {{0, 4}, {4, 3}, false},
                        {{2, 0}, {0, 3}, false}};
  Random random(2);
  for (const Case &c : cases) {
    Tensor a = normal(random, c.a), b = normal(random, c.b);
    Tensor y = inAnyWay([&] { return matmul(a, b, c.transposeB); });
    expectClose(y, naive::matmul(a, b, c.transposeB), 2e-6);
  }
}

TEST(FloatMatmul, aHandMadeProduct) {
  const float a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8}, bias[] = {10, 20};
  Tensor left = Tensor::of<float>({2, 2}, a), right = Tensor::of<float>({2, 2}, b);
  for (auto function : {&matmul, &naive::matmul}) {
    Tensor y = function(left, right, false);
    EXPECT_EQ(y.values<float>()[0], 19);
    EXPECT_EQ(y.values<float>()[1], 22);
    EXPECT_EQ(function(left, right, true).values<float>()[1], 23);
  }
  Tensor y = linear(left, right, Tensor::of<float>({2}, bias), true);
  EXPECT_EQ(y.values<float>()[0], 27);
  EXPECT_EQ(y.values<float>()[1], 43);
  EXPECT_EQ(linear(left, right, Tensor(), false).values<float>()[0], 19);
}

TEST(FloatAttention, equalsNaive) {
  Random random(3);
  for (bool causal : {false, true})
    for (auto [queries, keys] :
         {std::pair<int64_t, int64_t>{1, 1}, {77, 77}, {130, 77}, {65, 300}, {7, 1030}}) {
      Tensor q = normal(random, {2, queries, 48}), k = normal(random, {2, keys, 48}),
             v = normal(random, {2, keys, 48});
      Tensor y = inAnyWay([&] { return attention(q, k, v, 3, 0.25, causal); });
      expectClose(y, naive::attention(q, k, v, 3, 0.25, causal), 3e-6);
    }
}

TEST(FloatNorms, groupNormHasUnitMomentsInBothLayouts) {
  Random random(4);
  Tensor x = normal(random, {2, 6, 5, 7});
  Tensor gamma = normal(random, {6}), beta = normal(random, {6});
  Tensor y = inAnyWay([&] { return groupNorm(x, gamma, beta, 3, 1e-5, PictureLayout::NCHW); });
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t g = 0; g < 3; ++g) {
      double sum = 0, squares = 0;
      for (int64_t i = 0; i < 70; ++i) {
        int64_t c = 2 * g + i / 35;
        double z = (y.values<float>()[(n * 6 + 2 * g) * 35 + i] - beta.values<float>()[c]) /
                   gamma.values<float>()[c];
        sum += z;
        squares += z * z;
      }
      EXPECT_NEAR(sum / 70, 0, 1e-5);
      EXPECT_NEAR(squares / 70, 1, 1e-3);
    }
  const int64_t toLast[] = {0, 2, 3, 1}, toFirst[] = {0, 3, 1, 2};
  Tensor last = groupNorm(transpose(x, toLast), gamma, beta, 3, 1e-5, PictureLayout::NHWC);
  expectClose(transpose(last, toFirst), y, 1e-6);
}

// Values far from zero: their squares' difference would lose all digits.
TEST(FloatNorms, distantMeansKeepTheirDigits) {
  Random random(6);
  Tensor x = normal(random, {1, 9, 31, 24});
  for (float &value : x.mutableValues<float>())
    value = 1000.0f + std::round(value * 64) / 64;
  Tensor y = inAnyWay([&] { return groupNorm(x, {}, {}, 2, 0, PictureLayout::NHWC); });
  Tensor rows = inAnyWay([&] { return layerNorm(x, Tensor(), Tensor(), 0); });
  auto expectNormed = [&](const Tensor &z, int64_t width, auto indexOf) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < width; ++i)
      sum += x.values<float>()[indexOf(i)];
    double mean = sum / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i)
      squares += std::pow(x.values<float>()[indexOf(i)] - mean, 2);
    double deviation = std::sqrt(squares / static_cast<double>(width));
    for (int64_t i = 0; i < width; ++i)
      ASSERT_NEAR(z.values<float>()[indexOf(i)], (x.values<float>()[indexOf(i)] - mean) / deviation,
                  3e-6);
  };
  expectNormed(y, 9 * 31 * 12, [](int64_t i) { return i / 12 * 24 + 12 + i % 12; });
  expectNormed(rows, 24, [](int64_t i) { return 240 + i; });
}

TEST(FloatNorms, softmaxSumsToOneAlongAnyAxis) {
  Random random(7);
  Tensor x = normal(random, {3, 300, 5});
  for (int64_t axis : {0, 1, 2}) {
    Tensor y = inAnyWay([&] { return softmax(x, axis); });
    const int64_t axes[] = {axis};
    Tensor sums = reduce(Reduction::Sum, y, axes, true);
    for (float sum : sums.values<float>())
      ASSERT_NEAR(sum, 1, 1e-6);
    int64_t step = axis == 0 ? 1500 : axis == 1 ? 5 : 1;
    double ratio = y.values<float>()[step] / y.values<float>()[0];
    EXPECT_NEAR(ratio / std::exp(double(x.values<float>()[step]) - x.values<float>()[0]), 1, 2e-6);
  }
}

TEST(FloatNorms, layerNormAndSoftmax) {
  const float values[] = {1, 2, 3, 4, 0, 0, 0, 0};
  Tensor x = Tensor::of<float>({2, 4}, values);
  const float two[] = {2, 2, 2, 2};
  Tensor y = layerNorm(x, Tensor::of<float>({4}, two), Tensor(), 0.25);
  EXPECT_NEAR(y.values<float>()[0], 2 * -1.5 / std::sqrt(1.5), 1e-6);
  EXPECT_EQ(y.values<float>()[5], 0);
  Tensor last = softmax(x, -1), first = softmax(x, 0);
  EXPECT_NEAR(last.values<float>()[3], 1 / (1 + std::exp(-1.0) + std::exp(-2.0) + std::exp(-3.0)),
              1e-6);
  EXPECT_NEAR(last.values<float>()[4], 0.25, 1e-7);
  EXPECT_NEAR(first.values<float>()[1], 1 / (1 + std::exp(-2.0)), 1e-6);
}

TEST(FloatUnary, functionsOfKnownValues) {
  auto at = [](UnaryFunction function, float x) {
    return unary(function, Tensor::scalar(x)).values<float>()[0];
  };
  EXPECT_FLOAT_EQ(at(UnaryFunction::GELU, 1), 0.84134475f);
  EXPECT_FLOAT_EQ(at(UnaryFunction::GELUTanh, 1), 0.841192f);
  EXPECT_FLOAT_EQ(at(UnaryFunction::QuickGELU, 1), 0.84579575f);
  EXPECT_FLOAT_EQ(at(UnaryFunction::SiLU, -1), -0.26894143f);
  EXPECT_FLOAT_EQ(at(UnaryFunction::Sigmoid, -200), 0);
  EXPECT_FLOAT_EQ(at(UnaryFunction::Erf, 0.5f), 0.52049988f);
  EXPECT_EQ(at(UnaryFunction::Round, 2.5f), 2);
  EXPECT_EQ(at(UnaryFunction::Round, -1.5f), -2);
  EXPECT_EQ(at(UnaryFunction::Round, 0.49999997f), 0);
  EXPECT_EQ(at(UnaryFunction::Relu, -3), 0);
  EXPECT_EQ(at(UnaryFunction::Reciprocal, 4), 0.25f);
  EXPECT_EQ(unary(UnaryFunction::Neg, Tensor::scalar<int64_t>(INT64_MIN)).values<int64_t>()[0],
            INT64_MIN);
  EXPECT_EQ(unary(UnaryFunction::Abs, Tensor::scalar<int32_t>(-7)).values<int32_t>()[0], 7);
  Tensor flag = Tensor::scalar<int32_t>(3).converted(ElementType::Bool);
  EXPECT_EQ(unary(UnaryFunction::Not, flag).values<uint8_t>()[0], 0);
}

TEST(FloatUnary, fastFunctionsAreExactTo1e6) {
  Tensor x(ElementType::F32, {40001});
  for (int64_t i = 0; i < x.size(); ++i)
    x.mutableValues<float>()[i] = static_cast<float>(i - 20000) / 1000;
  auto check = [&](UnaryFunction function, auto exact, double relative, double absolute) {
    Tensor y = inAnyWay([&] { return unary(function, x); });
    for (int64_t i = 0; i < x.size(); ++i) {
      double wanted = exact(static_cast<double>(x.values<float>()[i]));
      ASSERT_NEAR(y.values<float>()[i], wanted, std::fabs(wanted) * relative + absolute)
          << x.values<float>()[i];
    }
  };
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  auto gelu = [](double v) { return v * std::erfc(-v * std::sqrt(0.5)) / 2; };
  check(UnaryFunction::Sigmoid, sigmoid, 1e-6, 0);
  check(UnaryFunction::SiLU, [&](double v) { return v * sigmoid(v); }, 1e-6, 0);
  check(UnaryFunction::QuickGELU, [&](double v) { return v * sigmoid(1.702 * v); }, 3e-6, 0);
  check(UnaryFunction::GELU, gelu, 1e-6, 2e-7);
}

TEST(FloatUnary, fastFunctionsAtTheEnds) {
  const float ends[] = {INFINITY, -INFINITY, NAN, 0.0f, -200.0f, 200.0f};
  Tensor x = Tensor::of<float>({6}, ends);
  const float sigmoids[] = {1, 0, NAN, 0.5f, 0, 1};
  const float products[] = {INFINITY, NAN, NAN, 0, 0, 200}; // -inf * 0 has no value
  for (auto function : {UnaryFunction::Sigmoid, UnaryFunction::SiLU, UnaryFunction::GELU,
                        UnaryFunction::QuickGELU}) {
    Tensor y = unary(function, x);
    const float *expected = function == UnaryFunction::Sigmoid ? sigmoids : products;
    for (int64_t i = 0; i < 6; ++i)
      EXPECT_TRUE(std::isnan(expected[i]) ? std::isnan(y.values<float>()[i])
                                          : y.values<float>()[i] == expected[i])
          << static_cast<int>(function) << " of " << ends[i];
  }
}

TEST(FloatUnary, gegluMultipliesByTheGate) {
  Random random(8);
  Tensor x = normal(random, {3, 5, 2 * 70});
  const int64_t starts[] = {0, 0, 0}, ends[] = {3, 5, 70}, steps[] = {1, 1, 1};
  const int64_t gateStarts[] = {0, 0, 70}, gateEnds[] = {3, 5, 140};
  Tensor gate = slice(x, gateStarts, gateEnds, steps);
  Tensor value = slice(x, starts, ends, steps);
  Tensor y = inAnyWay([&] { return geglu(x); });
  EXPECT_TRUE(y.sameBits(binary(BinaryFunction::Mul, value, unary(UnaryFunction::GELU, gate))));
}

TEST(FloatBinary, broadcastsAndCompares) {
  const float values[] = {1, 2, 3, 4, 5, 6}, column[] = {10, 20};
  Tensor a = Tensor::of<float>({2, 3}, values), b = Tensor::of<float>({2, 1}, column);
  Tensor sum = binary(BinaryFunction::Add, a, b);
  EXPECT_EQ(sum.shape(), (Shape{2, 3}));
  EXPECT_EQ(sum.values<float>()[2], 13);
  EXPECT_EQ(sum.values<float>()[3], 24);
  Tensor difference = binary(BinaryFunction::Sub, Tensor::scalar(1.0f), a);
  EXPECT_EQ(difference.values<float>()[5], -5);
  Tensor less = binary(BinaryFunction::Less, a, Tensor::scalar(3.0f));
  EXPECT_EQ(less.type(), ElementType::Bool);
  EXPECT_EQ(less.values<uint8_t>()[1], 1);
  EXPECT_EQ(less.values<uint8_t>()[2], 0);
  EXPECT_EQ(
      binary(BinaryFunction::Pow, Tensor::scalar(3.0f), Tensor::scalar(2.0f)).values<float>()[0],
      9);
}

TEST(FloatBinary, broadcastsAnyAxes) {
  Random random(9);
  const std::pair<Shape, Shape> cases[] = {{{2, 3, 4, 5}, {2, 1, 1, 5}}, {{2, 3, 4, 5}, {3, 1, 5}},
                                           {{2, 3, 4, 5}, {1}},          {{7, 1, 5}, {6, 1}},
                                           {{300, 200}, {300, 200}},     {{1, 3}, {700, 1}}};
  for (const auto &[left, right] : cases) {
    Tensor a = normal(random, left), b = normal(random, right);
    Tensor y = inAnyWay([&] { return binary(BinaryFunction::Sub, a, b); });
    Tensor wideA = expand(a, y.shape()), wideB = expand(b, y.shape());
    for (int64_t i = 0; i < y.size(); ++i)
      ASSERT_EQ(y.values<float>()[i], wideA.values<float>()[i] - wideB.values<float>()[i]);
  }
}

TEST(FloatBinary, integersHaveNoUndefinedCases) {
  auto of = [](BinaryFunction function, int64_t a, int64_t b) {
    return binary(function, Tensor::scalar(a), Tensor::scalar(b)).values<int64_t>()[0];
  };
  EXPECT_EQ(of(BinaryFunction::Div, -7, 2), -3);
  EXPECT_EQ(of(BinaryFunction::Div, 7, 0), 0);
  EXPECT_EQ(of(BinaryFunction::Div, INT64_MIN, -1), INT64_MIN);
  EXPECT_EQ(of(BinaryFunction::Mod, -7, 3), 2);
  EXPECT_EQ(of(BinaryFunction::Mod, 7, -3), -2);
  EXPECT_EQ(of(BinaryFunction::Mod, INT64_MIN, -1), 0);
  EXPECT_EQ(of(BinaryFunction::Pow, -2, 3), -8);
  EXPECT_EQ(of(BinaryFunction::Add, INT64_MAX, 1), INT64_MIN);
}

TEST(FloatCodes, quantizeRoundsHalfUpAndDequantizeInverts) {
  const float values[] = {0.5f, -0.5f, 1e30f, -1e30f, NAN, 0.24f};
  Tensor x = Tensor::of<float>({6}, values);
  Tensor codes = quantizeCodes(x, 1.0, {ElementType::I8, 3});
  const int8_t expected[] = {4, 3, 127, -128, 3, 3};
  EXPECT_TRUE(codes.sameBits(Tensor::of<int8_t>({6}, expected)));
  Tensor real = dequantizeCodes(codes, 0.5, 3);
  EXPECT_EQ(real.values<float>()[0], 0.5f);
  EXPECT_EQ(real.values<float>()[2], 62.0f);
  EXPECT_EQ(quantizeCodes(x, 1e-3, {ElementType::I16, 0}).values<int16_t>()[5], 240);
}

TEST(FloatTimeEmbedding, isSinAndCosOfFrequencies) {
  Tensor y = timeEmbedding(Tensor::scalar<int64_t>(501), 4, true, 0, 10000);
  EXPECT_EQ(y.shape(), (Shape{1, 8}));
  for (int64_t i = 0; i < 4; ++i) {
    double angle = 501 * std::pow(10000.0, -i / 4.0);
    EXPECT_NEAR(y.values<float>()[i], std::cos(angle), 1e-4);
    EXPECT_NEAR(y.values<float>()[4 + i], std::sin(angle), 1e-4);
  }
  Tensor swapped = timeEmbedding(Tensor::scalar(501.0f), 4, false, 0, 10000);
  EXPECT_EQ(swapped.values<float>()[0], y.values<float>()[4]);
}

} // namespace
} // namespace sdopt
