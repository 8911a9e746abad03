// Maxima and sums by one pass against one command after the other, also where those were damaged.

#include "compiler/simulator/WholeAttention.h"

#include "tests/simulator/DamagedCommands.h"
#include "tests/simulator/PlannedNetwork.h"
#include "tests/simulator/RandomParameters.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

using test::pick;
using test::PlannedNetwork;
using test::RandomNetwork;

struct Attention : RandomNetwork {
  explicit Attention(std::mt19937 &random) {
    const int64_t heads = pick(random, 1, 3), channels = heads * pick(random, 1, 20),
                  batch = pick(random, 1, 2), keys = pick(random, 1, 150);
    const auto input = [&](int64_t rows) {
      return b.tensor({batch, 1, rows, channels}, test::anyCode(random), TensorRole::Input);
    };
    const TensorId q = input(pick(random, 1, 60)), k = input(keys), v = input(keys);
    b.network.tensors[b.attention(q, k, v, heads, random() % 2)].role = TensorRole::Output;
    finish(random);
  }
};

/// Of all commands that find maxima, those that wait for the sums.
std::pair<int, int> waiting(const Program &program) {
  std::pair<int, int> counts;
  for (size_t i = 0; i < program.commands.size(); ++i) {
    counts.first += sumsOf(program.commands, i).has_value();
    counts.second += std::holds_alternative<AttentionMaximaCommand>(program.commands[i].args);
  }
  return counts;
}

template <typename Work> void forNetworks(int rounds, Work work) {
  std::mt19937 random(7);
  for (int round = 0; round < rounds; ++round) {
    const Attention network(random);
    const Target target = smallTarget(int64_t{2048} << (round % 6));
    if (const auto plan = planNetwork(network.b.network, target); plan.ok())
      work(network, PlannedNetwork(network, *plan, target), target, random);
  }
}

TEST(WholeAttention, MaximaWaitForTheSumsOfAllKeys) {
  int together = 0, apart = 0;
  forNetworks(90, [&](const Attention &network, const PlannedNetwork &planned, const Target &target,
                      std::mt19937 &) {
    const auto [some, all] = waiting(planned.module.info.program);
    const AttentionMaximaCommand *maxima = nullptr;
    for (const Command &command : planned.module.info.program.commands)
      if (const auto *c = std::get_if<AttentionMaximaCommand>(&command.args))
        maxima = c;
    const bool isWhole = maxima->tile.keys == network.b.dims(1)[2];
    EXPECT_EQ(some, isWhole ? all : 0);
    EXPECT_TRUE(planned.run(network, target, true).sameBits(planned.run(network, target, false)));
    (isWhole ? together : apart) += 1;
  });
  EXPECT_GT(together, 20);
  EXPECT_GT(apart, 20);
}

TEST(WholeAttention, DamagedCommandsAreNotMistaken) {
  int others = 0, together = 0;
  forNetworks(12, [&](const Attention &network, PlannedNetwork planned, const Target &target,
                      std::mt19937 &random) {
    planned.module.constants = planned.constants;
    Program &program = planned.module.info.program;
    const Program intact = program;
    const auto run = [&](bool whole) {
      SimulatorOptions options;
      options.wholeLayers = whole;
      return Simulator(planned.module, target).run(network.inputs, options);
    };
    const auto original = run(false);
    ASSERT_TRUE(original.ok()) << original.status();
    for (int i = 0; i < 300; ++i) {
      auto commands = test::damagedCommands(intact, target.sram.bytes, random);
      if (!commands)
        continue;
      program.commands = *std::move(commands);
      const auto expected = run(false), found = run(true);
      ASSERT_EQ(expected.ok(), found.ok()) << expected.status() << found.status();
      if (!expected.ok())
        continue;
      ASSERT_TRUE(found->begin()->second.sameBits(expected->begin()->second)) << "damage " << i;
      others += !expected->begin()->second.sameBits(original->begin()->second);
      together += waiting(program).first;
    }
  });
  EXPECT_GT(others, 100);
  EXPECT_GT(together, 100);
}

TEST(WholeAttention, WhatMaximaDoNotWaitFor) {
  const AttentionTile tile{
      .queries = 8, .keys = 64, .headDim = 16, .queryStride = 16, .keyStride = 16};
  const auto command = [](CommandArgs args, int32_t layer = 0) {
    Command result;
    result.layer = layer;
    result.args = std::move(args);
    return result;
  };
  AttentionMaximaCommand maxima;
  maxima.tile = tile;
  maxima.k = 256;
  maxima.rowMax = 8192;
  AttentionAccumulateCommand sums;
  sums.tile = tile;
  sums.k = 256;
  sums.v = 4096;
  sums.rowMax = 8192;
  sums.rowSum = 8256;
  sums.accumulator = 8320;
  const auto load = [](SramOffset sram, int64_t bytes) {
    DmaLoad result;
    result.sram = sram;
    result.shape.runBytes = bytes;
    return result;
  };
  const auto waits = [](const std::vector<Command> &commands) { return sumsOf(commands, 0); };
  EXPECT_EQ(waits({command(maxima), command(sums)}), 1);
  EXPECT_EQ(waits({command(maxima), command(load(4096, 2048)), command(sums)}), 2);
  EXPECT_FALSE(waits({command(maxima)}));
  EXPECT_FALSE(waits({command(sums), command(sums)}));
  EXPECT_FALSE(waits({command(maxima), command(sums, 1)}));
  EXPECT_FALSE(waits({command(maxima), command(maxima), command(sums)}));
  for (SramOffset over : {0, 2303, 8192, 8255})
    EXPECT_FALSE(waits({command(maxima), command(load(over, 1)), command(sums)})) << over;
  const auto otherSums = [&](auto change) {
    AttentionAccumulateCommand other = sums;
    change(other);
    return waits({command(maxima), command(other)}).has_value();
  };
  EXPECT_FALSE(otherSums([](auto &c) { c.tile.firstKey = 64; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.q = 64; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.k = 320; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.rowMax = 12288; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.qFormat.type = ElementType::I8; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.params.causal = true; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.rowSum = 8192; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.accumulator = 4096; }));
  EXPECT_FALSE(otherSums([](auto &c) { c.v = 8192 - 64; }));
  EXPECT_TRUE(otherSums([](auto &c) { c.v = 256; }));
}

} // namespace
} // namespace sdopt
