// Scales of their own change no result, follow the statistics, and make codes better where the
// parts of a concatenation differ.

#include "compiler/calibration/Calibration.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/Resources.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include "mlir/Pass/PassManager.h"

#include <cmath>

namespace sdopt::test {
namespace {

/// A part of 4 channels, `gain` times x, and x itself: normalized, and behind a convolution whose
/// weights of the first part are `gain` times smaller.
std::string decoder(double gain, int groups) {
  const auto diagonal = [&](double value) {
    std::string text = "dense<[";
    for (int row = 0; row < 4; ++row) {
      text += row ? ", [" : "[";
      for (int column = 0; column < 4; ++column)
        text += (column ? ", " : "") + std::string(row == column ? std::to_string(value) : "0.0");
      text += "]";
    }
    return text + "]>";
  };
  std::string weights;
  for (int output = 0; output < 3; ++output)
    for (int input = 0; input < 8; ++input) {
      const double value = std::sin(1.0 + 5 * output + 3 * input) / (input < 4 ? gain : 1);
      weights += (input ? ", " : output ? "], [" : "[") + ("[[" + std::to_string(value) + "]]");
    }
  return R"(
  func.func @f(%x: tensor<1x3x5x4xf32> {sd.name = "x"}) -> (tensor<1x3x5x3xf32> {sd.name = "y"}, tensor<1x3x5x8xf32> {sd.name = "z"}) {
    %m = sd.constant )" +
         diagonal(gain) + R"( : tensor<4x4xf32> loc("m")
    %w = sd.constant dense<[)" +
         weights + R"(]]> : tensor<3x8x1x1xf32> loc("w")
    %g = sd.constant dense<[1.0, 3.0, 0.5, 2.0, 1.0, 0.75, 0.5, 2.0]> : tensor<8xf32> loc("g")
    %b = sd.constant dense<[0.5, -1.0, 0.0, 1.0, 0.0, 0.25, 0.5, 1.0]> : tensor<8xf32> loc("b")
    %a = sd.linear %x, %m : (tensor<1x3x5x4xf32>, tensor<4x4xf32>) -> tensor<1x3x5x4xf32> loc("a")
    %c = sd.concat %a, %x {axis = -1 : i64} : (tensor<1x3x5x4xf32>, tensor<1x3x5x4xf32>) -> tensor<1x3x5x8xf32> loc("c")
    %n = sd.group_norm %c, %g, %b {groups = )" +
         std::to_string(groups) +
         R"( : i64, epsilon = 1.0e-5 : f64, layout = 1 : i32} : (tensor<1x3x5x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<1x3x5x8xf32> loc("n")
    %z = sd.silu %n : (tensor<1x3x5x8xf32>) -> tensor<1x3x5x8xf32> loc("z")
    %y = sd.conv2d %c, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64}
      : (tensor<1x3x5x8xf32>, tensor<3x8x1x1xf32>) -> tensor<1x3x5x3xf32> loc("y")
    return %y, %z : tensor<1x3x5x3xf32>, tensor<1x3x5x8xf32>
  })";
}

struct Split {
  explicit Split(const std::string &text, const std::string &settings = "activation_bits: 16")
      : function(text),
        recipe(*parseRecipe("version: 1\nname: r\nglobal: {" + settings + "}\n", "recipe.yaml")) {
    EXPECT_TRUE(function.parsed()) << function.messages();
    context.weights = &store;
    statistics = calibrated();
    sd::resources(function.function().getContext()) = {
        .evaluation = context, .overlay = &store, .statistics = &statistics, .recipe = &recipe};
  }

  Statistics calibrated() {
    auto result = calibrate(function.function(), context, {sampleFile("x", {{"x", samples}})}, {});
    EXPECT_TRUE(result.ok()) << result.status();
    return *std::move(result);
  }

  void run(std::unique_ptr<mlir::Pass> pass) {
    mlir::PassManager manager(function.function().getContext());
    manager.addNestedPass<mlir::func::FuncOp>(std::move(pass));
    EXPECT_TRUE(
        succeeded(manager.run(mlir::cast<mlir::ModuleOp>(function.function()->getParentOp()))))
        << function.messages();
  }

  std::vector<Tensor> results() {
    auto results = function.run({randomFloats({1, 3, 5, 4}, 2, 8)}, context);
    EXPECT_TRUE(results) << function.messages();
    return *std::move(results);
  }

  template <typename Op> std::vector<Op> all() {
    auto ops = function.function().getOps<Op>();
    return {ops.begin(), ops.end()};
  }

  Tensor samples = randomFloats({6, 1, 3, 5, 4}, 2, 7);
  WeightStore store;
  EvaluationContext context = fastContext();
  FunctionText function;
  Recipe recipe;
  Statistics statistics;
};

/// Root of the mean squared difference, relative to the largest magnitude.
double difference(const Tensor &reference, const Tensor &found) {
  double largest = 0, sum = 0;
  for (int64_t i = 0; i < reference.size(); ++i) {
    const double x = reference.values<float>()[i], y = found.values<float>()[i];
    largest = std::max(largest, std::fabs(x));
    sum += (x - y) * (x - y);
  }
  return std::sqrt(sum / static_cast<double>(reference.size())) / largest;
}

TEST(SplitConcatScales, ResultsStay) {
  Split it(decoder(64, 4));
  const std::vector<Tensor> before = it.results();
  it.run(createSplitConcatScales());
  const std::vector<Tensor> after = it.results();
  for (size_t i = 0; i < before.size(); ++i)
    EXPECT_LT(difference(before[i], after[i]), 1e-6) << i;
  ASSERT_EQ(it.all<sd::GroupNormOp>().size(), 2u);
  EXPECT_EQ(it.all<sd::GroupNormOp>()[0].getGroups(), 2u);
  std::vector<llvm::ArrayRef<int64_t>> exponents;
  for (sd::ConcatOp concat : it.all<sd::ConcatOp>())
    if (concat.getExponents())
      exponents.push_back(*concat.getExponents());
  ASSERT_EQ(exponents.size(), 1u);
  EXPECT_EQ(exponents[0][0], 0);
  EXPECT_NEAR(static_cast<double>(exponents[0][1]), 6, 1);
  EXPECT_TRUE(it.function.function()->hasAttr(kCalibratedAttribute));
}

TEST(SplitConcatScales, StatisticsFollow) {
  Split it(decoder(64, 4));
  it.run(createSplitConcatScales());
  const Statistics measured = it.calibrated();
  size_t compared = 0;
  for (mlir::Operation &op : it.function.function().getBody().front()) {
    if (!op.hasAttr(kStatisticsOfAttribute) && !op.hasAttr(kDividedAttribute))
      continue;
    auto derived = statisticsOf(op.getResult(0), it.statistics);
    ASSERT_TRUE(succeeded(derived)) << it.function.messages();
    const ValueStatistics *now = measured.find(sd::valueName(op.getResult(0)));
    ASSERT_NE(now, nullptr);
    ++compared;
    const double width = static_cast<double>(now->max) - now->min;
    EXPECT_LT(derived->min, now->min + 1e-5 * width);
    EXPECT_GT(derived->max, now->max - 1e-5 * width);
    if (!mlir::isa<sd::ConcatOp>(op))
      continue; // a norm has the range of all parts
    EXPECT_NEAR(derived->min, now->min, 1e-5 * width);
    EXPECT_NEAR(derived->max, now->max, 1e-5 * width);
    ASSERT_EQ(derived->channels.size(), now->channels.size());
    for (size_t c = 0; c < now->channels.size(); ++c)
      EXPECT_NEAR(derived->channels.sumOfSquares[c], now->channels.sumOfSquares[c],
                  1e-4 * now->channels.sumOfSquares[c]);
  }
  EXPECT_EQ(compared, 3u); // two norms, one concatenation
}

// Both results gain: the smaller part keeps its codes for the norm, the larger one its weights.
TEST(SplitConcatScales, CodesAreBetter) {
  double error[2][2];
  for (const bool split : {false, true}) {
    Split it(decoder(256, 4));
    const std::vector<Tensor> reference = it.results();
    if (split)
      it.run(createSplitConcatScales());
    it.run(createQuantize());
    const std::vector<Tensor> found = it.results();
    for (int i : {0, 1})
      error[split][i] = difference(reference[i], found[i]);
    EXPECT_FALSE(it.function.function()->hasAttr(kCalibratedAttribute));
    for (mlir::Operation &op : it.function.function().getBody().front())
      EXPECT_FALSE(op.hasAttr(kStatisticsOfAttribute) || op.hasAttr(kDividedAttribute));
  }
  EXPECT_LT(4 * error[true][0], error[false][0]);
  EXPECT_LT(4 * error[true][1], error[false][1]);
}

TEST(SplitConcatScales, GroupsAcrossPartsStay) {
  Split it(decoder(64, 1));
  it.run(createSplitConcatScales());
  EXPECT_EQ(it.all<sd::GroupNormOp>().size(), 1u);
  EXPECT_EQ(it.all<sd::ConcatOp>().size(), 2u);
}

TEST(SplitConcatScales, PartsThatAreAlikeStay) {
  Split it(decoder(1, 4));
  const std::string before = functionDigest(it.function.function());
  it.run(createSplitConcatScales());
  EXPECT_EQ(functionDigest(it.function.function()), before);
  EXPECT_FALSE(it.function.function()->hasAttr(kCalibratedAttribute));
}

// With 8-bit codes half the range is worth a norm for each part.
TEST(SplitConcatScales, NarrowCodesSplitEarlier) {
  for (const int bits : {8, 16}) {
    Split it(decoder(3, 4), "activation_bits: " + std::to_string(bits));
    it.run(createSplitConcatScales());
    EXPECT_EQ(it.all<sd::GroupNormOp>().size(), bits == 8 ? 2u : 1u);
  }
}

TEST(SplitConcatScales, TwiceIsOnce) {
  Split it(decoder(64, 4));
  it.run(createSplitConcatScales());
  const std::string once = functionDigest(it.function.function());
  it.run(createSplitConcatScales());
  EXPECT_EQ(functionDigest(it.function.function()), once);
}

} // namespace
} // namespace sdopt::test
