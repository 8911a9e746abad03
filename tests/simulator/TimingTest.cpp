#include "compiler/package/CommandFields.h"
#include "compiler/simulator/CommandTiming.h"
#include "compiler/simulator/EventQueues.h"
#include "tests/package/SampleModule.h"
#include "tests/simulator/TestTarget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace sdopt {
namespace {

using test::testTarget;
using testing::HasSubstr;

/// Walks burst by burst and keeps the open row of every bank.
class SlowBanks {
public:
  explicit SlowBanks(const DramTarget &target) : target_(target) {}

  int64_t activations(int64_t address, int64_t bytes) {
    int64_t count = 0;
    const int64_t burst = target_.burstBytes;
    for (int64_t at = address / burst * burst; at < address + bytes; at += burst) {
      int64_t rest = at, bank = 0, row = 0;
      for (DramField field : target_.mapping) {
        const int64_t size = sizeOf(field);
        const int64_t value = field == DramField::Row ? rest : rest % size;
        rest /= size;
        if (field == DramField::Row)
          row = value;
        else if (field != DramField::Burst && field != DramField::Column)
          bank = bank * 1000 + value;
      }
      const auto [open, isNew] = rows_.try_emplace(bank, row);
      count += isNew || open->second != row;
      open->second = row;
    }
    return count;
  }

private:
  int64_t sizeOf(DramField field) const {
    switch (field) {
    case DramField::Burst:
      return target_.burstBytes;
    case DramField::Channel:
      return target_.channels;
    case DramField::BankGroup:
      return target_.bankGroups;
    case DramField::Column:
      return target_.pageBytes / target_.burstBytes;
    case DramField::Bank:
      return target_.banks;
    case DramField::Row:
      break;
    }
    return int64_t{1} << 40;
  }

  const DramTarget &target_;
  std::map<int64_t, int64_t> rows_;
};

TEST(DramModel, ActivationsEqualAWalkBurstByBurst) {
  using enum DramField;
  const std::vector<std::vector<DramField>> mappings = {
      {Burst, Channel, BankGroup, Column, Bank, Row},
      {Burst, Channel, Column, BankGroup, Bank, Row},
      {Burst, Column, Channel, BankGroup, Bank, Row}};
  for (const auto &mapping : mappings) {
    Target target = testTarget();
    target.dram.mapping = mapping;
    DramModel model(target.dram, target.clock);
    SlowBanks slow(target.dram);
    std::mt19937 random(1);
    for (int round = 0; round < 500; ++round) {
      const int64_t address = static_cast<int64_t>(random() % 200000);
      const int64_t bytes = 1 + static_cast<int64_t>(random() % (round % 2 ? 100 : 20000));
      model.addRun(address, bytes);
      const DramTransfer transfer = model.finish();
      ASSERT_EQ(transfer.activations(), slow.activations(address, bytes))
          << address << " " << bytes;
      const int64_t bursts = (address + bytes + 31) / 32 - address / 32;
      EXPECT_EQ(transfer.burstBytes, bursts * 32);
      EXPECT_GE(static_cast<double>(transfer.cycles), static_cast<double>(bytes) / 16.0);
    }
  }
}

TEST(DramModel, StreamRunsNearPeakAndReopeningCosts) {
  const Target target = testTarget();
  DramModel model(target.dram, target.clock);
  model.addRun(0, 1 << 20);
  const DramTransfer stream = model.finish();
  EXPECT_EQ(stream.activations(), 1024);
  EXPECT_LT(stream.cycles, (1 << 20) / 16 * 11 / 10);
  // 4 KiB hold one page of each channel and bank group; rows repeat after 4 banks.
  model.reset();
  int64_t total = 0;
  for (int i = 0; i < 10; ++i) {
    model.addRun(i % 2 ? 4 * 4096 : 0, 32);
    const DramTransfer transfer = model.finish();
    EXPECT_EQ(transfer.conflicts, i > 0);
    EXPECT_EQ(transfer.misses, i == 0);
    total += transfer.cycles;
  }
  // One burst is 4 cycles of a channel; a miss adds 20, a conflict 40.
  EXPECT_EQ(total, 10 * 4 + 20 + 9 * 40);
}

TEST(DramModel, RunsThatContinueEachOtherAreOne) {
  const Target target = testTarget();
  DramModel model(target.dram, target.clock);
  for (int i = 0; i < 8; ++i)
    model.addRun(100 + i * 8, 8);
  EXPECT_EQ(model.finish().burstBytes, 96);
  // With gaps each run costs the burst that it lies in.
  for (int i = 0; i < 8; ++i)
    model.addRun(100 + i * 16, 8);
  EXPECT_EQ(model.finish().burstBytes, 8 * 32);
}

TEST(CommandTiming, NeverBelowTheBounds) {
  std::mt19937 random(2);
  for (const auto &[arrays, weightTiles] : {std::pair{1, 1}, {4, 1}, {1, 2}, {4, 2}}) {
    Target target = testTarget();
    target.array.count = arrays;
    target.array.weightTiles = weightTiles;
    CommandTiming timing(target, 1 << 20);
    for (int round = 0; round < 3000; ++round) {
      Command command = test::randomCommand(random);
      GatherIds ids;
      if (auto *gather = std::get_if<DmaGather>(&command.args))
        ids.resize(static_cast<size_t>(gather->rows), 1);
      if (auto *load = std::get_if<DmaLoad>(&command.args))
        load->shape.counts = {2, 5, 7};
      if (auto *store = std::get_if<DmaStore>(&command.args))
        store->shape.counts = {3, 1, 4};
      const CommandCost cost = timing.cost(command, ids);
      EXPECT_GE(static_cast<double>(cost.cycles), cost.minimumCycles) << disassemble(command);
      EXPECT_GT(cost.energy, 0) << disassemble(command);
    }
  }
}

TEST(CommandTiming, ConvolutionByHand) {
  // 8x6 pixels, 4 -> 4 channels, 3x3, 16-bit codes on an 8x8 array: 9 weight tiles, each 48 / 0.5 +
  // 2 * 8 + 8 cycles.
  const Target target = testTarget();
  CommandTiming timing(target, 256);
  const CommandCost cost = timing.cost(test::sampleModule().program.commands[3]);
  EXPECT_EQ(cost.cycles, 9 * (96 + 24));
  EXPECT_EQ(cost.multiplyAccumulates, 48 * 4 * 4 * 9);
  EXPECT_DOUBLE_EQ(cost.minimumCycles, 48.0 * 4 * 4 * 9 / 32);
}

TEST(CommandTiming, WeightsThatComeWhileTheArrayMultiplies) {
  Target target = testTarget();
  target.array.weightTiles = 2;
  const Command command = test::sampleModule().program.commands[3];
  // Filled and drained once; the weights of a tile come in 8 cycles, fewer than 48 / 0.5.
  EXPECT_EQ(CommandTiming(target, 256).cost(command).cycles, 9 * 96 + 24);
  // 12 of 128 rows for each of 4 arrays: their weights take longer than the products.
  target.array = {.count = 4,
                  .rows = 128,
                  .columns = 8,
                  .weightTiles = 2,
                  .a16w8Rate = 0.5,
                  .a16a16Rate = 0.25};
  EXPECT_EQ(CommandTiming(target, 256).cost(command).cycles, 9 * 128 + 2 * 128 + 8);
}

TEST(CommandTiming, WinogradByHand) {
  // The same convolution by 4x3 tiles of 2x2 outputs: 16 weight tiles, each 12 / 0.5 + 2 * 8 + 8
  // cycles and 7 more through the adders.
  const Target target = testTarget();
  CommandTiming timing(target, 256);
  Command command = test::sampleModule().program.commands[3];
  auto &conv = std::get<ConvCommand>(command.args);
  const double direct = timing.cost(command).energy;
  conv.winograd = WinogradForm::F2x2;
  const CommandCost cost = timing.cost(command);
  EXPECT_EQ(cost.cycles, 16 * (24 + 24 + 7));
  EXPECT_EQ(cost.multiplyAccumulates, 12 * 16 * 4 * 4);
  EXPECT_EQ(cost.skippedMultiplies, 0);
  EXPECT_DOUBLE_EQ(cost.minimumCycles, 12.0 * 16 * 4 * 4 / 32);
  // Two planes: 3 additions for each code, 36 for the sums of each tile and output channel, one for
  // each output; once for weights.
  const int64_t additions = 2 * (12 * 16 * 4 * 3 + 12 * 4 * 36 + 48 * 4) + 4 * 4 * 48;
  EXPECT_EQ(cost.additions, additions);
  // Codes of two bytes four times for each transformed one, 64 for the weights of a pair of
  // channels, sums once.
  const int64_t bytes = 12 * 16 * 4 * 4 * 2 + 4 * 4 * 64 + 48 * 4 * 8;
  EXPECT_NEAR(cost.energy, 12 * 16 * 16 * 2 * 3e-13 + additions * 1e-14 + bytes * 1e-13, 1e-18);
  EXPECT_NE(cost.energy, direct);
  // Odd sizes take whole tiles; weights whose zeros are known are all multiplied.
  conv.tile.outputHeight = 7;
  conv.tile.outputWidth = 5;
  EXPECT_EQ(timing.cost(command).multiplyAccumulates, 12 * 16 * 4 * 4);
  const StreamFacts facts{.isSparse = true, .nonzeros = 1, .rows = 1, .tiles = {1}};
  EXPECT_EQ(timing.cost(command, {}, &facts).multiplyAccumulates, 12 * 16 * 4 * 4);
}

TEST(CommandTiming, TapWiseWinogradByHand) {
  // By 2x2 tiles of 4x4 outputs: 36 weight tiles, 4 / 0.5 cycles and 11 through the adders.
  const Target target = testTarget();
  CommandTiming timing(target, 256);
  Command command = test::sampleModule().program.commands[3];
  auto &conv = std::get<ConvCommand>(command.args);
  conv.winograd = WinogradForm::F4x4;
  const CommandCost cost = timing.cost(command);
  EXPECT_EQ(cost.cycles, 36 * (8 + 24 + 11));
  EXPECT_EQ(cost.multiplyAccumulates, 4 * 36 * 4 * 4);
  EXPECT_DOUBLE_EQ(cost.minimumCycles, 4.0 * 36 * 4 * 4 / 32);
  // Both parts of a code come of one transform, whose 36 numbers are of 576 and rounded; the sums
  // of either are added to 324 outputs, then once to each output.
  const int64_t additions = 4 * 4 * 576 + 2 * 4 * 4 * 324 + 48 * 4 + 4 * 4 * 256;
  EXPECT_EQ(cost.additions, additions);
  const int64_t bytes = 4 * 576 * 4 * 2 + 4 * 4 * 256 + 48 * 4 * 8;
  EXPECT_NEAR(cost.energy, 4 * 36 * 16 * 2 * 3e-13 + additions * 1e-14 + bytes * 1e-13, 1e-18);
  conv.inputFormat.type = ElementType::I8;
  EXPECT_EQ(timing.cost(command).additions, additions - 4 * 4 * 324);
}

TEST(EventQueues, DeadlockNamesTheHeads) {
  Program program = test::sampleModule().program;
  program.commands[3].waits[0] = 3;
  const EventHandlers handlers = {
      [](int32_t, int64_t now) -> absl::StatusOr<int64_t> { return now + 1; },
      [](int32_t, int64_t) {}};
  const absl::Status status = runQueues(program, {0, program.commands.size()}, handlers);
  EXPECT_EQ(status.message(),
            "deadlock: queue array is stuck at command 3 (conv, layer 0) which waits for 3 of in "
            "(has 2); queue vector is stuck at command 4 (requantize, layer 0) which waits for 1 "
            "of array (has 0); queue out is stuck at command 5 (dma.store, layer 0) which waits "
            "for 1 of vector (has 0)");
}

TEST(EventQueues, CommandsWaitForQueueAndTokens) {
  const Program program = test::sampleModule().program;
  std::vector<int64_t> begin(program.commands.size()), end(program.commands.size());
  const EventHandlers handlers = {
      [&](int32_t command, int64_t now) -> absl::StatusOr<int64_t> {
        begin[command] = now;
        return end[command] = now + 10 + command;
      },
      [&](int32_t command, int64_t now) { EXPECT_EQ(end[command], now); }};
  ASSERT_TRUE(runQueues(program, {0, program.commands.size()}, handlers).ok());
  EXPECT_EQ(begin, (std::vector<int64_t>{0, 10, 21, 21, 34, 48}));
}

} // namespace
} // namespace sdopt
