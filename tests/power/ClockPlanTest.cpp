// The choice of voltages and clocks: against brute force on short lists, never behind a simpler
// policy on long ones, and what must hold whatever the numbers are.

#include "compiler/power/ClockPlan.h"
#include "tests/power/RandomWorkload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using test::between;
using test::plainModel;
using test::randomModel;
using test::randomWorkload;
using testing::Each;
using testing::HasSubstr;

constexpr PowerGoal kGoals[] = {PowerGoal::LeastTime, PowerGoal::LeastEnergy};

double goalOf(const PlanCost &cost, PowerGoal goal) {
  return goal == PowerGoal::LeastTime ? cost.seconds : cost.energy;
}

bool isAllowed(const PowerModel &model, const ClockPlan &plan, ClockPolicy policy) {
  const bool voltages = policy == ClockPolicy::Dvfs || policy == ClockPolicy::Joint;
  const bool layers = policy == ClockPolicy::Dfs || policy == ClockPolicy::Joint;
  for (const ModuleClocks &module : plan) {
    if (!voltages && module.voltage != model.nominal)
      return false;
    for (size_t clock : module.clocks)
      if ((!layers && clock != module.clocks[0]) ||
          (policy == ClockPolicy::Fixed && clock != plan[0].clocks[0]))
        return false;
  }
  return true;
}

/// Calls `visit` with every plan there is.
template <typename Visit>
void forEveryPlan(const PowerModel &model, const PowerWorkload &workload, Visit visit,
                  ClockPlan plan = {}) {
  if (plan.size() == workload.size())
    return visit(plan);
  const size_t layers = workload[plan.size()].layers.size();
  plan.emplace_back();
  for (size_t v = 0; v < model.points.size(); ++v) {
    plan.back() = {v, std::vector<size_t>(layers, 0)};
    for (bool more = true; more;) {
      forEveryPlan(model, workload, visit, plan);
      more = false;
      for (size_t &clock : plan.back().clocks) {
        if (clock < v) {
          ++clock;
          more = true;
          break;
        }
        clock = 0;
      }
    }
  }
}

/// Goal of the best plan, or infinity.
double bruteForce(const PowerModel &model, const PowerWorkload &workload, PowerGoal goal,
                  const PowerLimits &limits, ClockPolicy policy) {
  double best = std::numeric_limits<double>::infinity();
  forEveryPlan(model, workload, [&](const ClockPlan &plan) {
    if (!isAllowed(model, plan, policy))
      return;
    const PlanCost cost = planCost(model, workload, plan);
    if (keepsLimits(cost, limits))
      best = std::min(best, goalOf(cost, goal));
  });
  return best;
}

/// Somewhere between what the best and the worst plan of all need, or none.
PowerLimits randomLimits(const PowerModel &model, const PowerWorkload &workload,
                         std::mt19937 &random) {
  const PowerLimits none;
  const auto fastest =
      chooseClocks(model, workload, PowerGoal::LeastTime, none, ClockPolicy::Joint);
  const auto leanest =
      chooseClocks(model, workload, PowerGoal::LeastEnergy, none, ClockPolicy::Joint);
  EXPECT_TRUE(fastest.ok() && leanest.ok());
  PowerLimits limits;
  auto maybe = [&](double &limit, double low, double high) {
    if (random() % 2)
      limit = between(low, high, random);
  };
  maybe(limits.seconds, 0.98 * fastest->cost.seconds, 1.02 * leanest->cost.seconds);
  maybe(limits.energy, 0.98 * leanest->cost.energy, 1.02 * fastest->cost.energy);
  maybe(limits.layerPower, 0.3 * fastest->cost.layerPower, fastest->cost.layerPower);
  maybe(limits.peakPower, 0.3 * fastest->cost.peakPower, fastest->cost.peakPower);
  return limits;
}

TEST(ClockPlan, EqualsBruteForceOnShortLists) {
  std::mt19937 random(1);
  int found = 0, refused = 0;
  for (int round = 0; round < 60; ++round) {
    const PowerModel model = randomModel(1 + random() % 3, random);
    const PowerWorkload workload = randomWorkload(model, 2, 3, random);
    const PowerLimits limits = randomLimits(model, workload, random);
    for (PowerGoal goal : kGoals)
      for (ClockPolicy policy : kClockPolicies) {
        const double best = bruteForce(model, workload, goal, limits, policy);
        const auto choice = chooseClocks(model, workload, goal, limits, policy);
        // The other sum is limited after the goal is reached, not searched for.
        const double other = goal == PowerGoal::LeastTime ? limits.seconds : limits.energy;
        if (!choice.ok()) {
          EXPECT_TRUE(std::isinf(best)) << choice.status();
          ++refused;
          continue;
        }
        ASSERT_FALSE(std::isinf(best));
        EXPECT_NEAR(goalOf(choice->cost, goal), best, 1e-9 * best);
        EXPECT_NEAR(choice->bound, best, 1e-9 * best);
        EXPECT_LE(goalOf(choice->cost, goal), other * (1 + 1e-9));
        EXPECT_TRUE(isAllowed(model, choice->plan, policy));
        EXPECT_TRUE(keepsLimits(choice->cost, limits));
        ++found;
      }
  }
  EXPECT_GT(found, 150);
  EXPECT_GT(refused, 50);
}

TEST(ClockPlan, JointIsNeverBehindASimplerPolicy) {
  std::mt19937 random(2);
  int compared = 0, better = 0, exact = 0, searched = 0;
  int64_t mostLabels = 0;
  double worstGap = 0;
  for (int round = 0; round < 100; ++round) {
    const PowerModel model = randomModel(2 + random() % 5, random);
    const PowerWorkload workload = randomWorkload(model, 3, 40, random);
    const PowerLimits some = randomLimits(model, workload, random);
    // Now and then few labels, so that the bounded search has to show its bound.
    const ClockSearch search = {.mostLabels = round % 4 ? ClockSearch().mostLabels : 2000};
    for (const auto &[goal, limits] : {std::pair{PowerGoal::LeastTime, some},
                                       {PowerGoal::LeastEnergy, some},
                                       {PowerGoal::LeastTime, PowerLimits{}},
                                       {PowerGoal::LeastEnergy, PowerLimits{}}}) {
      const auto joint = chooseClocks(model, workload, goal, limits, ClockPolicy::Joint, search);
      if (joint.ok()) {
        EXPECT_LE(joint->bound, goalOf(joint->cost, goal));
        const double gap = goalOf(joint->cost, goal) / joint->bound - 1;
        if (round % 4) {
          worstGap = std::max(worstGap, gap);
          exact += gap < 1e-12;
          ++searched;
        }
        mostLabels = std::max(mostLabels, joint->labels);
        EXPECT_TRUE(keepsLimits(joint->cost, limits));
      }
      for (ClockPolicy policy : {ClockPolicy::Fixed, ClockPolicy::Dvfs, ClockPolicy::Dfs}) {
        const auto other = chooseClocks(model, workload, goal, limits, policy, search);
        if (!other.ok())
          continue;
        ASSERT_TRUE(joint.ok()) << joint.status();
        EXPECT_LE(goalOf(joint->cost, goal), goalOf(other->cost, goal));
        EXPECT_LE(joint->bound, goalOf(other->cost, goal));
        ++compared;
        better += goalOf(joint->cost, goal) < goalOf(other->cost, goal) * (1 - 1e-6);
      }
    }
  }
  std::printf(
      "%d comparisons, joint better by 1e-6 in %d; %d of %d proven best, worst gap %.2e, at "
      "most %ld labels\n",
      compared, better, exact, searched, worstGap, static_cast<long>(mostLabels));
  EXPECT_GT(compared, 800);
  EXPECT_GT(better, 300);
  EXPECT_LT(worstGap, 1e-9);
}

TEST(ClockPlan, TheHighestClockAtFixedVoltageWithoutACap) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    PowerModel model = randomModel(1 + random() % 6, random);
    model.clockPower = 0;
    const PowerWorkload workload = randomWorkload(model, 3, 20, random);
    for (PowerGoal goal : kGoals) {
      const auto choice = chooseClocks(model, workload, goal, {}, ClockPolicy::Dfs);
      ASSERT_TRUE(choice.ok()) << choice.status();
      for (const ModuleClocks &module : choice->plan)
        EXPECT_THAT(module.clocks, Each(model.nominal));
      EXPECT_EQ(choice->cost.clockSwitches + choice->cost.voltageSwitches, 0);
    }
  }
}

/// A layer of which half its time at 1 GHz is bound by the clock, half by DRAM.
PowerLayer halfBound(const PowerModel &model, double seconds) {
  PowerLayer layer = layerOfUnits(model, "layer", {{.cycles = seconds * 0.5e9}}, 0);
  for (ClockedWork &work : layer.at)
    work.seconds += seconds / 2;
  return layer;
}

TEST(ClockPlan, EachLayerGetsTheHighestClockThatKeepsTheCap) {
  PowerModel model = plainModel();
  model.clockSwitch = 0;
  model.leakagePower = 0;
  // 3 W at 1 GHz and nominal voltage, 1.5 W at 0.5 GHz; the second layer 1 W and 0.5 W.
  auto ofPower = [&](double watts) {
    return layerOfUnits(model, "layer", {{.cycles = 1e6, .switched = watts * 1e-3}}, 0);
  };
  const PowerWorkload workload = {{"module", 2, {ofPower(3), ofPower(1), ofPower(3)}}};
  const auto choice =
      chooseClocks(model, workload, PowerGoal::LeastTime, {.layerPower = 2}, ClockPolicy::Dfs);
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_THAT(choice->plan[0].clocks, testing::ElementsAre(0, 1, 0));
  EXPECT_DOUBLE_EQ(choice->cost.seconds, 2 * (2e-3 + 1e-3 + 2e-3));
  // Six milliseconds where one clock must do.
  const auto fixed =
      chooseClocks(model, workload, PowerGoal::LeastTime, {.layerPower = 2}, ClockPolicy::Fixed);
  EXPECT_DOUBLE_EQ(fixed->cost.seconds, 12e-3);
  // Just below 1.5 W nothing is left at the nominal voltage.
  const auto none =
      chooseClocks(model, workload, PowerGoal::LeastTime, {.layerPower = 1.4}, ClockPolicy::Dfs);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(none.status().message(),
              HasSubstr("dfs: layer 'layer' of module 'module' draws at least 1.5 W"));
  // A lower voltage does it: 1.5 W x 0.64.
  const auto joint =
      chooseClocks(model, workload, PowerGoal::LeastTime, {.layerPower = 1.4}, ClockPolicy::Joint);
  ASSERT_TRUE(joint.ok());
  EXPECT_EQ(joint->plan[0].voltage, 0u);
}

TEST(ClockPlan, NoSwitchThatCostsMoreThanItGains) {
  PowerModel model = plainModel();
  model.clockPower = 1; // slower is leaner where DRAM decides
  PowerLayer bound = layerOfUnits(model, "dram", {{.cycles = 1, .seconds = 4e-6}}, 0);
  const PowerLayer fast = layerOfUnits(model, "array", {{.cycles = 1e6}}, 0);
  PowerWorkload workload = {{"module", 1, {fast, bound, fast}}};
  // 0.5 GHz in the middle saves 0.5 W for 4 us = 2 uJ; two changes take 1 W for 2 us = 2 uJ.
  auto choice = chooseClocks(model, workload, PowerGoal::LeastEnergy, {}, ClockPolicy::Dfs);
  ASSERT_TRUE(choice.ok());
  EXPECT_THAT(choice->plan[0].clocks, Each(1u));
  EXPECT_EQ(choice->cost.clockSwitches, 0);
  // With 20 % more there is a gain.
  workload[0].layers[1] = layerOfUnits(model, "dram", {{.cycles = 1, .seconds = 4.8e-6}}, 0);
  choice = chooseClocks(model, workload, PowerGoal::LeastEnergy, {}, ClockPolicy::Dfs);
  EXPECT_THAT(choice->plan[0].clocks, testing::ElementsAre(1, 0, 1));
  EXPECT_EQ(choice->cost.clockSwitches, 2);

  // 1.25 GHz gains a fifth of 0.9 ms, less than two changes of voltage; of 1.1 ms it gains more.
  for (double seconds : {0.9e-3, 1.1e-3}) {
    const PowerWorkload alone = {
        {"module", 1, {layerOfUnits(model, "array", {{.cycles = seconds * 1e9}}, 0)}}};
    choice = chooseClocks(model, alone, PowerGoal::LeastTime, {}, ClockPolicy::Joint);
    EXPECT_EQ(choice->cost.voltageSwitches, seconds > 1e-3 ? 2 : 0);
  }
}

TEST(ClockPlan, AModuleThatRunsAgainPaysForItsWayBack) {
  PowerModel model = plainModel();
  const PowerWorkload workload = {{"module", 10, {halfBound(model, 1e-3), halfBound(model, 1e-3)}}};
  const PlanCost cost = planCost(model, workload, {{1, {1, 0}}});
  // 10 times within the module, 9 back, one at the end.
  EXPECT_EQ(cost.clockSwitches, 20);
  EXPECT_NEAR(cost.seconds, 10 * (1e-3 + 1.5e-3) + 20e-6, 1e-12);
  EXPECT_NEAR(cost.energy, cost.seconds * 1, 1e-12);
}

TEST(ClockPlan, CurveIsMonotoneAndEachPointKeepsItsTime) {
  std::mt19937 random(4);
  const PowerModel model = randomModel(6, random);
  const PowerWorkload workload = randomWorkload(model, 3, 30, random);
  const auto curve = timeEnergyCurve(model, workload, {}, ClockPolicy::Joint, 8);
  ASSERT_TRUE(curve.ok()) << curve.status();
  ASSERT_GE(curve->size(), 2u);
  for (size_t i = 1; i < curve->size(); ++i) {
    EXPECT_GT((*curve)[i].cost.seconds, (*curve)[i - 1].cost.seconds);
    EXPECT_LT((*curve)[i].cost.energy, (*curve)[i - 1].cost.energy);
  }
}

TEST(ClockPlan, EnergyFallsWithVoltageAndRisesWithLeakage) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    const PowerModel model = randomModel(6, random);
    const PowerLayer layer = test::randomLayer(model, "layer", random);
    for (size_t v = 1; v < 6; ++v)
      for (size_t clock = 0; clock < v; ++clock) {
        EXPECT_GE(layerEnergy(model, layer, v, clock), layerEnergy(model, layer, v - 1, clock));
        EXPECT_GE(layerPeakPower(model, layer, v, clock) * (1 + 1e-12),
                  layerPower(model, layer, v, clock));
      }
    // At the nominal point everything is what it was given as.
    const ClockedWork &work = layer.at[model.nominal];
    EXPECT_DOUBLE_EQ(layerEnergy(model, layer, model.nominal, model.nominal),
                     work.switched + work.dram +
                         work.seconds *
                             (model.leakagePower + model.clockPower + model.dramIdlePower));
  }
}

TEST(ClockPlan, RefusesWhatMakesNoSense) {
  const PowerModel good = plainModel();
  const PowerWorkload workload = {{"module", 1, {halfBound(good, 1e-3)}}};
  auto message = [](const PowerModel &model, const PowerWorkload &workload,
                    const PowerLimits &limits = {}) {
    return std::string(
        chooseClocks(model, workload, PowerGoal::LeastTime, limits, ClockPolicy::Joint)
            .status()
            .message());
  };
  EXPECT_EQ(message(good, workload), "");
  PowerModel bad = good;
  bad.points[1].voltage = 0.8;
  EXPECT_THAT(message(bad, workload), HasSubstr("operating point 1 is 0.8 V"));
  bad = good;
  bad.points.clear();
  EXPECT_THAT(message(bad, workload), HasSubstr("no operating point"));
  bad = good;
  bad.nominal = 3;
  EXPECT_THAT(message(bad, workload), HasSubstr("nominal point 3 is none of 3"));
  bad = good;
  bad.leakageSlope = 0;
  EXPECT_THAT(message(bad, workload), HasSubstr("leakage slope"));
  bad = good;
  bad.clockSwitch = -1;
  EXPECT_THAT(message(bad, workload), HasSubstr("switching time is -1"));
  EXPECT_THAT(message(good, {}), HasSubstr("workload has no module"));
  PowerWorkload none = workload;
  none[0].runs = 0;
  EXPECT_THAT(message(good, none), HasSubstr("module 'module' has 0 runs of 1 layers"));
  none = workload;
  none[0].layers[0].at.pop_back();
  EXPECT_THAT(message(good, none), HasSubstr("has work at 2 clocks; needs 3"));
  none = workload;
  none[0].layers[0].at[0].dram = std::nan("");
  EXPECT_THAT(message(good, none), HasSubstr("takes nan; needs at least 0"));
  EXPECT_THAT(message(good, workload, {.seconds = 0}), HasSubstr("limit of time is 0"));
  EXPECT_THAT(message(good, workload, {.seconds = 0.9e-3}), HasSubstr("takes at least 0.001 s"));
  EXPECT_THAT(message(good, workload, {.energy = 1e-9}), HasSubstr("J; the limit is 1e-09"));
  EXPECT_THAT(message(good, workload, {.peakPower = 0.1}), HasSubstr("a peak of at least"));
}

} // namespace
} // namespace sdopt
