// A plan: tiles layer by layer, equal layers once, then places for the tensors.

#include "absl/strings/str_cat.h"
#include "compiler/placement/Placement.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
#include "compiler/schedule/PlanGroups.h"
#include "compiler/schedule/ResidentTensors.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"

#include <map>

namespace sdopt {
namespace {

constexpr int64_t kTensorAlignment = 64;

absl::Status targetProblem(const Target &target) {
  const auto needs = [](bool holds, const char *what) {
    return holds ? absl::OkStatus() : absl::InvalidArgumentError(absl::StrCat("target has ", what));
  };
  for (absl::Status status :
       {needs(target.sram.bytes > 0 && target.sram.bytes < (int64_t{1} << 31),
              "sram outside 1..2^31 bytes"),
        needs(target.sram.alignment >= 16 &&
                  (target.sram.alignment & (target.sram.alignment - 1)) == 0,
              "an sram alignment that is no power of two of at least 16"),
        needs(target.array.rows > 0 && target.array.columns > 0 && target.array.count > 0 &&
                  target.array.a16w8Rate > 0 && target.array.a16a16Rate > 0,
              "an empty array"),
        needs(target.vector.lanes > 0, "no vector lanes"),
        needs(target.clock > 0 && target.dram.bandwidth > 0, "no clock or no dram bandwidth")})
    if (!status.ok())
      return status;
  return absl::OkStatus();
}

/// Weights are packed once: all layers that use them must cut them alike.
absl::Status sharedWeightsProblem(const Network &network, const Plan &plan) {
  std::map<ConstantId, size_t> users;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const auto *matrix = std::get_if<MatrixLayer>(&network.layers[i].spec);
    if (!matrix)
      continue;
    const auto [user, first] = users.emplace(matrix->weights, i);
    const Tiling &a = plan.layers[user->second].tiling, &b = plan.layers[i].tiling;
    if (!first && (a.outputChannels != b.outputChannels || a.inputChannels != b.inputChannels))
      return absl::InvalidArgumentError(absl::StrCat(
          "module '", network.name, "': layers '", network.layers[user->second].name, "' and '",
          network.layers[i].name, "' cut their common weights '",
          network.constants[matrix->weights].name, "' differently; give each its own constant"));
  }
  return absl::OkStatus();
}

/// Lifetimes of roots that are in DRAM, in layer steps; inputs from the start, outputs and what a
/// phase leaves for later ones to the end.
std::vector<LiveBuffer> lifetimes(const Network &network, const Plan &plan) {
  const ResidentTensors residents(network, plan);
  const auto steps = static_cast<int64_t>(network.layers.size());
  std::vector<LiveBuffer> buffers(network.tensors.size());
  const auto use = [&](TensorId id, int64_t begin, int64_t end) {
    if (!residents.isInDram(id))
      return;
    LiveBuffer &buffer = buffers[rootOf(network, id)];
    if (buffer.last == 0)
      buffer = {network.tensors[id].bytes(), begin, end, kTensorAlignment,
                network.tensors[rootOf(network, id)].name};
    buffer.first = std::min(buffer.first, begin);
    buffer.last = std::max(buffer.last, end);
  };
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role == TensorRole::Input)
      use(static_cast<TensorId>(id), 0, 1);
  for (int64_t step = 0; step < steps; ++step) {
    // Layers of a group take turns from its first to its last.
    const size_t lead = leaderOf(plan, static_cast<size_t>(step));
    const auto begin = static_cast<int64_t>(lead);
    const auto end = static_cast<int64_t>(groupEnd(plan, lead));
    const Layer &layer = network.layers[step];
    use(layer.output, begin, end);
    for (TensorId id : layer.inputs)
      use(id, begin, end);
  }
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role == TensorRole::Output)
      use(static_cast<TensorId>(id), std::max<int64_t>(steps - 1, 0), std::max<int64_t>(steps, 1));
  for (Phase phase : {Phase::Prompt, Phase::Schedule})
    for (TensorId id : keptTensors(network, phase))
      use(id, steps - 1, steps);
  return buffers;
}

/// What of the constants and tensors is in the way, and what makes it.
std::string misfitName(const Network &network, const std::vector<LiveBuffer> &buffers,
                       const Placement &placement, int64_t available) {
  if (available <= 0 && !network.constants.empty()) {
    const auto &largest = *std::max_element(
        network.constants.begin(), network.constants.end(),
        [](const ConstantInfo &a, const ConstantInfo &b) { return a.bytes < b.bytes; });
    return absl::StrCat("constant '", largest.name, "' of ", largest.bytes, " bytes");
  }
  const size_t worst = misfit(buffers, placement, available);
  std::string text =
      absl::StrCat("tensor '", buffers[worst].name, "' of ", buffers[worst].size,
                   " bytes, ends at byte ", placement.offsets[worst] + buffers[worst].size);
  for (const Layer &layer : network.layers)
    if (rootOf(network, layer.output) == static_cast<TensorId>(worst))
      return absl::StrCat("layer '", layer.name, "' (", kindName(layer), "): ", text);
  return absl::StrCat("input: ", text);
}

absl::Status capacityProblem(const Network &network, const Plan &plan,
                             const std::vector<LiveBuffer> &buffers, const Placement &placement,
                             const Target &target) {
  int64_t constants = 0;
  for (size_t i = 0; i < network.constants.size(); ++i)
    constants += ceilDiv(packedBytes(network, plan, static_cast<ConstantId>(i)), kTensorAlignment) *
                 kTensorAlignment;
  const int64_t needed = constants + plan.arenaBytes, available = target.dram.bytes - constants;
  if (plan.arenaBytes <= available)
    return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "module '", network.name, "': ", misfitName(network, buffers, placement, available),
      "; the module takes ", constants, " bytes of constants and ", plan.arenaBytes,
      " bytes of activations (", plan.arenaLowerBound, " alive at one time); target '", target.name,
      "' has ", target.dram.bytes, " bytes of DRAM, ", needed - target.dram.bytes, " too few; ",
      placement.smallest ? "needs at least " : "fits in ", needed));
}

/// Offsets of the tensors; bounded by nodes that take seconds.
absl::Status placeTensors(const Network &network, const Target &target, Plan &plan) {
  const std::vector<LiveBuffer> buffers = lifetimes(network, plan);
  const absl::StatusOr<Placement> placement =
      searchPlacement(buffers, {.climbNodes = 100'000, .exactNodes = 300'000});
  if (!placement.ok())
    return placement.status();
  for (size_t id = 0; id < network.tensors.size(); ++id) {
    const TensorId owner = rootOf(network, static_cast<TensorId>(id));
    plan.offsets.push_back(buffers[owner].last > 0 ? placement->offsets[owner] : kNowhere);
  }
  plan.arenaBytes = ceilDiv(placement->peak, kTensorAlignment) * kTensorAlignment;
  plan.arenaLowerBound = placement->lowerBound;
  return capacityProblem(network, plan, buffers, *placement, target);
}

} // namespace

absl::StatusOr<Plan> planNetwork(const Network &network, const Target &target) {
  return planNetwork(network, target, SearchOptions());
}

absl::StatusOr<Plan> planNetwork(const Network &network, const Target &target,
                                 const SearchOptions &options) {
  if (absl::Status status = checkNetwork(network); !status.ok())
    return status;
  if (absl::Status status = targetProblem(target); !status.ok())
    return status;
  if (absl::Status status = checkWinograd(network, target.array.multiplier); !status.ok())
    return status;
  Plan plan;
  absl::StatusOr<std::vector<LayerPlan>> tiles = planGroups(network, target, options);
  if (!tiles.ok())
    return tiles.status();
  plan.layers = *std::move(tiles);
  noteCosts(network, plan, target);
  if (absl::Status status = sharedWeightsProblem(network, plan); !status.ok())
    return status;

  if (absl::Status status = placeTensors(network, target, plan); !status.ok())
    return status;
  return plan;
}

LayerCost layerCost(const Network &network, const Layer &layer, const Tiling &tiling,
                    const Target &target) {
  LayerCost cost = estimate(shapeOf(network, layer), tiling, target).cost;
  cost.lowerBoundBytes = lowerBoundBytes(network, layer, target.sram.bytes);
  return cost;
}

void noteGroupCosts(const Network &network, const ResidentTensors &residents, Plan &plan,
                    size_t lead, const Target &target) {
  const size_t end = groupEnd(plan, lead);
  const LayerShape shape = residents.shape(lead);
  const Tiling &tiling = plan.layers[lead].tiling;
  LayerCost &first = plan.layers[lead].cost;
  first = estimate(shape, tiling, target).cost;
  for (size_t i = lead; i < end; ++i) {
    LayerCost &cost = plan.layers[i].cost;
    if (i > lead) {
      cost = tailCost(shape, i - lead - 1, tiling, target);
      first.dramReadBytes -= cost.dramReadBytes;
      first.dramWriteBytes -= cost.dramWriteBytes;
    }
    OnChip onChip{.result = !residents.isStored(i)};
    for (size_t k = 0; k < network.layers[i].inputs.size() && k < onChip.inputs.size(); ++k)
      onChip.inputs[k] = residents.ofInput(i, k) != nullptr ||
                         (i > lead && residents.joinedLayers().carriedInput(i) == k);
    cost.lowerBoundBytes = lowerBoundBytes(network, network.layers[i], target.sram.bytes, onChip);
  }
}

void noteCosts(const Network &network, Plan &plan, const Target &target) {
  const ResidentTensors residents(network, plan);
  for (size_t lead = 0; lead < plan.layers.size(); lead = groupEnd(plan, lead))
    noteGroupCosts(network, residents, plan, lead, target);
}

} // namespace sdopt
