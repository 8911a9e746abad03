//===- RunRecount.h - a plain model of a run --------------------*- C++ -*-===//
//
// docs/isa.md, "Execution" and "Timing", written a second time from that text, without events: the
// start of a command follows from the ends of those that it waits for.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FIGURES_RUNRECOUNT_H
#define SDOPT_COMPILER_FIGURES_RUNRECOUNT_H

#include "absl/status/statusor.h"
#include "compiler/figures/UnitRecount.h"
#include "compiler/package/Package.h"

namespace sdopt {

struct LayerRecount {
  int64_t first = -1, last = -1; ///< cycles of its phase in which its commands run; -1: none
  int64_t firstCycle = 0, cycles = 0;
  std::array<int64_t, kQueues> busy = {0, 0, 0, 0};
  int64_t readBytes = 0, writeBytes = 0, macs = 0, skipped = 0, elements = 0;
  double energy = 0;
  const char *bound() const;
};

struct PhaseRecount {
  int64_t cycles = 0, readBytes = 0, writeBytes = 0, activations = 0;
  double energy = 0; ///< J, all
};

/// Cycles in which a queue works, without waiting for the bus and its latency.
struct WorkInterval {
  int64_t begin = 0, end = 0;
};

struct RunRecount {
  std::vector<LayerRecount> layers;
  std::array<PhaseRecount, 3> phases;
  std::array<PhaseRecount, 3> copies; ///< of what each phase leaves
  std::array<std::vector<WorkInterval>, kQueues> step;
};

/// FAILED_PRECONDITION if the queues wait for each other.
absl::StatusOr<RunRecount> recountRun(const PackageModule &module, const Target &target);

} // namespace sdopt

#endif // SDOPT_COMPILER_FIGURES_RUNRECOUNT_H
