// Buckets of timesteps with scales of their own: what they share, and that they win back what one
// scale loses where values drift.

#include "compiler/calibration/Calibration.h"
#include "compiler/calibration/Quality.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/BucketFunctions.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/StoredTensors.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include "mlir/Pass/PassManager.h"
#include "gmock/gmock.h"

#include <cmath>

using namespace mlir;
using testing::HasSubstr;

namespace sdopt::test {
namespace {

/// x times sin(t / 100), which is 84 times as large at t = 100 as at t = 1, read at 8 bits by a
/// norm that makes all of them equally large again. p does not depend on t.
constexpr const char *kDrift = R"(
  func.func @f(%x: tensor<1x12x4xf32> {sd.name = "x"}, %t: tensor<1xi64> {sd.name = "timestep"})
      -> (tensor<1x12x4xf32> {sd.name = "y"}) {
    %w = sd.constant dense<[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]> : tensor<4x4xf32> loc("w")
    %a = sd.constant dense<[1.0, 0.5, 2.0, 1.0]> : tensor<4xf32> loc("a")
    %b = sd.constant dense<[0.0, 0.5, 0.0, -1.0]> : tensor<4xf32> loc("b")
    %e = sd.time_embedding %t {cos_first = true, frequency_shift = 0.0 : f64, max_period = 10000.0 : f64} : (tensor<1xi64>) -> tensor<1x4xf32> loc("e")
    %g = sd.linear %e, %w : (tensor<1x4xf32>, tensor<4x4xf32>) -> tensor<1x4xf32> loc("g")
    %r = sd.reshape %g : tensor<1x4xf32> -> tensor<1x1x4xf32> loc("r")
    %p = sd.silu %x : (tensor<1x12x4xf32>) -> tensor<1x12x4xf32> loc("p")
    %v = sd.modulate %p by %r {offset = 0.0 : f64} : (tensor<1x12x4xf32>, tensor<1x1x4xf32>) -> tensor<1x12x4xf32> loc("v")
    %n = sd.layer_norm %v, %a, %b {epsilon = 1.0e-9 : f64} : (tensor<1x12x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x12x4xf32> loc("n")
    %y = sd.silu %n : (tensor<1x12x4xf32>) -> tensor<1x12x4xf32> loc("y")
    return %y : tensor<1x12x4xf32>
  })";

constexpr std::array<int64_t, 4> kTimesteps = {1, 4, 16, 100};

struct Drift {
  explicit Drift(int buckets, ArrayRef<int64_t> timesteps = kTimesteps)
      : recipe(*parseRecipe("version: 1\nname: r\ntimestep_buckets: " + std::to_string(buckets) +
                                "\ntypes: {layer_norm: {activation_bits: 8}}\n",
                            "recipe.yaml")),
        samples(recorded(timesteps)) {
    EXPECT_TRUE(function.parsed()) << function.messages();
    context.weights = &store;
    CalibrationOptions options;
    options.splitFor(recipe);
    auto result = calibrate(function.function(), context, {samples}, options);
    EXPECT_TRUE(result.ok()) << result.status();
    statistics = *std::move(result);
    sd::resources(function.function().getContext()) = {
        .evaluation = context, .overlay = &store, .statistics = &statistics, .recipe = &recipe};
  }

  static SampleFile recorded(ArrayRef<int64_t> timesteps) {
    constexpr int64_t kCalls = 12;
    Tensor t(ElementType::I64, {kCalls});
    for (int64_t call = 0; call < kCalls; ++call)
      t.mutableValues<int64_t>()[call] = timesteps[call % timesteps.size()];
    return sampleFile("x", {{"x", randomFloats({kCalls, 1, 12, 4}, 2, 7)}, {"timestep", t}});
  }

  ModuleOp module() { return cast<ModuleOp>(function.function()->getParentOp()); }

  LogicalResult run(bool split = true) {
    PassManager manager(module().getContext());
    if (split)
      manager.addPass(createSplitTimesteps());
    manager.addNestedPass<func::FuncOp>(createQuantize());
    return manager.run(module());
  }

  double psnrOfQuantized() {
    OwningOpRef<ModuleOp> before = module().clone();
    EXPECT_TRUE(succeeded(run())) << function.messages();
    auto quality = measureQuality(*before->getOps<func::FuncOp>().begin(), function.function(),
                                  context, {samples});
    EXPECT_TRUE(quality.ok()) << quality.status();
    return quality.ok() ? psnr(*quality) : 0;
  }

  /// The type of a value by its name, in each function.
  std::vector<Type> typesOf(const std::string &name) {
    std::vector<Type> types;
    for (func::FuncOp bucket : module().getOps<func::FuncOp>())
      for (Operation &op : bucket.getBody().front())
        if (op.getNumResults() == 1 && sd::valueName(op.getResult(0)) == name)
          types.push_back(op.getResult(0).getType());
    return types;
  }

  WeightStore store;
  EvaluationContext context = fastContext();
  FunctionText function = FunctionText(kDrift);
  Recipe recipe;
  SampleFile samples;
  Statistics statistics;
};

TEST(SplitTimesteps, WinsBackWhatDriftLoses) {
  const double one = Drift(1).psnrOfQuantized(), two = Drift(2).psnrOfQuantized(),
               four = Drift(4).psnrOfQuantized();
  EXPECT_GT(two, one + 6);
  EXPECT_GT(four, one + 15);
}

TEST(SplitTimesteps, BucketsShareAllButWhatDependsOnTheTimestep) {
  Drift drift(4);
  ASSERT_TRUE(succeeded(drift.run())) << drift.function.messages();
  auto functions = sd::bucketFunctions(drift.function.function());
  ASSERT_EQ(functions.size(), 4u);
  EXPECT_EQ(functions[3].getName(), "f.bucket3");
  EXPECT_EQ(sd::firstTimestep(functions[3]), 100);
  EXPECT_FALSE(sd::isLaterBucket(functions[0]));
  EXPECT_TRUE(sd::isLaterBucket(functions[3]));
  for (const char *name : {"x", "p", "y"}) {
    const std::vector<Type> types = drift.typesOf(name);
    ASSERT_EQ(types.size(), 4u) << name;
    EXPECT_TRUE(llvm::all_equal(types)) << name;
  }
  for (const char *name : {"g", "v"}) {
    const std::vector<Type> types = drift.typesOf(name);
    ASSERT_EQ(types.size(), 4u) << name;
    EXPECT_LT(codeScale(types[0]), codeScale(types[3]) / 40) << name;
  }
}

TEST(SplitTimesteps, ATimestepBelongsToTheBucketBelow) {
  Drift drift(4);
  ASSERT_TRUE(succeeded(drift.run()));
  auto functions = sd::bucketFunctions(drift.function.function());
  for (auto [timestep, bucket] : {std::pair<double, size_t>{-5, 0},
                                  {1, 0},
                                  {3.99, 0},
                                  {4, 1},
                                  {16, 2},
                                  {99, 2},
                                  {100, 3},
                                  {5000, 3}})
    EXPECT_EQ(sd::bucketOf(functions, timestep), bucket) << timestep;
}

TEST(SplitTimesteps, SamplesOfOneTimestepStayOneFunction) {
  Drift drift(4, {16});
  ASSERT_TRUE(succeeded(drift.run()));
  EXPECT_TRUE(llvm::hasSingleElement(drift.module().getOps<func::FuncOp>()));
}

TEST(SplitTimesteps, StatisticsOfMoreBucketsAreAnError) {
  Drift drift(4);
  drift.recipe.timestepBuckets = 2;
  EXPECT_TRUE(failed(drift.run()));
  EXPECT_THAT(drift.function.messages(),
              HasSubstr("has statistics of 4 buckets of timesteps but the recipe says "
                        "'timestep_buckets: 2'; calibrate again with this recipe"));
}

TEST(SplitTimesteps, AFunctionOfNoKnownBucketIsAnError) {
  Drift drift(4);
  func::FuncOp function = drift.function.function();
  Builder builder(function.getContext());
  function->setAttr(kCalibratedAttribute, builder.getStringAttr(functionDigest(function)));
  function->setAttr(sd::kFirstTimestepAttribute, builder.getF64FloatAttr(5));
  EXPECT_TRUE(failed(drift.run(/*split=*/false)));
  EXPECT_THAT(drift.function.messages(),
              HasSubstr("is for the timesteps from 5.000000e+00 on, of which the statistics have "
                        "no bucket; run sdopt-split-timesteps"));
}

/// A value that smoothing divided: each bucket's range follows from its channels.
TEST(SplitTimesteps, DividedValuesKeepRangesByBucket) {
  Drift drift(4);
  auto embedding = *drift.function.function().getOps<sd::TimeEmbeddingOp>().begin();
  auto key = storedTensor(embedding.getLoc(), "divisors", floats({4}, {1000, 1000, 1000, 0.5}));
  ASSERT_TRUE(succeeded(key));
  embedding->setAttr(kDividedAttribute, StringAttr::get(embedding.getContext(), *key));
  for (size_t bucket = 0; bucket < kTimesteps.size(); ++bucket) {
    const auto range = extremesOf(embedding.getResult(), drift.statistics, bucket);
    ASSERT_TRUE(succeeded(range)) << drift.function.messages();
    const double largest = 2 * std::sin(0.01 * static_cast<double>(kTimesteps[bucket]));
    EXPECT_NEAR(range->second, largest, 1e-4 * largest) << bucket;
    EXPECT_LE(range->first, 0) << bucket;
    EXPECT_GE(range->first, -0.001) << bucket;
  }
}

} // namespace
} // namespace sdopt::test
