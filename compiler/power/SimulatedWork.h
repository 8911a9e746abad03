//===- SimulatedWork.h - what layers take at each clock ---------*- C++ -*-===//
//
// The work of a module's layers as the simulator has it. DRAM keeps its own speed, so a layer's
// cycles depend on the clock.
//
// Layers overlap: weights are prefetched while the layer before computes. The run is cut where
// layers end, in order; what every command switches is spread over the cycles in which it is
// busy, and counts for the layer in whose cycles it falls. So the layers' times add up to the run's
// and their energies to the run's energy. Two layers at different clocks are taken to overlap as
// they do at one.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_POWER_SIMULATEDWORK_H
#define SDOPT_COMPILER_POWER_SIMULATEDWORK_H

#include "compiler/package/Package.h"
#include "compiler/power/PowerModel.h"

#include <optional>

namespace sdopt {

enum class SimulatedClocks : uint8_t {
  /// One simulation at the nominal clock. At others, a layer takes as long as its busiest unit, of
  /// which the DRAM bus keeps its speed, and the cycles of the nominal clock in which none was
  /// busy. No layer is faster at a lower clock.
  Nominal = 0,
  /// A simulation at each clock of the model: the whole run as it is, but where one layer ends and
  /// the next begins shifts a little with the clock.
  Every = 1
};

/// The layers of one phase of a module, simulated without values on the target (whose own clock is
/// not looked at). Layers keep their order; the name is that of the module and, if it has several
/// phases, ".phase". Nothing if the phase has no layers. Errors are those of Simulator::run.
absl::StatusOr<std::optional<PowerModule>>
simulatedWork(const PackageModule &module, const Target &target, const PowerModel &model,
              Phase phase, int64_t runs, SimulatedClocks clocks = SimulatedClocks::Nominal);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_SIMULATEDWORK_H
