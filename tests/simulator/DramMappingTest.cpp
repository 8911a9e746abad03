// Mappings of the presets, what a mapping costs, and refresh.

#include "compiler/simulator/DramMapping.h"
#include "compiler/simulator/DramModel.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

namespace sdopt {
namespace {

using enum DramField;

Target preset(const std::string &name) {
  absl::StatusOr<Target> target = loadTarget(name);
  EXPECT_TRUE(target.ok()) << target.status();
  return target.ok() ? *target : Target();
}

struct Cost {
  int64_t cycles = 0, activations = 0;
};

/// A tensor of 64 rows of 6 KiB, then tiles of it: 16 rows of 1 KiB.
Cost costOf(const Target &target, const std::vector<DramField> &mapping, bool inTiles) {
  DramTarget dram = target.dram;
  dram.mapping = mapping;
  DramModel model(dram, target.clock);
  Cost cost;
  auto finish = [&] {
    const DramTransfer transfer = model.finish();
    cost.cycles += transfer.cycles;
    cost.activations += transfer.activations();
  };
  if (!inTiles) {
    model.addRun(0, 64 * 6144);
    finish();
    return cost;
  }
  for (int64_t y = 0; y < 64; y += 16)
    for (int64_t x = 0; x < 6144; x += 1024) {
      for (int64_t row = y; row < y + 16; ++row)
        model.addRun(row * 6144 + x, 1024);
      finish();
    }
  return cost;
}

TEST(DramMapping, PresetsHaveTheOrderThatTheirTimingAsksFor) {
  for (const std::string &name : targetPresets()) {
    const Target target = preset(name);
    EXPECT_EQ(mappingName(target.dram.mapping), mappingName(rowHitMapping(target.dram))) << name;
  }
  EXPECT_EQ(mappingName(rowHitMapping(preset("mobile").dram)),
            "burst channel bank_group column bank row");
}

TEST(DramMapping, NoOrderStreamsFasterOrOpensFewerRows) {
  for (const std::string &name : targetPresets()) {
    const Target target = preset(name);
    const auto mappings = allMappings(target.dram);
    EXPECT_EQ(mappings.size(), target.dram.channels > 1 ? 120u : 6u) << name;
    std::set<std::string> names;
    const Cost own = costOf(target, target.dram.mapping, false);
    double slowest = 0;
    for (const std::vector<DramField> &mapping : mappings) {
      names.insert(mappingName(mapping));
      const Cost cost = costOf(target, mapping, false);
      EXPECT_LE(static_cast<double>(own.cycles), 1.01 * static_cast<double>(cost.cycles))
          << name << ": " << mappingName(mapping);
      EXPECT_LE(own.activations, cost.activations) << name << ": " << mappingName(mapping);
      slowest =
          std::max(slowest, static_cast<double>(cost.cycles) / static_cast<double>(own.cycles));
    }
    EXPECT_EQ(names.size(), mappings.size());
    // Rows below everything: each burst opens one.
    EXPECT_GT(slowest, 4) << name;
  }
}

TEST(DramMapping, BurstsOfOneBankGroupWait) {
  const Target target = preset("mobile");
  const std::vector<DramField> columnsFirst = {Burst, Channel, Column, BankGroup, Bank, Row};
  const Cost own = costOf(target, target.dram.mapping, false);
  const Cost other = costOf(target, columnsFirst, false);
  // tCCD_L = 2 tCCD_S: half the rate.
  EXPECT_NEAR(static_cast<double>(other.cycles) / static_cast<double>(own.cycles), 2, 0.05);
  EXPECT_EQ(other.activations, own.activations);
  // LPDDR4 has no groups to rotate: nothing changes.
  const Target tiny = preset("edge-tiny");
  EXPECT_EQ(costOf(tiny, {Burst, Channel, BankGroup, Column, Bank, Row}, false).cycles,
            costOf(tiny, tiny.dram.mapping, false).cycles);
}

TEST(DramMapping, TilesOpenFewestRowsWhereColumnsComeBeforeBanks) {
  const Target target = preset("edge-tiny");
  const Cost own = costOf(target, target.dram.mapping, true);
  const Cost banksFirst = costOf(target, {Burst, Channel, Bank, Column, BankGroup, Row}, true);
  const Cost rowsFirst = costOf(target, {Burst, Channel, Row, Column, Bank, BankGroup}, true);
  EXPECT_LT(own.activations, banksFirst.activations);
  EXPECT_LT(banksFirst.activations, rowsFirst.activations);
  EXPECT_LT(own.cycles, rowsFirst.cycles);
}

TEST(DramMapping, RefreshTakesItsShare) {
  Target target = preset("edge-tiny");
  const Cost with = costOf(target, target.dram.mapping, false);
  target.dram.refreshTime = 0;
  const Cost without = costOf(target, target.dram.mapping, false);
  // 140 ns of 488 for one of 8 banks.
  EXPECT_NEAR(static_cast<double>(without.cycles) / static_cast<double>(with.cycles),
              1 - 140.0 / 488 / 8, 0.001);
  // All banks at once cost 8 times as much.
  target.dram.refreshTime = 280e-9;
  target.dram.refreshInterval = 3904e-9;
  target.dram.refreshBanks = 8;
  const Cost all = costOf(target, target.dram.mapping, false);
  EXPECT_NEAR(static_cast<double>(without.cycles) / static_cast<double>(all.cycles),
              1 - 280.0 / 3904, 0.001);
}

TEST(DramMapping, ARowBelowOtherFieldsTakesOnlyItsBits) {
  Target target = preset("edge-tiny");
  target.dram.mapping = {Burst, Channel, Column, Row, Bank, BankGroup};
  DramModel model(target.dram, target.clock);
  // Half of the capacity apart: another bank, both rows stay open.
  for (int i = 0; i < 6; ++i)
    model.addRun(i % 2 ? target.dram.bytes / 2 : 0, 32);
  const DramTransfer transfer = model.finish();
  EXPECT_EQ(transfer.misses, 2);
  EXPECT_EQ(transfer.conflicts, 0);
  EXPECT_EQ(transfer.hits, 4);
  // One page apart: the next row of the same bank.
  model.reset();
  for (int i = 0; i < 6; ++i)
    model.addRun(i % 2 ? target.dram.pageBytes : 0, 32);
  EXPECT_EQ(model.finish().conflicts, 5);
}

} // namespace
} // namespace sdopt
