#include "compiler/power/PowerReport.h"

#include "compiler/power/PowerTable.h"

#include <algorithm>
#include <cmath>

namespace sdopt {
namespace {

constexpr int kCurvePoints = 12;

void fill(const PowerModel &model, const PictureWorkload &workload, const PolicyResult &result,
          PowerChoice &out) {
  out.set_policy(name(result.policy));
  if (!result.choice.ok()) {
    out.set_problem(std::string(result.choice.status().message()));
    return;
  }
  const PlanCost &cost = result.choice->cost;
  const double pictures = static_cast<double>(workload.pictures);
  out.set_seconds(cost.seconds / pictures);
  out.set_energy(cost.energy / pictures);
  out.set_images_per_second(pictures * cost.imagesPerSecond());
  out.set_images_per_second_per_watt(pictures * cost.imagesPerSecondPerWatt());
  out.set_layer_power(cost.layerPower);
  out.set_peak_power(cost.peakPower);
  out.set_clock_switches(cost.clockSwitches);
  out.set_voltage_switches(cost.voltageSwitches);
  for (size_t m = 0; m < workload.modules.size(); ++m) {
    const ModuleClocks &chosen = result.choice->plan[m];
    const auto [least, most] = std::minmax_element(chosen.clocks.begin(), chosen.clocks.end());
    ModuleClockReport &module = *out.add_modules();
    module.set_name(workload.modules[m].name);
    module.set_runs(workload.modules[m].runs);
    module.set_voltage(model.points[chosen.voltage].voltage);
    module.set_lowest_clock(model.points[*least].clock);
    module.set_highest_clock(model.points[*most].clock);
  }
}

struct Study {
  const char *goal;
  PowerGoal wanted;
  PowerLimits limits;
};

} // namespace

absl::StatusOr<PowerReport> powerReport(const PowerModel &model, const PictureWorkload &workload,
                                        const ClockSearch &search) {
  PowerReport report;
  const absl::StatusOr<ClockChoice> fixed =
      chooseClocks(model, workload.modules, PowerGoal::LeastTime, {}, ClockPolicy::Fixed, search);
  if (!fixed.ok())
    return fixed.status();
  const double cap = (leastLayerPower(model, workload.modules) + fixed->cost.layerPower) / 2;
  for (const Study &study : {Study{"least time", PowerGoal::LeastTime, {}},
                             {"least time under a cap", PowerGoal::LeastTime, {.layerPower = cap}},
                             {"least energy", PowerGoal::LeastEnergy, {}},
                             {"least energy in a time",
                              PowerGoal::LeastEnergy,
                              {.seconds = 1.1 * fixed->cost.seconds}}}) {
    const auto results =
        comparePolicies(model, workload.modules, study.wanted, study.limits, search);
    if (!results.ok())
      return results.status();
    PowerStudy &out = *report.add_studies();
    out.set_goal(study.goal);
    if (std::isfinite(study.limits.layerPower))
      out.set_most_layer_power(study.limits.layerPower);
    if (std::isfinite(study.limits.seconds))
      out.set_most_seconds(study.limits.seconds / static_cast<double>(workload.pictures));
    for (const PolicyResult &result : *results)
      fill(model, workload, result, *out.add_choices());
  }
  const auto curve =
      timeEnergyCurve(model, workload.modules, {}, ClockPolicy::Joint, kCurvePoints, search);
  if (!curve.ok())
    return curve.status();
  for (const ClockChoice &choice : *curve) {
    PowerPoint &point = *report.add_curve();
    point.set_seconds(choice.cost.seconds / static_cast<double>(workload.pictures));
    point.set_energy(choice.cost.energy / static_cast<double>(workload.pictures));
  }
  return report;
}

absl::StatusOr<std::optional<PowerReport>> powerReport(const std::vector<PackageModule> &modules,
                                                       const Target &target, int steps,
                                                       const std::map<std::string, int64_t> &rows) {
  const absl::StatusOr<PowerModel> model = powerModel(target);
  if (!model.ok())
    return model.status();
  const auto workload = pictureWorkload(modules, target, *model, steps, rows);
  if (!workload.ok())
    return workload.status();
  if (!workload->has_value())
    return std::optional<PowerReport>();
  return powerReport(*model, **workload);
}

} // namespace sdopt
