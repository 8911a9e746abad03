#include "compiler/simulator/Simulator.h"

#include "absl/strings/str_cat.h"
#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/package/CommandOperands.h"
#include "compiler/package/Manifest.h"
#include "compiler/schedule/WinogradLayers.h"
#include "compiler/simulator/CommandExecution.h"
#include "compiler/simulator/CommandTiming.h"
#include "compiler/simulator/DecodedWeights.h"
#include "compiler/simulator/EventQueues.h"
#include "compiler/simulator/PassedResults.h"
#include "compiler/simulator/WholeAttention.h"
#include "compiler/simulator/WholeLayers.h"
#include "compiler/simulator/WholeResults.h"
#include "compiler/simulator/WholeTails.h"
#include "compiler/simulator/WholeTapLayers.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <optional>

namespace sdopt {
namespace {

Shape dimsOf(const TensorInfo &info) { return {info.dims.begin(), info.dims.end()}; }

/// 64-byte aligned bytes, kept between runs.
class Memory {
public:
  Memory() = default;
  Memory(const Memory &) = delete;
  ~Memory() { ::operator delete[](data_, kAlignment); }

  bool allocate(int64_t size) {
    if (data_ || size == 0)
      return true;
    data_ = static_cast<std::byte *>(
        ::operator new[](static_cast<size_t>(size), kAlignment, std::nothrow));
    size_ = data_ ? static_cast<size_t>(size) : 0;
    return data_ != nullptr;
  }
  std::span<std::byte> bytes() const { return {data_, size_}; }

private:
  static constexpr std::align_val_t kAlignment{64};
  std::byte *data_ = nullptr;
  size_t size_ = 0;
};

/// Of all programs of a module.
struct Memories {
  Memory sram, arena;
};

/// Collects what a run costs, layer by layer.
class Accounting {
public:
  Accounting(const Target &target, size_t layers) : target_(target), layers_(layers) {
    total_.layers.resize(layers);
  }

  /// `begin` to `end`: the command on its queue, waiting for the bus included.
  void add(const Command &command, const CommandCost &cost, int64_t begin, int64_t end) {
    LayerStatistics &layer = total_.layers[command.layer];
    Span &span = layers_[command.layer];
    span.begin = std::min(span.begin, begin);
    span.end = std::max(span.end, end);
    span.minimum[static_cast<size_t>(unitOf(command.queue))] += cost.minimumCycles;
    busy(layer, command.queue) += std::max(cost.cycles, cost.decoderCycles);
    layer.dramReadBytes += cost.dramReadBytes;
    layer.dramWriteBytes += cost.dramWriteBytes;
    layer.multiplyAccumulates += cost.multiplyAccumulates;
    layer.skippedMultiplies += cost.skippedMultiplies;
    layer.vectorElements += cost.vectorElements;
    layer.energy += cost.energy;
    total_.dramActivations += cost.dramActivations;
    total_.cycles = std::max(total_.cycles, end);
  }

  /// INTERNAL if a layer took less time than its work can take: the model would be wrong.
  absl::StatusOr<RunStatistics> finish(const Network &network) {
    int64_t before = 0;
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Span &span = layers_[i];
      LayerStatistics &layer = total_.layers[i];
      if (span.end < span.begin)
        continue;
      for (double minimum : span.minimum)
        if (static_cast<double>(span.end - span.begin) < minimum * (1 - 1e-9))
          return absl::InternalError(absl::StrCat("layer '", network.layers[i].name, "' took ",
                                                  span.end - span.begin,
                                                  " cycles; its work takes at least ", minimum));
      layer.firstCycle = std::max(span.begin, before);
      layer.cycles = std::max<int64_t>(span.end - layer.firstCycle, 0);
      before = std::max(before, span.end);
      layer.bound = boundOf(layer, span.end - span.begin);
      total_.dramReadBytes += layer.dramReadBytes;
      total_.dramWriteBytes += layer.dramWriteBytes;
      total_.multiplyAccumulates += layer.multiplyAccumulates;
      total_.skippedMultiplies += layer.skippedMultiplies;
      total_.energy += layer.energy;
      total_.arrayFloor += span.minimum[ArrayUnit];
      total_.vectorFloor += span.minimum[VectorUnit];
    }
    total_.seconds = static_cast<double>(total_.cycles) / target_.clock;
    total_.energy += total_.seconds * (target_.energy.leakagePower + target_.energy.dramIdlePower);
    return std::move(total_);
  }

private:
  enum Unit : uint8_t { ArrayUnit, VectorUnit, DramUnit };
  struct Span {
    int64_t begin = std::numeric_limits<int64_t>::max();
    int64_t end = std::numeric_limits<int64_t>::min();
    std::array<double, 3> minimum = {0, 0, 0}; ///< cycles, by Unit
  };

  static Unit unitOf(Queue queue) {
    return queue == Queue::Array ? ArrayUnit : queue == Queue::Vector ? VectorUnit : DramUnit;
  }

  static int64_t &busy(LayerStatistics &layer, Queue queue) {
    switch (queue) {
    case Queue::DmaIn:
      return layer.dmaInCycles;
    case Queue::Array:
      return layer.arrayCycles;
    case Queue::Vector:
      return layer.vectorCycles;
    case Queue::DmaOut:
      break;
    }
    return layer.dmaOutCycles;
  }

  /// Both DMA queues share the bus, so their busy times add up.
  static Bound boundOf(const LayerStatistics &layer, int64_t span) {
    const int64_t dram = layer.dmaInCycles + layer.dmaOutCycles;
    const int64_t most = std::max({layer.arrayCycles, layer.vectorCycles, dram});
    if (2 * most <= span)
      return Bound::Latency;
    if (most == layer.arrayCycles)
      return Bound::Array;
    return most == layer.vectorCycles ? Bound::Vector : Bound::Dram;
  }

  const Target &target_;
  std::vector<Span> layers_;
  RunStatistics total_;
};

} // namespace

const char *name(Bound bound) {
  switch (bound) {
  case Bound::Array:
    return "array";
  case Bound::Vector:
    return "vector";
  case Bound::Dram:
    return "dram";
  case Bound::Latency:
    return "latency";
  }
  return "unknown";
}

struct Simulator::State {
  State(const PackageModule &module, const ModuleInfo &bucket, const Target &target,
        std::shared_ptr<Memories> memories)
      : module(module), bucket(bucket), target(target),
        timing(target, bucket.program.constantsBytes), memories(std::move(memories)),
        sram(this->memories->sram), arena(this->memories->arena) {}

  const Network &network() const { return bucket.network; }
  const Program &program() const { return bucket.program; }

  /// Once: may this module run on this target at all?
  absl::Status prepare();
  absl::Status checkCapacity() const;
  absl::Status allocate();
  absl::Status outOfMemory() const;
  absl::Status load(const std::map<std::string, Tensor> &inputs, const SimulatorOptions &options);
  absl::Status runCommands(CommandRange phase, int64_t startCycle, const SimulatorOptions &options,
                           Accounting &accounting);
  /// Values alone, in program order.
  absl::Status runLayers(CommandRange phase, const SimulatorOptions &options);
  absl::Status executeCommand(int32_t index, const SimulatorOptions &options);
  /// False if that is left to the commands.
  bool executeWhole(const WholeLayer &layer, std::span<const WeightTile> weights,
                    const IntegerKernels &kernels);
  void noteFinished(int32_t index, const SimulatorOptions &options, std::vector<int64_t> &left);
  absl::Status runPhase(int phase, SimulatorOptions options, RunStatistics &sum);
  /// What the schedule phase leaves, from the package.
  absl::Status takeSchedule(const SimulatorOptions &options, RunStatistics &sum);
  absl::StatusOr<size_t> scheduleRow() const;
  RunStatistics copyCost(Phase phase);
  void restore(Phase phase, std::span<const std::byte> bytes);
  absl::Status execute(const SimulatorOptions &options, RunStatistics *result);
  Tensor read(TensorId id) const;
  std::map<std::string, Tensor> outputs() const;
  GatherIds gatherIds(const Command &command, bool values) const;
  /// Counts what a command reads of the constants and lets their pages go if there are too many.
  void releaseConstants(const Command &command, int64_t most);

  const PackageModule &module;
  const ModuleInfo &bucket; ///< of timesteps, or the module's own
  Target target;
  CommandTiming timing;
  bool prepared = false;
  absl::Status status;
  std::shared_ptr<Memories> memories;
  Memory &sram, &arena;
  int64_t sramPeak = 0;
  int64_t touchedConstants = 0; ///< bytes, since their pages were let go
  std::vector<int64_t> commandsOfLayer;
  std::optional<PassedResults> passed;          ///< once prepared
  std::optional<std::vector<WholeLayer>> whole; ///< once somebody asks
  std::optional<ProgramStreams> streams;        ///< once time is asked for
  bool gathers = false; ///< rows of a table, so that time depends on the ids
  /// Of every run of a phase, if nothing is gathered.
  std::array<std::optional<RunStatistics>, kPhases> statistics;
};

absl::Status Simulator::State::checkCapacity() const {
  const std::string place = absl::StrCat("module '", network().name, "': ");
  if (program().sramBytes > target.sram.bytes)
    return absl::ResourceExhaustedError(absl::StrCat(place, "needs ", program().sramBytes,
                                                     " bytes of sram; target '", target.name,
                                                     "' has ", target.sram.bytes));
  const int64_t page = target.dram.pageBytes;
  const auto schedule = static_cast<int64_t>(module.schedule.size());
  if (program().constantsBytes + page + program().arenaBytes + schedule > target.dram.bytes)
    return absl::ResourceExhaustedError(
        absl::StrCat(place, "needs ", program().constantsBytes, " bytes of dram for constants and ",
                     program().arenaBytes, " for activations",
                     schedule > 0 ? absl::StrCat(" and ", schedule, " for the schedule") : "",
                     "; target '", target.name, "' has ", target.dram.bytes));
  if (static_cast<int64_t>(module.constants.size()) != program().constantsBytes)
    return absl::InvalidArgumentError(absl::StrCat(place, "has ", module.constants.size(),
                                                   " bytes of constants; needs ",
                                                   program().constantsBytes));
  if (target.clock <= 0 || target.dram.bandwidth <= 0)
    return absl::InvalidArgumentError(
        absl::StrCat("target '", target.name, "' has no clock or no bandwidth"));
  return absl::OkStatus();
}

absl::Status Simulator::State::prepare() {
  if (prepared)
    return status;
  prepared = true;
  status = checkModule(bucket);
  if (status.ok())
    status = checkCommands(program(), static_cast<int64_t>(network().layers.size()));
  if (status.ok())
    status = checkCapacity();
  if (status.ok())
    status = checkWinograd(network(), target.array.multiplier);
  if (!status.ok())
    return status;
  commandsOfLayer.resize(network().layers.size());
  passed.emplace(bucket);
  for (const Command &command : program().commands) {
    ++commandsOfLayer[command.layer];
    gathers |= std::holds_alternative<DmaGather>(command.args);
    for (const SramOperand &operand : sramOperands(command.args))
      sramPeak = std::max(sramPeak, operand.offset + operand.bytes);
  }
  return status;
}

absl::Status Simulator::State::allocate() {
  if (!sram.bytes().empty() || !arena.bytes().empty())
    return absl::OkStatus();
  if (!fitsMemory(program().sramBytes + program().arenaBytes))
    return outOfMemory();
  if (!sram.allocate(program().sramBytes) || !arena.allocate(program().arenaBytes))
    return absl::ResourceExhaustedError(
        absl::StrCat("module '", network().name, "': cannot allocate ", program().sramBytes,
                     " bytes of sram and ", program().arenaBytes, " of dram"));
  std::ranges::fill(arena.bytes(), std::byte{0});
  return absl::OkStatus();
}

absl::Status Simulator::State::outOfMemory() const {
  return absl::ResourceExhaustedError(
      absl::StrCat("module '", network().name, "': simulation needs ", refusedMemory(),
                   " bytes of memory; the limit is ", memoryLimit()));
}

void Simulator::State::releaseConstants(const Command &command, int64_t most) {
  if (command.queue != Queue::DmaIn)
    return;
  for (const DramOperand &operand : dramOperands(command.args))
    if (operand.region == Region::Constants)
      touchedConstants += operand.moved;
  if (touchedConstants <= most)
    return;
  module.release(0, static_cast<int64_t>(module.constants.size()));
  touchedConstants = 0;
}

absl::Status Simulator::State::load(const std::map<std::string, Tensor> &inputs,
                                    const SimulatorOptions &options) {
  size_t used = 0;
  for (size_t id = 0; id < network().tensors.size(); ++id) {
    const TensorInfo &tensor = network().tensors[id];
    if (tensor.role != TensorRole::Input ||
        !isRead(network(), static_cast<TensorId>(id), options.first, options.last))
      continue;
    const auto found = inputs.find(tensor.name);
    if (found == inputs.end())
      return absl::InvalidArgumentError(absl::StrCat("input '", tensor.name, "' is missing"));
    const Tensor &value = found->second;
    if (value.type() != tensor.type || value.shape() != dimsOf(tensor))
      return absl::InvalidArgumentError(absl::StrCat(
          "input '", tensor.name, "' is ", toString(value.shape()), " ", name(value.type()),
          "; needs ", toString(dimsOf(tensor)), " ", name(tensor.type)));
    std::memcpy(arena.bytes().data() + bucket.plan.offsets[id], value.bytes(),
                static_cast<size_t>(value.byteSize()));
    ++used;
  }
  if (used == inputs.size())
    return absl::OkStatus();
  for (const auto &[name, value] : inputs) {
    const bool known = std::any_of(network().tensors.begin(), network().tensors.end(),
                                   [&](const TensorInfo &tensor) {
                                     return tensor.role == TensorRole::Input && tensor.name == name;
                                   });
    if (!known)
      return absl::InvalidArgumentError(
          absl::StrCat("module '", network().name, "' has no input '", name, "'"));
  }
  return absl::OkStatus();
}

Tensor Simulator::State::read(TensorId id) const {
  const TensorInfo &info = network().tensors[id];
  Tensor tensor(info.type, dimsOf(info));
  std::memcpy(tensor.mutableBytes(), arena.bytes().data() + bucket.plan.offsets[id],
              static_cast<size_t>(tensor.byteSize()));
  return tensor;
}

std::map<std::string, Tensor> Simulator::State::outputs() const {
  std::map<std::string, Tensor> result;
  for (size_t id = 0; id < network().tensors.size(); ++id)
    if (network().tensors[id].role == TensorRole::Output)
      result.emplace(network().tensors[id].name, read(static_cast<TensorId>(id)));
  return result;
}

GatherIds Simulator::State::gatherIds(const Command &command, bool values) const {
  GatherIds ids;
  if (const auto *gather = std::get_if<DmaGather>(&command.args)) {
    ids.resize(static_cast<size_t>(gather->rows));
    if (values)
      std::memcpy(ids.data(), sram.bytes().data() + gather->ids, ids.size() * sizeof(int32_t));
  }
  return ids;
}

absl::Status Simulator::State::runCommands(CommandRange phase, int64_t startCycle,
                                           const SimulatorOptions &options,
                                           Accounting &accounting) {
  // Stale bytes of a run before must not make up for what this one forgot to load.
  if (options.values)
    std::ranges::fill(sram.bytes(), std::byte{0xA5});
  timing.reset();
  int64_t busFree = 0;
  std::vector<int64_t> left = commandsOfLayer;
  const int64_t mostConstants = keptBytes(options.residentConstants);
  const bool releases =
      module.release && mostConstants < static_cast<int64_t>(module.constants.size());

  // When the command works and ends, given its cost: both DMA queues share one bus.
  auto schedule = [&](TraceEvent &event, Queue queue, const CommandCost &cost) {
    if (queue != Queue::DmaIn && queue != Queue::DmaOut) {
      event.end = event.workEnd = event.begin + std::max<int64_t>(cost.cycles, 1);
      return;
    }
    event.workBegin = std::max(event.begin, busFree);
    busFree = event.workBegin + cost.cycles;
    event.workEnd = event.workBegin + std::max(cost.cycles, cost.decoderCycles);
    event.end = event.workEnd + std::max<int64_t>(timing.dmaLatency(), 1);
  };
  EventHandlers handlers;
  handlers.start = [&](int32_t index, int64_t now) -> absl::StatusOr<int64_t> {
    const Command &command = program().commands[index];
    TraceEvent event{index, now, now + 1, now, now + 1};
    if (options.timing) {
      if (!streams)
        streams.emplace(program(), module.constants, target.array);
      const CommandCost cost =
          timing.cost(command, gatherIds(command, options.values), streams->facts(index));
      schedule(event, command.queue, cost);
      accounting.add(command, cost, now, event.end);
    }
    if (options.trace)
      options.trace->push_back({index, startCycle + now, startCycle + event.end,
                                startCycle + event.workBegin, startCycle + event.workEnd});
    if (!options.values)
      return event.end;
    if (absl::Status done = executeCommand(index, options); !done.ok())
      return done;
    if (releases)
      releaseConstants(command, mostConstants);
    return event.end;
  };
  handlers.finish = [&](int32_t index, int64_t) { noteFinished(index, options, left); };
  return runQueues(program(), phase, handlers);
}

void Simulator::State::noteFinished(int32_t index, const SimulatorOptions &options,
                                    std::vector<int64_t> &left) {
  const int32_t layer = program().commands[index].layer;
  if (--left[layer] > 0 || !options.observer || !options.values)
    return;
  const auto last = static_cast<size_t>(layer);
  if (passed->isLast(last))
    for (size_t i = passed->leader(last); i < last; ++i)
      if (passed->isPassedOn(i))
        options.observer(static_cast<int32_t>(i), passed->result(i));
  if (!passed->isPassedOn(last))
    options.observer(layer, read(network().layers[layer].output));
  else if (passed->isLast(last))
    options.observer(layer, passed->result(last));
}

absl::Status Simulator::State::executeCommand(int32_t index, const SimulatorOptions &options) {
  const IntegerKernels &kernels = options.kernels ? *options.kernels : fastKernels();
  const Command &command = program().commands[index];
  const MemoryImages memory = {sram.bytes(), arena.bytes(), module.constants};
  absl::Status done = sdopt::execute(command.args, memory, kernels);
  if (done.ok() && options.observer)
    passed->note(command, memory);
  if (done.ok())
    return done;
  return absl::Status(done.code(), absl::StrCat("module '", network().name, "': command ", index,
                                                ": ", mnemonic(command), ": ", done.message()));
}

bool Simulator::State::executeWhole(const WholeLayer &layer, std::span<const WeightTile> weights,
                                    const IntegerKernels &kernels) {
  if (weights.empty())
    return false; // tile by tile they fit SRAM; if they do not decode, the command tells
  const ConvTile &tile = layer.tile;
  const auto *params =
      reinterpret_cast<const ChannelParams *>(module.constants.data() + layer.params);
  const MemoryImages memory = {sram.bytes(), arena.bytes(), module.constants};
  const int64_t inputPixels = tile.inputHeight * tile.inputWidth,
                outputPixels = tile.outputHeight * tile.outputWidth;
  const int64_t inputBytes = inputPixels * tile.inputChannels * byteWidth(layer.inputFormat.type);
  const int64_t outputBytes =
      outputPixels * tile.outputChannels * byteWidth(layer.outputFormat.type);
  const WholeInput input(layer.input, layer.inputFormat.type, layer.pictures * inputPixels,
                         tile.inputChannels, memory);
  const WholeOutput result(layer.result, layer.outputFormat.type, layer.pictures * outputPixels,
                           tile.outputChannels, memory);
  for (int64_t picture = 0; picture < layer.pictures; ++picture) {
    const Codes x{input.codes() + picture * inputBytes, layer.inputFormat};
    std::byte *y = result.codes() + picture * outputBytes;
    const bool isDone =
        layer.taps
            ? convolveTapWise(kernels, tile, x, weights, *layer.taps, params, layer.outputFormat, y)
            : convolveTiles(kernels, tile, x, weights, params, layer.outputFormat, y);
    if (!isDone)
      return false;
  }
  result.spread();
  executeTails(layer, result.codes(), memory, kernels);
  return true;
}

absl::Status Simulator::State::runLayers(CommandRange phase, const SimulatorOptions &options) {
  const IntegerKernels &kernels = options.kernels ? *options.kernels : fastKernels();
  if (!whole)
    whole = wholeLayers(bucket);
  std::ranges::fill(sram.bytes(), std::byte{0xA5});
  std::vector<int64_t> left = commandsOfLayer;
  const int64_t mostConstants = keptBytes(options.residentConstants);
  const bool releases =
      module.release && mostConstants < static_cast<int64_t>(module.constants.size());
  const auto firstWhole = std::ranges::lower_bound(*whole, phase.begin, {}, &WholeLayer::first),
             lastWhole = std::ranges::lower_bound(*whole, phase.end, {}, &WholeLayer::first);
  const std::span<const WholeLayer> layers(firstWhole, lastWhole);
  DecodedWeights weights(layers, module.constants);
  const std::span<const Command> commands(program().commands.data(), phase.end);
  size_t sums = 0, attention = 0; // sums that maxima wait for; 0: none do
  for (size_t i = phase.begin, end = 0, next = 0; i < phase.end; ++i) {
    if (next < layers.size() && layers[next].first == i) {
      // An observer sees what tiles pass on.
      if (!(options.observer && layers[next].passesOn()) &&
          executeWhole(layers[next], weights.of(next), kernels))
        end = layers[next].last;
      ++next;
    }
    const auto index = static_cast<int32_t>(i);
    if (sums > 0 && i == sums) {
      sdopt::execute(std::get<AttentionMaximaCommand>(commands[attention].args),
                     std::get<AttentionAccumulateCommand>(commands[i].args),
                     {sram.bytes(), arena.bytes(), module.constants}, kernels);
      sums = 0;
    } else if (i >= end) {
      if (const std::optional<size_t> later = sumsOf(commands, i)) {
        sums = *later;
        attention = i;
      } else if (absl::Status done = executeCommand(index, options); !done.ok()) {
        return done;
      }
    }
    if (releases)
      releaseConstants(commands[i], mostConstants);
    noteFinished(index, options, left);
  }
  return absl::OkStatus();
}

absl::Status Simulator::State::runPhase(int phase, SimulatorOptions options, RunStatistics &sum) {
  // Time and traffic do not depend on values: one run tells them for all.
  const bool known = statistics[phase].has_value() && !options.trace;
  const bool wanted = options.timing;
  options.timing &= !known;
  Accounting accounting(target, network().layers.size());
  const CommandRange range = phasesOf(program())[phase];
  const bool byLayers = options.wholeLayers && options.values && !options.trace && !gathers;
  SimulatorOptions commands = options;
  commands.values &= !byLayers;
  if (commands.values || commands.timing)
    if (absl::Status status = runCommands(range, sum.cycles, commands, accounting); !status.ok())
      return status;
  if (byLayers)
    if (absl::Status status = runLayers(range, options); !status.ok())
      return status;
  if (!fitsMemory(0))
    return outOfMemory();
  if (options.timing) {
    absl::StatusOr<RunStatistics> run = accounting.finish(network());
    if (!run.ok())
      return run.status();
    run->sramPeakBytes = sramPeak;
    addTo(sum, *run);
    if (!gathers)
      statistics[phase] = *std::move(run);
  } else if (wanted) {
    addTo(sum, *statistics[phase]);
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> Simulator::State::scheduleRow() const {
  const TensorId input = scheduleInput(network());
  const TensorInfo &info = network().tensors[input];
  const Tensor given = read(input);
  const std::vector<int32_t> &timesteps = module.info.scheduleTimesteps;
  const auto text = [&](int32_t code) {
    return absl::StrCat(code * static_cast<double>(info.scale));
  };
  const std::string place = absl::StrCat("module '", network().name, "': input '", info.name, "'");
  const std::span<const int32_t> codes = given.values<int32_t>();
  if (std::ranges::count(codes, codes[0]) != std::ssize(codes))
    return absl::InvalidArgumentError(absl::StrCat(
        place, " has several timesteps; the package has a schedule of one timestep a step"));
  const auto row = std::ranges::find(timesteps, codes[0]);
  if (row != timesteps.end())
    return static_cast<size_t>(row - timesteps.begin());
  return absl::InvalidArgumentError(absl::StrCat(
      place, " is timestep ", text(codes[0]), ", which is none of the ", timesteps.size(),
      " that the package was compiled for (", text(timesteps.front()), " ... ",
      text(timesteps.back()), "); run as many steps, or compile with other --steps or without"));
}

absl::Status Simulator::State::takeSchedule(const SimulatorOptions &options, RunStatistics &sum) {
  if (options.values) {
    const absl::StatusOr<size_t> row = scheduleRow();
    if (!row.ok())
      return row.status();
    const auto size = static_cast<size_t>(scheduleRowBytes(network()));
    restore(Phase::Schedule, module.schedule.subspan(*row * size, size));
  }
  if (options.timing)
    addTo(sum, copyCost(Phase::Schedule));
  return absl::OkStatus();
}

absl::Status Simulator::State::execute(const SimulatorOptions &options, RunStatistics *result) {
  if (options.trace)
    options.trace->clear();
  RunStatistics sum;
  sum.layers.resize(network().layers.size());
  for (int phase = static_cast<int>(options.first); phase <= static_cast<int>(options.last);
       ++phase) {
    const bool known = static_cast<Phase>(phase) == Phase::Schedule && !options.runSchedule &&
                       !module.schedule.empty();
    absl::Status status = known ? takeSchedule(options, sum) : runPhase(phase, options, sum);
    if (!status.ok())
      return status;
  }
  if (result)
    *result = std::move(sum);
  return absl::OkStatus();
}

Simulator::Simulator(const PackageModule &module, const Target &target) {
  const auto memories = std::make_shared<Memories>();
  states_.push_back(std::make_unique<State>(module, module.info, target, memories));
  for (const ModuleInfo &bucket : module.info.buckets)
    states_.push_back(std::make_unique<State>(module, bucket, target, memories));
}

Simulator::~Simulator() = default;

absl::StatusOr<Simulator::State *> Simulator::stateFor(const std::map<std::string, Tensor> &inputs,
                                                       const SimulatorOptions &options) const {
  State *first = states_[0].get();
  if (states_.size() == 1 || !options.values || options.last == Phase::Prompt)
    return first;
  const TensorInfo &input = first->network().tensors[timestepInput(first->network())];
  const std::string place =
      absl::StrCat("module '", first->network().name, "': input '", input.name, "'");
  const auto found = inputs.find(input.name);
  if (found == inputs.end() || found->second.type() != input.type || found->second.size() == 0)
    return absl::InvalidArgumentError(absl::StrCat(place, " is missing"));
  const std::span<const int32_t> codes = found->second.values<int32_t>();
  const auto bucketOf = [&](int32_t code) {
    return std::ranges::count_if(first->module.info.buckets, [&](const ModuleInfo &bucket) {
      return bucket.firstTimestep <= code;
    });
  };
  for (int32_t code : codes)
    if (bucketOf(code) != bucketOf(codes[0]))
      return absl::InvalidArgumentError(
          absl::StrCat(place, " has timesteps of several buckets, which have codes of their own"));
  return states_[static_cast<size_t>(bucketOf(codes[0]))].get();
}

absl::StatusOr<std::map<std::string, Tensor>>
Simulator::run(const std::map<std::string, Tensor> &inputs, const SimulatorOptions &options,
               RunStatistics *statistics) {
  // What the state is chosen by is checked first.
  if (absl::Status status = states_[0]->prepare(); !status.ok())
    return status;
  absl::StatusOr<State *> state = stateFor(inputs, options);
  if (!state.ok())
    return state.status();
  if (absl::Status status = (*state)->prepare(); !status.ok())
    return status;
  if (options.values) {
    absl::Status status = (*state)->allocate();
    if (status.ok())
      status = (*state)->load(inputs, options);
    if (!status.ok())
      return status;
  }
  if (absl::Status status = (*state)->execute(options, statistics); !status.ok())
    return status;
  return options.values && options.last == Phase::Step ? (*state)->outputs()
                                                       : std::map<std::string, Tensor>();
}

std::vector<std::byte> Simulator::kept(Phase phase) const {
  std::vector<std::byte> bytes;
  for (TensorId id : keptTensors(states_[0]->network(), phase)) {
    const auto from = states_[0]->arena.bytes().begin() + states_[0]->bucket.plan.offsets[id];
    bytes.insert(bytes.end(), from, from + states_[0]->network().tensors[id].bytes());
  }
  return bytes;
}

void Simulator::State::restore(Phase phase, std::span<const std::byte> bytes) {
  size_t at = 0;
  for (TensorId id : keptTensors(network(), phase)) {
    const auto size = static_cast<size_t>(network().tensors[id].bytes());
    std::copy_n(bytes.begin() + static_cast<int64_t>(at), size,
                arena.bytes().begin() + bucket.plan.offsets[id]);
    at += size;
  }
}

void Simulator::restore(Phase phase, std::span<const std::byte> bytes) {
  states_[0]->restore(phase, bytes);
}

RunStatistics Simulator::copyCost(Phase phase) const { return states_[0]->copyCost(phase); }

RunStatistics Simulator::State::copyCost(Phase phase) {
  int64_t bytes = 0;
  for (TensorId id : keptTensors(network(), phase))
    bytes += network().tensors[id].bytes();
  RunStatistics result;
  if (bytes == 0)
    return result;
  const CommandCost cost = timing.copyCost(bytes);
  result.cycles = cost.cycles + 2 * timing.dmaLatency();
  result.seconds = static_cast<double>(result.cycles) / target.clock;
  result.dramReadBytes = cost.dramReadBytes;
  result.dramWriteBytes = cost.dramWriteBytes;
  result.dramActivations = cost.dramActivations;
  result.energy =
      cost.energy + result.seconds * (target.energy.leakagePower + target.energy.dramIdlePower);
  return result;
}

bool isRead(const Network &network, TensorId input, Phase first, Phase last) {
  bool anywhere = false;
  for (const Layer &layer : network.layers)
    for (TensorId id : layer.inputs) {
      if (id != input && network.tensors[id].aliasOf != input)
        continue;
      anywhere = true;
      if (layer.phase >= first && layer.phase <= last)
        return true;
    }
  return !anywhere && last == Phase::Step;
}

void addTo(RunStatistics &sum, const RunStatistics &run) {
  sum.cycles += run.cycles;
  sum.seconds += run.seconds;
  sum.dramReadBytes += run.dramReadBytes;
  sum.dramWriteBytes += run.dramWriteBytes;
  sum.dramActivations += run.dramActivations;
  sum.sramPeakBytes = std::max(sum.sramPeakBytes, run.sramPeakBytes);
  sum.multiplyAccumulates += run.multiplyAccumulates;
  sum.skippedMultiplies += run.skippedMultiplies;
  sum.energy += run.energy;
  sum.arrayFloor += run.arrayFloor;
  sum.vectorFloor += run.vectorFloor;
  sum.layers.resize(std::max(sum.layers.size(), run.layers.size()));
  for (size_t i = 0; i < run.layers.size(); ++i) {
    // All the time of a joined layer may be its leader's.
    const LayerStatistics &layer = run.layers[i];
    if (layer.cycles + layer.arrayCycles + layer.vectorCycles + layer.dmaInCycles +
            layer.dmaOutCycles >
        0)
      sum.layers[i] = layer;
  }
}

} // namespace sdopt
