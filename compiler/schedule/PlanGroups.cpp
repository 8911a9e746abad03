// Groups of layers, their tiles and what stays in SRAM between them, by dynamic programming.

#include "compiler/schedule/PlanGroups.h"

#include "absl/strings/str_cat.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/ResidentTensors.h"
#include "compiler/schedule/TrafficModel.h"

#include <algorithm>
#include <map>
#include <optional>

namespace sdopt {
namespace {

constexpr size_t kMostStates = 24;   ///< kept between two groups
constexpr size_t kReach = 64;        ///< layers that a result stays for at most
constexpr int64_t kSramParts = 16;   ///< what is left of SRAM is rounded down to such parts of it
constexpr int64_t kSmallBlock = 512; ///< channels

/// What of a layer is biggest, for the message that it does not fit.
std::string biggestOperand(const Network &network, const Layer &layer) {
  std::string name;
  int64_t bytes = -1;
  const auto consider = [&](const std::string &candidate, int64_t size) {
    if (size <= bytes)
      return;
    name = candidate;
    bytes = size;
  };
  for (TensorId id : layer.inputs)
    consider(network.tensors[id].name, network.tensors[id].bytes());
  consider(network.tensors[layer.output].name, network.tensors[layer.output].bytes());
  if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec))
    consider(network.constants[matrix->weights].name, network.constants[matrix->weights].bytes);
  return absl::StrCat("'", name, "' of ", bytes, " bytes");
}

absl::Status doesNotFit(const Network &network, const Layer &layer, const Target &target,
                        int64_t least) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "module '", network.name, "': layer '", layer.name, "' (", kindName(layer),
      "), whose biggest operand is ", biggestOperand(network, layer), ", takes ", least,
      " bytes in its smallest tiling; target '", target.name, "' has ", target.sram.bytes, ", ",
      least - target.sram.bytes, " too few; needs at least ", least, " bytes of SRAM"));
}

/// The best tiles of layers and groups, equal ones once.
class TileSearches {
public:
  struct Result {
    TileChoice choice;
    Estimate estimate; ///< of the choice
  };

  TileSearches(const Target &target, const SearchOptions &options) : options(options) {
    for (int64_t part = 0; part <= kSramParts; ++part) {
      targets.push_back(target);
      targets.back().sram.bytes = target.sram.bytes * part / kSramParts;
    }
  }

  /// The place of the result in results(), for layers that have `sram` bytes.
  size_t add(LayerShape shape, int64_t sram) {
    const int64_t part = sram * kSramParts / std::max<int64_t>(targets.back().sram.bytes, 1);
    std::vector<int64_t> key = signature(shape);
    key.push_back(part);
    const auto [known, isNew] = places.try_emplace(std::move(key), shapes.size());
    if (isNew)
      shapes.push_back({std::move(shape), static_cast<size_t>(part)});
    return known->second;
  }
  /// Runs the searches that were added since.
  void run() {
    const size_t done = found.size();
    found.resize(shapes.size());
    parallelFor(static_cast<int64_t>(shapes.size() - done), [&](int64_t i, int) {
      const auto &[shape, part] = shapes[done + i];
      Result &result = found[done + i];
      result.choice = searchTiles(shape, targets[part], options);
      if (result.choice.plan)
        result.estimate = estimate(shape, result.choice.plan->tiling, targets[part]);
    });
  }
  const Result &operator[](size_t search) const { return found[search]; }

private:
  const SearchOptions &options;
  std::vector<Target> targets;                       ///< by parts of SRAM
  std::vector<std::pair<LayerShape, size_t>> shapes; // different ones
  std::vector<Result> found;
  std::map<std::vector<int64_t>, size_t> places;
};

/// A way in which the result of a layer may be resident.
struct Stay {
  int64_t readers = 0;         ///< of it from SRAM
  size_t until = 0;            ///< the last of them
  bool isStored = false;       ///< others read it from DRAM
  std::vector<int64_t> blocks; ///< channels of a block that it and they can take, ascending
};

/// The stays that are tried for the result of a layer.
std::vector<Stay> staysOf(const Network &network, const TensorUses &uses, size_t maker,
                          int64_t sramBytes) {
  const TensorInfo &result = network.tensors[network.layers[maker].output];
  const auto &readers = uses.readers(network.layers[maker].output);
  if (readers.empty() || result.bytes() > sramBytes ||
      !uses.makerProblem(maker, result.dims[3]).empty())
    return {};
  size_t near = 0;
  while (near < readers.size() && readers[near].layer <= maker + kReach &&
         network.layers[readers[near].layer].phase == network.layers[maker].phase)
    ++near;
  // All that are near; those before the longest pause; the first.
  std::vector<size_t> counts;
  size_t pause = 0;
  for (size_t i = 1; i < near; ++i)
    if (readers[i].layer - readers[i - 1].layer > pause) {
      pause = readers[i].layer - readers[i - 1].layer;
      counts = {i};
    }
  counts.push_back(1);
  counts.insert(counts.begin(), near);
  std::vector<Stay> stays;
  for (size_t count : counts) {
    while (count > 0 && count < near && readers[count].layer == readers[count - 1].layer)
      ++count;
    const auto isSame = [&](const Stay &stay) {
      return stay.readers == static_cast<int64_t>(count);
    };
    if (count == 0 || count > near || std::any_of(stays.begin(), stays.end(), isSame))
      continue;
    Stay stay{.readers = static_cast<int64_t>(count),
              .until = readers[count - 1].layer,
              .isStored = count < readers.size() || uses.isKept(network.layers[maker].output),
              .blocks = {}};
    for (int64_t parts = 1; parts <= 32; ++parts) {
      const int64_t block = result.dims[3] / parts;
      if (block * parts != result.dims[3] || !uses.makerProblem(maker, block).empty())
        continue;
      if (std::all_of(readers.begin(), readers.begin() + static_cast<int64_t>(count),
                      [&](const TensorUses::Reader &reader) {
                        return uses.readerProblem(maker, reader, block).empty();
                      }))
        stay.blocks.insert(stay.blocks.begin(), block);
    }
    if (!stay.blocks.empty())
      stays.push_back(std::move(stay));
  }
  return stays;
}

/// A result that is in SRAM.
struct Held {
  TensorId owner;
  int64_t block; ///< channels
  SramSpan span;
  size_t until;
  friend bool operator<(const Held &a, const Held &b) {
    return std::tuple(a.owner, a.block, a.span.begin, a.until) <
           std::tuple(b.owner, b.block, b.span.begin, b.until);
  }
  friend bool operator==(const Held &a, const Held &b) { return !(a < b) && !(b < a); }
};

struct Cost {
  int64_t cycles = 0, bytes = 0;
  bool isLess(const Cost &o, Objective objective) const {
    if (objective == Objective::Time)
      return std::pair(cycles, bytes) < std::pair(o.cycles, o.bytes);
    return std::pair(bytes, cycles) < std::pair(o.bytes, o.cycles);
  }
};

/// What is resident between two groups, and how it came to that.
struct State {
  std::vector<Held> held; ///< sorted
  Cost cost;
  size_t before = 0; ///< index among the states at `lead`
  size_t lead = 0, search = 0;
  std::array<SramPlace, kMostTails + 1> places = {}; ///< of the group's results
};

/// A group that may follow a state.
struct Step {
  size_t before, end, search;
  std::array<SramPlace, kMostTails + 1> places = {};
  std::vector<Held> held; ///< blocks of results that the search chooses are 0
};

class Planner {
public:
  Planner(const Network &network, const Target &target, const SearchOptions &options)
      : network(network), target(target), options(options), uses(network), joined(network),
        searches(target, options), states(network.layers.size() + 1), stays(network.layers.size()),
        sram(target.sram.bytes / target.sram.alignment * target.sram.alignment) {
    for (size_t i = 0; options.residents && i < stays.size(); ++i)
      stays[i] = staysOf(network, uses, i, sram);
  }

  absl::StatusOr<std::vector<LayerPlan>> run() {
    states[0].emplace_back();
    for (size_t lead = 0; lead < network.layers.size(); ++lead) {
      keepBest(states[lead]);
      steps.clear();
      addSteps(lead);
      searches.run();
      if (const auto &choice = searches[alone].choice; !choice.plan)
        return doesNotFit(network, network.layers[lead], target, choice.leastSram);
      for (Step &step : steps)
        take(lead, std::move(step));
    }
    return plans();
  }

private:
  void keepBest(std::vector<State> &all) const {
    std::stable_sort(all.begin(), all.end(), [&](const State &a, const State &b) {
      return a.cost.isLess(b.cost, options.objective);
    });
    std::vector<State> kept;
    for (State &state : all)
      if (kept.size() < kMostStates || state.held.empty())
        kept.push_back(std::move(state));
    all = std::move(kept);
  }

  void addSteps(size_t lead) {
    for (size_t end = lead + 1; end <= network.layers.size(); ++end) {
      if (end > lead + 1 && (!options.joins || !joined.problem(lead, end - 1).empty()))
        return;
      const LayerShape shape = joined.shape(lead, end);
      if (end == lead + 1)
        alone = searches.add(shape, target.sram.bytes);
      for (size_t i = 0; i < states[lead].size(); ++i)
        addSteps(shape, lead, end, i);
    }
  }

  /// A group after one state: with its results resident in all ways.
  void addSteps(const LayerShape &shape, size_t lead, size_t end, size_t before) {
    const State &state = states[lead][before];
    GroupResidence residence;
    std::vector<int64_t> fixed; // tiles of channels that operands ask for
    if (!findOperands(state, lead, end, residence, fixed))
      return;
    std::array<const Stay *, kMostTails + 1> chosen = {};
    addChoices(shape, lead, end, before, residence, fixed, chosen, lead);
  }

  /// What `layer` takes from SRAM.
  const Held *heldIn(const State &state, TensorId id, size_t layer) const {
    const TensorId owner = rootOf(network, id);
    for (const Held &held : state.held)
      if (held.owner == owner && layer <= held.until)
        return &held;
    return nullptr;
  }

  bool findOperands(const State &state, size_t lead, size_t end, GroupResidence &residence,
                    std::vector<int64_t> &fixed) const {
    const Layer &first = network.layers[lead];
    for (size_t i = 0; i < first.inputs.size() && i < residence.inputs.size(); ++i)
      if (const Held *held = heldIn(state, first.inputs[i], lead)) {
        residence.inputs[i] = held->block;
        if (std::holds_alternative<CombineLayer>(first.spec) ||
            std::holds_alternative<TableLayer>(first.spec) ||
            std::holds_alternative<ModulateLayer>(first.spec) ||
            std::holds_alternative<NormLayer>(first.spec))
          fixed.push_back(held->block);
      }
    if (const auto *attention = std::get_if<AttentionLayer>(&first.spec)) {
      const int64_t head = network.tensors[first.output].dims[3] / attention->heads;
      const auto stride = [&](int64_t block) { return block > 0 ? block : head; };
      if (stride(residence.inputs[1]) != stride(residence.inputs[2]))
        return false;
    }
    for (size_t layer = lead + 1; layer < end; ++layer) {
      const std::vector<TensorId> &inputs = network.layers[layer].inputs;
      if (inputs.size() < 2)
        continue;
      if (const Held *held = heldIn(state, inputs[1 - joined.carriedInput(layer)], layer)) {
        residence.operands[layer - lead - 1] = true;
        fixed.push_back(held->block);
      }
    }
    return std::all_of(fixed.begin(), fixed.end(), [&](int64_t b) { return b == fixed[0]; });
  }

  /// Goes over the stays of the results of layers [layer, end).
  void addChoices(const LayerShape &shape, size_t lead, size_t end, size_t before,
                  const GroupResidence &residence, const std::vector<int64_t> &fixed,
                  std::array<const Stay *, kMostTails + 1> &chosen, size_t layer) {
    if (layer == end)
      return addTilings(shape, lead, end, before, residence, fixed, chosen);
    chosen[layer - lead] = nullptr;
    addChoices(shape, lead, end, before, residence, fixed, chosen, layer + 1);
    for (const Stay &stay : stays[layer])
      if (stay.until >= end) {
        chosen[layer - lead] = &stay;
        addChoices(shape, lead, end, before, residence, fixed, chosen, layer + 1);
      }
    chosen[layer - lead] = nullptr;
  }

  /// Blocks that all chosen stays allow.
  static std::vector<int64_t> commonBlocks(const std::array<const Stay *, kMostTails + 1> &chosen) {
    std::vector<int64_t> common;
    bool isFirst = true;
    for (const Stay *stay : chosen) {
      if (!stay)
        continue;
      if (isFirst)
        common = stay->blocks;
      else
        std::erase_if(common, [&](int64_t block) {
          return !std::binary_search(stay->blocks.begin(), stay->blocks.end(), block);
        });
      isFirst = false;
    }
    return common;
  }

  void addTilings(const LayerShape &shape, size_t lead, size_t end, size_t before,
                  GroupResidence residence, const std::vector<int64_t> &fixed,
                  const std::array<const Stay *, kMostTails + 1> &chosen) {
    Step step{.before = before, .end = end, .search = 0, .places = {}, .held = {}};
    const State &state = states[lead][before];
    step.held = state.held;
    bool isResident = false;
    for (size_t layer = lead; layer < end; ++layer) {
      const Stay *stay = chosen[layer - lead];
      residence.results[layer - lead] = stay != nullptr;
      residence.isStored[layer - lead] = stay ? stay->isStored : joined.isStored(layer, end);
      isResident |= stay != nullptr;
      if (stay && !place(layer, *stay, step, step.places[layer - lead]))
        return;
    }
    std::vector<SramSpan> taken;
    for (const Held &held : step.held)
      taken.push_back(held.span);
    const int64_t left = taken.empty() ? target.sram.bytes : largestGap(taken, sram).bytes();
    for (const std::vector<int64_t> &tiles : channelTiles(lead, fixed, chosen, isResident)) {
      residence.channelTiles = tiles;
      LayerShape cut = shape;
      setResidence(cut, residence);
      Step one = step;
      one.search = searches.add(std::move(cut), left);
      if (isAttention(lead) && isResident)
        for (SramPlace &place : one.places)
          place.channels = tiles.front();
      steps.push_back(std::move(one));
    }
  }

  bool isAttention(size_t layer) const {
    return std::holds_alternative<AttentionLayer>(network.layers[layer].spec);
  }

  /// Can the leader of a group make tiles of so many channels?
  bool canCut(size_t lead, int64_t tile) const {
    const auto *norm = std::get_if<NormLayer>(&network.layers[lead].spec);
    const int64_t channels = network.tensors[network.layers[lead].output].dims[3];
    return !norm || tile % (norm->perRow ? channels : channels / norm->groups) == 0;
  }

  /// Sets of tiles of output channels among which searches choose.
  std::vector<std::vector<int64_t>>
  channelTiles(size_t lead, const std::vector<int64_t> &fixed,
               const std::array<const Stay *, kMostTails + 1> &chosen, bool isResident) const {
    if (!fixed.empty() && !canCut(lead, fixed[0]))
      return {};
    if (!isResident)
      return {fixed.empty() ? std::vector<int64_t>() : std::vector{fixed[0]}};
    std::vector<int64_t> blocks = commonBlocks(chosen);
    std::erase_if(blocks, [&](int64_t block) { return !canCut(lead, block); });
    if (!fixed.empty())
      std::erase_if(blocks, [&](int64_t block) { return block != fixed[0]; });
    if (blocks.empty())
      return {};
    const auto middle = std::upper_bound(blocks.begin(), blocks.end(), kSmallBlock);
    std::vector<std::vector<int64_t>> sets;
    if (std::holds_alternative<MatrixLayer>(network.layers[lead].spec)) {
      if (middle != blocks.begin())
        sets.emplace_back(blocks.begin(), middle);
      if (middle != blocks.end())
        sets.emplace_back(middle, blocks.end());
      return sets;
    }
    // For the vector unit all are alike: the largest of both kinds, and tiles of the arrays.
    if (middle != blocks.end())
      sets.push_back({blocks.back()});
    if (middle != blocks.begin())
      sets.push_back({*std::prev(middle)});
    const auto narrow = std::lower_bound(blocks.begin(), blocks.end(), target.array.columns);
    if (narrow != blocks.end() && sets.back()[0] != *narrow)
      sets.push_back({*narrow});
    return sets;
  }

  /// Where the result of a layer leaves the largest gap; beside what stays longer, if it can.
  bool place(size_t layer, const Stay &stay, Step &step, SramPlace &result) const {
    const TensorInfo &tensor = network.tensors[network.layers[layer].output];
    const int64_t size = ceilDiv(tensor.bytes(), target.sram.alignment) * target.sram.alignment;
    std::vector<SramSpan> taken = {{sram, sram}};
    for (const Held &held : step.held)
      taken.push_back(held.span);
    const auto longerAt = [&](int64_t edge) { // edges of SRAM stay for ever
      for (const Held &held : step.held)
        if (held.span.begin == edge || held.span.end == edge)
          return held.until >= stay.until;
      return true;
    };
    std::optional<std::tuple<int64_t, bool, int64_t>> best;
    const auto consider = [&](int64_t begin, int64_t neighbour) {
      const SramSpan span{begin, begin + size};
      if (begin < 0 || span.end > sram ||
          std::any_of(taken.begin(), taken.end(), [&](const SramSpan &other) {
            return span.begin < other.end && other.begin < span.end;
          }))
        return;
      std::vector<SramSpan> with = taken;
      with.push_back(span);
      const std::tuple candidate(largestGap(std::move(with), sram).bytes(), longerAt(neighbour),
                                 -begin);
      if (!best || candidate > *best)
        best = candidate;
    };
    consider(0, 0);
    consider(sram - size, sram);
    for (const Held &held : step.held) {
      consider(held.span.end, held.span.end);
      consider(held.span.begin - size, held.span.begin);
    }
    if (!best)
      return false;
    result = {.offset = -std::get<2>(*best), .channels = 0, .readers = stay.readers};
    step.held.push_back({rootOf(network, network.layers[layer].output),
                         0,
                         {result.offset, result.offset + size},
                         stay.until});
    return true;
  }

  void take(size_t lead, Step step) {
    const auto &[choice, estimate] = searches[step.search];
    if (!choice.plan)
      return;
    State next{.held = {},
               .cost = states[lead][step.before].cost,
               .before = step.before,
               .lead = lead,
               .search = step.search,
               .places = step.places};
    next.cost.cycles += estimate.cycles;
    next.cost.bytes += estimate.cost.dramReadBytes + estimate.cost.dramWriteBytes;
    int64_t block = choice.plan->tiling.outputChannels;
    for (SramPlace &place : next.places)
      if (place.readers > 0) {
        if (isAttention(lead))
          block = place.channels;
        place.channels = block;
      } else {
        place = {};
      }
    for (Held &held : step.held)
      if (held.until >= step.end) {
        if (held.block == 0)
          held.block = block;
        next.held.push_back(held);
      }
    std::sort(next.held.begin(), next.held.end());
    for (State &known : states[step.end])
      if (known.held == next.held) {
        // Of equal ones the shorter group, then the first.
        if (next.cost.isLess(known.cost, options.objective) ||
            (known.lead < lead && !known.cost.isLess(next.cost, options.objective)))
          known = std::move(next);
        return;
      }
    states[step.end].push_back(std::move(next));
  }

  std::vector<LayerPlan> plans() {
    std::vector<LayerPlan> result(network.layers.size());
    size_t end = network.layers.size(), index = 0;
    keepBest(states[end]);
    while (end > 0) {
      const State &state = states[end][index];
      const Tiling &tiling = searches[state.search].choice.plan->tiling;
      for (size_t i = state.lead; i < end; ++i) {
        result[i].tiling = tiling;
        result[i].joined = i > state.lead;
        result[i].resident = state.places[i - state.lead];
      }
      end = state.lead;
      index = state.before;
    }
    return result;
  }

  const Network &network;
  const Target &target;
  const SearchOptions &options;
  const TensorUses uses;
  const JoinedLayers joined;
  TileSearches searches;
  std::vector<std::vector<State>> states; ///< by the layers before them
  std::vector<std::vector<Stay>> stays;   ///< by layer
  const int64_t sram;
  std::vector<Step> steps;
  size_t alone = 0; ///< the search of the layer by itself, with all of SRAM
};

} // namespace

absl::StatusOr<std::vector<LayerPlan>> planGroups(const Network &network, const Target &target,
                                                  const SearchOptions &options) {
  return Planner(network, target, options).run();
}

} // namespace sdopt
