// Layers' work from simulations adds up to what the simulator says about the whole run.

#include "compiler/power/SimulatedWork.h"
#include "compiler/power/ClockPlan.h"
#include "compiler/simulator/Simulator.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/simulator/PhasedModule.h"
#include "tests/simulator/TestTarget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

PowerModel modelOf(const Target &target) {
  PowerModel model;
  model.points = {{0.6, 0.4 * target.clock}, {0.8, target.clock}, {0.9, 1.2 * target.clock}};
  model.nominal = 1;
  model.leakagePower = target.energy.leakagePower;
  model.leakageSlope = 0.3;
  model.dramIdlePower = target.energy.dramIdlePower;
  model.clockSwitch = 1e-6;
  model.voltageSwitch = 100e-6;
  return model;
}

/// Layers that are bound by arrays, by the vector unit and by DRAM.
Network mixedNetwork() {
  NetworkBuilder b;
  b.network.name = "mixed";
  TensorId x = b.tensor({1, 24, 20, 32}, ElementType::I8, TensorRole::Input);
  x = b.conv(x, 48, 3, 1, ElementType::I8);
  x = b.table(x, ElementType::I8);
  const TensorId y = b.conv(x, 48, 1, 1, ElementType::I8);
  x = b.combine(x, y, ElementType::I8);
  x = b.groupNorm(x, 8, ElementType::I8);
  x = b.linear(b.conv(x, 16, 3, 2, ElementType::I8), 300, ElementType::I8);
  b.network.tensors[x].role = TensorRole::Output;
  return b.network;
}

/// J of all accesses of a phase if each run moved a burst more than it fills at either end.
double mostAccessEnergy(const PackageModule &module, const Target &target, Phase phase) {
  const Program &program = module.info.program;
  const CommandRange range = phasesOf(program)[static_cast<size_t>(phase)];
  const auto bursts = [&](int64_t runs, int64_t bytes) {
    return static_cast<double>(runs * (bytes / target.dram.burstBytes + 2) *
                               target.dram.burstBytes);
  };
  double energy = 0;
  for (size_t i = range.begin; i < range.end; ++i) {
    const CommandArgs &args = program.commands[i].args;
    const auto runs = [](const DmaShape &s) { return s.counts[0] * s.counts[1] * s.counts[2]; };
    if (const auto *load = std::get_if<DmaLoad>(&args))
      energy += bursts(runs(load->shape), load->shape.runBytes) * target.energy.dramReadByte;
    if (const auto *store = std::get_if<DmaStore>(&args))
      energy += bursts(runs(store->shape), store->shape.runBytes) * target.energy.dramWriteByte;
    if (const auto *weights = std::get_if<DmaWeights>(&args))
      energy += bursts(1, weights->bytes) * target.energy.dramReadByte;
  }
  return energy;
}

void expectSumsOfRun(const PackageModule &module, Target target, Phase phase) {
  const PowerModel model = modelOf(target);
  const auto work = simulatedWork(module, target, model, phase, 1, SimulatedClocks::Every);
  ASSERT_TRUE(work.ok()) << work.status();
  ASSERT_TRUE(work->has_value());
  EXPECT_EQ(checkWorkload(model, {**work}), absl::OkStatus());
  for (size_t clock = 0; clock < model.points.size(); ++clock) {
    target.clock = model.points[clock].clock;
    Simulator simulator(module, target);
    RunStatistics run;
    ASSERT_TRUE(simulator.run({}, {.first = phase, .last = phase, .values = false}, &run).ok());
    double seconds = 0, energy = 0, dram = 0;
    for (const PowerLayer &layer : (*work)->layers) {
      const ClockedWork &at = layer.at[clock];
      seconds += at.seconds;
      energy += at.switched + at.dram +
                at.seconds * (target.energy.leakagePower + target.energy.dramIdlePower);
      dram += at.dram;
      // No unit works faster than the busiest moment of its busiest command.
      EXPECT_LE(at.switched, at.switchedPeak * at.seconds * (1 + 1e-9));
      EXPECT_LE(at.dram, at.dramPeak * at.seconds * (1 + 1e-9));
    }
    EXPECT_NEAR(seconds, run.seconds, 1e-9 * run.seconds);
    EXPECT_NEAR(energy, run.energy, 1e-9 * run.energy);
    const double accesses = static_cast<double>(run.dramReadBytes) * target.energy.dramReadByte +
                            static_cast<double>(run.dramWriteBytes) * target.energy.dramWriteByte +
                            static_cast<double>(run.dramActivations) * target.energy.dramActivate;
    // Whole bursts are moved.
    EXPECT_GE(dram, accesses * (1 - 1e-9));
    EXPECT_LE(dram, mostAccessEnergy(module, target, phase) +
                        static_cast<double>(run.dramActivations) * target.energy.dramActivate);
  }
}

TEST(SimulatedWork, AddsUpToTheRunAtEveryClock) {
  const Target target = test::testTarget(16 * 1024);
  const auto module = test::plannedModule(mixedNetwork(), target);
  ASSERT_TRUE(module.ok()) << module.status();
  expectSumsOfRun(*module, target, Phase::Step);
  const auto none = simulatedWork(*module, target, modelOf(target), Phase::Prompt, 1);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
}

TEST(SimulatedWork, OneSimulationTellsAboutAllClocks) {
  const Target target = test::testTarget(16 * 1024);
  const auto module = test::plannedModule(mixedNetwork(), target);
  ASSERT_TRUE(module.ok()) << module.status();
  const PowerModel model = modelOf(target);
  const auto every = simulatedWork(*module, target, model, Phase::Step, 1, SimulatedClocks::Every);
  const auto scaled = simulatedWork(*module, target, model, Phase::Step, 1);
  ASSERT_TRUE(every.ok() && scaled.ok());
  ASSERT_EQ((*every)->layers.size(), (*scaled)->layers.size());
  for (const PowerLayer &layer : (*scaled)->layers)
    for (size_t clock = 1; clock < model.points.size(); ++clock)
      EXPECT_LE(layer.at[clock].seconds, layer.at[clock - 1].seconds);
  for (size_t clock = 0; clock < model.points.size(); ++clock) {
    ClockedWork a, b;
    for (size_t l = 0; l < (*every)->layers.size(); ++l) {
      const ClockedWork &from = (*every)->layers[l].at[clock], &to = (*scaled)->layers[l].at[clock];
      a.seconds += from.seconds;
      a.switched += from.switched;
      a.dram += from.dram;
      b.seconds += to.seconds;
      b.switched += to.switched;
      b.dram += to.dram;
      EXPECT_EQ((*every)->layers[l].name, (*scaled)->layers[l].name);
      if (clock == model.nominal) {
        EXPECT_NEAR(from.seconds, to.seconds, 1e-9 * from.seconds);
      }
    }
    // Only how much of the transfers hides differs at other clocks.
    EXPECT_NEAR(b.seconds, a.seconds, 0.1 * a.seconds);
    EXPECT_NEAR(b.switched, a.switched, 1e-9 * a.switched);
    EXPECT_NEAR(b.dram, a.dram, 0.05 * a.dram);
  }
}

TEST(SimulatedWork, PhasesAreModulesOfTheirOwn) {
  const auto phased = test::PhasedModule::create();
  size_t layers = 0;
  for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step}) {
    expectSumsOfRun(phased->module, phased->target, phase);
    const auto work =
        simulatedWork(phased->module, phased->target, modelOf(phased->target), phase, 7);
    ASSERT_TRUE(work.ok() && work->has_value());
    EXPECT_EQ((*work)->runs, 7);
    EXPECT_THAT((*work)->name, testing::EndsWith(std::string(".") + name(phase)));
    layers += (*work)->layers.size();
  }
  EXPECT_EQ(layers, phased->module.info.network.layers.size());
}

TEST(SimulatedWork, ALayerBoundByDramHardlyDependsOnTheClock) {
  NetworkBuilder b;
  b.network.name = "rows";
  // One product for each weight.
  TensorId x = b.tensor({1, 1, 1, 2048}, ElementType::I8, TensorRole::Input);
  x = b.linear(x, 4096, ElementType::I8);
  b.network.tensors[x].role = TensorRole::Output;
  const absl::StatusOr<Target> preset = loadTarget("mobile");
  ASSERT_TRUE(preset.ok());
  const Target &target = *preset;
  const auto module = test::plannedModule(b.network, target);
  ASSERT_TRUE(module.ok()) << module.status();
  const PowerModel model = modelOf(target);
  const auto work = simulatedWork(*module, target, model, Phase::Step, 1, SimulatedClocks::Every);
  ASSERT_TRUE(work.ok()) << work.status();
  const std::vector<ClockedWork> &at = (*work)->layers.back().at;
  // Three times the clock.
  EXPECT_LT(at[0].seconds, 1.7 * at[2].seconds);
  EXPECT_GT(at[0].seconds, 0.99 * at[2].seconds);
}

TEST(SimulatedWork, FailsAsTheSimulatorDoes) {
  Target target = test::testTarget(16 * 1024);
  const auto module = test::plannedModule(mixedNetwork(), target);
  ASSERT_TRUE(module.ok()) << module.status();
  target.sram.bytes = 64;
  const auto work = simulatedWork(*module, target, modelOf(target), Phase::Step, 1);
  EXPECT_THAT(work.status().message(), testing::HasSubstr("bytes of sram"));
}

} // namespace
} // namespace sdopt
