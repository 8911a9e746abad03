//===- StepFloor.h - what no schedule of a step goes below ------*- C++ -*-===//

#ifndef SDOPT_TESTS_POWER_STEPFLOOR_H
#define SDOPT_TESTS_POWER_STEPFLOOR_H

#include "compiler/package/Package.h"

namespace sdopt::test {

/// Of the step phase of a module, however its layers share what is on chip.
struct StepFloor {
  double products = 0; ///< seconds of those that are executed, at the peak of their rates
  double elements = 0; ///< seconds of those of the vector unit, in all lanes
  /// Constants as they are stored, inputs, outputs and what the phases before leave, once.
  int64_t bytes = 0;
  double transfers = 0; ///< seconds of the bytes, at the bandwidth
  double seconds() const;
};
StepFloor stepFloor(const PackageModule &module, const Target &target);

} // namespace sdopt::test

#endif // SDOPT_TESTS_POWER_STEPFLOOR_H
