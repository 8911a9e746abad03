//===- CostReport.h - what a simulated run costs, in the report -*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_COSTREPORT_H
#define SDOPT_COMPILER_PIPELINE_COSTREPORT_H

#include "absl/status/statusor.h"
#include "compiler/report/report.pb.h"
#include "compiler/simulator/Simulator.h"

namespace sdopt {

/// Runs the module, phase after phase, and sets what that costs: in all, by phases and layer by
/// layer, and the data of the pictures. Layers are those of the program; the quality of those that
/// the report knows by name stays. Gives the sum of all phases.
absl::StatusOr<RunStatistics> setCosts(const PackageModule &module, const Target &target,
                                       ModuleReport &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_COSTREPORT_H
