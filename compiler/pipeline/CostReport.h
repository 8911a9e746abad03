//===- CostReport.h - what a simulated run costs, in the report -*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_COSTREPORT_H
#define SDOPT_COMPILER_PIPELINE_COSTREPORT_H

#include "compiler/report/Report.h"
#include "compiler/schedule/Network.h"

namespace sdopt {

struct ModuleInfo;
struct PackageModule;
struct RunStatistics;

/// Adds what one phase of a module costs, if the module has layers in it. `copy`: what keeping its
/// results for later phases costs.
void addPhaseCosts(const ModuleInfo &info, Phase phase, const RunStatistics &run,
                   const RunStatistics &copy, ModuleReport &report);

/// Sets what a run of all phases costs, in all and layer by layer. Layers are those of the program;
/// the quality of those that the report knows by name stays.
void setCosts(const PackageModule &module, const RunStatistics &run, ModuleReport &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_COSTREPORT_H
