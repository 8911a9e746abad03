// Integer forms: close to the float operation, and the same bits from fast and naive kernels.

#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace sdopt::test {
namespace {

struct Case {
  const char *name;
  /// The operation from %x (and %u) to %y. X and Y stand for the types of input and result.
  const char *operation;
  Shape input, result;
  double inputRange = 4, resultRange = 8;
  double decibels16 = 70, decibels8 = 28;
};

std::string typeText(const Shape &shape, const std::string &element) {
  std::string text = "tensor<";
  for (int64_t dim : shape)
    text += std::to_string(dim) + "x";
  return text + element + ">";
}

std::string replaced(std::string text, const std::string &from, const std::string &to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

/// A code that covers [-range, range], a little off centre for 8 bits.
std::string codeText(double range, int bits) {
  if (bits == 16)
    return "!quant.uniform<i16:f32, " + std::to_string(range / 32767) + ">";
  return "!quant.uniform<i8:f32, " + std::to_string(range / 110) + ":5>";
}

/// Both forms of the operation on the same input; returns (float result, dequantized result).
std::string functionOf(const Case &test, int bits, bool constantWeights) {
  std::string x = codeText(test.inputRange, bits), y = codeText(test.resultRange, bits);
  auto form = [&](const std::string &suffix, const std::string &in, const std::string &out) {
    std::string text = replaced(test.operation, "%y", "%y" + suffix);
    text = replaced(text, "%x", "%x" + suffix);
    text = replaced(text, "%w", "%w" + suffix);
    text = replaced(text, "XTYPE", typeText(test.input, in));
    return replaced(text, "YTYPE", typeText(test.result, out)) + "\n";
  };
  std::string real = typeText(test.result, "f32"), coded = typeText(test.result, y);
  std::string input = typeText(test.input, "f32");
  return "func.func @f(%xf: " + input + ", %wf: tensor<6x4xf32>) -> (" + real + ", " + real +
         ") {\n" + form("f", "f32", "f32") + "%xq = sd.quantize %xf : " + input + " -> " +
         typeText(test.input, x) + "\n" +
         (constantWeights ? "%wq, %sq = sd.quantize_weight %wf {axis = 0 : i64, bits = 8 : i64, "
                            "range = 1 : i32} : tensor<6x4xf32> -> tensor<6x4xi8>, tensor<6xf32>\n"
                          : "") +
         form("q", x, y) + "%z = sd.dequantize %yq : " + coded + " -> " + real +
         "\nreturn %yf, %z : " + real + ", " + real + "\n}";
}

double signalToNoise(const Tensor &reference, const Tensor &actual) {
  double signal = 0, noise = 1e-300;
  for (int64_t i = 0; i < reference.size(); ++i) {
    double r = reference.values<float>()[i], e = r - actual.values<float>()[i];
    signal += r * r;
    noise += e * e;
  }
  return 10 * std::log10(signal / noise);
}

class QuantizedForms : public ::testing::TestWithParam<Case> {};

TEST_P(QuantizedForms, AreCloseToFloatAndExact) {
  const Case &test = GetParam();
  for (int bits : {16, 8}) {
    SCOPED_TRACE(bits);
    FunctionText function(functionOf(test, bits, false));
    ASSERT_TRUE(function.parsed()) << function.messages() << functionOf(test, bits, false);
    std::vector<Tensor> inputs = {randomFloats(test.input, static_cast<float>(test.inputRange), 5),
                                  randomFloats({6, 4}, 1, 6)};
    auto fast = function.run(inputs, fastContext()), naive = function.run(inputs, naiveContext());
    ASSERT_TRUE(fast && naive) << function.messages();
    EXPECT_TRUE((*fast)[1].sameBits((*naive)[1]));
    EXPECT_GE(signalToNoise((*fast)[0], (*fast)[1]), bits == 16 ? test.decibels16 : test.decibels8);
  }
}

constexpr const char *kAttention = R"(
  %y = sd.attention %x, %x, %x {heads = 2 : i64, scale = 0.5 : f64, causal = true} : (XTYPE, XTYPE, XTYPE) -> YTYPE)";
constexpr const char *kGroupNorm = R"(
  %y_g = sd.constant dense<[1.0, -0.5, 2.0, 0.25]> : tensor<4xf32>
  %y_b = sd.constant dense<[0.0, 1.0, -2.0, 0.5]> : tensor<4xf32>
  %y = sd.group_norm %x, %y_g, %y_b {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = LAYOUT : i32}
    : (XTYPE, tensor<4xf32>, tensor<4xf32>) -> YTYPE)";
const std::string kGroupNormLast = replaced(kGroupNorm, "LAYOUT", "1");
const std::string kGroupNormSecond = replaced(kGroupNorm, "LAYOUT", "0");

INSTANTIATE_TEST_SUITE_P(
    All, QuantizedForms,
    ::testing::Values(
        Case{"silu", "%y = sd.silu %x : (XTYPE) -> YTYPE", {3, 7, 5}, {3, 7, 5}, 4, 4.2},
        Case{"gelu", "%y = sd.gelu %x : (XTYPE) -> YTYPE", {105}, {105}, 4, 4.2},
        Case{"quick_gelu", "%y = sd.quick_gelu %x : (XTYPE) -> YTYPE", {105}, {105}, 4, 4.2},
        Case{"sigmoid", "%y = sd.sigmoid %x : (XTYPE) -> YTYPE", {105}, {105}, 4, 1.0},
        Case{"geglu", "%y = sd.geglu %x : (XTYPE) -> YTYPE", {7, 10}, {7, 5}, 4, 17},
        Case{"add", "%y = sd.add %x, %x : (XTYPE, XTYPE) -> YTYPE", {2, 3, 5}, {2, 3, 5}},
        Case{"concat",
             "%y = sd.concat %x, %x {axis = 1 : i64} : (XTYPE, XTYPE) -> YTYPE",
             {2, 3, 5},
             {2, 6, 5},
             4,
             5},
        Case{"group_norm_nhwc", kGroupNormLast.c_str(), {2, 5, 3, 4}, {2, 5, 3, 4}, 4, 6},
        Case{"group_norm_nchw", kGroupNormSecond.c_str(), {2, 4, 5, 3}, {2, 4, 5, 3}, 4, 6},
        Case{"layer_norm",
             R"(
  %y_g = sd.constant dense<[1.0, -0.5, 2.0, 0.25, 1.5]> : tensor<5xf32>
  %y = sd.layer_norm %x, %y_g {epsilon = 1.0e-5 : f64} : (XTYPE, tensor<5xf32>) -> YTYPE)",
             {2, 3, 5},
             {2, 3, 5},
             4,
             4},
        Case{"rms_norm",
             R"(
  %y_g = sd.constant dense<[1.0, -0.5, 2.0, 0.25, 1.5]> : tensor<5xf32>
  %y = sd.rms_norm %x, %y_g {epsilon = 1.0e-5 : f64} : (XTYPE, tensor<5xf32>) -> YTYPE)",
             {2, 3, 5},
             {2, 3, 5},
             4,
             5},
        Case{"gelu_tanh", "%y = sd.gelu_tanh %x : (XTYPE) -> YTYPE", {105}, {105}, 4, 4.2},
        Case{"modulate",
             "%y = sd.modulate %x by %x plus %x {offset = 1.0 : f64} : (XTYPE, XTYPE, XTYPE) -> "
             "YTYPE",
             {3, 1, 5},
             {3, 1, 5},
             3,
             15.1},
        Case{"gate",
             "%y = sd.modulate %x by %x {offset = 0.0 : f64} : (XTYPE, XTYPE) -> YTYPE",
             {3, 1, 5},
             {3, 1, 5},
             3,
             9.1},
        Case{"attention", kAttention, {2, 7, 6}, {2, 7, 6}, 2, 2.1, 65, 25}),
    [](const auto &info) { return info.param.name; });

/// Layers with weights: the loss of int8 weights dominates.
class QuantizedLayers : public ::testing::TestWithParam<Case> {};

TEST_P(QuantizedLayers, AreCloseToFloatAndExact) {
  const Case &test = GetParam();
  for (int bits : {16, 8}) {
    SCOPED_TRACE(bits);
    Case quantized = test;
    std::string text = functionOf(quantized, bits, true);
    // The integer form takes codes and scales.
    text = replaced(text, "%wq bias", "%wq scales %sq bias");
    size_t at = text.find("scales %sq bias");
    text = text.substr(0, at) + replaced(text.substr(at), "WTYPE", "WCODES, tensor<6xf32>");
    text = replaced(replaced(text, "WTYPE", "tensor<6x4xf32>"), "WCODES", "tensor<6x4xi8>");
    FunctionText function(text);
    ASSERT_TRUE(function.parsed()) << function.messages() << text;
    std::vector<Tensor> inputs = {randomFloats(test.input, static_cast<float>(test.inputRange), 5),
                                  randomFloats({6, 4}, 1, 6)};
    auto fast = function.run(inputs, fastContext()), naive = function.run(inputs, naiveContext());
    ASSERT_TRUE(fast && naive) << function.messages();
    EXPECT_TRUE((*fast)[1].sameBits((*naive)[1]));
    EXPECT_GE(signalToNoise((*fast)[0], (*fast)[1]), bits == 16 ? test.decibels16 : test.decibels8);
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedLayers,
                         ::testing::Values(Case{"linear",
                                                R"(
  %y_b = sd.constant dense<[0.5, -1.0, 0.0, 2.0, 0.25, -0.125]> : tensor<6xf32>
  %y = sd.linear %x, %w bias %y_b : (XTYPE, WTYPE, tensor<6xf32>) -> YTYPE)",
                                                {3, 7, 4},
                                                {3, 7, 6},
                                                4,
                                                16,
                                                40,
                                                30}),
                         [](const auto &info) { return info.param.name; });

/// conv2d in both layouts and with groups gives the same codes as the sum over its groups.
TEST(QuantizedConvolution, LayoutsAndGroupsAgree) {
  FunctionText function(R"(
    !x = !quant.uniform<i8:f32, 0.05:-7>
    !y = !quant.uniform<i16:f32, 0.001>
    func.func @f(%x: tensor<2x4x5x3x!x>, %w: tensor<6x2x3x2xi8>, %s: tensor<6xf32>, %b: tensor<6xf32>)
        -> (tensor<2x6x3x2x!y>, tensor<2x6x3x2x!y>) {
      %a = sd.conv2d %x, %w scales %s bias %b {layout = 0 : i32, strides = array<i64: 2, 1>, dilations = array<i64: 1, 2>,
             padding = array<i64: 1, 0, 1, 1>, groups = 2 : i64}
        : (tensor<2x4x5x3x!x>, tensor<6x2x3x2xi8>, tensor<6xf32>, tensor<6xf32>) -> tensor<2x6x3x2x!y>
      %t = sd.transpose %x [0, 2, 3, 1] : (tensor<2x4x5x3x!x>) -> tensor<2x5x3x4x!x>
      %n = sd.conv2d %t, %w scales %s bias %b {layout = 1 : i32, strides = array<i64: 2, 1>, dilations = array<i64: 1, 2>,
             padding = array<i64: 1, 0, 1, 1>, groups = 2 : i64}
        : (tensor<2x5x3x4x!x>, tensor<6x2x3x2xi8>, tensor<6xf32>, tensor<6xf32>) -> tensor<2x3x2x6x!y>
      %c = sd.transpose %n [0, 3, 1, 2] : (tensor<2x3x2x6x!y>) -> tensor<2x6x3x2x!y>
      return %a, %c : tensor<2x6x3x2x!y>, tensor<2x6x3x2x!y>
    })");
  ASSERT_TRUE(function.parsed()) << function.messages();
  Tensor x = randomFloats({2, 4, 5, 3}, 127, 1).converted(ElementType::I8);
  Tensor w = randomFloats({6, 2, 3, 2}, 127, 2).converted(ElementType::I8);
  std::vector<Tensor> inputs = {x, w, floats({6}, {.01f, .02f, .03f, .04f, .05f, .06f}),
                                floats({6}, {1, 2, 3, -1, -2, -3})};
  auto fast = function.run(inputs, fastContext()), naive = function.run(inputs, naiveContext());
  ASSERT_TRUE(fast && naive) << function.messages();
  EXPECT_TRUE((*fast)[0].sameBits((*fast)[1]));
  EXPECT_TRUE((*fast)[0].sameBits((*naive)[0]));
  // One element by hand: picture 1, output channel 4 (group 1), row 1, column 0.
  int64_t acc = 0;
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t kh = 0; kh < 3; ++kh)
      for (int64_t kw = 0; kw < 2; ++kw) {
        int64_t ih = 2 * 1 + kh - 1, iw = 0 + 2 * kw;
        if (ih >= 0 && ih < 5 && iw < 3)
          acc += (x.values<int8_t>()[((1 * 4 + 2 + i) * 5 + ih) * 3 + iw] + 7) *
                 w.values<int8_t>()[((4 * 2 + i) * 3 + kh) * 2 + kw];
      }
  double expected = std::floor((acc * 0.05 * 0.05f + -2) / 0.001 + 0.5);
  EXPECT_NEAR((*fast)[0].values<int16_t>()[((1 * 6 + 4) * 3 + 1) * 2 + 0],
              std::min(std::max(expected, -32768.0), 32767.0), 1);
}

std::string failureOf(const std::string &text, const std::vector<Tensor> &inputs) {
  FunctionText function(text);
  if (!function.parsed())
    return "not parsed: " + function.messages();
  return function.run(inputs, fastContext()) ? "no failure" : function.messages();
}

TEST(QuantizedErrors, AccumulatorLeavesItsWidth) {
  EXPECT_THAT(failureOf(R"(
    !x = !quant.uniform<i8:f32, 1.0e-9>
    func.func @f(%x: tensor<1x1x!x>, %w: tensor<2x1xi8>, %s: tensor<2xf32>, %b: tensor<2xf32>) -> tensor<1x2x!x> {
      %y = sd.linear %x, %w scales %s bias %b : (tensor<1x1x!x>, tensor<2x1xi8>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x!x>
      return %y : tensor<1x2x!x>
    })",
                        {Tensor(ElementType::I8, {1, 1}), Tensor(ElementType::I8, {2, 1}),
                         floats({2}, {1, 1}), floats({2}, {1, 3})}),
              ::testing::HasSubstr("accumulator of output channel 1 may leave 32 bits"));
}

TEST(QuantizedErrors, AccumulatorOfTapsLeavesItsWidth) {
  std::string shifts = "0";
  for (int i = 1; i < 36; ++i)
    shifts += ", 0";
  Tensor weights(ElementType::I8, {1, 1024, 3, 3});
  std::ranges::fill(weights.mutableValues<int8_t>(), 127);
  EXPECT_THAT(failureOf(R"(
    !x = !quant.uniform<i16:f32, 1.0>
    func.func @f(%x: tensor<1x1024x5x5x!x>, %w: tensor<1x1024x3x3xi8>, %s: tensor<1xf32>, %b: tensor<1xf32>) -> tensor<1x1x5x5x!x> {
      %y = sd.conv2d %x, %w scales %s bias %b {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
             padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64, tap_shifts = #sd.tap_shifts<codes = [)" +
                            shifts + "], weights = [" + shifts + R"(]>}
        : (tensor<1x1024x5x5x!x>, tensor<1x1024x3x3xi8>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x1x5x5x!x>
      return %y : tensor<1x1x5x5x!x>
    })",
                        {Tensor(ElementType::I16, {1, 1024, 5, 5}), weights, floats({1}, {1}),
                         floats({1}, {1e12F})}),
              ::testing::HasSubstr("accumulator of output channel 0 may leave 48 bits"));
}

TEST(QuantizedErrors, FloatWeightsUnderQuantizedInput) {
  EXPECT_THAT(failureOf(R"(
    !x = !quant.uniform<i8:f32, 0.5>
    func.func @f(%x: tensor<1x1x!x>, %w: tensor<2x1xf32>) -> tensor<1x2x!x> {
      %y = sd.linear %x, %w : (tensor<1x1x!x>, tensor<2x1xf32>) -> tensor<1x2x!x>
      return %y : tensor<1x2x!x>
    })",
                        {Tensor(ElementType::I8, {1, 1}), floats({2, 1}, {1, 1})}),
              ::testing::HasSubstr("its weights must be int8 codes with scales"));
}

TEST(QuantizedErrors, MixedOperands) {
  EXPECT_THAT(failureOf(R"(
    !x = !quant.uniform<i8:f32, 0.5>
    func.func @f(%a: tensor<2x!x>, %b: tensor<2xf32>) -> tensor<2x!x> {
      %y = sd.add %a, %b : (tensor<2x!x>, tensor<2xf32>) -> tensor<2x!x>
      return %y : tensor<2x!x>
    })",
                        {Tensor(ElementType::I8, {2}), floats({2}, {1, 1})}),
              ::testing::HasSubstr("mixes quantized values with one of type 'tensor<2xf32>'"));
}

TEST(QuantizedErrors, CoarseAttentionScales) {
  EXPECT_THAT(failureOf(R"(
    !x = !quant.uniform<i8:f32, 0.5>
    func.func @f(%a: tensor<1x2x2x!x>) -> tensor<1x2x2x!x> {
      %y = sd.attention %a, %a, %a {heads = 1 : i64, scale = 0.7 : f64, causal = false} : (tensor<1x2x2x!x>, tensor<1x2x2x!x>, tensor<1x2x2x!x>) -> tensor<1x2x2x!x>
      return %y : tensor<1x2x2x!x>
    })",
                        {Tensor(ElementType::I8, {1, 2, 2})}),
              ::testing::HasSubstr("query and key scales are too coarse"));
}

TEST(QuantizedErrors, MovedCodesMustKeepTheirMeaning) {
  EXPECT_THAT(failureOf(R"(
    !x = !quant.uniform<i8:f32, 0.5>
    !y = !quant.uniform<i8:f32, 0.25>
    func.func @f(%a: tensor<1x2x!x>) -> tensor<2x1x!y> {
      %y = sd.transpose %a [1, 0] : (tensor<1x2x!x>) -> tensor<2x1x!y>
      return %y : tensor<2x1x!y>
    })",
                        {Tensor(ElementType::I8, {1, 2})}),
              ::testing::HasSubstr("moves codes of"));
}

} // namespace
} // namespace sdopt::test
