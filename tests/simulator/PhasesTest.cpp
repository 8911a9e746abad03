// Prompt and schedule phases that run once serve many steps.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/simulator/Simulator.h"
#include "tests/simulator/PhasedModule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using test::PhasedModule;
using testing::HasSubstr;

class Phases : public testing::Test {
protected:
  Tensor whole(uint32_t text, uint32_t time, uint32_t picture) {
    Simulator fresh(it->module, it->target);
    const auto outputs = fresh.run(it->inputs(text, time, picture));
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs->at(it->outputName());
  }

  /// Runs phases with just the inputs that they read.
  std::map<std::string, Tensor> run(Phase first, Phase last, uint32_t text, uint32_t time,
                                    uint32_t picture, RunStatistics *cost = nullptr) {
    std::map<std::string, Tensor> given = it->inputs(text, time, picture);
    if (first != Phase::Prompt)
      given.erase("text");
    if (last == Phase::Prompt || first == Phase::Step)
      given.erase("time");
    if (last != Phase::Step)
      given.erase("picture");
    auto outputs = simulator.run(given, {.first = first, .last = last}, cost);
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return outputs.ok() ? *outputs : std::map<std::string, Tensor>();
  }

  std::unique_ptr<PhasedModule> it = PhasedModule::create();
  Simulator simulator{it->module, it->target};
};

TEST_F(Phases, EqualRunningEverything) {
  run(Phase::Prompt, Phase::Prompt, 1, 0, 0);
  for (uint32_t time : {900, 500, 20}) {
    run(Phase::Schedule, Phase::Schedule, 0, time, 0);
    for (uint32_t picture : {3, 4})
      EXPECT_TRUE(run(Phase::Step, Phase::Step, 0, 0, picture)
                      .at(it->outputName())
                      .sameBits(whole(1, time, picture)));
  }
  EXPECT_TRUE(
      run(Phase::Schedule, Phase::Step, 0, 7, 8).at(it->outputName()).sameBits(whole(1, 7, 8)));
  EXPECT_FALSE(whole(1, 7, 8).sameBits(whole(2, 7, 8)));
  EXPECT_FALSE(whole(1, 7, 8).sameBits(whole(1, 6, 8)));
}

TEST_F(Phases, WhatIsKeptComesBack) {
  std::map<uint32_t, std::vector<std::byte>> prompts, times;
  for (uint32_t text : {1, 2}) {
    EXPECT_TRUE(run(Phase::Prompt, Phase::Prompt, text, 0, 0).empty());
    prompts[text] = simulator.kept(Phase::Prompt);
  }
  for (uint32_t time : {11, 12}) {
    run(Phase::Schedule, Phase::Schedule, 0, time, 0);
    times[time] = simulator.kept(Phase::Schedule);
  }
  EXPECT_EQ(prompts[1].size(), 2 * 9 * 16 * 2u); // key and value
  EXPECT_EQ(times[11].size(), 16 * 2u);
  for (auto [text, time] : {std::pair<uint32_t, uint32_t>{1, 12}, {2, 11}, {1, 11}}) {
    simulator.restore(Phase::Schedule, times[time]);
    simulator.restore(Phase::Prompt, prompts[text]);
    EXPECT_TRUE(
        run(Phase::Step, Phase::Step, 0, 0, 9).at(it->outputName()).sameBits(whole(text, time, 9)));
  }
  EXPECT_GE(simulator.copyCost(Phase::Prompt).dramWriteBytes, 576);
  EXPECT_EQ(simulator.copyCost(Phase::Step).cycles, 0);
}

TEST_F(Phases, CostsAddUp) {
  RunStatistics all, sum, part;
  run(Phase::Prompt, Phase::Step, 1, 2, 3, &all);
  for (Phase phase : {Phase::Prompt, Phase::Schedule, Phase::Step}) {
    run(phase, phase, 1, 2, 3, &part);
    EXPECT_GT(part.cycles, 0);
    EXPECT_LT(part.cycles, all.cycles);
    addTo(sum, part);
  }
  EXPECT_EQ(sum.cycles, all.cycles);
  EXPECT_EQ(sum.dramReadBytes, all.dramReadBytes);
  EXPECT_EQ(sum.multiplyAccumulates, all.multiplyAccumulates);
  EXPECT_DOUBLE_EQ(sum.energy, all.energy);
  std::vector<TraceEvent> trace;
  ASSERT_TRUE(simulator.run(it->inputs(1, 2, 3), {.trace = &trace}).ok());
  EXPECT_EQ(trace.size(), it->module.info.program.commands.size());
  int64_t last = 0;
  for (const TraceEvent &event : trace)
    last = std::max(last, event.end);
  EXPECT_EQ(last, all.cycles);
}

TEST_F(Phases, InputsOfThePhasesAreNeeded) {
  std::map<std::string, Tensor> given = it->inputs(1, 2, 3);
  given.erase("time");
  given.erase("picture");
  EXPECT_TRUE(simulator.run(given, {.last = Phase::Prompt}).ok());
  EXPECT_THAT(simulator.run(given, {.last = Phase::Schedule}).status().message(),
              HasSubstr("input 'time' is missing"));
}

TEST_F(Phases, ThePlanKeepsWhatLaterStepsNeed) {
  const ModuleInfo &info = it->module.info;
  ASSERT_TRUE(checkPlan(info.network, info.plan, it->target).ok());
  Plan plan = info.plan;
  const TensorId key = keptTensors(info.network, Phase::Prompt)[0];
  const TensorId out = info.network.layers.back().output;
  plan.offsets[key] = plan.offsets[out]; // free for it if there were one step only
  EXPECT_THAT(checkPlan(info.network, plan, it->target).message(), HasSubstr("overlap"));
}

TEST_F(Phases, OrderIsChecked) {
  ModuleInfo info = it->module.info;
  std::swap(info.program.phaseEnds[0], info.program.phaseEnds[1]);
  EXPECT_THAT(checkProgram(info.program, it->target.sram.bytes).message(), HasSubstr("overlap"));
  info.program.phaseEnds = {1, 1, 1};
  EXPECT_THAT(checkProgram(info.program, it->target.sram.bytes).message(), HasSubstr("cover"));
  info = it->module.info;
  info.network.layers[0].phase = Phase::Step;
  EXPECT_THAT(checkNetwork(info.network).message(), HasSubstr("comes after phase step"));
  info = it->module.info;
  info.program.phaseEnds[0] -= 1;
  EXPECT_FALSE(checkDataflow(info.network, info.plan, info.program, info.constantOffsets).ok());
}

} // namespace
} // namespace sdopt
