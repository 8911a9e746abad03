//===- PlannedModule.h - a network ready to be timed ------------*- C++ -*-===//

#ifndef SDOPT_TESTS_POWER_PLANNEDMODULE_H
#define SDOPT_TESTS_POWER_PLANNEDMODULE_H

#include "compiler/package/Package.h"

namespace sdopt::test {

/// Plans and expands the network; constants are zeros that nothing stores.
absl::StatusOr<PackageModule> plannedModule(const Network &network, const Target &target);
/// The same with a plan that is there.
absl::StatusOr<PackageModule> expandedModule(const Network &network, Plan plan,
                                             const Target &target);

} // namespace sdopt::test

#endif // SDOPT_TESTS_POWER_PLANNEDMODULE_H
