// Energy and time of one picture of Stable Diffusion 2.1 (shapes of the full-size UNet and VAE
// decoder, A16W8) by voltage and clock: policies side by side, and energy against time.
//
//   power-choices [target] [steps]

#include "compiler/power/PowerTable.h"
#include "compiler/power/SimulatedWork.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/StableDiffusion.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace sdopt {
namespace {

absl::StatusOr<PowerWorkload> workloadOf(const Target &target, const PowerModel &model,
                                         int64_t steps) {
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
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("%s: %zu layers, %ld runs, simulated at %zu clocks in %.1f s\n",
                network.name.c_str(), (*work)->layers.size(), static_cast<long>(runs),
                model.points.size(), seconds.count());
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
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
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

absl::Status study(const std::string &preset, int64_t steps) {
  const absl::StatusOr<Target> target = loadTarget(preset);
  if (!target.ok())
    return target.status();
  const absl::StatusOr<PowerModel> model = powerModel(*target);
  if (!model.ok())
    return model.status();
  std::printf("target %s, %ld steps\n", target->name.c_str(), static_cast<long>(steps));
  const absl::StatusOr<PowerWorkload> workload = workloadOf(*target, *model, steps);
  if (!workload.ok())
    return workload.status();
  const auto fixed = chooseClocks(*model, *workload, PowerGoal::LeastTime, {}, ClockPolicy::Fixed);
  if (!fixed.ok())
    return fixed.status();
  const double seconds = fixed->cost.seconds, power = fixed->cost.layerPower;
  struct Case {
    const char *title;
    PowerGoal goal;
    PowerLimits limits;
  };
  for (const Case &c :
       {Case{"least time", PowerGoal::LeastTime, {}},
        {"least time, layers at most 80 % of the fixed clock's highest power",
         PowerGoal::LeastTime,
         {.layerPower = 0.8 * power}},
        {"least time, at most 60 %", PowerGoal::LeastTime, {.layerPower = 0.6 * power}},
        {"least time, at most 50 %", PowerGoal::LeastTime, {.layerPower = 0.5 * power}},
        {"least energy, most images/s/W", PowerGoal::LeastEnergy, {}},
        {"least energy in the time of the fixed clock",
         PowerGoal::LeastEnergy,
         {.seconds = seconds}},
        {"least energy in 1.1 times that", PowerGoal::LeastEnergy, {.seconds = 1.1 * seconds}},
        {"the same, layers at most 60 %",
         PowerGoal::LeastEnergy,
         {.layerPower = 0.6 * power, .seconds = 1.25 * seconds}}})
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
      sdopt::study(argc > 1 ? argv[1] : "mobile", argc > 2 ? std::atol(argv[2]) : 20);
  if (!status.ok())
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
