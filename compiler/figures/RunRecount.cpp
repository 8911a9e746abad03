#include "compiler/figures/RunRecount.h"

#include "compiler/figures/MemoryRecount.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <map>

namespace sdopt {

namespace {

/// Tokens that the commands of one queue give another: the number given so far, and when.
struct Tokens {
  std::vector<std::pair<int64_t, int64_t>> given; ///< sum, cycle; both ascending
  int64_t taken = 0;

  /// When so many more are there; nothing if they have not been given yet.
  std::optional<int64_t> timeOf(int64_t count) const {
    if (count == 0)
      return 0;
    const auto enough =
        std::ranges::lower_bound(given, taken + count, {}, &std::pair<int64_t, int64_t>::first);
    return enough == given.end() ? std::nullopt : std::optional(enough->second);
  }
  void add(int64_t count, int64_t cycle) {
    if (count > 0)
      given.emplace_back((given.empty() ? 0 : given.back().first) + count, cycle);
  }
};

class Run {
public:
  Run(const PackageModule &module, const Target &target)
      : module_(module), target_(target), units_(target, module.info.program.constantsBytes) {
    result_.layers.resize(module.info.network.layers.size());
    linkStreams();
  }

  absl::StatusOr<RunRecount> run() {
    const Program &program = module_.info.program;
    size_t begin = 0;
    for (size_t phase = 0; phase < 3; ++phase) {
      // Without ends all commands are of the last phase.
      const size_t end = program.phaseEnds.empty() ? (phase < 2 ? 0 : program.commands.size())
                                                   : program.phaseEnds[phase];
      const int64_t kept = keptBytes(module_.info.network, static_cast<Phase>(phase));
      if (phase == static_cast<size_t>(Phase::Schedule) && !module_.schedule.empty())
        result_.phases[phase] = copied(kept);
      else if (absl::Status status = runPhase(phase, begin, end); !status.ok())
        return status;
      result_.copies[phase] = copied(kept);
      begin = end;
    }
    return std::move(result_);
  }

private:
  /// Convolutions multiply with the stream that was put last where their weights are.
  void linkStreams() {
    const std::vector<Command> &commands = module_.info.program.commands;
    std::map<SramOffset, const DmaWeights *> last;
    streams_.resize(commands.size(), nullptr);
    for (size_t i = 0; i < commands.size(); ++i) {
      if (const auto *load = std::get_if<DmaLoad>(&commands[i].args))
        last.erase(load->sram);
      if (const auto *weights = std::get_if<DmaWeights>(&commands[i].args))
        streams_[i] = last[weights->sram] = weights;
      const auto *conv = std::get_if<ConvCommand>(&commands[i].args);
      const auto found = conv ? last.find(conv->weights) : last.end();
      if (found == last.end())
        continue;
      const WeightExtent &block = found->second->block;
      if (block.outputs == conv->tile.outputChannels && block.inputs == conv->tile.inputChannels &&
          block.taps == conv->tile.kernelHeight * conv->tile.kernelWidth)
        streams_[i] = found->second;
    }
  }

  const StreamRecount *streamOf(size_t command) {
    const DmaWeights *stream = streams_[command];
    if (!stream)
      return nullptr;
    auto [known, isNew] = known_.try_emplace(stream->dram);
    if (isNew)
      known->second = recountStream(*stream, module_.constants, target_.array);
    return known->second ? &*known->second : nullptr;
  }

  PhaseRecount copied(int64_t bytes) {
    if (bytes == 0)
      return {};
    const CommandRecount cost = units_.copy(bytes);
    PhaseRecount phase{.cycles = cost.cycles + 2 * units_.latency(),
                       .readBytes = cost.readBytes,
                       .writeBytes = cost.writeBytes,
                       .activations = cost.activations,
                       .energy = cost.energy};
    addStandby(phase);
    return phase;
  }

  void addStandby(PhaseRecount &phase) const {
    phase.energy += static_cast<double>(phase.cycles) / target_.clock *
                    (target_.energy.leakagePower + target_.energy.dramIdlePower);
  }

  /// One queue of a phase.
  struct Lane {
    std::vector<size_t> commands;
    size_t next = 0;
    int64_t end = 0; ///< of the command before
  };

  absl::Status runPhase(size_t phase, size_t begin, size_t end) {
    units_.closeRows();
    busFree_ = 0;
    std::array<Lane, kQueues> lanes;
    std::array<std::array<Tokens, kQueues>, kQueues> tokens; // from, to
    const std::vector<Command> &commands = module_.info.program.commands;
    for (size_t i = begin; i < end; ++i)
      lanes[static_cast<size_t>(commands[i].queue)].commands.push_back(i);
    for (size_t left = end - begin; left > 0; --left) {
      // The first to start; of those that start together, that of the lowest queue.
      std::optional<int64_t> start;
      size_t queue = 0;
      for (size_t q = 0; q < kQueues; ++q)
        if (const std::optional<int64_t> own = startOf(lanes[q], tokens, q);
            own && (!start || *own < *start)) {
          start = own;
          queue = q;
        }
      if (!start)
        return absl::FailedPreconditionError(absl::StrCat("module '", module_.info.network.name,
                                                          "': ", left, " commands of phase ", phase,
                                                          " wait for each other"));
      const size_t index = lanes[queue].commands[lanes[queue].next++];
      for (size_t q = 0; q < kQueues; ++q)
        tokens[q][queue].taken += commands[index].waits[q];
      lanes[queue].end = perform(phase, index, *start);
      for (size_t q = 0; q < kQueues; ++q)
        tokens[queue][q].add(commands[index].signals[q], lanes[queue].end);
    }
    finish(phase, begin, end);
    return absl::OkStatus();
  }

  std::optional<int64_t> startOf(const Lane &lane,
                                 const std::array<std::array<Tokens, kQueues>, kQueues> &tokens,
                                 size_t queue) const {
    if (lane.next == lane.commands.size())
      return std::nullopt;
    const Command &command = module_.info.program.commands[lane.commands[lane.next]];
    int64_t start = lane.end;
    for (size_t from = 0; from < kQueues; ++from) {
      const std::optional<int64_t> there = tokens[from][queue].timeOf(command.waits[from]);
      if (!there)
        return std::nullopt;
      start = std::max(start, *there);
    }
    return start;
  }

  /// Its end.
  int64_t perform(size_t phase, size_t index, int64_t start) {
    const Command &command = module_.info.program.commands[index];
    const CommandRecount cost = units_.cost(command, streamOf(index));
    const bool moves = command.queue == Queue::DmaIn || command.queue == Queue::DmaOut;
    int64_t begin = start, end = start + std::max<int64_t>(cost.cycles, 1), done = end;
    if (moves) {
      begin = std::max(start, busFree_);
      busFree_ = begin + cost.cycles;
      end = begin + std::max(cost.cycles, cost.decoder);
      done = end + units_.latency();
    }
    const auto queue = static_cast<size_t>(command.queue);
    if (phase == static_cast<size_t>(Phase::Step))
      result_.step[queue].push_back({begin, end});
    LayerRecount &layer = result_.layers[command.layer];
    layer.first = layer.first < 0 ? start : std::min(layer.first, start);
    layer.last = std::max(layer.last, done);
    layer.busy[queue] += std::max(cost.cycles, cost.decoder);
    layer.readBytes += cost.readBytes;
    layer.writeBytes += cost.writeBytes;
    layer.macs += cost.macs;
    layer.skipped += cost.skipped;
    layer.elements += cost.elements;
    layer.energy += cost.energy;
    PhaseRecount &sum = result_.phases[phase];
    sum.cycles = std::max(sum.cycles, done);
    sum.readBytes += cost.readBytes;
    sum.writeBytes += cost.writeBytes;
    sum.activations += cost.activations;
    sum.energy += cost.energy;
    return done;
  }

  /// A layer's cycles are those after the end of all layers before it.
  void finish(size_t phase, size_t begin, size_t end) {
    std::vector<bool> runs(result_.layers.size(), false);
    for (size_t i = begin; i < end; ++i)
      runs[module_.info.program.commands[i].layer] = true;
    int64_t before = 0;
    for (size_t i = 0; i < runs.size(); ++i) {
      LayerRecount &layer = result_.layers[i];
      if (!runs[i])
        continue;
      layer.firstCycle = std::max(layer.first, before);
      layer.cycles = std::max<int64_t>(layer.last - layer.firstCycle, 0);
      before = std::max(before, layer.last);
    }
    addStandby(result_.phases[phase]);
  }

  const PackageModule &module_;
  const Target &target_;
  UnitRecount units_;
  RunRecount result_;
  std::vector<const DmaWeights *> streams_;               ///< by command
  std::map<int64_t, std::optional<StreamRecount>> known_; ///< by place of the stream
  int64_t busFree_ = 0;
};

} // namespace

const char *LayerRecount::bound() const {
  const int64_t array = busy[static_cast<size_t>(Queue::Array)];
  const int64_t vector = busy[static_cast<size_t>(Queue::Vector)];
  const int64_t dram =
      busy[static_cast<size_t>(Queue::DmaIn)] + busy[static_cast<size_t>(Queue::DmaOut)];
  const int64_t most = std::max({array, vector, dram});
  if (first < 0 || 2 * most <= last - first)
    return "latency";
  return most == array ? "array" : most == vector ? "vector" : "dram";
}

absl::StatusOr<RunRecount> recountRun(const PackageModule &module, const Target &target) {
  return Run(module, target).run();
}

} // namespace sdopt
