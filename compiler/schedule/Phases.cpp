// What one phase of a network leaves for the later ones.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

namespace sdopt {

std::vector<TensorId> keptTensors(const Network &network, Phase phase) {
  std::vector<bool> made(network.tensors.size(), false), needed(network.tensors.size(), false);
  for (const Layer &layer : network.layers) {
    if (layer.phase == phase)
      made[rootOf(network, layer.output)] = true;
    if (layer.phase <= phase)
      continue;
    needed[rootOf(network, layer.output)] = true;
    for (TensorId id : layer.inputs)
      needed[rootOf(network, id)] = true;
  }
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role == TensorRole::Output)
      needed[rootOf(network, static_cast<TensorId>(id))] = true;
  std::vector<TensorId> kept;
  if (phase == Phase::Step)
    return kept;
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (made[id] && needed[id])
      kept.push_back(static_cast<TensorId>(id));
  return kept;
}

std::vector<CommandRange> phasesOf(const Program &program) {
  if (program.phaseEnds.empty())
    return {{}, {}, {0, program.commands.size()}};
  std::vector<CommandRange> ranges;
  size_t begin = 0;
  for (size_t end : program.phaseEnds) {
    ranges.push_back({begin, end});
    begin = end;
  }
  return ranges;
}

std::vector<size_t> phaseEnds(const Network &network, const std::vector<Command> &commands) {
  std::vector<size_t> ends(kPhases, 0);
  for (size_t i = 0; i < commands.size(); ++i)
    for (int s = static_cast<int>(network.layers[commands[i].layer].phase); s < kPhases; ++s)
      ends[s] = i + 1;
  return ends;
}

} // namespace sdopt
