#include "compiler/power/SimulatedWork.h"

#include "absl/strings/str_cat.h"
#include "compiler/simulator/CommandTiming.h"
#include "compiler/simulator/Simulator.h"

#include <algorithm>
#include <array>
#include <limits>

namespace sdopt {
namespace {

/// Units that are busy at the same time; both DMA queues share a bus.
enum Unit : uint8_t { ArrayUnit, VectorUnit, DmaUnit };
constexpr size_t kUnits = 3;

Unit unitOf(Queue queue) {
  return queue == Queue::Array ? ArrayUnit : queue == Queue::Vector ? VectorUnit : DmaUnit;
}

/// The same machine where only DRAM accesses, or only everything else, takes energy.
Target withEnergyOf(Target target, bool dram) {
  EnergyTarget &energy = target.energy;
  if (dram)
    energy.mac8 = energy.mac16 = energy.mac16x16 = energy.macWinograd = energy.addition =
        energy.vectorElement = energy.sramByte = 0;
  else
    energy.dramReadByte = energy.dramWriteByte = energy.dramActivate = 0;
  return target;
}

/// Cycles of a run that belong to a layer, and what happens in them.
struct Window {
  int64_t end = 0;
  /// The bus and the decoder of the DMA unit work at the same time.
  std::array<double, kUnits> cycles = {0, 0, 0}, switched = {0, 0, 0}; ///< busy; J
  double decoderCycles = 0;
  double dram = 0; ///< J
  /// J per cycle of the busiest command.
  std::array<double, kUnits> switchedRate = {0, 0, 0};
  double dramRate = 0;
};

/// Windows in order of the layers.
class WindowWork {
public:
  /// `events` are of one run of these layers.
  WindowWork(const Program &program, int32_t first, int32_t last,
             const std::vector<TraceEvent> &events)
      : windows_(static_cast<size_t>(last - first) + 1) {
    for (const TraceEvent &event : events) {
      int64_t &end = windows_[program.commands[event.command].layer - first].end;
      end = std::max(end, event.end);
    }
    for (size_t i = 1; i < windows_.size(); ++i)
      windows_[i].end = std::max(windows_[i].end, windows_[i - 1].end);
  }

  /// A command that is busy in [begin, end).
  void add(Unit unit, int64_t begin, int64_t end, const CommandCost &cost, double dram) {
    const double cycles = static_cast<double>(end - begin);
    auto window = std::upper_bound(windows_.begin(), windows_.end(), begin,
                                   [](int64_t at, const Window &w) { return at < w.end; });
    for (; begin < end && window != windows_.end();
         begin = std::max(begin, window->end), ++window) {
      const double share = static_cast<double>(std::min(end, window->end) - begin) / cycles;
      window->cycles[unit] += share * static_cast<double>(cost.cycles);
      window->decoderCycles += share * static_cast<double>(cost.decoderCycles);
      window->switched[unit] += share * cost.energy;
      window->dram += share * dram;
      double &rate = window->switchedRate[unit];
      rate = std::max(rate, cost.energy / cycles);
      window->dramRate = std::max(window->dramRate, dram / cycles);
    }
  }

  /// At the clock of the run.
  std::vector<ClockedWork> work(double clock) const {
    std::vector<ClockedWork> works;
    int64_t begin = 0;
    for (const Window &window : windows_) {
      ClockedWork work{.seconds = static_cast<double>(window.end - begin) / clock,
                       .dram = window.dram,
                       .dramPeak = window.dramRate * clock};
      for (size_t unit = 0; unit < kUnits; ++unit) {
        work.switched += window.switched[unit];
        work.switchedPeak += window.switchedRate[unit] * clock;
      }
      works.push_back(work);
      begin = window.end;
    }
    return works;
  }

  /// At all clocks; `clock`: that of the run.
  std::vector<PowerLayer> scaled(const PowerModel &model, double clock) const {
    std::vector<PowerLayer> layers;
    int64_t begin = 0;
    for (const Window &window : windows_) {
      std::vector<UnitWork> units(kUnits);
      double most = window.decoderCycles;
      for (size_t unit = 0; unit < kUnits; ++unit) {
        most = std::max(most, window.cycles[unit]);
        units[unit] = {.cycles = window.cycles[unit], .switched = window.switched[unit]};
      }
      units[DmaUnit].seconds = window.cycles[DmaUnit] / clock;
      units[DmaUnit].cycles = window.decoderCycles;
      units[DmaUnit].dram = window.dram;
      const double latency = static_cast<double>(window.end - begin) - most;
      layers.push_back(layerOfUnits(model, "", units, std::max(latency, 0.0)));
      begin = window.end;
    }
    return layers;
  }

private:
  std::vector<Window> windows_;
};

/// First and last layer of a phase; transfers of later layers may come before commands of earlier
/// ones.
struct LayerRange {
  int32_t first = std::numeric_limits<int32_t>::max(), last = -1;
};

LayerRange layersOf(const Program &program, CommandRange phase) {
  LayerRange range;
  for (size_t i = phase.begin; i < phase.end; ++i) {
    range.first = std::min(range.first, program.commands[i].layer);
    range.last = std::max(range.last, program.commands[i].layer);
  }
  return range;
}

/// One run of the phase's layers at a clock.
absl::StatusOr<WindowWork> workAt(double clock, const PackageModule &module, Target target,
                                  Phase phase, ProgramStreams &streams) {
  target.clock = clock;
  std::vector<TraceEvent> events;
  const SimulatorOptions options{
      .first = phase, .last = phase, .runSchedule = true, .values = false, .trace = &events};
  Simulator simulator(module, target);
  if (auto run = simulator.run({}, options); !run.ok())
    return run.status();
  const Program &program = module.info.program;
  const LayerRange layers = layersOf(program, phasesOf(program)[static_cast<size_t>(phase)]);
  WindowWork windows(program, layers.first, layers.last, events);
  // Events are in the order in which commands start, which is that of their costs.
  CommandTiming core(withEnergyOf(target, false), program.constantsBytes);
  CommandTiming dram(withEnergyOf(target, true), program.constantsBytes);
  for (const TraceEvent &event : events) {
    const Command &command = program.commands[event.command];
    GatherIds ids;
    if (const auto *gather = std::get_if<DmaGather>(&command.args))
      ids.resize(static_cast<size_t>(gather->rows));
    const StreamFacts *facts = streams.facts(event.command);
    const CommandCost cost = core.cost(command, ids, facts);
    const Unit unit = unitOf(command.queue);
    const double dramEnergy = unit == DmaUnit ? dram.cost(command, ids, facts).energy : 0;
    windows.add(unit, event.workBegin, event.workEnd, cost, dramEnergy);
  }
  return windows;
}

} // namespace

absl::StatusOr<std::optional<PowerModule>> simulatedWork(const PackageModule &module,
                                                         const Target &target,
                                                         const PowerModel &model, Phase phase,
                                                         int64_t runs, SimulatedClocks clocks) {
  if (absl::Status status = checkPowerModel(model); !status.ok())
    return status;
  const Program &program = module.info.program;
  const Network &network = module.info.network;
  const CommandRange range = phasesOf(program)[static_cast<size_t>(phase)];
  if (range.begin == range.end)
    return std::optional<PowerModule>();
  ProgramStreams streams(program, module.constants, target.array);
  std::vector<PowerLayer> layers;
  for (size_t i = 0; i < model.points.size(); ++i) {
    const double clock = model.points[i].clock;
    if (clocks == SimulatedClocks::Nominal && i != model.nominal)
      continue;
    const auto windows = workAt(clock, module, target, phase, streams);
    if (!windows.ok())
      return windows.status();
    if (clocks == SimulatedClocks::Nominal) {
      layers = windows->scaled(model, clock);
      continue;
    }
    const std::vector<ClockedWork> works = windows->work(clock);
    layers.resize(works.size());
    for (size_t l = 0; l < works.size(); ++l)
      layers[l].at.push_back(works[l]);
  }
  const auto first = static_cast<size_t>(layersOf(program, range).first);
  for (size_t l = 0; l < layers.size(); ++l)
    layers[l].name = network.layers[first + l].name;
  const bool isOnly = range.end - range.begin == program.commands.size();
  return PowerModule{isOnly ? network.name : absl::StrCat(network.name, ".", name(phase)), runs,
                     std::move(layers)};
}

} // namespace sdopt
