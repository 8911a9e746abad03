// Plans of small networks: lifetimes, aliases, slices, errors, packed weights, determinism.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"
#include "tests/schedule/LayerZoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using testing::HasSubstr;

/// The 4-channel 3x3 convolution on a 1x8x6x4 picture.
Network runningExample() {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 8, 6, 4}, ElementType::I16, TensorRole::Input);
  const TensorId y = b.conv(x, 4, 3);
  b.network.tensors[y].role = TensorRole::Output;
  b.network.name = "example";
  return b.network;
}

void expectSound(const Network &network, const Target &target) {
  const absl::StatusOr<Plan> plan = planNetwork(network, target);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(checkPlan(network, *plan, target), absl::OkStatus());
  int64_t total = 0;
  const std::vector<int64_t> offsets = constantOffsets(network, *plan, total);
  const absl::StatusOr<Program> program = expand(network, *plan, target, offsets, total);
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_EQ(checkProgram(*program, target.sram.bytes), absl::OkStatus());
  EXPECT_EQ(checkDataflow(network, *plan, *program, offsets), absl::OkStatus());
}

TEST(Plan, RunningExample) {
  const Network network = runningExample();
  const absl::StatusOr<Plan> plan = planNetwork(network, smallTarget(64 * 1024));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const LayerCost &cost = plan->layers[0].cost;
  EXPECT_EQ(cost.dramReadBytes, 8 * 6 * 4 * 2 + 4 * 9 * 4 + 4 * 16);
  EXPECT_EQ(cost.dramWriteBytes, 8 * 6 * 4 * 2);
  EXPECT_EQ(cost.lowerBoundBytes, cost.dramReadBytes + cost.dramWriteBytes);
  EXPECT_EQ(plan->arenaBytes, 2 * 384);
  EXPECT_EQ(plan->arenaLowerBound, 2 * 384);
  EXPECT_EQ(multiplyAccumulates(network, network.layers[0]), 8 * 6 * 4 * 9 * 4);
}

TEST(Plan, RandomChainsWithViewsAndSlicesAreSound) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    NetworkBuilder b;
    const int64_t batch = 1 + random() % 2, h = 3 + random() % 6, w = 3 + random() % 5;
    const auto type = [&] { return random() % 2 ? ElementType::I8 : ElementType::I16; };
    std::vector<TensorId> pictures = {b.tensor(
        {batch, h, w, 8 + 8 * static_cast<int64_t>(random() % 4)}, type(), TensorRole::Input)};
    for (int layer = 0; layer < 12; ++layer) {
      const TensorId x = pictures[random() % pictures.size()];
      const int64_t c = b.dims(x)[3];
      switch (random() % 7) {
      case 0:
        pictures.push_back(b.conv(x, 8 + 8 * static_cast<int64_t>(random() % 6), 3, 1, type()));
        break;
      case 1:
        pictures.push_back(b.groupNorm(x, 4, type()));
        break;
      case 2:
        pictures.push_back(b.table(x, type()));
        break;
      case 3: {
        const TensorId other = pictures[random() % pictures.size()];
        pictures.push_back(b.combine(x, b.dims(other) == b.dims(x) ? other : x, type()));
        break;
      }
      case 4: { // concat
        const TensorId other = pictures[random() % pictures.size()];
        const TensorId y = b.tensor({batch, h, w, c + b.dims(other)[3]}, type());
        b.layer({x}, y, CombineLayer{});
        b.layer({other}, y, CombineLayer{.params = {}, .channelOffset = c});
        pictures.push_back(y);
        break;
      }
      case 5: { // tokens and back
        const TensorId tokens = b.tensor({batch, 1, h * w, c}, b.network.tensors[x].type);
        b.network.tensors[tokens].aliasOf = x;
        const TensorId q = b.linear(tokens, 24, type()), k = b.linear(tokens, 24, type());
        const TensorId y = b.linear(b.attention(q, k, k, 3), c, type());
        const TensorId picture = b.tensor({batch, h, w, c}, b.network.tensors[y].type);
        b.network.tensors[picture].aliasOf = y;
        pictures.push_back(picture);
        break;
      }
      default:
        pictures.push_back(b.layerNorm(x, type()));
      }
    }
    b.network.tensors[pictures.back()].role = TensorRole::Output;
    b.network.name = "chain";
    ASSERT_NO_FATAL_FAILURE(expectSound(b.network, smallTarget(int64_t{8192} << (random() % 4))));
    if (HasFailure())
      return;
  }
}

TEST(Plan, SamePlanTwice) {
  std::mt19937 random(9);
  for (int kind = 0; kind < kZooKinds; ++kind) {
    const Network network = randomLayer(kind, random);
    const auto a = planNetwork(network, smallTarget(16384)),
               b = planNetwork(network, smallTarget(16384));
    ASSERT_EQ(a.ok(), b.ok());
    if (a.ok()) {
      EXPECT_EQ(a->layers[0].tiling, b->layers[0].tiling);
    }
  }
}

TEST(Plan, CostOfAGivenTiling) {
  const Network network = runningExample();
  const Target target = smallTarget(64 * 1024);
  const absl::StatusOr<Plan> plan = planNetwork(network, target);
  ASSERT_TRUE(plan.ok());
  const LayerPlan &layer = plan->layers[0];
  const LayerCost cost = layerCost(network, network.layers[0], layer.tiling, target);
  EXPECT_EQ(cost.dramReadBytes, layer.cost.dramReadBytes);
  EXPECT_EQ(cost.sramBytes, layer.cost.sramBytes);
  EXPECT_EQ(cost.lowerBoundBytes, layer.cost.lowerBoundBytes);
  // A tiling that somebody wrote by hand: no crash here, refused there.
  Plan broken = *plan;
  broken.layers[0].tiling.height = 0;
  broken.layers[0].tiling.outputChannels = -5;
  broken.layers[0].cost = layerCost(network, network.layers[0], broken.layers[0].tiling, target);
  EXPECT_THAT(std::string(expand(network, broken, target, {0, 256}, 512).status().message()),
              HasSubstr("has tile size 0; needs at least 1"));
  EXPECT_FALSE(checkPlan(network, broken, target).ok());
}

TEST(Plan, SaysHowMuchSramWouldFit) {
  const Network network = runningExample();
  const absl::StatusOr<Plan> plan = planNetwork(network, smallTarget(128));
  ASSERT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
  const std::string message(plan.status().message());
  EXPECT_THAT(message, HasSubstr("layer 't1' (conv)"));
  EXPECT_THAT(message, HasSubstr("'t0' of 384 bytes"));
  EXPECT_THAT(message, HasSubstr("has 128, 192 too few; needs at least 320 bytes of SRAM"));
  EXPECT_TRUE(planNetwork(network, smallTarget(320)).ok());
  EXPECT_FALSE(planNetwork(network, smallTarget(319)).ok());
}

TEST(Plan, SaysHowMuchDramWouldFit) {
  Target target = smallTarget(64 * 1024);
  target.dram.bytes = 1000;
  const absl::Status status = planNetwork(runningExample(), target).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(HasSubstr("module 'example': "), HasSubstr("tensor 't"),
                             HasSubstr("of 384 bytes, ends at byte 768"),
                             HasSubstr("256 bytes of constants and 768 bytes of activations"),
                             HasSubstr("has 1000 bytes of DRAM, 24 too few; needs at least 1024")));
  target.dram.bytes = 1024;
  EXPECT_TRUE(planNetwork(runningExample(), target).ok());
  target.dram.bytes = 200;
  EXPECT_THAT(std::string(planNetwork(runningExample(), target).status().message()),
              testing::AllOf(HasSubstr("constant '"), HasSubstr("824 too few")));
}

TEST(Plan, RefusesNetworksThatDoNotFitTogether) {
  const auto message = [](auto change) {
    Network network = runningExample();
    change(network);
    return std::string(planNetwork(network, smallTarget(1 << 20)).status().message());
  };
  const auto matrix = [](Network &n) -> MatrixLayer & {
    return std::get<MatrixLayer>(n.layers[0].spec);
  };
  EXPECT_EQ(message([](Network &) {}), "");
  EXPECT_THAT(message([](Network &n) { n.tensors[0].dims[1] = 0; }), HasSubstr("dimension 0"));
  EXPECT_THAT(message([](Network &n) { n.tensors[0].dims = {1 << 24, 1 << 24, 1 << 24, 1}; }),
              HasSubstr("larger"));
  EXPECT_THAT(message([](Network &n) { n.tensors[0].aliasOf = 0; }), HasSubstr("alias of itself"));
  EXPECT_THAT(message([](Network &n) { n.tensors[0].aliasOf = 9; }), HasSubstr("tensor 9 of 2"));
  EXPECT_THAT(message([](Network &n) { n.tensors[1].aliasOf = 0; }), HasSubstr("writes over"));
  EXPECT_THAT(message([](Network &n) { n.tensors[0].type = ElementType::F32; }),
              HasSubstr("element type f32"));
  EXPECT_THAT(message([](Network &n) { n.layers[0].inputs[0] = -3; }), HasSubstr("tensor -3"));
  EXPECT_THAT(message([](Network &n) { n.layers[0].inputs.clear(); }), HasSubstr("0 inputs"));
  EXPECT_THAT(message([](Network &n) { n.tensors[0].role = TensorRole::Intermediate; }),
              HasSubstr("before it is made"));
  EXPECT_THAT(message([&](Network &n) { matrix(n).weights = 7; }), HasSubstr("constant 7"));
  EXPECT_THAT(message([&](Network &n) { matrix(n).weights = 1; }), HasSubstr("another kind"));
  EXPECT_THAT(message([&](Network &n) { n.constants[0].bytes = 3; }), HasSubstr("of 3 bytes"));
  EXPECT_THAT(message([&](Network &n) { matrix(n).strideH = 0; }), HasSubstr("stride"));
  EXPECT_THAT(message([&](Network &n) { matrix(n).padTop = 3; }), HasSubstr("padding"));
  EXPECT_THAT(message([&](Network &n) { n.tensors[1].dims[2] = 7; }), HasSubstr("width 7"));
  EXPECT_THAT(message([&](Network &n) { n.tensors[1].dims[0] = 2; }), HasSubstr("batch"));
}

TEST(Plan, WinogradNeedsItsWindowWeightsAndMultipliers) {
  const auto message = [](auto change) {
    NetworkBuilder b;
    const TensorId x = b.tensor({1, 8, 6, 4}, ElementType::I16, TensorRole::Input);
    b.network.tensors[b.winograd(x, 4)].role = TensorRole::Output;
    b.network.name = "example";
    Target target = smallTarget(64 * 1024);
    change(b, target);
    return std::string(planNetwork(b.network, target).status().message());
  };
  const auto matrix = [](NetworkBuilder &b) -> MatrixLayer & {
    return std::get<MatrixLayer>(b.network.layers[0].spec);
  };
  EXPECT_EQ(message([](NetworkBuilder &, Target &) {}), "");
  EXPECT_EQ(message([](NetworkBuilder &, Target &t) { t.array.multiplier = {10, 12}; }), "");
  const std::string place = "module 'example': layer 't1' ";
  for (MultiplierTarget narrow : {MultiplierTarget{9, 12}, {10, 11}, {8, 8}})
    EXPECT_EQ(message([&](NetworkBuilder &, Target &t) { t.array.multiplier = narrow; }),
              place + "needs multipliers of 10x12 for winograd; the target has " +
                  std::to_string(narrow.codes) + "x" + std::to_string(narrow.weights));
  EXPECT_EQ(message([&](NetworkBuilder &b, Target &) {
              matrix(b).strideH = 2;
              b.network.tensors[1].dims[1] = 4;
            }),
            place + "(conv) has a window of 3x3 with stride 2x1 and dilation 1x1; winograd needs "
                    "3x3 with 1x1 and 1x1");
  EXPECT_THAT(message([&](NetworkBuilder &b, Target &) {
                matrix(b).kernelHeight = 1;
                b.network.tensors[1].dims[1] = 10;
                b.network.constants[0].bytes /= 3;
              }),
              HasSubstr("padding 1+1"));
  EXPECT_EQ(message([&](NetworkBuilder &b, Target &) {
              b.network.constants[0].form.zeros = ZeroLayout::Bitmap;
            }),
            place + "(conv) skips zeros of constant 'c0'; winograd needs weights whose form tells "
                    "none");
  EXPECT_EQ(message([](NetworkBuilder &b, Target &) {
              b.network.constants[0].form.zeros = ZeroLayout::Runs;
            }),
            "");
  EXPECT_EQ(message([&](NetworkBuilder &b, Target &) {
              b.network.tensors[0].dims[3] = 3641;
              b.network.constants[0].bytes = 4 * 9 * 3641;
            }),
            place + "(conv) has 3641 input channels; winograd needs at most 3640");
}

// Two tilings of the same layer: the even one multiplies less.
TEST(Plan, WinogradCountsWholeTiles) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 12, 12, 64}, ElementType::I8, TensorRole::Input);
  b.winograd(x, 64);
  const Network &network = b.network;
  const Target target = smallTarget(1 << 20);
  EXPECT_EQ(4 * 12 * 12 * 64 * 64 * 9, 9 * multiplyAccumulates(network, network.layers[0]));
  const auto cycles = [&](int64_t height) {
    const Tiling tiling{.height = height, .width = 12, .outputChannels = 64, .inputChannels = 64};
    return layerCost(network, network.layers[0], tiling, target).computeCycles;
  };
  // 2 x 2 weight tiles for each of 16 positions; 6 tiles of 2x2 outputs across.
  const int64_t fill = 3 * 32 + 7;
  EXPECT_EQ(cycles(12), 64 * (36 + fill));
  EXPECT_EQ(cycles(6), 2 * 64 * (18 + fill));
  EXPECT_EQ(cycles(5), 2 * 64 * (18 + fill) + 64 * (6 + fill));
  const absl::StatusOr<Plan> plan = planNetwork(network, smallTarget(8 * 1024));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const Tiling &tiling = plan->layers[0].tiling;
  EXPECT_EQ(tiling.height % 2 + tiling.width % 2, 0) << tiling.height << " " << tiling.width;
}

TEST(Plan, TapWiseWinogradHasLimitsOfItsOwn) {
  const auto message = [](auto change) {
    NetworkBuilder b;
    const TensorId x = b.tensor({1, 8, 6, 4}, ElementType::I16, TensorRole::Input);
    b.network.tensors[b.tapWise(x, 4)].role = TensorRole::Output;
    b.network.name = "example";
    Target target = smallTarget(1 << 20);
    change(b, std::get<MatrixLayer>(b.network.layers[0].spec), target);
    return std::string(planNetwork(b.network, target).status().message());
  };
  EXPECT_EQ(message([](NetworkBuilder &, MatrixLayer &, Target &) {}), "");
  EXPECT_EQ(message([](NetworkBuilder &b, MatrixLayer &, Target &) {
              b.network.tensors[0].dims[3] = 3641;
              b.network.constants[0].bytes = 4 * 9 * 3641;
            }),
            "");
  EXPECT_EQ(
      message([](NetworkBuilder &, MatrixLayer &, Target &t) { t.array.multiplier = {10, 12}; }),
      "module 'example': layer 't1' needs multipliers of 11x12 for winograd; the target has "
      "10x12");
  EXPECT_THAT(message([](NetworkBuilder &, MatrixLayer &s, Target &) { s.taps.codes[3] = 16; }),
              HasSubstr("has a shift of 16; needs 0..15"));
  EXPECT_THAT(
      message([](NetworkBuilder &, MatrixLayer &s, Target &) { s.winograd = WinogradForm::F2x2; }),
      HasSubstr("has shifts of winograd of 4x4 outputs and is not done so"));
  EXPECT_THAT(message([](NetworkBuilder &b, MatrixLayer &, Target &) {
                b.network.constants[0].form.zeros = ZeroLayout::Bitmap;
              }),
              HasSubstr("winograd needs weights whose form tells none"));
}

TEST(Plan, TapWiseWinogradCountsWholeTiles) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 12, 12, 64}, ElementType::I8, TensorRole::Input);
  b.tapWise(x, 64);
  const Network &network = b.network;
  const Target target = smallTarget(1 << 20);
  EXPECT_EQ(multiplyAccumulates(network, network.layers[0]), 9 * 36 * 64 * 64);
  const auto cycles = [&](int64_t height) {
    const Tiling tiling{.height = height, .width = 12, .outputChannels = 64, .inputChannels = 64};
    return layerCost(network, network.layers[0], tiling, target).computeCycles;
  };
  // 2 x 2 weight tiles for each of 36 positions; 3 tiles of 4x4 outputs across.
  const int64_t fill = 3 * 32 + 11;
  EXPECT_EQ(cycles(12), 4 * 36 * (9 + fill));
  EXPECT_EQ(cycles(8), 4 * 36 * (6 + fill) + 4 * 36 * (3 + fill));
}

/// Cycles of a convolution of an h x w picture with as many input as output channels.
std::vector<std::optional<int64_t>> cyclesByForm(int64_t size, int64_t channels) {
  NetworkBuilder b;
  b.conv(b.tensor({1, size, size, channels}, ElementType::I8, TensorRole::Input), channels, 3, 1,
         ElementType::I8);
  const auto shape = std::get<MatrixShape>(shapeOf(b.network, b.network.layers[0]));
  Target target = smallTarget(1 << 20);
  target.dram.bandwidth = 1e12;
  target.vector.lanes = 4096;
  std::vector<std::optional<int64_t>> cycles;
  for (WinogradForm form : {WinogradForm::None, WinogradForm::F2x2, WinogradForm::F4x4})
    cycles.push_back(winogradCycles(shape, form, target));
  return cycles;
}

TEST(Plan, LargePicturesTakeLeastTimeTapWise) {
  const auto large = cyclesByForm(64, 128), small = cyclesByForm(8, 128);
  for (const auto *cycles : {&large, &small})
    ASSERT_TRUE((*cycles)[0] && (*cycles)[1] && (*cycles)[2]);
  EXPECT_LT(*large[1], *large[0]);
  EXPECT_LT(*large[2], *large[1]);
  // 4 tiles of 4x4 outputs do not fill the array.
  EXPECT_GT(*small[2], *small[1]);
}

// 16 tiles of outputs take as many cycles as 64 rows of weights do: 16 products for 9 of 64 pixels.
TEST(Plan, WhereWeightsBoundALayerWinogradPaysForBusyArraysOnly) {
  const absl::StatusOr<Target> target = loadTarget("mobile");
  ASSERT_TRUE(target.ok()) << target.status();
  const auto choiceOf = [&](int64_t size) {
    NetworkBuilder b;
    b.conv(b.tensor({1, size, size, 1280}, ElementType::I8, TensorRole::Input), 1280, 3, 1,
           ElementType::I8);
    return winogradChoice(b.network, b.network.layers[0], *target);
  };
  const WinogradChoice small = choiceOf(8), large = choiceOf(16);
  for (const WinogradChoice &choice : {small, large})
    ASSERT_TRUE(choice.direct && choice.winograd);
  EXPECT_EQ(*small.direct, *small.winograd);
  EXPECT_GT(small.winogradWork, small.directWork);
  EXPECT_FALSE(small.pays());
  EXPECT_LE(*large.winograd, *large.direct);
  EXPECT_LT(large.winogradWork, large.directWork);
  EXPECT_TRUE(large.pays());
}

TEST(Plan, SharedWeightsMustBeCutAlike) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 1, 2000, 64}, ElementType::I16, TensorRole::Input);
  const TensorId z = b.tensor({1, 1, 3, 64}, ElementType::I16, TensorRole::Input);
  b.network.tensors[b.linear(x, 512)].role = TensorRole::Output;
  b.network.tensors[b.linear(z, 512)].role = TensorRole::Output;
  auto &second = std::get<MatrixLayer>(b.network.layers[1].spec);
  second.weights = std::get<MatrixLayer>(b.network.layers[0].spec).weights;
  const absl::StatusOr<Plan> plan = planNetwork(b.network, smallTarget(24 * 1024));
  if (plan.ok()) {
    EXPECT_EQ(plan->layers[0].tiling.outputChannels, plan->layers[1].tiling.outputChannels);
    EXPECT_EQ(plan->layers[0].tiling.inputChannels, plan->layers[1].tiling.inputChannels);
  } else {
    EXPECT_THAT(std::string(plan.status().message()), HasSubstr("common weights"));
  }
}

TEST(WeightPacking, EveryCodeOnceInTileOrder) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 5, 4, 7}, ElementType::I16, TensorRole::Input);
  b.conv(x, 11, 3);
  const Layer &layer = b.network.layers[0];
  std::vector<int8_t> weights(11 * 9 * 7);
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<int8_t>(i * 37 + 1);
  for (int64_t outputs : {1, 4, 11})
    for (int64_t inputs : {1, 3, 7}) {
      Plan plan;
      plan.layers.resize(1);
      plan.layers[0].tiling = {.outputChannels = outputs, .inputChannels = inputs};
      const Tiling &tiling = plan.layers[0].tiling;
      const std::vector<std::byte> packed =
          packWeights(b.network, layer, tiling, {weights, {}, {}}).bytes;
      EXPECT_EQ(static_cast<int64_t>(packed.size()), packedBytes(b.network, plan, 0));
      int64_t codes = 0;
      for (const WeightBlock &block : weightBlocks(b.network, layer, tiling)) {
        EXPECT_EQ(block.offset % 16, 0);
        int64_t at = block.offset;
        for (int64_t o = 0; o < block.extent.outputs; ++o)
          for (int64_t tap = 0; tap < 9; ++tap)
            for (int64_t i = 0; i < block.extent.inputs; ++i, ++at, ++codes)
              ASSERT_EQ(static_cast<int8_t>(packed[at]),
                        weights[((block.firstOutput + o) * 9 + tap) * 7 + block.firstInput + i]);
        EXPECT_EQ(at, block.offset + block.bytes);
        for (; at % 16 != 0; ++at)
          EXPECT_EQ(packed[at], std::byte{0});
      }
      EXPECT_EQ(codes, 11 * 9 * 7);
    }
}

/// Blocks that cut groups repeat their parameters, and the plan counts every byte of them.
TEST(WeightPacking, BlocksOfGroupsStandAlone) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 5, 4, 70}, ElementType::I16, TensorRole::Input);
  b.conv(x, 11, 3);
  const Layer &layer = b.network.layers[0];
  WeightForm &form = b.network.constants[0].form;
  for (bool symmetric : {true, false})
    for (bool shared : {true, false}) {
      form = {WeightCoding::Grouped, 3, 32, symmetric, shared};
      const int64_t groupTaps = shared ? 1 : 9;
      std::vector<int8_t> codes(11 * 9 * 70), scales(11 * groupTaps * 3), zeros(scales.size());
      for (size_t i = 0; i < codes.size(); ++i)
        codes[i] = static_cast<int8_t>(i * 5 % 8) - 4;
      for (size_t i = 0; i < scales.size(); ++i) {
        scales[i] = static_cast<int8_t>(1 + i * 7 % 16);
        zeros[i] = static_cast<int8_t>(i * 3 % 8) - 4;
      }
      for (int64_t outputs : {4, 11})
        for (int64_t inputs : {16, 45, 70}) {
          Plan plan;
          plan.layers.resize(1);
          plan.layers[0].tiling = {.outputChannels = outputs, .inputChannels = inputs};
          const Tiling &tiling = plan.layers[0].tiling;
          const std::vector<std::byte> packed =
              packWeights(b.network, layer, tiling, {codes, scales, zeros}).bytes;
          EXPECT_EQ(static_cast<int64_t>(packed.size()), packedBytes(b.network, plan, 0));
          for (const WeightBlock &block : weightBlocks(b.network, layer, tiling)) {
            const WeightExtent &e = block.extent;
            std::vector<int8_t> weights(e.weights());
            const auto stream = std::span(packed).subspan(block.offset, block.bytes);
            ASSERT_TRUE(decodeWeights(form, e, stream, weights.data()));
            size_t at = 0;
            for (int64_t o = block.firstOutput; o < block.firstOutput + e.outputs; ++o)
              for (int64_t tap = 0; tap < 9; ++tap)
                for (int64_t i = block.firstInput; i < block.firstInput + e.inputs; ++i, ++at) {
                  const int64_t group = (o * groupTaps + (shared ? 0 : tap)) * 3 + i / 32;
                  ASSERT_EQ(weights[at],
                            decodedWeight(codes[(o * 9 + tap) * 70 + i],
                                          symmetric ? 0 : zeros[group], scales[group]));
                }
          }
        }
    }
}

TEST(TileSizes, FromOneToAll) {
  EXPECT_EQ(tileSizes(1), std::vector<int64_t>({1}));
  for (int64_t size : {2, 7, 64, 77, 320, 4096, 65537})
    for (int64_t granule : {1, 32}) {
      const std::vector<int64_t> sizes = tileSizes(size, granule);
      EXPECT_EQ(sizes.front(), 1);
      EXPECT_EQ(sizes.back(), size);
      EXPECT_LT(sizes.size(), 64u);
      for (size_t i = 1; i < sizes.size(); ++i) {
        EXPECT_GT(sizes[i], sizes[i - 1]);
        if (sizes[i] > granule && sizes[i] < size) {
          EXPECT_EQ(sizes[i] % granule, 0) << size;
        }
      }
    }
}

} // namespace
} // namespace sdopt
