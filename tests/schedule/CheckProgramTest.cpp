// Planted faults: the validators must find each.

#include "compiler/schedule/Synchronize.h"
#include "compiler/schedule/TileSearch.h"
#include "tests/schedule/LayerZoo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using testing::HasSubstr;

/// conv -> group norm -> table -> attention-free tail, cut into several tiles.
struct Case {
  Network network;
  Target target = smallTarget(12 * 1024);
  Plan plan;
  std::vector<int64_t> offsets;
  Program program;

  Case() {
    NetworkBuilder b;
    const TensorId x = b.tensor({2, 11, 7, 24}, ElementType::I16, TensorRole::Input);
    const TensorId c = b.conv(x, 40, 3);
    const TensorId n = b.groupNorm(c, 8);
    const TensorId t = b.table(n);
    const TensorId s = b.conv(t, 24, 3);
    const TensorId y = b.combine(s, x);
    b.network.tensors[y].role = TensorRole::Output;
    b.network.name = "case";
    network = b.network;
    plan = *planNetwork(network, target, {.residents = false});
    int64_t total = 0;
    offsets = constantOffsets(network, plan, total);
    program = *expand(network, plan, target, offsets, total);
  }
  absl::Status check() const { return checkProgram(program, target.sram.bytes); }
  template <typename T> std::vector<size_t> all() const {
    std::vector<size_t> found;
    for (size_t i = 0; i < program.commands.size(); ++i)
      if (std::holds_alternative<T>(program.commands[i].args))
        found.push_back(i);
    return found;
  }
  template <typename T> T &args(size_t i) { return std::get<T>(program.commands[i].args); }
};

TEST(CheckProgram, AcceptsWhatExpandMakes) {
  const Case c;
  EXPECT_GT(c.all<ConvCommand>().size(), 4u);
  EXPECT_EQ(c.check(), absl::OkStatus());
  EXPECT_EQ(checkDataflow(c.network, c.plan, c.program, c.offsets), absl::OkStatus());
}

TEST(CheckProgram, FindsEveryDroppedToken) {
  const Case sound;
  int found = 0, dropped = 0;
  for (size_t i = 0; i < sound.program.commands.size(); ++i)
    for (int q = 0; q < kQueues; ++q) {
      if (sound.program.commands[i].signals[q] == 0)
        continue;
      Case c = sound;
      --c.program.commands[i].signals[q];
      ++dropped;
      found += !c.check().ok();
    }
  EXPECT_GT(dropped, 20);
  EXPECT_EQ(found, dropped);
}

TEST(CheckProgram, FindsEveryDroppedWait) {
  const Case sound;
  int missed = 0, dropped = 0;
  for (size_t i = 0; i < sound.program.commands.size(); ++i)
    for (int q = 0; q < kQueues; ++q) {
      if (sound.program.commands[i].waits[q] == 0)
        continue;
      Case c = sound;
      --c.program.commands[i].waits[q];
      ++dropped;
      missed += c.check().ok();
    }
  EXPECT_GT(dropped, 20);
  EXPECT_EQ(missed, 0);
}

TEST(CheckProgram, FindsDeadlock) {
  Case c;
  ++c.program.commands.back().waits[0];
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("waits forever"));
}

TEST(CheckProgram, FindsTokensFromLaterCommands) {
  // Fine on the queues, wrong in program order.
  Case c;
  const size_t first = c.all<ConvCommand>().front();
  for (size_t i = first; i > 0; --i)
    if (c.program.commands[i - 1].queue == Queue::DmaIn && c.program.commands[first].waits[0] > 0) {
      std::swap(c.program.commands[first], c.program.commands[i - 1]);
      break;
    }
  EXPECT_FALSE(c.check().ok());
}

TEST(CheckProgram, FindsShiftedAddresses) {
  const Case sound;
  for (int64_t shift : {-64, 64, 1 << 20}) {
    Case c = sound;
    c.args<ConvCommand>(c.all<ConvCommand>()[1]).accumulator += shift;
    EXPECT_FALSE(c.check().ok()) << shift;
  }
  Case c = sound;
  c.args<RequantizeCommand>(c.all<RequantizeCommand>()[0]).accumulator += 4;
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("aligned"));
  c = sound;
  c.args<DmaStore>(c.all<DmaStore>().back()).dram = c.program.arenaBytes;
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("leaves"));
  c = sound;
  c.args<DmaStore>(c.all<DmaStore>().back()).dram = INT64_MAX - 5;
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("leaves"));
  c = sound;
  c.args<DmaLoad>(c.all<DmaLoad>()[0]).sram = -64;
  EXPECT_FALSE(c.check().ok());
}

TEST(CheckProgram, FindsReadsOfUnwrittenSram) {
  Case c;
  c.program.commands.erase(c.program.commands.begin());
  EXPECT_FALSE(c.check().ok());
}

TEST(CheckProgram, FindsSumsThatNobodyMade) {
  Case c;
  auto &conv = c.args<ConvCommand>(c.all<ConvCommand>()[0]);
  ASSERT_TRUE(conv.clear);
  conv.clear = false;
  EXPECT_FALSE(c.check().ok());
}

TEST(CheckProgram, FindsBadFields) {
  const Case sound;
  const size_t conv = sound.all<ConvCommand>()[0];
  const auto expectBad = [&](auto change) {
    Case c = sound;
    change(c);
    EXPECT_FALSE(c.check().ok());
  };
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MAX, int64_t{1} << 40}) {
    expectBad([&](Case &c) { c.args<ConvCommand>(conv).tile.outputChannels = bad; });
    expectBad([&](Case &c) { c.args<ConvCommand>(conv).tile.inputHeight = bad; });
    expectBad([&](Case &c) { c.args<ConvCommand>(conv).tile.strideH = bad; });
    expectBad([&](Case &c) { c.args<ConvCommand>(conv).tile.kernelWidth = bad; });
    expectBad([&](Case &c) { c.args<DmaLoad>(c.all<DmaLoad>()[0]).shape.runBytes = bad; });
    expectBad([&](Case &c) { c.args<DmaLoad>(c.all<DmaLoad>()[0]).shape.counts[1] = bad; });
    expectBad([&](Case &c) { c.args<TableCommand>(c.all<TableCommand>()[0]).count = bad; });
    expectBad([&](Case &c) {
      c.args<NormSumsCommand>(c.all<NormSumsCommand>()[0]).channelsPerGroup = bad;
    });
  }
  expectBad([&](Case &c) { c.args<ConvCommand>(conv).tile.padTop = -1; });
  expectBad([&](Case &c) { c.args<ConvCommand>(conv).inputFormat.zeroPoint = 3; });
  expectBad([&](Case &c) { c.args<ConvCommand>(conv).inputFormat.type = ElementType::F32; });
  expectBad([&](Case &c) { c.program.commands[conv].queue = Queue::Vector; });
  expectBad([&](Case &c) { c.program.commands[conv].queue = static_cast<Queue>(9); });
  expectBad([&](Case &c) { c.program.commands[conv].layer = -1; });
  expectBad([&](Case &c) {
    c.args<CombineCommand>(c.all<CombineCommand>()[0]).params.scaling.shift = 0;
  });
  expectBad([&](Case &c) {
    auto &shape = c.args<DmaStore>(c.all<DmaStore>()[0]).shape;
    shape.counts = {1 << 30, 1 << 30, 1 << 30};
    shape.dramStrides = {INT64_MAX, INT64_MAX, INT64_MAX};
  });
  expectBad([&](Case &c) { c.program.sramBytes = c.target.sram.bytes + 1; });
  expectBad([&](Case &c) { c.program.arenaBytes = -1; });
}

TEST(CheckProgram, FindsWindowsThatWinogradHasNot) {
  const Case sound;
  const size_t conv = sound.all<ConvCommand>()[0];
  const auto check = [&](WinogradForm winograd, auto change) {
    Case c = sound;
    c.args<ConvCommand>(conv).winograd = winograd;
    change(c.args<ConvCommand>(conv).tile);
    return c.check();
  };
  EXPECT_EQ(check(WinogradForm::F2x2, [](ConvTile &) {}), absl::OkStatus());
  const auto expectBad = [&](auto change) {
    EXPECT_EQ(check(WinogradForm::None, change), absl::OkStatus());
    EXPECT_THAT(std::string(check(WinogradForm::F2x2, change).message()),
                HasSubstr("3x3 of stride"));
  };
  expectBad([](ConvTile &t) { t.kernelWidth = 1; });
  expectBad([](ConvTile &t) { t.strideW = 2; });
  expectBad([](ConvTile &t) { t.dilationH = 2; });
  EXPECT_THAT(
      std::string(check(WinogradForm::F2x2, [](ConvTile &t) { t.inputChannels = 3641; }).message()),
      HasSubstr("transforms 3641 input channels; sums of 32 bits need 1..3640"));
}

/// A convolution whose weights are stored in groups.
Program groupedProgram(Network &network, Plan &plan, std::vector<int64_t> &offsets) {
  NetworkBuilder b;
  b.network.tensors[b.conv(b.tensor({1, 8, 6, 40}, ElementType::I16, TensorRole::Input), 12, 3)]
      .role = TensorRole::Output;
  b.network.constants[0].form = {WeightCoding::Grouped, 4, 32, true, false};
  network = b.network;
  const Target target = smallTarget(16384);
  plan = *planNetwork(network, target);
  EXPECT_TRUE(checkPlan(network, plan, target).ok()) << checkPlan(network, plan, target);
  int64_t bytes = 0;
  offsets = constantOffsets(network, plan, bytes);
  return *expand(network, plan, target, offsets, bytes);
}

TEST(CheckProgram, FindsBadWeightStreams) {
  Network network;
  Plan plan;
  std::vector<int64_t> offsets;
  const Program sound = groupedProgram(network, plan, offsets);
  const auto good = [&](auto change) {
    Program program = sound;
    for (Command &command : program.commands)
      if (auto *weights = std::get_if<DmaWeights>(&command.args)) {
        change(*weights);
        break;
      }
    return checkProgram(program, 16384).ok() && checkDataflow(network, plan, program, offsets).ok();
  };
  EXPECT_TRUE(good([](DmaWeights &) {}));
  for (int64_t bad : {int64_t{0}, int64_t{-1}, INT64_MAX, int64_t{1} << 40}) {
    EXPECT_FALSE(good([&](DmaWeights &c) { c.block.outputs = bad; }));
    EXPECT_FALSE(good([&](DmaWeights &c) { c.block.taps = bad; }));
    EXPECT_FALSE(good([&](DmaWeights &c) { c.block.inputs = bad; }));
    EXPECT_FALSE(good([&](DmaWeights &c) { c.bytes = bad; }));
    EXPECT_FALSE(good([&](DmaWeights &c) { c.form.bits = bad; }));
  }
  EXPECT_FALSE(good([](DmaWeights &c) { c.dram = -1; }));
  EXPECT_FALSE(good([](DmaWeights &c) { c.dram = INT64_MAX - 5; }));
  EXPECT_FALSE(good([](DmaWeights &c) { c.bytes -= 1; }));
  EXPECT_FALSE(good([](DmaWeights &c) { c.block.firstInGroup = 32; }));
  EXPECT_FALSE(good([](DmaWeights &c) { c.form.coding = static_cast<WeightCoding>(3); }));
  EXPECT_FALSE(good([](DmaWeights &c) { c.form.groupSize = 257; }));
  EXPECT_FALSE(good([](DmaWeights &c) { c.sram = 16384; }));
  // In range, but not what the layer stores.
  EXPECT_FALSE(good([](DmaWeights &c) {
    c.form.bits = 3;
    c.bytes = storedBytes(c.form, c.block);
  }));
}

TEST(CheckPlan, CountsStoredWeights) {
  Network network;
  Plan plan;
  std::vector<int64_t> offsets;
  groupedProgram(network, plan, offsets);
  network.constants[0].form.bits = 5;
  EXPECT_FALSE(checkPlan(network, plan, smallTarget(16384)).ok());
}

TEST(CheckDataflow, FindsAnotherWayToConvolve) {
  Case c;
  const size_t conv = c.all<ConvCommand>()[0];
  c.args<ConvCommand>(conv).winograd = WinogradForm::F2x2;
  const auto message = [&] {
    return std::string(checkDataflow(c.network, c.plan, c.program, c.offsets).message());
  };
  EXPECT_THAT(message(),
              HasSubstr("(conv.winograd) of layer 't1' is by winograd; its layer is not by "
                        "winograd"));
  std::get<MatrixLayer>(c.network.layers[0].spec).winograd = WinogradForm::F2x2;
  for (size_t i : c.all<ConvCommand>())
    c.args<ConvCommand>(i).winograd =
        c.program.commands[i].layer == 0 ? WinogradForm::F2x2 : WinogradForm::None;
  EXPECT_EQ(message(), "");
  c.args<ConvCommand>(conv).winograd = WinogradForm::None;
  EXPECT_THAT(message(), HasSubstr("(conv) of layer 't1' is not by winograd; its layer is by "
                                   "winograd"));
}

/// A layer by F(4x4, 3x3) of 10 x 9 outputs in several tiles.
struct TapWiseCase : Case {
  explicit TapWiseCase(ElementType type = ElementType::I8) {
    NetworkBuilder b;
    const TensorId x = b.tensor({2, 10, 9, 24}, type, TensorRole::Input);
    b.network.tensors[b.tapWise(x, 40)].role = TensorRole::Output;
    b.network.name = "case";
    network = b.network;
    target = smallTarget(128 * 1024);
    plan = *planNetwork(network, target);
    Tiling &t = plan.layers[0].tiling;
    t = {.height = 4, .width = 4, .outputChannels = 16, .inputChannels = 24, .buffers = 2};
    noteCosts(network, plan, target);
    EXPECT_EQ(checkPlan(network, plan, target), absl::OkStatus());
    EXPECT_TRUE(cut(4, 4).ok());
  }
  absl::Status cut(int64_t height, int64_t width, int64_t buffers = 2) {
    Tiling &t = plan.layers[0].tiling;
    t.height = height;
    t.width = width;
    t.buffers = buffers;
    int64_t total = 0;
    offsets = constantOffsets(network, plan, total);
    absl::StatusOr<Program> made = expand(network, plan, target, offsets, total);
    if (!made.ok())
      return made.status();
    program = *std::move(made);
    return absl::OkStatus();
  }
  std::string flow() const {
    return std::string(checkDataflow(network, plan, program, offsets).message());
  }
};

TEST(CheckProgram, BoundsShiftsOfProducts) {
  TapWiseCase c;
  ASSERT_EQ(c.check(), absl::OkStatus());
  auto &conv = c.args<ConvCommand>(c.all<ConvCommand>()[0]);
  conv.taps.weights[35] = kMostTapShift;
  EXPECT_EQ(c.check(), absl::OkStatus());
  conv.taps.weights[35] = kMostTapShift + 1;
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("shift is 16; needs 0..15"));
  conv.winograd = WinogradForm::None;
  conv.taps.weights[35] = 1;
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("needs 0..0"));
  conv.taps = {};
  EXPECT_EQ(c.check(), absl::OkStatus());
  conv.winograd = WinogradForm::F4x4;
  conv.tile.dilationW = 2;
  EXPECT_THAT(std::string(c.check().message()), HasSubstr("3x3 of stride"));
}

TEST(CheckDataflow, FindsOtherProductsThanTheLayers) {
  TapWiseCase c;
  EXPECT_EQ(c.flow(), "");
  auto &conv = c.args<ConvCommand>(c.all<ConvCommand>()[0]);
  const TapShifts own = conv.taps;
  conv.taps.codes[7] = 15;
  EXPECT_THAT(c.flow(), HasSubstr("(conv.winograd4) of layer 't1' has shift 15 of codes at row 1, "
                                  "column 1; its layer has " +
                                  std::to_string(own.codes[7])));
  conv.taps = own;
  conv.taps.weights[35] = 14;
  EXPECT_THAT(c.flow(), HasSubstr("has shift 14 of weights at row 5, column 5; its layer has " +
                                  std::to_string(own.weights[35])));
  conv.taps = {};
  conv.winograd = WinogradForm::F2x2;
  EXPECT_THAT(c.flow(), HasSubstr("(conv.winograd) of layer 't1' is by winograd; its layer is by "
                                  "winograd of 4x4 outputs"));
}

// The same commands with tiles that begin or end elsewhere: sound for a layer of another form.
TEST(CheckDataflow, FindsTilesThatLieAcrossOthers) {
  const auto message = [](int64_t height, int64_t width, int64_t buffers = 2) {
    TapWiseCase c;
    auto &spec = std::get<MatrixLayer>(c.network.layers[0].spec);
    const TapShifts taps = spec.taps;
    spec.winograd = WinogradForm::None;
    spec.taps = {};
    EXPECT_EQ(c.cut(height, width, buffers), absl::OkStatus());
    spec.winograd = WinogradForm::F4x4;
    spec.taps = taps;
    for (size_t i : c.all<ConvCommand>()) {
      c.args<ConvCommand>(i).winograd = WinogradForm::F4x4;
      c.args<ConvCommand>(i).taps = taps;
    }
    EXPECT_EQ(checkProgram(c.program, c.target.sram.bytes), absl::OkStatus());
    return c.flow();
  };
  EXPECT_EQ(message(8, 4), "");
  EXPECT_EQ(message(4, 9), "");
  EXPECT_EQ(message(10, 8), "");
  EXPECT_EQ(message(20, 4), "");
  EXPECT_THAT(message(5, 4), HasSubstr("ends at row 5 of 10 of its layer's result; only the last "
                                       "tile may be cut"));
  EXPECT_THAT(message(4, 3), HasSubstr("ends at column 3 of 9"));
  EXPECT_THAT(message(9, 9), HasSubstr("ends at row 9 of 10"));
  // Windows over the end of the ring.
  EXPECT_THAT(message(4, 9, 2 + 8), HasSubstr("at row"));
}

TEST(CheckDataflow, FindsInputThatIsNotTheTiles) {
  const TapWiseCase sound;
  const auto message = [&](auto change) {
    TapWiseCase c = sound;
    change(c, c.all<ConvCommand>());
    return c.flow();
  };
  EXPECT_THAT(
      message([](TapWiseCase &c, const auto &all) { c.args<ConvCommand>(all[0]).tile.padTop = 0; }),
      HasSubstr("begins at row 1 of its layer's result; tiles begin at multiples of 4"));
  EXPECT_THAT(message([](TapWiseCase &c, const auto &all) {
                c.args<ConvCommand>(all[0]).tile.padLeft = 2;
              }),
              HasSubstr("makes columns -1..3 of 9"));
  EXPECT_THAT(message([](TapWiseCase &c, const auto &all) {
                c.args<ConvCommand>(all[0]).tile.inputHeight -= 1;
              }),
              HasSubstr("sees rows 0..4 of its input; needs 0..5 at once"));
}

TEST(CheckPlan, FindsTilesThatLieAcrossOthers) {
  TapWiseCase c;
  const auto message = [&](int64_t height, int64_t width, int64_t buffers) {
    Tiling &t = c.plan.layers[0].tiling;
    t.height = height;
    t.width = width;
    t.buffers = buffers;
    noteCosts(c.network, c.plan, c.target);
    return std::string(checkPlan(c.network, c.plan, c.target).message());
  };
  EXPECT_EQ(message(8, 4, 2), "");
  EXPECT_THAT(message(6, 4, 2), HasSubstr("has tiles of 6x4 outputs that cut those of 4x4"));
  EXPECT_THAT(message(4, 2, 2), HasSubstr("has tiles of 4x2 outputs that cut those of 4x4"));
  EXPECT_THAT(message(4, 9, 10), HasSubstr("keeps rows in a ring that cuts its windows"));
  const auto refusal = [&](int64_t height, int64_t width, int64_t buffers = 2) {
    return std::string(c.cut(height, width, buffers).message());
  };
  EXPECT_EQ(refusal(6, 4), "module 'case': layer 't1' has tiles of 6x4 of 10x9; winograd of 4x4 "
                           "outputs needs multiples of 4");
  EXPECT_EQ(refusal(10, 7), "module 'case': layer 't1' has tiles of 10x7 of 10x9; winograd of 4x4 "
                            "outputs needs multiples of 4");
  EXPECT_EQ(refusal(4, 9, 10), "module 'case': layer 't1' keeps rows in a ring, whose end windows "
                               "of winograd of 4x4 outputs would run over");
}

TEST(CheckDataflow, FindsMisplacedTransfers) {
  const Case sound;
  const auto broken = [&](auto change) {
    Case c = sound;
    change(c);
    return !checkDataflow(c.network, c.plan, c.program, c.offsets).ok();
  };
  for (size_t store : sound.all<DmaStore>()) {
    EXPECT_TRUE(broken([&](Case &c) { c.args<DmaStore>(store).dram += 2; }));
    EXPECT_TRUE(broken([&](Case &c) { c.args<DmaStore>(store).shape.runBytes -= 2; }));
    EXPECT_TRUE(
        broken([&](Case &c) { c.program.commands.erase(c.program.commands.begin() + store); }));
  }
  // A load of another layer's input.
  EXPECT_TRUE(broken([&](Case &c) {
    for (size_t i : c.all<DmaLoad>())
      if (c.args<DmaLoad>(i).region == Region::Arena && c.program.commands[i].layer == 1)
        c.args<DmaLoad>(i).dram = c.plan.offsets[c.network.layers[0].inputs[0]];
  }));
  EXPECT_TRUE(broken([&](Case &c) {
    for (size_t i : c.all<DmaLoad>())
      if (c.args<DmaLoad>(i).region == Region::Constants)
        c.args<DmaLoad>(i).dram += 64;
  }));
}

TEST(CheckPlan, FindsPlantedFaults) {
  const Case sound;
  const auto message = [&](auto change) {
    Plan plan = sound.plan;
    change(plan);
    return std::string(checkPlan(sound.network, plan, sound.target).message());
  };
  EXPECT_EQ(message([](Plan &) {}), "");
  EXPECT_THAT(message([](Plan &p) { p.offsets[0] = p.offsets[1]; }), HasSubstr("overlap"));
  EXPECT_THAT(message([](Plan &p) { p.offsets[1] += 2; }), HasSubstr("aligned"));
  EXPECT_THAT(message([](Plan &p) { p.offsets[1] = p.arenaBytes; }), HasSubstr("arena"));
  EXPECT_THAT(message([](Plan &p) { p.arenaLowerBound -= 1; }), HasSubstr("live bytes"));
  EXPECT_NE(message([](Plan &p) { p.layers[0].tiling.height += 100; }), "");
  EXPECT_NE(message([](Plan &p) { p.layers[0].tiling.outputChannels = 41; }), "");
  EXPECT_NE(message([](Plan &p) { p.layers[0].tiling.height = 0; }), "");
  EXPECT_THAT(message([](Plan &p) { p.layers[0].cost.dramReadBytes += 1; }), HasSubstr("states"));
  EXPECT_THAT(message([](Plan &p) { p.layers[3].cost.lowerBoundBytes = int64_t{1} << 40; }),
              HasSubstr("below the bound"));
  EXPECT_THAT(message([](Plan &p) { p.layers[1].cost.sramBytes = 1 << 20; }), HasSubstr("SRAM"));
  EXPECT_THAT(message([](Plan &p) { p.layers[1].tiling.outputChannels = 7; }), HasSubstr("groups"));
  EXPECT_NE(message([](Plan &p) { p.layers.pop_back(); }), "");
}

TEST(Synchronize, OneTokenForEachDependency) {
  const Case c;
  int64_t waits = 0, signals = 0;
  for (const Command &command : c.program.commands)
    for (int q = 0; q < kQueues; ++q) {
      waits += command.waits[q];
      signals += command.signals[q];
      EXPECT_LE(command.waits[q], 1);
    }
  EXPECT_EQ(waits, signals);
  EXPECT_LT(waits, 2 * static_cast<int64_t>(c.program.commands.size()));
}

} // namespace
} // namespace sdopt
