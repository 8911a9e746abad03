// A module whose phases run no more than needed gives what running everything gives.

#include "tools/sdopt-run/PhaseRunner.h"
#include "tests/simulator/PhasedModule.h"

#include <gtest/gtest.h>
#include <random>

namespace sdopt {
namespace {

using test::PhasedModule;

class PhaseRunnerTest : public testing::Test {
protected:
  std::map<std::string, Tensor> real(uint32_t text, uint32_t time, uint32_t picture) {
    std::map<std::string, Tensor> values = it->inputs(text, time, picture);
    for (auto &[name, tensor] : values)
      tensor = name == "time" ? tensor.converted(ElementType::I64).reshaped({1})
                              : tensor.converted(ElementType::F32);
    return values;
  }

  std::unique_ptr<PhasedModule> it = PhasedModule::create();
  PhaseRunner runner{it->module, it->target};
};

TEST_F(PhaseRunnerTest, SameResultsInAnyOrder) {
  std::mt19937 random(3);
  for (int call = 0; call < 60; ++call) {
    const auto inputs = real(random() % 3, random() % 4, random() % 5);
    RunStatistics cost;
    const auto outputs = runner.run(inputs, nullptr, cost);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    Simulator fresh(it->module, it->target);
    const auto expected = runModule(fresh, it->module, inputs);
    ASSERT_TRUE(expected.ok());
    EXPECT_TRUE(outputs->at(it->outputName()).sameBits(expected->at(it->outputName()))) << call;
  }
}

TEST_F(PhaseRunnerTest, BucketsOfTimestepsKeepTheirPrograms) {
  it = PhasedModule::create({1, 3});
  PhaseRunner buckets(it->module, it->target);
  std::mt19937 random(4);
  for (int call = 0; call < 60; ++call) {
    const auto inputs = real(random() % 3, random() % 5, random() % 5);
    RunStatistics cost;
    const auto outputs = buckets.run(inputs, nullptr, cost);
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    Simulator fresh(it->module, it->target);
    const auto expected = runModule(fresh, it->module, inputs);
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_TRUE(outputs->at(it->outputName()).sameBits(expected->at(it->outputName()))) << call;
  }
}

TEST_F(PhaseRunnerTest, RunsWhatIsNew) {
  RunStatistics first, same, newTime, newPrompt, oldPrompt;
  ASSERT_TRUE(runner.run(real(1, 1, 1), nullptr, first).ok());
  ASSERT_TRUE(runner.run(real(1, 1, 2), nullptr, same).ok());
  ASSERT_TRUE(runner.run(real(1, 2, 2), nullptr, newTime).ok());
  ASSERT_TRUE(runner.run(real(2, 2, 2), nullptr, newPrompt).ok());
  ASSERT_TRUE(runner.run(real(1, 2, 2), nullptr, oldPrompt).ok());
  EXPECT_GT(newTime.multiplyAccumulates, same.multiplyAccumulates);
  EXPECT_GT(newPrompt.multiplyAccumulates, newTime.multiplyAccumulates);
  EXPECT_EQ(oldPrompt.multiplyAccumulates, same.multiplyAccumulates);
  EXPECT_GT(oldPrompt.dramWriteBytes, same.dramWriteBytes); // the copies
  EXPECT_LT(newTime.cycles, first.cycles);
}

TEST_F(PhaseRunnerTest, ATraceShowsWhatRuns) {
  RunStatistics cost;
  std::vector<TraceEvent> all, step;
  ASSERT_TRUE(runner.run(real(1, 1, 1), &all, cost).ok());
  EXPECT_EQ(all.size(), it->module.info.program.commands.size());
  int64_t end = 0;
  for (const TraceEvent &event : all)
    end = std::max(end, event.end);
  EXPECT_EQ(end, cost.cycles);
  ASSERT_TRUE(runner.run(real(1, 1, 2), &step, cost).ok());
  EXPECT_LT(step.size(), all.size());
}

TEST_F(PhaseRunnerTest, ATraceChangesNoNumber) {
  PhaseRunner traced(it->module, it->target);
  std::vector<TraceEvent> trace;
  for (auto [text, time, picture] : {std::array{1, 1, 1}, {1, 1, 2}, {1, 2, 2}, {2, 2, 1}}) {
    RunStatistics with, without;
    ASSERT_TRUE(traced.run(real(text, time, picture), picture == 1 ? &trace : nullptr, with).ok());
    ASSERT_TRUE(runner.run(real(text, time, picture), nullptr, without).ok());
    EXPECT_EQ(with.cycles, without.cycles);
    EXPECT_EQ(with.energy, without.energy);
    EXPECT_EQ(with.dramReadBytes, without.dramReadBytes);
    EXPECT_EQ(with.multiplyAccumulates, without.multiplyAccumulates);
  }
}

TEST_F(PhaseRunnerTest, ErrorsNameTheInput) {
  auto inputs = real(1, 1, 1);
  inputs.erase("text");
  RunStatistics cost;
  const auto outputs = runner.run(inputs, nullptr, cost);
  ASSERT_FALSE(outputs.ok());
  EXPECT_NE(outputs.status().message().find("input 'text' is missing"), std::string::npos);
}

} // namespace
} // namespace sdopt
