//===- PhaseRunner.cpp - a module whose phases run no more than needed ----===//

#include "tools/sdopt-run/PhaseRunner.h"

#include <algorithm>

namespace sdopt {

namespace {

// Both branches of guidance and some prompts; all timesteps that there are.
constexpr std::array<size_t, kPhases> kMostKept = {8, 1000, 0};

} // namespace

std::string PhaseRunner::inputBytes(Phase phase,
                                    const std::map<std::string, Tensor> &inputs) const {
  const Network &network = module_.info.network;
  std::string bytes;
  for (size_t id = 0; id < network.tensors.size(); ++id) {
    const TensorInfo &tensor = network.tensors[id];
    if (tensor.role != TensorRole::Input ||
        !isRead(network, static_cast<TensorId>(id), phase, phase))
      continue;
    if (auto found = inputs.find(tensor.name); found != inputs.end())
      bytes.append(reinterpret_cast<const char *>(found->second.bytes()),
                   static_cast<size_t>(found->second.byteSize()));
  }
  return bytes;
}

/// Before the results of a phase are replaced.
void PhaseRunner::leave(Phase phase, RunStatistics &cost) {
  PhaseState &state = states_[static_cast<size_t>(phase)];
  if (!state.current)
    return;
  if (phase == Phase::Schedule && !module_.schedule.empty()) {
    state.current.reset(); // the package keeps it
    return;
  }
  const bool known = std::ranges::any_of(
      state.kept, [&](const Kept &kept) { return kept.inputs == *state.current; });
  if (!known) {
    state.kept.push_back({*std::move(state.current), simulator_.kept(phase)});
    addTo(cost, simulator_.copyCost(phase));
    if (state.kept.size() > kMostKept[static_cast<size_t>(phase)])
      state.kept.pop_front();
  }
  state.current.reset();
}

/// What runs comes after what `cost` has already.
absl::StatusOr<std::map<std::string, Tensor>>
PhaseRunner::simulate(Phase phase, const std::map<std::string, Tensor> &inputs,
                      std::vector<TraceEvent> *trace, RunStatistics &cost) {
  std::vector<TraceEvent> events;
  RunStatistics ran;
  absl::StatusOr<std::map<std::string, Tensor>> outputs = runModule(
      simulator_, module_, inputs,
      {.first = phase, .last = phase, .wholeLayers = true, .trace = trace ? &events : nullptr},
      &ran);
  for (const TraceEvent &event : events)
    trace->push_back({event.command, event.begin + cost.cycles, event.end + cost.cycles,
                      event.workBegin + cost.cycles, event.workEnd + cost.cycles});
  addTo(cost, ran);
  return outputs;
}

absl::Status PhaseRunner::enter(Phase phase, const std::map<std::string, Tensor> &inputs,
                                std::vector<TraceEvent> *trace, RunStatistics &cost) {
  PhaseState &state = states_[static_cast<size_t>(phase)];
  std::string bytes = inputBytes(phase, inputs);
  if (state.current == bytes)
    return absl::OkStatus();
  leave(phase, cost);
  auto found = std::ranges::find(state.kept, bytes, &Kept::inputs);
  if (found != state.kept.end()) {
    simulator_.restore(phase, found->bytes);
    addTo(cost, simulator_.copyCost(phase));
  } else {
    // What an earlier phase needs on the way may overwrite the results of a later one.
    if (phase == Phase::Prompt)
      leave(Phase::Schedule, cost);
    if (absl::Status status = simulate(phase, inputs, trace, cost).status(); !status.ok())
      return status;
  }
  state.current = std::move(bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, Tensor>>
PhaseRunner::run(const std::map<std::string, Tensor> &inputs, std::vector<TraceEvent> *trace,
                 RunStatistics &cost) {
  cost = {};
  if (trace)
    trace->clear();
  for (Phase phase : {Phase::Prompt, Phase::Schedule})
    if (!keptTensors(module_.info.network, phase).empty())
      if (absl::Status status = enter(phase, inputs, trace, cost); !status.ok())
        return status;
  return simulate(Phase::Step, inputs, trace, cost);
}

} // namespace sdopt
