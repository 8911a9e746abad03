// The evaluator: order, liveness, constants, errors; float operations against the naive kernels.

#include "compiler/weights/WeightStore.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

namespace sdopt::test {
namespace {

using ::testing::HasSubstr;

void expectClose(const Tensor &actual, const Tensor &expected, double tolerance) {
  ASSERT_EQ(actual.shape(), expected.shape());
  double error = 0, reference = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    double a = actual.values<float>()[i], e = expected.values<float>()[i];
    error += (a - e) * (a - e);
    reference += e * e;
  }
  EXPECT_LE(std::sqrt(error), tolerance * std::sqrt(reference));
}

/// Runs with the fast kernels and with naive loops.
void expectNaiveAgrees(const std::string &text, const std::vector<Shape> &shapes) {
  FunctionText function(text);
  ASSERT_TRUE(function.parsed()) << function.messages();
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < shapes.size(); ++i)
    inputs.push_back(randomFloats(shapes[i], 1.0f, 17 + i));
  auto fast = function.run(inputs, fastContext()), naive = function.run(inputs, naiveContext());
  ASSERT_TRUE(fast && naive) << function.messages();
  expectClose((*fast)[0], (*naive)[0], 1e-5);
}

TEST(Evaluator, ThreadsShareConstants) {
  FunctionText function(R"(
    func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {
      %a = sd.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
      %b = sd.reshape %a : tensor<4xf32> -> tensor<2x2xf32>
      %c = sd.transpose %b [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
      %d = sd.reshape %c : tensor<2x2xf32> -> tensor<4xf32>
      %y = sd.add %x, %d : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
      return %y : tensor<4xf32>
    })");
  ASSERT_TRUE(function.parsed()) << function.messages();
  // Each round is a race for the first evaluation of the same values.
  for (int round = 0; round < 300; ++round) {
    auto constants = std::make_shared<ConstantCache>();
    std::atomic<int> waiting = 4, right = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        Evaluator evaluator(function.function(), fastContext(), constants);
        for (--waiting; waiting > 0;) {
        }
        auto results = evaluator.run({floats({4}, {0, 0, 0, 0})});
        if (mlir::succeeded(results) && (*results)[0].sameBits(floats({4}, {1, 3, 2, 4})))
          ++right;
      });
    for (std::thread &thread : threads)
      thread.join();
    ASSERT_EQ(right, 4) << round;
  }
}

TEST(FloatOperations, Conv2dWithStridesPaddingAndGroups) {
  expectNaiveAgrees(R"(
    func.func @f(%x: tensor<2x4x7x5xf32>, %w: tensor<6x2x3x2xf32>, %b: tensor<6xf32>) -> tensor<2x6x4x3xf32> {
      %y = sd.conv2d %x, %w bias %b {layout = 0 : i32, strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>,
             padding = array<i64: 1, 0, 1, 1>, groups = 2 : i64}
        : (tensor<2x4x7x5xf32>, tensor<6x2x3x2xf32>, tensor<6xf32>) -> tensor<2x6x4x3xf32>
      return %y : tensor<2x6x4x3xf32>
    })",
                    {{2, 4, 7, 5}, {6, 2, 3, 2}, {6}});
}

TEST(FloatOperations, LayoutsOfConv2dAgree) {
  FunctionText function(R"(
    func.func @f(%x: tensor<1x3x5x4xf32>, %w: tensor<2x3x3x3xf32>) -> (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) {
      %a = sd.conv2d %x, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
             padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x3x5x4xf32>, tensor<2x3x3x3xf32>) -> tensor<1x2x5x4xf32>
      %t = sd.transpose %x [0, 2, 3, 1] : (tensor<1x3x5x4xf32>) -> tensor<1x5x4x3xf32>
      %n = sd.conv2d %t, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
             padding = array<i64: 1, 1, 1, 1>, groups = 1 : i64} : (tensor<1x5x4x3xf32>, tensor<2x3x3x3xf32>) -> tensor<1x5x4x2xf32>
      %b = sd.transpose %n [0, 3, 1, 2] : (tensor<1x5x4x2xf32>) -> tensor<1x2x5x4xf32>
      return %a, %b : tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>
    })");
  ASSERT_TRUE(function.parsed()) << function.messages();
  auto results = function.run({randomFloats({1, 3, 5, 4}, 1, 1), randomFloats({2, 3, 3, 3}, 1, 2)},
                              fastContext());
  ASSERT_TRUE(results) << function.messages();
  expectClose((*results)[0], (*results)[1], 1e-6);
}

TEST(FloatOperations, LinearAndMatmul) {
  expectNaiveAgrees(R"(
    func.func @f(%x: tensor<2x3x7xf32>, %w: tensor<5x7xf32>, %b: tensor<5xf32>, %z: tensor<5x11xf32>) -> tensor<2x3x11xf32> {
      %h = sd.linear %x, %w bias %b : (tensor<2x3x7xf32>, tensor<5x7xf32>, tensor<5xf32>) -> tensor<2x3x5xf32>
      %y = sd.matmul %h, %z : (tensor<2x3x5xf32>, tensor<5x11xf32>) -> tensor<2x3x11xf32>
      return %y : tensor<2x3x11xf32>
    })",
                    {{2, 3, 7}, {5, 7}, {5}, {5, 11}});
}

TEST(FloatOperations, LinearOfTransposedConstants) {
  expectNaiveAgrees(R"(
    func.func @f(%x: tensor<4x3xf32>, %b: tensor<2xf32>) -> tensor<4x2xf32> {
      %c = sd.constant dense<[[1.0, -2.0], [0.5, 4.0], [3.0, 0.25]]> : tensor<3x2xf32>
      %w = sd.transpose %c [1, 0] : (tensor<3x2xf32>) -> tensor<2x3xf32>
      %d = sd.constant dense<[[1.0, -3.0], [0.5, 2.0]]> : tensor<2x2xf32>
      %v = sd.transpose %d [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
      %h = sd.linear %x, %w : (tensor<4x3xf32>, tensor<2x3xf32>) -> tensor<4x2xf32>
      %y = sd.linear %h, %v bias %b : (tensor<4x2xf32>, tensor<2x2xf32>, tensor<2xf32>) -> tensor<4x2xf32>
      return %y : tensor<4x2xf32>
    })",
                    {{4, 3}, {2}});
}

TEST(FloatOperations, AttentionWithOtherKeys) {
  expectNaiveAgrees(R"(
    func.func @f(%q: tensor<2x5x6xf32>, %k: tensor<2x7x6xf32>, %v: tensor<2x7x6xf32>) -> tensor<2x5x6xf32> {
      %y = sd.attention %q, %k, %v {heads = 2 : i64, scale = 0.57 : f64, causal = false}
        : (tensor<2x5x6xf32>, tensor<2x7x6xf32>, tensor<2x7x6xf32>) -> tensor<2x5x6xf32>
      return %y : tensor<2x5x6xf32>
    })",
                    {{2, 5, 6}, {2, 7, 6}, {2, 7, 6}});
}

TEST(FloatOperations, CodesWithScalesAreWeights) {
  FunctionText function(R"(
    func.func @f(%x: tensor<3x4xf32>, %w: tensor<2x4xf32>) -> (tensor<3x2xf32>, tensor<3x2xf32>) {
      %codes, %scales = sd.quantize_weight %w {axis = 0 : i64, bits = 8 : i64, range = 1 : i32}
        : tensor<2x4xf32> -> tensor<2x4xi8>, tensor<2xf32>
      %a = sd.linear %x, %codes scales %scales : (tensor<3x4xf32>, tensor<2x4xi8>, tensor<2xf32>) -> tensor<3x2xf32>
      %b = sd.linear %x, %w : (tensor<3x4xf32>, tensor<2x4xf32>) -> tensor<3x2xf32>
      return %a, %b : tensor<3x2xf32>, tensor<3x2xf32>
    })");
  ASSERT_TRUE(function.parsed()) << function.messages();
  auto results =
      function.run({randomFloats({3, 4}, 1, 3), randomFloats({2, 4}, 1, 4)}, fastContext());
  ASSERT_TRUE(results) << function.messages();
  expectClose((*results)[0], (*results)[1], 0.02);
}

constexpr const char *kWeights = R"(
  func.func @f(%x: tensor<1x2xf32>) -> tensor<1x2xf32> {
    %w = sd.weight "m.w" digest "DIGEST" : tensor<2x2xf32>
    %t = sd.transpose %w [1, 0] : (tensor<2x2xf32>) -> tensor<2x2xf32>
    %y = sd.linear %x, %t : (tensor<1x2xf32>, tensor<2x2xf32>) -> tensor<1x2xf32>
    %z = sd.unary neg %y : (tensor<1x2xf32>) -> tensor<1x2xf32>
    return %z : tensor<1x2xf32>
  })";

std::string withDigest(const std::string &digest) {
  std::string text = kWeights;
  return text.replace(text.find("DIGEST"), 6, digest);
}

class Weights : public ::testing::Test {
protected:
  void SetUp() override {
    Tensor half = floats({2, 2}, {1, 2, 3, 4}).converted(ElementType::F16);
    ASSERT_TRUE(store_.addOverlay("m.w", half).ok());
    digest_ = *store_.digest("m.w");
    context_.weights = &store_;
  }
  WeightStore store_;
  std::string digest_;
  EvaluationContext context_ = fastContext();
};

TEST_F(Weights, HalfPrecisionIsReadAsFloat) {
  FunctionText function(withDigest(digest_));
  ASSERT_TRUE(function.parsed()) << function.messages();
  auto results = function.run({floats({1, 2}, {1, 10})}, context_);
  ASSERT_TRUE(results) << function.messages();
  EXPECT_EQ((*results)[0].values<float>()[0], -31.0f);
  EXPECT_EQ((*results)[0].values<float>()[1], -42.0f);
}

TEST_F(Weights, ObserverSeesActivationsOnly) {
  FunctionText function(withDigest(digest_));
  Evaluator evaluator(function.function(), context_);
  for (int run = 0; run < 2; ++run) {
    int seen = 0;
    ASSERT_TRUE(succeeded(
        evaluator.run({floats({1, 2}, {1, 10})}, [&](mlir::Value, const Tensor &) { ++seen; })));
    EXPECT_EQ(seen, 3); // the argument, linear, neg
  }
}

TEST_F(Weights, ConstantExpressionsAreRecognized) {
  FunctionText function(withDigest(digest_));
  std::vector<bool> constant;
  for (mlir::Operation &op : function.function().getBody().getOps())
    constant.push_back(isConstantExpression(&op));
  EXPECT_EQ(constant, (std::vector<bool>{true, true, false, false, false}));
  auto transposed = std::next(function.function().getBody().getOps().begin());
  auto value = evaluateConstant(transposed->getResult(0), context_);
  ASSERT_TRUE(succeeded(value));
  EXPECT_EQ(value->values<float>()[1], 3.0f);
}

TEST_F(Weights, WrongDigestIsAnError) {
  FunctionText function(withDigest("0123"));
  EXPECT_FALSE(function.run({floats({1, 2}, {1, 10})}, context_));
  EXPECT_THAT(function.messages(), HasSubstr("digest is 0123 but weight 'm.w' of the store has"));
}

TEST_F(Weights, MissingStoreIsAnError) {
  FunctionText function(withDigest(digest_));
  EXPECT_FALSE(function.run({floats({1, 2}, {1, 10})}, fastContext()));
  EXPECT_THAT(function.messages(), HasSubstr("reads weight 'm.w' but there is no weight store"));
}

constexpr const char *kNegate = R"(
  func.func @f(%x: tensor<2xf32> {sd.name = "x"}) -> tensor<2xf32> {
    %y = sd.unary neg %x : (tensor<2xf32>) -> tensor<2xf32>
    return %y : tensor<2xf32>
  })";

TEST(Errors, InputOfAnotherShape) {
  FunctionText function(kNegate);
  EXPECT_FALSE(function.run({floats({3}, {1, 2, 3})}, fastContext()));
  EXPECT_THAT(function.messages(), HasSubstr("input 0 'x' is 3 f32 but must be 'tensor<2xf32>'"));
}

TEST(Errors, InputOfAnotherType) {
  FunctionText function(kNegate);
  EXPECT_FALSE(function.run({Tensor(ElementType::I64, {2})}, fastContext()));
  EXPECT_THAT(function.messages(), HasSubstr("is 2 i64 but must be"));
}

TEST(Errors, MissingInput) {
  FunctionText function(kNegate);
  EXPECT_FALSE(function.run({}, fastContext()));
  EXPECT_THAT(function.messages(), HasSubstr("has 1 inputs but 0 are given"));
}

/// Runs a function of one argument of zeros and gives the messages of its failure.
std::string failureOf(const std::string &text, Tensor input) {
  FunctionText function(text);
  if (!function.parsed())
    return "not parsed: " + function.messages();
  if (function.run({std::move(input)}, fastContext()))
    return "no failure";
  return function.messages();
}

TEST(Errors, UnsupportedElementType) {
  EXPECT_THAT(failureOf(R"(
    func.func @f(%x: tensor<2xf32>) -> tensor<2xi4> {
      %y = sd.cast %x : tensor<2xf32> -> tensor<2xi4>
      return %y : tensor<2xi4>
    })",
                        Tensor(ElementType::F32, {2})),
              HasSubstr("values of type 'tensor<2xi4>' cannot be evaluated"));
}

TEST(Errors, TooLargeValue) {
  EXPECT_THAT(failureOf(R"(
    func.func @f(%x: tensor<1xf32>) -> tensor<4000000000x4000000000xf32> {
      %y = sd.expand %x : tensor<1xf32> -> tensor<4000000000x4000000000xf32>
      return %y : tensor<4000000000x4000000000xf32>
    })",
                        Tensor(ElementType::F32, {1})),
              HasSubstr("is too large to be evaluated"));
}

TEST(Errors, NarrowCodeRange) {
  EXPECT_THAT(failureOf(R"(
    !q = !quant.uniform<i8<-127:127>:f32, 0.5>
    func.func @f(%x: tensor<2xf32>) -> tensor<2x!q> {
      %y = sd.quantize %x : tensor<2xf32> -> tensor<2x!q>
      return %y : tensor<2x!q>
    })",
                        Tensor(ElementType::F32, {2})),
              HasSubstr("cannot be evaluated"));
}

TEST(Errors, NoQuantizedForm) {
  EXPECT_THAT(failureOf(R"(
    !q = !quant.uniform<i8:f32, 0.5>
    func.func @f(%x: tensor<2x!q>) -> tensor<2x!q> {
      %y = sd.softmax %x {axis = 0 : i64} : (tensor<2x!q>) -> tensor<2x!q>
      return %y : tensor<2x!q>
    })",
                        Tensor(ElementType::I8, {2})),
              HasSubstr("'sd.softmax' op has no quantized form"));
}

TEST(Errors, UndefinedForTheElementType) {
  EXPECT_THAT(failureOf(R"(
    func.func @f(%x: tensor<2xi64>) -> tensor<2xi64> {
      %y = sd.unary exp %x : (tensor<2xi64>) -> tensor<2xi64>
      return %y : tensor<2xi64>
    })",
                        Tensor(ElementType::I64, {2})),
              HasSubstr("exp is not defined for elements of type i64"));
}

TEST(Errors, EmptyGroup) {
  EXPECT_THAT(failureOf(R"(
    func.func @f(%x: tensor<0x2x3xf32>) -> tensor<0x2x3xf32> {
      %g = sd.constant dense<1.0> : tensor<3xf32>
      %y = sd.group_norm %x, %g, %g {groups = 1 : i64, epsilon = 0.0 : f64, layout = 1 : i32}
        : (tensor<0x2x3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<0x2x3xf32>
      return %y : tensor<0x2x3xf32>
    })",
                        Tensor(ElementType::F32, {0, 2, 3})),
              HasSubstr("operand 0 of shape 0x2x3 is empty"));
}

} // namespace
} // namespace sdopt::test
