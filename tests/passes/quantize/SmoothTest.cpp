// Smoothing changes no result, follows its statistics, and makes codes better where channels
// differ.

#include "compiler/calibration/Calibration.h"
#include "compiler/calibration/Moments.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/Resources.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include "mlir/Pass/PassManager.h"

#include <cmath>
#include <map>

namespace sdopt::test {
namespace {

/// Group norm, attention, layer norm and geglu, with channels whose sizes differ.
constexpr const char *kBlock = R"(
  func.func @f(%x: tensor<1x3x5x4xf32> {sd.name = "x"}) -> (tensor<1x15x4xf32> {sd.name = "y"}) {
    %g = sd.constant dense<[1.0, 30.0, 0.5, 2.0]> : tensor<4xf32> loc("gamma")
    %b = sd.constant dense<[0.5, -9.0, 0.0, 1.0]> : tensor<4xf32> loc("beta")
    %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("w")
    %wt = sd.transpose %w [1, 0] : (tensor<4x4xf32>) -> tensor<4x4xf32> loc("wt")
    %half = sd.constant dense<[[0.5, -0.25], [1.0, 0.25], [0.0, 0.5], [-0.75, 0.1]]> : tensor<4x2xf32> loc("half")
    %n = sd.group_norm %x, %g, %b {groups = 2 : i64, epsilon = 1.0e-5 : f64, layout = 1 : i32} : (tensor<1x3x5x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x3x5x4xf32> loc("n")
    %t = sd.reshape %n : tensor<1x3x5x4xf32> -> tensor<1x15x4xf32> loc("t")
    %p = sd.linear %t, %wt bias %b : (tensor<1x15x4xf32>, tensor<4x4xf32>, tensor<4xf32>) -> tensor<1x15x4xf32> loc("p")
    %l = sd.layer_norm %p, %g {epsilon = 1.0e-5 : f64} : (tensor<1x15x4xf32>, tensor<4xf32>) -> tensor<1x15x4xf32> loc("l")
    %q = sd.linear %l, %w : (tensor<1x15x4xf32>, tensor<4x4xf32>) -> tensor<1x15x4xf32> loc("q")
    %k = sd.linear %l, %wt : (tensor<1x15x4xf32>, tensor<4x4xf32>) -> tensor<1x15x4xf32> loc("k")
    %v = sd.linear %l, %w bias %b : (tensor<1x15x4xf32>, tensor<4x4xf32>, tensor<4xf32>) -> tensor<1x15x4xf32> loc("v")
    %a = sd.attention %q, %k, %v {heads = 2 : i64, scale = 0.1 : f64, causal = false} : (tensor<1x15x4xf32>, tensor<1x15x4xf32>, tensor<1x15x4xf32>) -> tensor<1x15x4xf32> loc("a")
    %o = sd.linear %a, %wt : (tensor<1x15x4xf32>, tensor<4x4xf32>) -> tensor<1x15x4xf32> loc("o")
    %h = sd.linear %o, %w bias %b : (tensor<1x15x4xf32>, tensor<4x4xf32>, tensor<4xf32>) -> tensor<1x15x4xf32> loc("h")
    %u = sd.geglu %h : (tensor<1x15x4xf32>) -> tensor<1x15x2xf32> loc("u")
    %y = sd.linear %u, %half bias %b : (tensor<1x15x2xf32>, tensor<4x2xf32>, tensor<4xf32>) -> tensor<1x15x4xf32> loc("y")
    return %y : tensor<1x15x4xf32>
  })";

class SmoothTest : public ::testing::Test {
protected:
  /// Calibrates and smooths kBlock with a setting.
  void smooth(const std::string &setting, int activationBits = 8) {
    ASSERT_TRUE(block_.parsed()) << block_.messages();
    absl::StatusOr<Recipe> recipe = parseRecipe(
        "version: 1\nname: r\nglobal: {weight_bits: 4, group_size: 16, weight_symmetric: false, "
        "activation_bits: " +
            std::to_string(activationBits) + ", smooth: " + setting + "}\n",
        "recipe.yaml");
    ASSERT_TRUE(recipe.ok()) << recipe.status();
    recipe_ = *std::move(recipe);
    context_.weights = &store_;
    calibrate(statistics_);
    Resources &resources = sd::resources(block_.function().getContext());
    recorded_.open = [this]() -> absl::StatusOr<std::vector<SampleFile>> {
      return std::vector<SampleFile>{sampleFile("x", {{"x", samples_}})};
    };
    recorded_.scaled = [this](const std::string &layer, const OutputPower &power) {
      scaled_[layer] = power;
    };
    resources = {.evaluation = context_,
                 .overlay = &store_,
                 .statistics = &statistics_,
                 .recipe = &recipe_,
                 .samples = &recorded_};
    mlir::PassManager manager(block_.function().getContext());
    manager.addNestedPass<mlir::func::FuncOp>(createSmooth());
    ASSERT_TRUE(
        succeeded(manager.run(mlir::cast<mlir::ModuleOp>(block_.function()->getParentOp()))))
        << block_.messages();
  }

  void calibrate(Statistics &statistics) {
    auto result =
        sdopt::calibrate(block_.function(), context_, {sampleFile("x", {{"x", samples_}})}, {});
    ASSERT_TRUE(result.ok()) << result.status();
    statistics = *std::move(result);
  }

  size_t dividedValues() {
    size_t count = 0;
    for (mlir::Operation &op : block_.function().getBody().front())
      count += op.hasAttr(kDividedAttribute);
    return count;
  }

  Tensor samples_ = randomFloats({6, 1, 3, 5, 4}, 2, 7);
  WeightStore store_;
  EvaluationContext context_ = fastContext();
  FunctionText block_{kBlock};
  Recipe recipe_;
  Statistics statistics_;
  RecordedInputs recorded_;
  std::map<std::string, OutputPower> scaled_;
};

class SmoothExponents : public SmoothTest, public ::testing::WithParamInterface<const char *> {};

TEST_P(SmoothExponents, ResultsStay) {
  Tensor x = randomFloats({1, 3, 5, 4}, 3, 8);
  auto before = block_.run({x}, context_);
  smooth(GetParam());
  if (HasFatalFailure())
    return;
  auto after = block_.run({x}, context_);
  ASSERT_TRUE(before && after) << block_.messages();
  std::span<const float> reference = (*before)[0].values<float>();
  std::span<const float> now = (*after)[0].values<float>();
  double largest = 0, error = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(reference[i])));
    error = std::max(error, std::fabs(static_cast<double>(reference[i]) - now[i]));
  }
  EXPECT_LE(error, 1e-5 * largest);
}

INSTANTIATE_TEST_SUITE_P(Exponents, SmoothExponents,
                         ::testing::Values("0.5", "1", "0", "search", "awq"));

// Group norm, layer norm, values, attention, the layer before geglu, geglu.
TEST_F(SmoothTest, ReachesEveryProducer) {
  smooth("0.5");
  if (HasFatalFailure())
    return;
  EXPECT_EQ(dividedValues(), 6u);
}

TEST_F(SmoothTest, OnceIsEnough) {
  smooth("1");
  if (HasFatalFailure())
    return;
  block_.function()->removeAttr(kCalibratedAttribute);
  mlir::PassManager manager(block_.function().getContext());
  manager.addNestedPass<mlir::func::FuncOp>(createSmooth());
  std::string before = functionDigest(block_.function());
  statistics_ = Statistics(before, "", 6, statistics_.values());
  ASSERT_TRUE(succeeded(manager.run(mlir::cast<mlir::ModuleOp>(block_.function()->getParentOp()))));
  EXPECT_EQ(functionDigest(block_.function()), before);
}

TEST_F(SmoothTest, OffChangesNothing) {
  smooth("off");
  if (HasFatalFailure())
    return;
  EXPECT_EQ(dividedValues(), 0u);
  EXPECT_FALSE(block_.function()->hasAttr(kCalibratedAttribute));
}

// Whatever the layers read; what each of them gains is told.
TEST_F(SmoothTest, WeightsAlone) {
  smooth("awq", 16);
  if (HasFatalFailure())
    return;
  EXPECT_GE(dividedValues(), 2u);
  ASSERT_FALSE(scaled_.empty());
  double before = 0, after = 0;
  for (const auto &[layer, power] : scaled_) {
    EXPECT_GT(power.signal, 0) << layer;
    before += power.before;
    after += power.after;
  }
  EXPECT_LT(after, before);
}

TEST_F(SmoothTest, StatisticsFollow) {
  smooth("0.5");
  if (HasFatalFailure())
    return;
  Statistics measured;
  calibrate(measured);
  size_t compared = 0;
  for (mlir::Operation &op : block_.function().getBody().front()) {
    if (!op.hasAttr(kDividedAttribute))
      continue;
    auto derived = statisticsOf(op.getResult(0), statistics_);
    ASSERT_TRUE(succeeded(derived)) << block_.messages();
    const ValueStatistics *now = measured.find(derived->name);
    ASSERT_NE(now, nullptr);
    double width = static_cast<double>(now->max) - now->min;
    EXPECT_NEAR(derived->min, std::min(0.0f, now->min), 1e-5 * width) << derived->name;
    EXPECT_NEAR(derived->max, std::max(0.0f, now->max), 1e-5 * width) << derived->name;
    for (size_t c = 0; c < now->channels.size(); ++c)
      EXPECT_NEAR(derived->channels.sumOfSquares[c], now->channels.sumOfSquares[c],
                  1e-4 * now->channels.sumOfSquares[c]);
    ++compared;
  }
  EXPECT_EQ(compared, 6u);
}

// The extremes of the channels come nearer to each other.
TEST_F(SmoothTest, ChannelsBecomeAlike) {
  smooth("1");
  if (HasFatalFailure())
    return;
  for (mlir::Operation &op : block_.function().getBody().front()) {
    if (!mlir::isa<sd::LayerNormOp>(op))
      continue;
    auto derived = statisticsOf(op.getResult(0), statistics_);
    ASSERT_TRUE(succeeded(derived));
    for (size_t c = 0; c < derived->channels.size(); ++c)
      EXPECT_NEAR(std::max(-derived->channels.min[c], derived->channels.max[c]),
                  std::max(-derived->min, derived->max), 1e-4 * derived->max);
  }
}

} // namespace
} // namespace sdopt::test
