//===- ScheduleTable.h - the time path as a table ---------------*- C++ -*-===//
//
// What depends on the timestep alone is known for each step of a schedule before anything runs. The
// module's own program computes it, so that a package with the table gives the bits of one without.
// No MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_SCHEDULETABLE_H
#define SDOPT_COMPILER_SIMULATOR_SCHEDULETABLE_H

#include "absl/status/statusor.h"
#include "compiler/package/Package.h"
#include "compiler/target/Target.h"

#include <span>
#include <vector>

namespace sdopt {

/// What a module's schedule phase leaves, row by row (scheduleRowBytes() each).
struct ScheduleTable {
  std::vector<int32_t> timesteps; ///< codes of the phase's input; none: there is no such phase
  std::vector<std::byte> rows;
};

/// Runs the schedule phase of a module for each timestep. Each counts once. One with a fraction is
/// an error if the module takes whole ones.
absl::StatusOr<ScheduleTable> scheduleTable(const PackageModule &module, const Target &target,
                                            std::span<const double> timesteps);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_SCHEDULETABLE_H
