// Energy and time of one picture of Stable Diffusion 2.1 (shapes of the full-size UNet and VAE
// decoder, A16W8) by voltage and clock: policies side by side, and energy against time.
//
//   power-choices [target] [steps] [check]
//
// check: simulates at every clock too and compares the times.

#include "compiler/power/PowerTable.h"
#include "compiler/power/SimulatedWork.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/StableDiffusion.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace sdopt {
namespace {

using Seconds = std::chrono::duration<double>;

/// Times of one run at each clock, from the nominal one, against simulations of their own.
absl::Status check(const PackageModule &module, const Target &target, const PowerModel &model,
                   const PowerModule &work) {
  const auto every = simulatedWork(module, target, model, Phase::Step, 1, SimulatedClocks::Every);
  if (!every.ok())
    return every.status();
  std::printf("  from the nominal clock against a simulation at each:");
  for (size_t clock = 0; clock < model.points.size(); ++clock) {
    double own = 0, other = 0;
    for (size_t l = 0; l < work.layers.size(); ++l) {
      own += (*every)->layers[l].at[clock].seconds;
      other += work.layers[l].at[clock].seconds;
    }
    std::printf(" %+.1f %%", (other / own - 1) * 100);
  }
  std::printf("\n");
  return absl::OkStatus();
}

absl::StatusOr<PowerWorkload> workloadOf(const Target &target, const PowerModel &model,
                                         int64_t steps, bool checks) {
  PowerWorkload workload;
  for (const auto &[network, runs] :
       {std::pair{unet(64, ElementType::I16), 2 * steps}, {vaeDecoder(64, ElementType::I16), 1}}) {
    const auto module = test::plannedModule(network, target);
    if (!module.ok())
      return module.status();
    const auto begin = std::chrono::steady_clock::now();
    auto work = simulatedWork(*module, target, model, Phase::Step, runs);
    if (!work.ok())
      return work.status();
    const Seconds seconds = std::chrono::steady_clock::now() - begin;
    std::printf("%s: %zu layers, %ld runs, simulated in %.1f s\n", network.name.c_str(),
                (*work)->layers.size(), static_cast<long>(runs), seconds.count());
    if (checks)
      if (absl::Status status = check(*module, target, model, **work); !status.ok())
        return status;
    workload.push_back(**std::move(work));
  }
  return workload;
}

absl::Status compare(const char *title, const PowerModel &model, const PowerWorkload &workload,
                     PowerGoal goal, const PowerLimits &limits) {
  const auto begin = std::chrono::steady_clock::now();
  const auto results = comparePolicies(model, workload, goal, limits);
  if (!results.ok())
    return results.status();
  const Seconds seconds = std::chrono::steady_clock::now() - begin;
  std::printf("\n%s (searched in %.2f s)\n%s", title, seconds.count(),
              powerTable(model, *results).c_str());
  const auto &joint = results->back().choice;
  if (joint.ok()) {
    const double value = goal == PowerGoal::LeastTime ? joint->cost.seconds : joint->cost.energy;
    std::printf("joint: %.2e above the bound, %ld labels\n", value / joint->bound - 1,
                static_cast<long>(joint->labels));
  }
  return absl::OkStatus();
}

absl::Status study(const std::string &preset, int64_t steps, bool checks) {
  const absl::StatusOr<Target> target = loadTarget(preset);
  if (!target.ok())
    return target.status();
  const absl::StatusOr<PowerModel> model = powerModel(*target);
  if (!model.ok())
    return model.status();
  std::printf("target %s, %ld steps\n", target->name.c_str(), static_cast<long>(steps));
  const absl::StatusOr<PowerWorkload> workload = workloadOf(*target, *model, steps, checks);
  if (!workload.ok())
    return workload.status();
  const auto fixed = chooseClocks(*model, *workload, PowerGoal::LeastTime, {}, ClockPolicy::Fixed);
  if (!fixed.ok())
    return fixed.status();
  const double seconds = fixed->cost.seconds;
  auto cap = [&](double share) {
    const double least = leastLayerPower(*model, *workload);
    return least + share * (fixed->cost.layerPower - least);
  };
  struct Case {
    const char *title;
    PowerGoal goal;
    PowerLimits limits;
  };
  std::printf("layers draw at most %.4g W at the fixed clock; no cap below %.4g W can be kept\n",
              cap(1), cap(0));
  for (const Case &c :
       {Case{"least time", PowerGoal::LeastTime, {}},
        {"least time, cap three quarters up", PowerGoal::LeastTime, {.layerPower = cap(0.75)}},
        {"least time, cap half way up", PowerGoal::LeastTime, {.layerPower = cap(0.5)}},
        {"least time, cap a quarter up", PowerGoal::LeastTime, {.layerPower = cap(0.25)}},
        {"least energy, most images/s/W", PowerGoal::LeastEnergy, {}},
        {"least energy in the time of the fixed clock",
         PowerGoal::LeastEnergy,
         {.seconds = seconds}},
        {"least energy in 1.1 times that", PowerGoal::LeastEnergy, {.seconds = 1.1 * seconds}},
        {"least energy in 1.5 times that, cap a quarter up",
         PowerGoal::LeastEnergy,
         {.layerPower = cap(0.25), .seconds = 1.5 * seconds}}})
    if (absl::Status status = compare(c.title, *model, *workload, c.goal, c.limits); !status.ok())
      return status;
  const auto curve = timeEnergyCurve(*model, *workload, {}, ClockPolicy::Joint, 12);
  if (!curve.ok())
    return curve.status();
  std::printf("\nenergy against time, joint\n%s", curveTable(*curve).c_str());
  return absl::OkStatus();
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) {
  const absl::Status status =
      sdopt::study(argc > 1 ? argv[1] : "mobile", argc > 2 ? std::atol(argv[2]) : 20, argc > 3);
  if (!status.ok())
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
