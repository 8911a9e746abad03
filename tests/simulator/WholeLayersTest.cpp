// Layers computed at once against their commands, also where the commands were damaged.

#include "compiler/simulator/WholeLayers.h"

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/Simulator.h"
#include "tests/package/SampleModule.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/simulator/DamagedCommands.h"

#include <cstring>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

constexpr int kConvolution = 0, kLinear = 1; ///< kinds of the zoo

/// A convolution or a linear layer, cut into tiles, with random constants and input.
struct TiledLayer {
  PackageModule module;
  std::vector<std::byte> constants;
  std::map<std::string, Tensor> inputs;
  Target target;

  TiledLayer(const Network &network, const Plan &plan, const Target &target, std::mt19937 &random)
      : target(target) {
    ModuleInfo &info = module.info;
    info.network = network;
    info.plan = plan;
    int64_t bytes = 0;
    info.constantOffsets = constantOffsets(network, plan, bytes);
    info.program = *expand(network, plan, target, info.constantOffsets, bytes);
    constants.resize(static_cast<size_t>(bytes));
    std::ranges::generate(constants, [&] { return static_cast<std::byte>(random()); });
    const auto &spec = std::get<MatrixLayer>(network.layers[0].spec);
    const uint32_t least = spec.winograd == WinogradForm::F4x4 ? 45 : 36;
    for (int64_t i = 0; i < network.constants[spec.params].bytes / int64_t(sizeof(ChannelParams));
         ++i) {
      const ChannelParams params = {static_cast<int64_t>(random() % 1000),
                                    static_cast<int32_t>((1 << 30) + random() % (1 << 30)),
                                    static_cast<int32_t>(least + random() % 8)};
      std::memcpy(constants.data() + info.constantOffsets[spec.params] +
                      i * int64_t(sizeof(params)),
                  &params, sizeof(params));
    }
    module.constants = constants;
    const TensorInfo &input = network.tensors[network.layers[0].inputs[0]];
    Tensor codes(input.type, {input.dims.begin(), input.dims.end()});
    std::generate_n(codes.mutableBytes(), codes.byteSize(),
                    [&] { return static_cast<std::byte>(random()); });
    inputs.emplace(input.name, codes);
  }

  absl::StatusOr<Tensor> run(bool wholeLayers) const {
    Simulator simulator(module, target);
    SimulatorOptions options;
    options.wholeLayers = wholeLayers;
    auto outputs = simulator.run(inputs, options);
    if (!outputs.ok())
      return outputs.status();
    return outputs->begin()->second;
  }
};

/// Calls work(layer) for random layers in every loop order, and in one that moves few bytes and
/// keeps rows that tiles share.
template <typename Work> void forTiledLayers(int kind, int rounds, Work work) {
  std::mt19937 random(kind);
  for (int round = 0; round < rounds; ++round) {
    const Network network = randomLayer(kind, random);
    const Target target = smallTarget(int64_t{2048} << (round % 5));
    const auto plan = planNetwork(network, target);
    if (!plan.ok())
      continue;
    const LayerShape shape = shapeOf(network, network.layers[0]);
    std::vector<SearchOptions> searches = {{.objective = Objective::Traffic}};
    for (LoopOrder order :
         {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary})
      searches.push_back({.order = order});
    for (const SearchOptions &options : searches) {
      const TileChoice choice = searchTiles(shape, target, options);
      if (!choice.plan)
        continue;
      Plan other = *plan;
      other.layers[0] = *choice.plan;
      work(TiledLayer(network, other, target, random));
      Tiling &tiling = other.layers[0].tiling;
      tiling.buffers = bufferLevel(tiling) + kHaloKept;
      const int64_t rows = network.tensors[network.layers[0].output].dims[1];
      tiling.height = 1 + static_cast<int64_t>(random() % std::min(tiling.height, rows));
      fitForm(network, network.layers[0], tiling);
      const LayerCost cost = layerCost(network, network.layers[0], tiling, target);
      other.layers[0].cost = cost;
      if (cost.sramBytes <= target.sram.bytes)
        work(TiledLayer(network, other, target, random));
    }
  }
}

class WholeLayers : public testing::TestWithParam<int> {};

TEST_P(WholeLayers, EveryTilingIsOneProduct) {
  int layers = 0, tiled = 0;
  forTiledLayers(GetParam(), 16, [&](const TiledLayer &layer) {
    const auto whole = wholeLayers(layer.module.info);
    ASSERT_EQ(whole.size(), 1);
    EXPECT_EQ(whole[0].first, 0);
    EXPECT_EQ(whole[0].last, layer.module.info.program.commands.size());
    const auto expected = layer.run(false), found = layer.run(true);
    ASSERT_TRUE(expected.ok() && found.ok()) << expected.status() << found.status();
    EXPECT_TRUE(found->sameBits(*expected));
    ++layers;
    tiled += whole[0].weights.size() > 1;
  });
  EXPECT_GT(layers, 40);
  EXPECT_GT(tiled, 10);
}

// One bit of the commands is another one: what still passes for one product gives what the commands
// give.
TEST_P(WholeLayers, DamagedCommandsAreNotMistaken) {
  std::mt19937 random(GetParam());
  int others = 0, products = 0;
  // Most bits of commands by F(4x4, 3x3) are shifts, any of which will do.
  const int damages = GetParam() == kZooTapWise ? 100 : 400;
  forTiledLayers(GetParam(), 4, [&](TiledLayer layer) {
    const auto original = layer.run(false);
    ASSERT_TRUE(original.ok());
    Program &program = layer.module.info.program;
    const Program intact = program;
    for (int i = 0; i < damages; ++i) {
      auto commands = test::damagedCommands(intact, layer.target.sram.bytes, random);
      if (!commands)
        continue;
      program.commands = *std::move(commands);
      const auto expected = layer.run(false), found = layer.run(true);
      ASSERT_EQ(expected.ok(), found.ok()) << expected.status() << found.status();
      if (!expected.ok())
        continue;
      ASSERT_TRUE(found->sameBits(*expected)) << "damage " << i;
      others += !expected->sameBits(*original);
      products += wholeLayers(layer.module.info).size();
    }
  });
  EXPECT_GT(others, 100);
  EXPECT_GT(products, 100);
}

INSTANTIATE_TEST_SUITE_P(Kinds, WholeLayers,
                         testing::Values(kConvolution, kLinear, kZooWinograd, kZooTapWise));

// Tiles that transform other codes together make other sums than the whole layer, and a ring cuts
// what has to be transformed at once.
TEST(WholeLayers, RoundedTilesAreThoseOfTheWhole) {
  NetworkBuilder b;
  b.network.tensors[b.tapWise(b.tensor({2, 14, 9, 5}, ElementType::I8, TensorRole::Input), 6)]
      .role = TensorRole::Output;
  b.network.name = "window";
  Network &network = b.network;
  auto &spec = std::get<MatrixLayer>(network.layers[0].spec);
  const MatrixLayer tapWise = spec;
  const Target target = smallTarget(128 * 1024);
  const auto count = [&](int64_t height, int64_t width, int64_t buffers = 2) {
    std::mt19937 random(3);
    spec.winograd = WinogradForm::None;
    spec.taps = {};
    Plan plan = *planNetwork(network, target);
    Tiling &t = plan.layers[0].tiling;
    t = {.height = height,
         .width = width,
         .outputChannels = 6,
         .inputChannels = 5,
         .buffers = buffers};
    plan.layers[0].cost = layerCost(network, network.layers[0], t, target);
    TiledLayer layer(network, plan, target, random);
    spec = tapWise;
    layer.module.info.network = network;
    for (Command &command : layer.module.info.program.commands)
      if (auto *conv = std::get_if<ConvCommand>(&command.args)) {
        conv->winograd = tapWise.winograd;
        conv->taps = tapWise.taps;
      }
    const auto expected = layer.run(false), found = layer.run(true);
    EXPECT_TRUE(expected.ok() && found.ok()) << expected.status() << found.status();
    EXPECT_TRUE(found->sameBits(*expected));
    return wholeLayers(layer.module.info).size();
  };
  EXPECT_EQ(count(8, 4), 1u);
  EXPECT_EQ(count(14, 9), 1u);
  EXPECT_EQ(count(6, 9), 0u);
  EXPECT_EQ(count(14, 5), 0u);
  EXPECT_EQ(count(4, 9, 2 + kHaloKept), 0u);
}

TEST(WholeLayers, BytesThatAnotherLayerReads) {
  ModuleInfo info = test::sampleModule();
  EXPECT_EQ(wholeLayers(info).size(), 1);
  // The next layer stores what this one has left in SRAM.
  info.network.layers.push_back(info.network.layers[0]);
  info.plan.layers.push_back(info.plan.layers[0]);
  Command store = info.program.commands.back();
  ASSERT_TRUE(std::holds_alternative<DmaStore>(store.args));
  store.layer = 1;
  info.program.commands.push_back(store);
  EXPECT_TRUE(wholeLayers(info).empty());
}

TEST(WholeLayers, OutputsOverInputsAreLeftToTheCommands) {
  ModuleInfo info = test::sampleModule();
  const Layer &layer = info.network.layers[0];
  const int64_t shift = info.plan.offsets[layer.inputs[0]] - info.plan.offsets[layer.output];
  info.plan.offsets[layer.output] += shift;
  std::get<DmaStore>(info.program.commands.back().args).dram += shift;
  EXPECT_TRUE(wholeLayers(info).empty());
}

} // namespace
} // namespace sdopt
