//===- CheckFigures.h - a report against its package ------------*- C++ -*-===//
//
// Every figure of a module's report that comes from its program is made a second time, by code that
// shares none with the scheduler, the simulator and the report's writer: from the commands, tensors
// and layers of the package and from the target, as docs/isa.md and docs/format.md say. Shared are
// the readers of packages and weight streams.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FIGURES_CHECKFIGURES_H
#define SDOPT_COMPILER_FIGURES_CHECKFIGURES_H

#include "absl/status/status.h"
#include "compiler/package/Package.h"
#include "compiler/report/report.pb.h"
#include "compiler/target/Target.h"

namespace sdopt {

/// INTERNAL names the first figure that differs, its module, phase, layer, tensor or queue, and
/// both values. Integers must be equal, energies and seconds within 1e-9. `figures`: how many were
/// compared.
absl::Status checkFigures(const PackageModule &module, const Target &target,
                          const ModuleReport &report, int64_t *figures = nullptr);

/// What the machine can do.
absl::Status checkFigures(const Target &target, const MachineReport &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_FIGURES_CHECKFIGURES_H
