#include "compiler/power/PowerTable.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sdopt {

absl::StatusOr<std::vector<PolicyResult>> comparePolicies(const PowerModel &model,
                                                          const PowerWorkload &workload,
                                                          PowerGoal goal, const PowerLimits &limits,
                                                          const ClockSearch &search) {
  std::vector<PolicyResult> results;
  for (ClockPolicy policy : kClockPolicies) {
    results.push_back({policy, chooseClocks(model, workload, goal, limits, policy, search)});
    const absl::Status &status = results.back().choice.status();
    if (!status.ok() && status.code() != absl::StatusCode::kFailedPrecondition)
      return status;
  }
  return results;
}

std::string powerTable(const PowerModel &model, const std::vector<PolicyResult> &results) {
  std::string text =
      absl::StrFormat("%-12s %10s %10s %10s %8s %8s %8s %7s %7s  %s\n", "policy", "s", "J",
                      "images/s", "per J", "W layer", "W peak", "clocks", "volts", "V by module");
  for (const PolicyResult &result : results) {
    if (!result.choice.ok()) {
      absl::StrAppend(&text, absl::StrFormat("%-12s ", name(result.policy)),
                      "none: ", std::string(result.choice.status().message()), "\n");
      continue;
    }
    const PlanCost &cost = result.choice->cost;
    absl::StrAppend(&text, absl::StrFormat("%-12s %10.6g %10.6g %10.5g %8.5g %8.4g %8.4g %7d %7d ",
                                           name(result.policy), cost.seconds, cost.energy,
                                           cost.imagesPerSecond(), cost.imagesPerSecondPerWatt(),
                                           cost.layerPower, cost.peakPower, cost.clockSwitches,
                                           cost.voltageSwitches));
    for (const ModuleClocks &module : result.choice->plan)
      absl::StrAppend(&text, absl::StrFormat(" %.2f", model.points[module.voltage].voltage));
    absl::StrAppend(&text, "\n");
  }
  return text;
}

std::string curveTable(const std::vector<ClockChoice> &curve) {
  std::string text = absl::StrFormat("%10s %10s %8s %10s\n", "s", "J", "per J", "gap");
  for (const ClockChoice &point : curve)
    absl::StrAppend(&text, absl::StrFormat("%10.6g %10.6g %8.5g %10.2g\n", point.cost.seconds,
                                           point.cost.energy, point.cost.imagesPerSecondPerWatt(),
                                           point.cost.energy / point.bound - 1));
  return text;
}

} // namespace sdopt
