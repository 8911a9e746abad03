//===- PowerTable.h - what the policies take, side by side ------*- C++ -*-===//

#ifndef SDOPT_COMPILER_POWER_POWERTABLE_H
#define SDOPT_COMPILER_POWER_POWERTABLE_H

#include "compiler/power/ClockPlan.h"

#include <string>

namespace sdopt {

/// What a policy reaches, or why it reaches nothing.
struct PolicyResult {
  ClockPolicy policy = ClockPolicy::Fixed;
  absl::StatusOr<ClockChoice> choice;
};

/// All policies under the same goal and limits, in the order of kClockPolicies. Errors other than
/// FAILED_PRECONDITION (no plan keeps the limits) are returned.
absl::StatusOr<std::vector<PolicyResult>> comparePolicies(const PowerModel &model,
                                                          const PowerWorkload &workload,
                                                          PowerGoal goal, const PowerLimits &limits,
                                                          const ClockSearch &search = {});

/// One line for each policy: seconds, joules, images per second and per joule of a picture, highest
/// layer and peak power, changes of clock and voltage, voltages by module.
std::string powerTable(const PowerModel &model, const std::vector<PolicyResult> &results);

/// Seconds, joules and images per joule of each point of a curve.
std::string curveTable(const std::vector<ClockChoice> &curve);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_POWERTABLE_H
