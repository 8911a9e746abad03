// Layers that follow in the tiles of others: the codes are those of layers by themselves.

#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/Simulator.h"
#include "compiler/simulator/WholeLayers.h"
#include "tests/simulator/PlannedNetwork.h"
#include "tests/simulator/RandomParameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using test::pick;
using test::PlannedNetwork;
using test::RandomNetwork;
using testing::HasSubstr;

/// A convolution, linear layer or group norm, what may follow it, and sometimes another reader of
/// what it makes.
struct Chain : RandomNetwork {
  explicit Chain(std::mt19937 &random) {
    const int64_t batch = pick(random, 1, 2);
    const TensorId x =
        b.tensor({batch, pick(random, 1, 9), pick(random, 1, 7), 4 * pick(random, 1, 4)},
                 test::anyCode(random), TensorRole::Input);
    std::vector<TensorId> made = {lead(x, random)};
    for (int64_t i = pick(random, 1, 3); i > 0; --i)
      made.push_back(tail(made.back(), random));
    for (size_t i = 0, count = made.size(); i < count; ++i)
      if (b.dims(made[i]) == b.dims(made.back()) && random() % 4 == 0)
        made.push_back(b.combine(made[i], made.back(), test::anyCode(random)));
    if (random() % 3 == 0)
      made.push_back(concat(made.back(), random));
    b.network.tensors[made.back()].role = TensorRole::Output;
    finish(random);
  }

  TensorId lead(TensorId x, std::mt19937 &random) {
    const int64_t channels = 4 * pick(random, 1, 5);
    switch (random() % 5) {
    case 0:
      return b.groupNorm(x, 4, test::anyCode(random));
    case 4:
      return b.tapWise(x, channels, {1, 1, 1, 1}, test::anyCode(random));
    case 1:
      return b.linear(x, channels, test::anyCode(random));
    case 2:
      return b.conv(x, channels, 3, 2, test::anyCode(random));
    default:
      return b.conv(x, channels, 3, 1, test::anyCode(random));
    }
  }

  TensorId tail(TensorId x, std::mt19937 &random) {
    const auto d = b.dims(x);
    switch (random() % 7) {
    case 0:
      return b.table(x, test::anyCode(random));
    case 1:
      return b.combine(x, kNone, test::anyCode(random));
    case 2:
      return b.combine(x, b.tensor({d[0], 1, 1, d[3]}, test::anyCode(random), TensorRole::Input),
                       test::anyCode(random));
    case 3:
      return b.combine(b.tensor(d, test::anyCode(random), TensorRole::Input), x,
                       test::anyCode(random));
    case 4:
      return d[3] % 2 == 0 ? b.geglu(x, test::anyCode(random)) : b.table(x, test::anyCode(random));
    case 5:
      return b.layerNorm(x, test::anyCode(random));
    default:
      return b.combine(x, b.tensor(d, test::anyCode(random), TensorRole::Input),
                       test::anyCode(random));
    }
  }

  /// [x | another input] along the channels.
  TensorId concat(TensorId x, std::mt19937 &random) {
    auto d = b.dims(x);
    const int64_t split = d[3];
    const TensorId other = b.tensor(d, test::anyCode(random), TensorRole::Input);
    d[3] *= 2;
    const TensorId y = b.tensor(d, test::anyCode(random));
    b.layer({x}, y, CombineLayer{});
    b.layer({other}, y, CombineLayer{.params = {}, .channelOffset = split});
    return y;
  }
};

int64_t movedBytes(const Plan &plan) {
  int64_t bytes = 0;
  for (const LayerPlan &layer : plan.layers)
    bytes += layer.cost.dramReadBytes + layer.cost.dramWriteBytes;
  return bytes;
}

/// Other tiles for a group; false if it cannot be cut so.
bool recut(const Network &network, Plan &plan, const Target &target, std::mt19937 &random) {
  for (size_t lead = 0; lead < network.layers.size(); lead = groupEnd(plan, lead)) {
    Tiling t = plan.layers[lead].tiling;
    const auto &y = network.tensors[network.layers[lead].output].dims;
    const auto upTo = [&](int64_t size) { return 1 + static_cast<int64_t>(random() % size); };
    if (std::holds_alternative<MatrixLayer>(network.layers[lead].spec)) {
      const int64_t inputs = network.tensors[network.layers[lead].inputs[0]].dims[3];
      t = {.order = static_cast<LoopOrder>(random() % 3),
           .height = random() % 4 == 0 ? y[1] * upTo(y[0]) : upTo(y[1]),
           .width = upTo(y[2]),
           .outputChannels = random() % 2 ? y[3] : upTo(y[3]),
           .inputChannels = random() % 2 ? inputs : upTo(inputs),
           .buffers = upTo(4) + (random() % 2 ? kHaloKept : 0)};
      fitForm(network, network.layers[lead], t);
    } else if (const auto *norm = std::get_if<NormLayer>(&network.layers[lead].spec);
               norm && !norm->perRow) {
      t.height = upTo(y[1] * y[2]);
      t.outputChannels = y[3] / norm->groups * upTo(norm->groups);
      t.buffers = upTo(2);
      t.order = random() % 2 ? LoopOrder::InputResident : LoopOrder::OutputStationary;
    }
    for (size_t i = lead; i < groupEnd(plan, lead); ++i)
      plan.layers[i].tiling = t;
  }
  if (!joinProblem(network, plan).empty())
    return false;
  noteCosts(network, plan, target);
  return std::ranges::all_of(plan.layers, [&](const LayerPlan &layer) {
    return layer.cost.sramBytes <= target.sram.bytes;
  });
}

TEST(JoinedLayers, GiveTheCodesOfLayersByThemselves) {
  std::mt19937 random(7);
  int chains = 0, joined = 0, recuts = 0, wholes = 0, groups = 0;
  for (int round = 0; round < 150; ++round) {
    const Chain chain(random);
    const Target target = smallTarget(int64_t{4096} << (round % 5));
    const auto apart = planNetwork(chain.b.network, target, {.joins = false, .residents = false});
    const auto plan = planNetwork(chain.b.network, target, {.residents = false});
    if (!apart.ok())
      continue;
    ASSERT_TRUE(plan.ok()) << plan.status();
    SCOPED_TRACE(round);
    std::map<int32_t, Tensor> values, passed;
    const Tensor expected =
        PlannedNetwork(chain, *apart, target).run(chain, target, false, &values);
    const PlannedNetwork together(chain, *plan, target);
    EXPECT_TRUE(together.run(chain, target, false).sameBits(expected));
    EXPECT_TRUE(together.run(chain, target, true).sameBits(expected));
    for (bool whole : {false, true}) {
      EXPECT_TRUE(together.run(chain, target, whole, &passed).sameBits(expected));
      ASSERT_EQ(passed.size(), values.size());
      // Of a concatenation the first part is seen before the second has come.
      for (const auto &[layer, codes] : values)
        if (layer + 2 < static_cast<int32_t>(values.size())) {
          EXPECT_TRUE(passed.at(layer).sameBits(codes)) << layer;
        }
      passed.clear();
    }
    ++chains;
    for (const LayerPlan &layer : plan->layers)
      joined += layer.joined;
    for (const WholeLayer &whole : wholeLayers(together.module.info))
      wholes += !whole.tails.empty();
    for (size_t lead = 0; lead < plan->layers.size(); lead = groupEnd(*plan, lead))
      groups += groupEnd(*plan, lead) > lead + 1 &&
                std::holds_alternative<MatrixLayer>(chain.b.network.layers[lead].spec);
    EXPECT_LE(movedBytes(*plan), movedBytes(*apart));
    for (int i = 0; i < 4; ++i) {
      Plan other = *plan;
      if (!recut(chain.b.network, other, target, random))
        continue;
      ++recuts;
      const PlannedNetwork cut(chain, other, target);
      EXPECT_TRUE(cut.run(chain, target, false).sameBits(expected));
      EXPECT_TRUE(cut.run(chain, target, true).sameBits(expected));
    }
    if (HasFailure())
      return;
  }
  EXPECT_GT(chains, 90);
  EXPECT_GT(joined, 120);
  EXPECT_GT(recuts, 120);
  // Every one led by a matrix layer amounts to one product and what follows.
  EXPECT_GT(groups, 48);
  EXPECT_EQ(wholes, groups);
}

// What nothing else reads never goes to DRAM; what others read does.
TEST(JoinedLayers, StoreWhatOthersRead) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 8, 6, 4}, ElementType::I8, TensorRole::Input);
  const TensorId h = b.conv(x, 4, 3, 1, ElementType::I8);
  const TensorId sum = b.combine(h, x, ElementType::I8);
  const TensorId normed = b.layerNorm(sum, ElementType::I8);
  const TensorId y = b.combine(b.linear(normed, 4, ElementType::I8), sum, ElementType::I8);
  b.network.tensors[y].role = TensorRole::Output;
  b.network.name = "example";
  const auto plan = planNetwork(b.network, smallTarget(1 << 20), {.residents = false});
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::vector<bool> joined;
  std::vector<int64_t> written;
  for (const LayerPlan &layer : plan->layers) {
    joined.push_back(layer.joined);
    written.push_back(layer.cost.dramWriteBytes);
  }
  EXPECT_EQ(joined, (std::vector<bool>{false, true, true, false, true}));
  EXPECT_EQ(written, (std::vector<int64_t>{0, 192, 192, 0, 192}));
}

TEST(JoinedLayers, WrongGroupsAreErrors) {
  NetworkBuilder b;
  const TensorId x = b.tensor({1, 8, 6, 8}, ElementType::I8, TensorRole::Input);
  const TensorId h = b.conv(x, 8, 3, 1, ElementType::I8);
  const TensorId normed = b.layerNorm(h, ElementType::I8);
  const TensorId y = b.upsample(normed, 2, 2);
  b.network.tensors[y].role = TensorRole::Output;
  b.network.name = "example";
  const Target target = smallTarget(1 << 20);
  Plan plan = *planNetwork(b.network, target, {.joins = false, .residents = false});
  const auto problem = [&](size_t layer, auto change) {
    Plan wrong = plan;
    wrong.layers[layer].joined = true;
    wrong.layers[layer].tiling = wrong.layers[layer > 0 ? layer - 1 : 0].tiling;
    change(wrong);
    EXPECT_FALSE(checkPlan(b.network, wrong, target).ok());
    int64_t bytes = 0;
    const std::vector<int64_t> offsets = constantOffsets(b.network, wrong, bytes);
    return std::string(expand(b.network, wrong, target, offsets, bytes).status().message());
  };
  EXPECT_THAT(problem(0, [](Plan &) {}), HasSubstr("after its leader"));
  EXPECT_THAT(problem(1,
                      [](Plan &wrong) {
                        wrong.layers[0].tiling.outputChannels = 4;
                        wrong.layers[1].tiling.outputChannels = 4;
                      }),
              HasSubstr("takes whole rows; its leader makes tiles of 4 of 8 channels"));
  EXPECT_THAT(problem(2, [](Plan &) {}), HasSubstr("only matrix layers and group norms lead"));
}

} // namespace
} // namespace sdopt
