#include "tests/power/StepFloor.h"

#include "compiler/schedule/LayerShapes.h"
#include "compiler/simulator/CommandTiming.h"
#include "compiler/simulator/StreamFacts.h"

#include <algorithm>
#include <set>

namespace sdopt::test {
namespace {

struct ConstantsOf {
  using Ids = std::vector<ConstantId>;
  Ids operator()(const MatrixLayer &s) const { return {s.weights, s.params}; }
  Ids operator()(const TableLayer &s) const { return {s.table}; }
  Ids operator()(const GegluLayer &s) const { return {s.table}; }
  Ids operator()(const NormLayer &s) const { return {s.channels}; }
  Ids operator()(const ConstantLayer &s) const { return {s.codes}; }
  template <typename Other> Ids operator()(const Other &) const { return {}; }
};

int64_t compulsoryBytes(const Network &network, const Plan &plan) {
  std::set<ConstantId> constants;
  std::set<TensorId> made, tensors;
  for (const Layer &layer : network.layers) {
    if (layer.phase != Phase::Step)
      continue;
    for (TensorId id : layer.inputs)
      if (!made.contains(rootOf(network, id)))
        tensors.insert(rootOf(network, id));
    made.insert(rootOf(network, layer.output));
    for (ConstantId id : std::visit(ConstantsOf(), layer.spec))
      constants.insert(id);
  }
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role == TensorRole::Output)
      tensors.insert(rootOf(network, static_cast<TensorId>(id)));
  int64_t bytes = 0;
  for (TensorId id : tensors)
    bytes += network.tensors[id].bytes();
  for (ConstantId id : constants)
    bytes += packedBytes(network, plan, id);
  return bytes;
}

} // namespace

double StepFloor::seconds() const { return std::max({products, elements, transfers}); }

StepFloor stepFloor(const PackageModule &module, const Target &target) {
  const ModuleInfo &info = module.info;
  CommandTiming timing(target, info.program.constantsBytes);
  ProgramStreams streams(info.program, module.constants, target.array);
  StepFloor floor;
  for (size_t i = 0; i < info.program.commands.size(); ++i) {
    const Command &command = info.program.commands[i];
    const bool isArray = command.queue == Queue::Array;
    if (info.network.layers[command.layer].phase != Phase::Step ||
        (!isArray && command.queue != Queue::Vector))
      continue;
    const double seconds = timing.cost(command, {}, streams.facts(i)).minimumCycles / target.clock;
    (isArray ? floor.products : floor.elements) += seconds;
  }
  floor.bytes = compulsoryBytes(info.network, info.plan);
  floor.transfers = static_cast<double>(floor.bytes) / target.dram.bandwidth;
  return floor;
}

} // namespace sdopt::test
