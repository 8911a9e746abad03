// Second moments of what layers read: those of a plain im2col in double precision.

#include "compiler/calibration/Moments.h"
#include "compiler/kernels/FloatKernels.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace sdopt::test {
namespace {

using ::testing::HasSubstr;

// Odd shapes: H != W, batch 2, strides, dilation, padding that differs on all sides.
constexpr const char *kNetwork = R"(
  func.func @f(%x: tensor<2x7x5x3xf32> {sd.name = "x"}) -> (tensor<2x3x3x6xf32> {sd.name = "y"}) {
    %w = sd.constant dense<0.5> : tensor<3x3x3x2xf32> loc("w")
    %v = sd.constant dense<0.25> : tensor<6x3xf32> loc("v")
    %h = sd.conv2d %x, %w {layout = 1 : i32, strides = array<i64: 2, 1>, dilations = array<i64: 2, 3>,
           padding = array<i64: 1, 0, 1, 1>, groups = 1 : i64}
      : (tensor<2x7x5x3xf32>, tensor<3x3x3x2xf32>) -> tensor<2x3x3x3xf32> loc("h")
    %y = sd.linear %h, %v : (tensor<2x3x3x3xf32>, tensor<6x3xf32>) -> tensor<2x3x3x6xf32> loc("y")
    return %y : tensor<2x3x3x6xf32>
  })";

struct PlainMoments {
  std::vector<double> mean, covariance;
};

PlainMoments plainMoments(const std::vector<std::vector<double>> &rows) {
  const size_t n = rows[0].size();
  const auto count = static_cast<double>(rows.size());
  PlainMoments moments{std::vector<double>(n), std::vector<double>(n * n)};
  for (const auto &row : rows)
    for (size_t i = 0; i < n; ++i)
      moments.mean[i] += row[i] / count;
  for (const auto &row : rows)
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j)
        moments.covariance[i * n + j] +=
            (row[i] - moments.mean[i]) * (row[j] - moments.mean[j]) / count;
  return moments;
}

/// What the kernel of `h` sees of channels [first, first + channels), place by place.
std::vector<std::vector<double>> windows(const Tensor &x, int64_t evaluations, int64_t first,
                                         int64_t channels) {
  std::vector<std::vector<double>> rows;
  for (int64_t picture = 0; picture < 2 * evaluations; ++picture)
    for (int64_t y = 0; y < 3; ++y)
      for (int64_t column = 0; column < 3; ++column) {
        std::vector<double> &row = rows.emplace_back();
        for (int64_t ky = 0; ky < 3; ++ky)
          for (int64_t kx = 0; kx < 2; ++kx)
            for (int64_t c = first; c < first + channels; ++c) {
              const int64_t h = 2 * y - 1 + 2 * ky, w = column + 3 * kx;
              const bool inside = h >= 0 && h < 7 && w >= 0 && w < 5;
              row.push_back(inside ? x.values<float>()[((picture * 7 + h) * 5 + w) * 3 + c] : 0);
            }
      }
  return rows;
}

void expectMoments(const InputMoments &found, const PlainMoments &expected) {
  ASSERT_EQ(found.mean.size(), expected.mean.size());
  ASSERT_EQ(found.covariance.size(), expected.covariance.size());
  for (size_t i = 0; i < found.mean.size(); ++i)
    EXPECT_NEAR(found.mean[i], expected.mean[i], 1e-4 * (1 + std::fabs(expected.mean[i]))) << i;
  for (size_t i = 0; i < found.covariance.size(); ++i)
    EXPECT_NEAR(found.covariance[i], expected.covariance[i], 2e-4) << i;
}

mlir::Operation *layer(FunctionText &text, const std::string &name) {
  for (mlir::Operation &op : text.function().getBody().front())
    if (op.getNumResults() == 1 && sd::valueName(op.getResult(0)) == name)
      return &op;
  return nullptr;
}

TEST(Moments, AreThoseOfWhatKernelsSee) {
  FunctionText text(kNetwork);
  ASSERT_TRUE(text.parsed()) << text.messages();
  Tensor x = randomFloats({5, 2, 7, 5, 3}, 1, 1);
  for (float &value : x.mutableValues<float>())
    value += 100; // a mean beside which the rest is small
  const std::vector<MomentsRequest> requests = {
      {layer(text, "h"), 0, 3}, {layer(text, "h"), 1, 2}, {layer(text, "y"), 0, 3}};
  double told = 0;
  for (int threads : {1, 3}) {
    setKernelThreads(threads);
    auto moments = collectMoments(text.function(), fastContext(), {sampleFile("x", {{"x", x}})},
                                  requests, [&](double done, int64_t) { told = done; });
    setKernelThreads(1);
    ASSERT_TRUE(moments.ok()) << moments.status();
    EXPECT_EQ(told, 5);
    ASSERT_EQ(moments->size(), 3u);
    EXPECT_EQ((*moments)[1].firstChannel, 1);
    EXPECT_EQ((*moments)[1].taps, 6);
    // Padding makes the spread of border columns large.
    for (size_t i : {0, 1}) {
      const PlainMoments expected =
          plainMoments(windows(x, 5, requests[i].firstChannel, requests[i].channels));
      ASSERT_EQ((*moments)[i].mean.size(), expected.mean.size());
      for (size_t k = 0; k < expected.mean.size(); ++k)
        EXPECT_NEAR((*moments)[i].mean[k] / (1 + expected.mean[k]),
                    expected.mean[k] / (1 + expected.mean[k]), 1e-5);
      for (size_t k = 0; k < expected.covariance.size(); ++k)
        EXPECT_NEAR((*moments)[i].covariance[k], expected.covariance[k], 3e-3) << k;
    }
    EXPECT_EQ((*moments)[2].columns(), 3);
  }
}

TEST(Moments, RowsOfLinearLayersInUnevenBatches) {
  FunctionText text(R"(
  func.func @f(%x: tensor<4x3xf32> {sd.name = "x"}) -> (tensor<4x2xf32> {sd.name = "y"}) {
    %w = sd.constant dense<1.0> : tensor<2x3xf32> loc("w")
    %y = sd.linear %x, %w : (tensor<4x3xf32>, tensor<2x3xf32>) -> tensor<4x2xf32> loc("y")
    return %y : tensor<4x2xf32>
  })");
  ASSERT_TRUE(text.parsed()) << text.messages();
  // 2 calls of 7 rows: batches of 4 and 3.
  Tensor x = randomFloats({2, 7, 3}, 1, 2);
  auto moments = collectMoments(text.function(), fastContext(), {sampleFile("x", {{"x", x}})},
                                {{layer(text, "y"), 0, 3}}, {});
  ASSERT_TRUE(moments.ok()) << moments.status();
  std::vector<std::vector<double>> rows;
  for (int64_t r = 0; r < 14; ++r)
    rows.emplace_back(x.values<float>().begin() + r * 3, x.values<float>().begin() + r * 3 + 3);
  expectMoments((*moments)[0], plainMoments(rows));
}

TEST(Moments, InputsThatAreNotFiniteAreNamed) {
  FunctionText text(R"(
  func.func @f(%x: tensor<1x2xf32> {sd.name = "x"}) -> (tensor<1x2xf32> {sd.name = "y"}) {
    %w = sd.constant dense<3.0e38> : tensor<2x2xf32> loc("w")
    %h = sd.linear %x, %w : (tensor<1x2xf32>, tensor<2x2xf32>) -> tensor<1x2xf32> loc("h")
    %y = sd.linear %h, %w : (tensor<1x2xf32>, tensor<2x2xf32>) -> tensor<1x2xf32> loc("y")
    return %y : tensor<1x2xf32>
  })");
  ASSERT_TRUE(text.parsed()) << text.messages();
  Tensor x(ElementType::F32, {1, 1, 2});
  x.mutableValues<float>()[0] = 10;
  auto moments = collectMoments(text.function(), fastContext(), {sampleFile("x", {{"x", x}})},
                                {{layer(text, "y"), 0, 2}}, {});
  EXPECT_THAT(moments.status().ToString(), HasSubstr("value 'h' is not finite in evaluation 0"));
  FunctionText infinite(R"(
  func.func @f(%x: tensor<1x2xf32> {sd.name = "x"}) -> (tensor<1x2xf32> {sd.name = "y"}) {
    %w = sd.constant dense<[[1.0, 2.0], [0xFF800000, 1.0]]> : tensor<2x2xf32> loc("w")
    %h = sd.linear %x, %w : (tensor<1x2xf32>, tensor<2x2xf32>) -> tensor<1x2xf32> loc("h")
    %y = sd.linear %h, %w : (tensor<1x2xf32>, tensor<2x2xf32>) -> tensor<1x2xf32> loc("y")
    return %y : tensor<1x2xf32>
  })");
  ASSERT_TRUE(infinite.parsed()) << infinite.messages();
  moments = collectMoments(infinite.function(), fastContext(), {sampleFile("x", {{"x", x}})},
                           {{layer(infinite, "y"), 0, 2}}, {});
  EXPECT_THAT(moments.status().ToString(),
              HasSubstr("tensor 'w' of the model is not finite at element 2, so value 'h'"));
}

} // namespace
} // namespace sdopt::test
