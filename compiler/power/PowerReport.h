//===- PowerReport.h - voltages and clocks in the report --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_POWER_POWERREPORT_H
#define SDOPT_COMPILER_POWER_POWERREPORT_H

#include "compiler/power/ClockPlan.h"
#include "compiler/power/PictureWorkload.h"
#include "compiler/report/report.pb.h"

namespace sdopt {

/// The policies side by side for four goals: least time; least time with layers capped half way
/// between what can be kept and what the fixed clock draws; least energy (most images per second
/// and watt); least energy in 1.1 times the fixed clock's time. And the joint choice's least energy
/// against time. Numbers are of one picture.
absl::StatusOr<PowerReport> powerReport(const PowerModel &model, const PictureWorkload &workload,
                                        const ClockSearch &search = {});

/// Of the modules of a package: nothing where pictureWorkload gives nothing.
absl::StatusOr<std::optional<PowerReport>> powerReport(const std::vector<PackageModule> &modules,
                                                       const Target &target, int steps,
                                                       const std::map<std::string, int64_t> &rows);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_POWERREPORT_H
