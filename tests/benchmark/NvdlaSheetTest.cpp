// The published performance of NVDLA, and what our machine makes of the same target.

#include "tests/benchmark/NvdlaMachine.h"

#include <gtest/gtest.h>

#include <map>

namespace sdopt {
namespace {

double milliseconds(const std::vector<MachineCost> &costs) {
  double cycles = 0;
  for (const MachineCost &cost : costs)
    cycles += static_cast<double>(cost.cycles);
  return cycles * 1e-6;
}

Target nvdla() {
  const absl::StatusOr<Target> target = loadTarget(SDOPT_NVDLA_TARGET);
  EXPECT_TRUE(target.ok()) << target.status();
  return target.value_or(Target());
}

TEST(NvdlaSheet, IsTheMachineOfTheTargetFile) {
  const SheetMachine machine = machineOf(nvdla());
  EXPECT_EQ(machine.multipliers, 2048);
  EXPECT_EQ(machine.kibibytes, 512);
  EXPECT_DOUBLE_EQ(machine.gigabytes, 10);
  EXPECT_EQ(nvdla().clock, 1e9);
}

// Cycles of DRAM and of the arrays as the published sheet has them.
TEST(NvdlaSheet, LayersAsPublished) {
  const std::map<std::string, std::pair<double, double>> published = {
      {"conv1", {40800, 153664}},    {"res2a_1", {99600, 25088}},   {"res2a_2a", {99600, 50176}},
      {"res2a_2b", {45600, 50176}},  {"res2c_2c", {178000, 25088}}, {"res3a_1", {247200, 50176}},
      {"res3a_2a", {101000, 12544}}, {"res4a_1", {263600, 50176}},  {"res4f_2b", {112200, 25088}},
      {"res5a_1", {848600, 50176}},  {"res5a_2a", {226850, 12544}}, {"res5b_2b", {414500, 25088}},
      {"res5c_2c", {105250, 25088}}, {"fc1000", {200299, 1000}}};
  size_t found = 0;
  for (const SheetLayer &layer : sheetResNet50())
    if (const auto known = published.find(layer.name); known != published.end()) {
      const SheetCost cost = sheetCost(layer, SheetMachine());
      EXPECT_DOUBLE_EQ(cost.dramCycles, known->second.first) << layer.name;
      EXPECT_DOUBLE_EQ(cost.arrayCycles, known->second.second) << layer.name;
      ++found;
    }
  EXPECT_EQ(found, published.size());
  EXPECT_EQ(sheetResNet50().size(), 54u);
}

TEST(NvdlaSheet, TotalAsPublished) {
  EXPECT_NEAR(sheetMilliseconds(sheetResNet50(), machineOf(nvdla())), kSheetMilliseconds, 1e-9);
}

TEST(NvdlaSheet, TableOfThePrimer) {
  for (const PrimerRow &row : primerTable())
    EXPECT_NEAR(1e3 / sheetMilliseconds(sheetResNet50(), row.machine) / row.pictures, 1, 0.015)
        << row.machine.multipliers;
}

TEST(NvdlaMachine, HasTheMultipliersOfEachRow) {
  for (const PrimerRow &row : primerTable()) {
    const SheetMachine machine = machineOf(targetOf(nvdla(), row.machine));
    EXPECT_EQ(machine.multipliers, row.machine.multipliers);
    EXPECT_EQ(machine.kibibytes, row.machine.kibibytes);
    EXPECT_DOUBLE_EQ(machine.gigabytes, row.machine.gigabytes);
  }
}

// The bytes that the commands move are those of the rule, but for the conventions that nothing in
// them stands for: pooling, and 16 bytes for each output channel.
TEST(NvdlaMachine, MovesTheBytesOfTheSheet) {
  const Target target = nvdla();
  const auto costs = machineCosts(target, Lowering::Sheet);
  ASSERT_TRUE(costs.ok()) << costs.status();
  const std::vector<SheetLayer> layers = sheetResNet50();
  ASSERT_EQ(costs->size(), layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].pooled)
      continue;
    const double rule = sheetCost(layers[i], machineOf(target)).kibibytes;
    const double ours = static_cast<double>((*costs)[i].dramBytes) / 1024 -
                        static_cast<double>(layers[i].outputs) * 16 / 1024;
    EXPECT_GT(ours, 0.995 * rule) << layers[i].name;
    EXPECT_LT(ours, 1.08 * rule) << layers[i].name;
  }
}

// With the bytes of a GB that the sheet counts with.
TEST(NvdlaMachine, TakesTheTimeOfTheSheet) {
  Target target = nvdla();
  target.dram.bandwidth *= kSheetGigabyte / 1e9;
  const auto costs = machineCosts(target, Lowering::Sheet);
  ASSERT_TRUE(costs.ok()) << costs.status();
  EXPECT_NEAR(milliseconds(*costs) / kSheetMilliseconds, 1, 0.05);
}

TEST(NvdlaMachine, OurPlanIsWithin5PercentOfTheSheet) {
  const Target target = nvdla();
  const auto costs = machineCosts(target, Lowering::Own);
  ASSERT_TRUE(costs.ok()) << costs.status();
  EXPECT_NEAR(milliseconds(*costs) / kSheetMilliseconds, 1, 0.05);
  const auto network = networkCycles(target);
  ASSERT_TRUE(network.ok()) << network.status();
  // The sheet adds up layers, and so does the sum above. In one program the first loads of a layer
  // overlap with the one before, which only saves time.
  EXPECT_LE(static_cast<double>(*network) * 1e-6, milliseconds(*costs));
  // No layer takes less than its bytes or its products.
  for (const MachineCost &cost : *costs) {
    EXPECT_GE(cost.cycles, cost.arrayCycles);
    EXPECT_GE(static_cast<double>(cost.cycles),
              static_cast<double>(cost.dramBytes) / target.dram.bandwidth * target.clock);
  }
}

} // namespace
} // namespace sdopt
