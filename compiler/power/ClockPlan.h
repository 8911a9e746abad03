//===- ClockPlan.h - voltages of modules, clocks of layers ------*- C++ -*-===//
//
// Which voltage each module of a picture runs at and which clock each of its layers, such that the
// picture takes the least time or the least energy within limits of power, time and energy. What
// changes cost is counted, the one between the last and the first layer of a module that runs again
// too. The most images per second and watt (that is, per joule) are those of the least energy.
//
// Time and energy of a plan are sums over layers and changes, so the choice is a path through
// layers of (voltage, clock): exact by branch and bound over voltages and LayeredPath.h, or with a
// bound of what is left. A choice that the bounded search leaves behind one of a simpler policy is
// replaced by it.
//
// Compare Kim et al., Layer-wise frequency scaling for a neural processing unit, ETRI Journal
// 44(5), 2022, doi 10.4218/etrij.2022-0094: the highest clock of each layer under a power limit.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_POWER_CLOCKPLAN_H
#define SDOPT_COMPILER_POWER_CLOCKPLAN_H

#include "compiler/power/PowerModel.h"

#include <array>
#include <limits>
#include <vector>

namespace sdopt {

enum class PowerGoal : uint8_t { LeastTime = 0, LeastEnergy = 1 };

/// All limits hold for each plan, up to the rounding of sums (1e-10 of the limit).
struct PowerLimits {
  double layerPower = std::numeric_limits<double>::infinity(); ///< W, mean over each layer
  double peakPower = std::numeric_limits<double>::infinity();  ///< W, at any moment
  double seconds = std::numeric_limits<double>::infinity();    ///< for the picture
  double energy = std::numeric_limits<double>::infinity();     ///< J, for the picture
};

/// What may be chosen.
enum class ClockPolicy : uint8_t {
  Fixed = 0, ///< one clock for all, at the nominal voltage
  Dvfs = 1,  ///< a voltage and a clock for each module
  Dfs = 2,   ///< a clock for each layer, at the nominal voltage
  Joint = 3  ///< a voltage for each module and a clock for each layer
};
inline constexpr std::array<ClockPolicy, 4> kClockPolicies = {ClockPolicy::Fixed, ClockPolicy::Dvfs,
                                                              ClockPolicy::Dfs, ClockPolicy::Joint};
/// "fixed clock", "dvfs", "dfs", "joint".
const char *name(ClockPolicy policy);

/// Indices into PowerModel::points.
struct ModuleClocks {
  size_t voltage = 0;
  std::vector<size_t> clocks; ///< parallel to the module's layers, none above `voltage`
};
using ClockPlan = std::vector<ModuleClocks>; ///< parallel to the workload

struct PlanCost {
  double seconds = 0;    ///< of the picture
  double energy = 0;     ///< J
  double layerPower = 0; ///< W, the highest mean of a layer
  double peakPower = 0;  ///< W
  int64_t clockSwitches = 0, voltageSwitches = 0;

  double imagesPerSecond() const { return 1 / seconds; }
  double imagesPerSecondPerWatt() const { return 1 / energy; }
};

struct ClockChoice {
  ClockPlan plan;
  PlanCost cost;
  /// No plan of the policy within the limits has less of the goal (s or J).
  double bound = 0;
  int64_t labels = 0; ///< that the search went through
};

struct ClockSearch {
  int64_t mostLabels = int64_t{1} << 20; ///< of partial plans, under a limit of time or energy
};

/// The plan must fit the workload (asserted). Sums straight from the definitions.
PlanCost planCost(const PowerModel &model, const PowerWorkload &workload, const ClockPlan &plan);
bool keepsLimits(const PlanCost &cost, const PowerLimits &limits);

/// W: no limit of PowerLimits::layerPower below it can be kept at any voltage and clock.
double leastLayerPower(const PowerModel &model, const PowerWorkload &workload);

/// INVALID_ARGUMENT for a model, workload or limit that makes no sense; FAILED_PRECONDITION if no
/// plan keeps the limits: with the layer that draws too much at every point, or the least time or
/// energy that there is.
absl::StatusOr<ClockChoice> chooseClocks(const PowerModel &model, const PowerWorkload &workload,
                                         PowerGoal goal, const PowerLimits &limits,
                                         ClockPolicy policy, const ClockSearch &search = {});

/// Least energies at `count` times (at least 2), spread evenly from the least time to that of the
/// least energy, all under the limits of power: time ascending, energy descending.
absl::StatusOr<std::vector<ClockChoice>>
timeEnergyCurve(const PowerModel &model, const PowerWorkload &workload, const PowerLimits &limits,
                ClockPolicy policy, int count, const ClockSearch &search = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_CLOCKPLAN_H
