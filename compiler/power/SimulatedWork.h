//===- SimulatedWork.h - what layers take at each clock ---------*- C++ -*-===//
//
// The work of a module's layers as the simulator has it, once for each clock: DRAM keeps its own
// speed, so a layer's cycles depend on the clock, and so does how far transfers hide behind
// computation.
//
// Layers overlap: weights are prefetched while the layer before computes. The run is cut where
// layers end, in order; what every command switches is spread over the cycles in which it is
// busy, and counts for the layer in whose cycles it falls. So the layers' times add up to the run's
// and their energies to the run's energy. Two layers at different clocks are taken to overlap as if
// both ran at the clock of the later one.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_POWER_SIMULATEDWORK_H
#define SDOPT_COMPILER_POWER_SIMULATEDWORK_H

#include "compiler/package/Package.h"
#include "compiler/power/PowerModel.h"

#include <optional>

namespace sdopt {

/// The layers of one phase of a module, simulated without values at every clock of the model on
/// the target (its own clock is not looked at). Layers keep their order; the name is that of the
/// module and, if it has several phases, ".phase". Nothing if the phase has no layers. Errors are
/// those of Simulator::run.
absl::StatusOr<std::optional<PowerModule>> simulatedWork(const PackageModule &module,
                                                         const Target &target,
                                                         const PowerModel &model, Phase phase,
                                                         int64_t runs);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_SIMULATEDWORK_H
