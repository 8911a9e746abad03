// The form that is chosen for weights, and what it is expected to take.

#include "compiler/schedule/WeightStorage.h"

#include "LayerZoo.h"
#include "compiler/kernels/EntropyCoder.h"
#include "compiler/schedule/TrafficModel.h"

#include <gtest/gtest.h>

#include <random>

namespace sdopt {
namespace {

struct Weights {
  WeightExtent layer;
  std::vector<int8_t> codes;

  /// About normal int8 weights; `kept` of each `run` inputs, or `percent` of all, are not 0.
  Weights(int64_t outputs, int64_t taps, int64_t inputs, int percent, int64_t kept = 1,
          int64_t run = 1)
      : layer{outputs, taps, inputs} {
    std::mt19937 random(7);
    for (int64_t i = 0; i < layer.weights(); ++i) {
      int64_t sum = 0;
      for (int term = 0; term < 6; ++term)
        sum += static_cast<int64_t>(random() % 41) - 20;
      const bool isZero = static_cast<int>(random() % 100) >= percent || i % inputs % run >= kept;
      codes.push_back(isZero ? int8_t{0} : static_cast<int8_t>(sum == 0 ? 1 : sum));
    }
  }
  StorageChoice choose(Storage storage, const WeightUse &use = {},
                       const Target &target = *loadTarget("mobile")) const {
    return chooseStorage({}, {codes, {}, {}}, codes, layer, storage, use, target);
  }
};

/// What the true streams take, in blocks of some tiling.
int64_t packed(const Weights &weights, const WeightForm &form, int64_t tileO) {
  int64_t sum = 0;
  for (int64_t o = 0; o < weights.layer.outputs; o += tileO) {
    const WeightExtent block = blockAt(form, o, 0, std::min(tileO, weights.layer.outputs - o),
                                       weights.layer.taps, weights.layer.inputs);
    std::vector<std::byte> out(storedBytes(form, block));
    sum += encodeWeights(form, {weights.codes, {}, {}},
                         {weights.layer.outputs, weights.layer.taps, weights.layer.inputs, o, 0},
                         block, out.data());
  }
  return sum;
}

TEST(WeightStorage, MeasuresWhatStreamsTake) {
  for (const Weights &weights : {Weights(320, 9, 320, 100), Weights(320, 1, 1280, 20),
                                 Weights(640, 1, 640, 100, 2, 4), Weights(97, 3, 111, 50)}) {
    const StorageChoice choice = weights.choose(Storage::Auto);
    EXPECT_GT(choice.tried.size(), 1u);
    for (const MeasuredForm &measured : choice.tried) {
      const int64_t row = weights.layer.taps * weights.layer.inputs;
      const auto truth = static_cast<double>(packed(weights, measured.form, 65536 / row + 1));
      EXPECT_NEAR(static_cast<double>(measured.bytes), truth, 0.01 * truth) << name(measured.form);
    }
    EXPECT_LT(choice.best().bytes, choice.tried[0].bytes);
  }
}

TEST(WeightStorage, FollowsTheWeights) {
  const auto form = [](const Weights &weights, Storage storage = Storage::Auto) {
    return weights.choose(storage).best().form;
  };
  const Weights full(320, 1, 320, 100), half(320, 1, 320, 100, 2, 4), many(320, 1, 320, 50),
      few(320, 1, 320, 10);
  EXPECT_EQ(name(form(full)), "int8, entropy-coded in 128 lanes");
  EXPECT_EQ(name(form(half)), "int8, 2 of 4, entropy-coded in 128 lanes");
  EXPECT_EQ(name(form(many)), "int8, bitmap, entropy-coded in 128 lanes");
  // Nothing is as small as all codes in a few bits each, but a bitmap is decoded much faster.
  EXPECT_EQ(name(form(few)), "int8, bitmap");
  // Where the arrays are busy longest, fewer lanes do, and zeros are skipped.
  EXPECT_EQ(name(few.choose(Storage::Auto, {.computeCycles = 1e6}).best().form),
            "int8, bitmap, entropy-coded in 16 lanes");
  EXPECT_EQ(name(form(half, Storage::Entropy)), "int8, entropy-coded in 128 lanes");
  EXPECT_EQ(form(few, Storage::Runs).zeros, ZeroLayout::Runs);
  EXPECT_EQ(form(few, Storage::Plain), WeightForm());
  EXPECT_EQ(form(full, Storage::Structured), WeightForm());
  // 256 codes that are all as frequent cannot be made smaller.
  Weights noise(64, 1, 1024, 100);
  std::mt19937 random(1);
  for (int8_t &code : noise.codes)
    code = static_cast<int8_t>(random());
  EXPECT_EQ(form(noise), WeightForm());
  EXPECT_EQ(noise.choose(Storage::Auto).share(), kShareUnit);
}

// Winograd multiplies with all weights.
TEST(WeightStorage, TellsNoZerosToWinograd) {
  const Weights few(320, 1, 320, 10), half(320, 1, 320, 100, 2, 4);
  for (const Weights &weights : {few, half})
    for (Storage storage : {Storage::Auto, Storage::Bitmap, Storage::Structured, Storage::Runs}) {
      const WeightUse use{.computeCycles = 1e6, .winograd = WinogradForm::F2x2};
      const StorageChoice choice = weights.choose(storage, use);
      for (const MeasuredForm &measured : choice.tried)
        EXPECT_FALSE(measured.form.tellsZeros()) << name(measured.form);
    }
  EXPECT_TRUE(few.choose(Storage::Bitmap, {.computeCycles = 1e6}).best().form.tellsZeros());
}

/// A decoder that cannot keep up with DRAM is not used, unless the arrays are slower still or the
/// recipe insists.
TEST(WeightStorage, NoLayerWaitsForTheDecoder) {
  const Weights weights(320, 1, 320, 100);
  Target slow = *loadTarget("mobile");
  slow.decoder.lanes = 16;
  EXPECT_EQ(weights.choose(Storage::Auto, {}, slow).best().form, WeightForm());
  EXPECT_FALSE(weights.choose(Storage::Auto, {}, slow).tried[1].isFast);
  EXPECT_EQ(weights.choose(Storage::Auto, {.computeCycles = 1e6}, slow).best().form.lanes, 2);
  EXPECT_EQ(weights.choose(Storage::Entropy, {}, slow).best().form.lanes, 16);
}

/// Sizes that were expected give way to the true ones, in costs and checks.
TEST(WeightStorage, PlansKnowTheTrueSizes) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 1, 64, 320}, ElementType::I16, TensorRole::Input);
  b.network.tensors[b.linear(x, 320)].role = TensorRole::Output;
  const Weights weights(320, 1, 320, 100);
  ConstantInfo &constant = b.network.constants[0];
  constant.form = weights.choose(Storage::Auto).best().form;
  constant.share = weights.choose(Storage::Auto).share();
  EXPECT_LT(constant.share, kShareUnit);
  const Target target = smallTarget(256 << 10);
  auto plan = planNetwork(b.network, target);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(checkPlan(b.network, *plan, target).ok()) << checkPlan(b.network, *plan, target);
  const LayerCost expected = plan->layers[0].cost;
  const PackedWeights packed =
      packWeights(b.network, b.network.layers[0], plan->layers[0].tiling, {weights.codes, {}, {}});
  noteStreams(b.network, *plan, 0, packed, target);
  EXPECT_TRUE(checkPlan(b.network, *plan, target).ok()) << checkPlan(b.network, *plan, target);
  EXPECT_EQ(packedBytes(b.network, *plan, 0), static_cast<int64_t>(packed.bytes.size()));
  const LayerCost known = plan->layers[0].cost;
  EXPECT_NE(known.dramReadBytes, expected.dramReadBytes);
  EXPECT_NEAR(static_cast<double>(known.dramReadBytes), static_cast<double>(expected.dramReadBytes),
              0.05 * static_cast<double>(expected.dramReadBytes));
  // A plan with other sizes than the streams have is refused.
  b.network.constants[0].blockBytes[0] += 1;
  EXPECT_FALSE(checkPlan(b.network, *plan, target).ok());
}

} // namespace
} // namespace sdopt
