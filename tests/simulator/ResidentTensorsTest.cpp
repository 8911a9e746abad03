// Results that stay in SRAM: the codes are those of layers that all go through DRAM.

#include "compiler/schedule/ResidentTensors.h"

#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/WholeLayers.h"
#include "tests/simulator/DamagedCommands.h"
#include "tests/simulator/PlannedNetwork.h"
#include "tests/simulator/RandomParameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>

namespace sdopt {
namespace {

using test::pick;
using test::PlannedNetwork;
using test::RandomNetwork;
using testing::HasSubstr;

/// Blocks of a diffusion model with other sizes: residuals and attention on a picture, or on its
/// view as tokens, whose inputs are added again later.
struct Blocks : RandomNetwork {
  explicit Blocks(std::mt19937 &random) {
    const std::array<int64_t, 5> heights = {1, 2, 5, 7, 8}, channels = {6, 13, 16, 32, 48};
    TensorId h = b.tensor(
        {pick(random, 1, 2), heights[random() % 5], heights[random() % 5], channels[random() % 5]},
        test::anyCode(random), TensorRole::Input);
    std::vector<TensorId> skips;
    for (int64_t i = pick(random, 2, 4); i > 0; --i) {
      skips.push_back(h);
      h = random() % 2 ? residual(h, random) : transformer(h, random);
    }
    for (TensorId skip : skips)
      if (b.dims(skip) == b.dims(h) && random() % 2)
        h = b.combine(skip, h, test::anyCode(random));
    if (random() % 3 == 0)
      h = b.conv(b.upsample(h, 2, 2), 4, 3, 1, test::anyCode(random));
    b.network.tensors[h].role = TensorRole::Output;
    finish(random);
  }

  TensorId norm(TensorId x, std::mt19937 &random) {
    const int64_t channels = b.dims(x)[3];
    return b.groupNorm(x, channels % 4 == 0 ? 4 : 1, test::anyCode(random));
  }

  TensorId residual(TensorId x, std::mt19937 &random) {
    const std::array<int64_t, 4> channels = {8, 11, 32, b.dims(x)[3]};
    const int64_t width = channels[random() % 4];
    TensorId h = b.table(norm(x, random), test::anyCode(random));
    h = b.conv(h, width, 3, random() % 4 == 0 ? 2 : 1, test::anyCode(random));
    h = norm(h, random);
    switch (random() % 4) {
    case 0:
      h = b.conv(h, width, 3, 1, test::anyCode(random));
      break;
    case 1:
      h = b.tapWise(h, width, {1, 1, 1, 1}, test::anyCode(random));
      break;
    default:
      h = b.winograd(h, width, {1, 1, 1, 1}, test::anyCode(random));
    }
    return b.dims(h) == b.dims(x) ? b.combine(h, x, test::anyCode(random)) : h;
  }

  TensorId view(TensorId x, std::array<int64_t, 4> dims) {
    const TensorId y = b.tensor(dims, b.network.tensors[x].type);
    b.network.tensors[y].aliasOf = x;
    return y;
  }

  TensorId transformer(TensorId x, std::mt19937 &random) {
    const auto d = b.dims(x);
    const int64_t heads = d[3] % 4 == 0 ? pick(random, 1, 2) : 1;
    TensorId h =
        b.linear(view(norm(x, random), {d[0], 1, d[1] * d[2], d[3]}), d[3], test::anyCode(random));
    const TensorId n = b.layerNorm(h, test::anyCode(random));
    const auto project = [&] { return b.linear(n, d[3], test::anyCode(random)); };
    const TensorId q = project(), k = project(), v = project();
    h = b.combine(h, b.linear(b.attention(q, k, v, heads), d[3], test::anyCode(random)),
                  test::anyCode(random));
    const TensorId gated =
        b.geglu(b.linear(b.layerNorm(h, test::anyCode(random)), 8, test::anyCode(random)),
                test::anyCode(random));
    h = b.combine(h, b.linear(gated, d[3], test::anyCode(random)), test::anyCode(random));
    return random() % 2 ? view(h, d) : h;
  }
};

int64_t movedBytes(const Plan &plan) {
  int64_t bytes = 0;
  for (const LayerPlan &layer : plan.layers)
    bytes += layer.cost.dramReadBytes + layer.cost.dramWriteBytes;
  return bytes;
}

TEST(ResidentTensors, GiveTheCodesOfLayersThroughDram) {
  std::mt19937 random(11);
  int networks = 0, residents = 0, spilled = 0, cut = 0, nowhere = 0, partsOfRows = 0,
      headsTogether = 0;
  size_t wholes = 0, groups = 0;
  std::set<std::string> makers, readers;
  for (int round = 0; round < 120; ++round) {
    const Blocks blocks(random);
    const Network &network = blocks.b.network;
    const Target target = smallTarget(int64_t{1536} << (round % 6));
    const bool joins = round % 4 != 0;
    const auto apart = planNetwork(network, target, {.joins = false, .residents = false});
    if (!apart.ok())
      continue;
    const auto through = planNetwork(network, target, {.joins = joins, .residents = false});
    const auto plan = planNetwork(network, target, {.joins = joins});
    ASSERT_TRUE(through.ok() && plan.ok()) << through.status() << plan.status();
    SCOPED_TRACE(round);
    std::map<int32_t, Tensor> values, passed;
    const Tensor expected =
        PlannedNetwork(blocks, *apart, target).run(blocks, target, false, &values);
    const PlannedNetwork together(blocks, *plan, target);
    for (bool whole : {false, true}) {
      EXPECT_TRUE(together.run(blocks, target, whole).sameBits(expected));
      EXPECT_TRUE(together.run(blocks, target, whole, &passed).sameBits(expected));
      ASSERT_EQ(passed.size(), values.size());
      for (const auto &[layer, codes] : values)
        EXPECT_TRUE(passed.at(layer).sameBits(codes)) << network.layers[layer].name;
      passed.clear();
    }
    ++networks;
    EXPECT_LE(movedBytes(*plan), movedBytes(*through) * 17 / 16);
    wholes += wholeLayers(together.module.info).size();
    for (size_t lead = 0; lead < plan->layers.size(); lead = groupEnd(*plan, lead))
      groups += std::holds_alternative<MatrixLayer>(network.layers[lead].spec);
    const ResidentTensors places(network, *plan);
    for (size_t i = 0; i < network.layers.size(); ++i) {
      nowhere += plan->offsets[network.layers[i].output] == kNowhere;
      if (const LayerShape shape = shapeOf(network, network.layers[i]);
          const auto *attention = std::get_if<AttentionShape>(&shape))
        headsTogether += plan->layers[i].tiling.outputChannels > attention->headDim;
      if (const SramPlace *place = places.ofResult(i)) {
        ++residents;
        spilled += places.isStored(i);
        cut += place->channels < network.tensors[network.layers[i].output].dims[3];
        makers.insert(kindName(network.layers[i]));
      }
      for (size_t k = 0; k < network.layers[i].inputs.size(); ++k)
        if (places.ofInput(i, k)) {
          readers.insert(kindName(network.layers[i]));
          partsOfRows +=
              std::holds_alternative<MatrixLayer>(network.layers[i].spec) &&
              plan->layers[i].tiling.width < network.tensors[network.layers[i].output].dims[2];
        }
    }
    if (HasFailure())
      return;
  }
  EXPECT_GT(networks, 60);
  EXPECT_GT(residents, 300);
  EXPECT_GT(spilled, 5);
  EXPECT_GT(cut, 20);
  EXPECT_GT(partsOfRows, 5);
  EXPECT_GT(headsTogether, 5);
  EXPECT_GT(nowhere, 300);
  EXPECT_EQ(wholes, groups); // every one led by a matrix layer amounts to one product
  for (const char *kind :
       {"conv", "linear", "group_norm", "layer_norm", "table", "combine", "attention"}) {
    EXPECT_TRUE(makers.contains(kind)) << kind;
    EXPECT_TRUE(readers.contains(kind)) << kind;
  }
  EXPECT_TRUE(readers.contains("upsample"));
}

// One bit of the commands is another one: layers that still pass for one product leave what their
// commands leave.
TEST(ResidentTensors, DamagedCommandsAreNotMistaken) {
  std::mt19937 random(5);
  int others = 0, products = 0;
  for (int round = 0; round < 40; ++round) {
    const Blocks blocks(random);
    const Target target = smallTarget(int64_t{1536} << (round % 6));
    const auto plan = planNetwork(blocks.b.network, target);
    if (!plan.ok())
      continue;
    SCOPED_TRACE(round);
    PlannedNetwork planned(blocks, *plan, target);
    Program &program = planned.module.info.program;
    const Program intact = program;
    const Tensor expected = planned.run(blocks, target, false);
    const size_t wholes = wholeLayers(planned.module.info).size();
    for (int i = 0; i < 200; ++i) {
      auto commands = test::damagedCommands(intact, target.sram.bytes, random);
      if (!commands)
        continue;
      program.commands = *std::move(commands);
      const auto run = [&](bool whole) {
        SimulatorOptions options;
        options.wholeLayers = whole;
        return Simulator(planned.module, target).run(blocks.inputs, options);
      };
      const auto tiles = run(false), found = run(true);
      ASSERT_EQ(tiles.ok(), found.ok()) << tiles.status() << found.status();
      if (!tiles.ok())
        continue;
      ASSERT_TRUE(found->begin()->second.sameBits(tiles->begin()->second)) << "damage " << i;
      others += !tiles->begin()->second.sameBits(expected);
      products += wholeLayers(planned.module.info).size() == wholes;
    }
  }
  EXPECT_GT(others, 100);
  EXPECT_GT(products, 100);
}

/// conv -> table -> conv and conv -> conv, added: all in SRAM but for the ends.
struct Example {
  NetworkBuilder b;
  Target target = smallTarget(1 << 16);
  Plan plan;

  Example() {
    const TensorId x = b.tensor({1, 8, 6, 4}, ElementType::I16, TensorRole::Input);
    const TensorId h = b.conv(x, 8, 3), t = b.table(h), u = b.conv(t, 4, 3);
    b.network.tensors[b.combine(u, b.conv(h, 4, 1), ElementType::I16)].role = TensorRole::Output;
    b.network.name = "example";
    plan = *planNetwork(b.network, target, {.joins = false});
  }
  std::string checked(const Plan &wrong) const {
    return std::string(checkPlan(b.network, wrong, target).message());
  }
  std::string expanded(const Plan &wrong) const {
    int64_t bytes = 0;
    const std::vector<int64_t> offsets = constantOffsets(b.network, wrong, bytes);
    return std::string(expand(b.network, wrong, target, offsets, bytes).status().message());
  }
};

TEST(ResidentTensors, StayUntilTheirLastReader) {
  const Example example;
  std::vector<int64_t> written;
  for (const LayerPlan &layer : example.plan.layers)
    written.push_back(layer.cost.dramWriteBytes);
  EXPECT_EQ(written, (std::vector<int64_t>{0, 0, 0, 0, 384}));
  EXPECT_EQ(example.plan.layers[0].resident.readers, 2);
  EXPECT_EQ(example.plan.arenaBytes, 384); // of the input, then of the output
}

TEST(ResidentTensors, WrongPlacesAreErrors) {
  const Example example;
  const auto problems = [&](size_t layer, auto change) {
    Plan wrong = example.plan;
    change(wrong.layers[layer].resident);
    return std::pair(example.checked(wrong), example.expanded(wrong));
  };
  const auto expect = [&](size_t layer, auto change, const char *checked, const char *expanded) {
    const auto [a, b] = problems(layer, change);
    EXPECT_THAT(a, HasSubstr(checked));
    EXPECT_THAT(b, HasSubstr(expanded));
  };
  EXPECT_EQ(problems(0, [](SramPlace &) {}), std::pair(std::string(), std::string()));
  const int64_t first = example.plan.layers[0].resident.offset;
  expect(1, [&](SramPlace &p) { p.offset = first; }, "resident in the same bytes", "where '");
  expect(0, [](SramPlace &p) { p.offset = 1 << 16; }, "SRAM has 65536 bytes", "there are 65536");
  expect(0, [](SramPlace &p) { p.offset += 2; }, "lies at", "of SRAM");
  expect(0, [](SramPlace &p) { p.channels = 3; }, "in blocks of 3 channels", "it has 8");
  expect(0, [](SramPlace &p) { p.channels = 4; }, "has tiles of 8 channels", "its tiles are not");
  expect(0, [](SramPlace &p) { p.readers = 3; }, "has 3 readers of 2", "for 3 readers of 2");
  // The other reader would load what nobody stores.
  EXPECT_NE(problems(0, [](SramPlace &p) { p.readers = 1; }).first, "");
  EXPECT_NE(problems(0, [](SramPlace &p) { p = {}; }).first, "");
}

// The commands of one plan are not those of another: each place where a byte may lie wrong.
TEST(ResidentTensors, DataflowFindsCommandsOfOtherPlaces) {
  const Example example;
  int64_t bytes = 0;
  const std::vector<int64_t> offsets = constantOffsets(example.b.network, example.plan, bytes);
  const Program program = *expand(example.b.network, example.plan, example.target, offsets, bytes);
  const auto problem = [&](auto change) {
    Plan wrong = example.plan;
    change(wrong);
    return std::string(checkDataflow(example.b.network, wrong, program, offsets).message());
  };
  EXPECT_EQ(problem([](Plan &) {}), "");
  EXPECT_THAT(problem([](Plan &p) { p.layers[0].resident.readers = 1; }),
              HasSubstr("of sram, which are of layer"));
  EXPECT_THAT(problem([](Plan &p) { p.layers[0].resident = {}; }),
              HasSubstr("of sram, which are of layer"));
  EXPECT_NE(problem([](Plan &p) { p.layers[0].resident.offset += 64; }), "");
}

} // namespace
} // namespace sdopt
