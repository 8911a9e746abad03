//===- PhaseRunner.h - a module whose phases run no more than needed -*- C++ -*-===//
//
// A denoiser is called many times with one prompt, and each picture with the same timesteps. What
// its prompt and schedule phases leave is computed once for each of their inputs, then copied back.
// The results are those of running everything.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_PHASERUNNER_H
#define SDOPT_TOOLS_SDOPT_RUN_PHASERUNNER_H

#include "compiler/simulator/Simulator.h"

#include <deque>
#include <optional>

namespace sdopt {

class PhaseRunner {
public:
  PhaseRunner(const PackageModule &module, const Target &target)
      : module_(module), simulator_(module, target) {}

  /// runModule(). `cost` is what has run, copies counted; a trace shows the same.
  absl::StatusOr<std::map<std::string, Tensor>> run(const std::map<std::string, Tensor> &inputs,
                                                    std::vector<TraceEvent> *trace,
                                                    RunStatistics &cost);

private:
  /// What a phase left for inputs of these bytes.
  struct Kept {
    std::string inputs;
    std::vector<std::byte> bytes;
  };
  struct PhaseState {
    std::optional<std::string> current; ///< inputs whose results lie in the arena
    std::deque<Kept> kept;              ///< oldest first
  };

  std::string inputBytes(Phase phase, const std::map<std::string, Tensor> &inputs) const;
  void leave(Phase phase, RunStatistics &cost);
  absl::StatusOr<std::map<std::string, Tensor>>
  simulate(Phase phase, const std::map<std::string, Tensor> &inputs, std::vector<TraceEvent> *trace,
           RunStatistics &cost);
  absl::Status enter(Phase phase, const std::map<std::string, Tensor> &inputs,
                     std::vector<TraceEvent> *trace, RunStatistics &cost);

  const PackageModule &module_;
  Simulator simulator_;
  std::array<PhaseState, kPhases> states_;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_PHASERUNNER_H
