// A plan: tiles layer by layer, equal layers once, then places for the tensors.

#include "absl/strings/str_cat.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/placement/Placement.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
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

absl::StatusOr<std::vector<LayerPlan>> planTiles(const Network &network, const Target &target,
                                                 const SearchOptions &options) {
  std::vector<LayerShape> shapes; // different ones
  std::vector<size_t> shapeOfLayer;
  std::map<std::vector<int64_t>, size_t> known;
  for (const Layer &layer : network.layers) {
    LayerShape shape = shapeOf(network, layer);
    const auto [found, isNew] = known.emplace(signature(shape), shapes.size());
    if (isNew)
      shapes.push_back(std::move(shape));
    shapeOfLayer.push_back(found->second);
  }
  std::vector<TileChoice> choices(shapes.size());
  parallelFor(static_cast<int64_t>(shapes.size()),
              [&](int64_t i, int) { choices[i] = searchTiles(shapes[i], target, options); });
  std::vector<LayerPlan> plans;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Layer &layer = network.layers[i];
    const TileChoice &choice = choices[shapeOfLayer[i]];
    if (!choice.plan)
      return doesNotFit(network, layer, target, choice.leastSram);
    plans.push_back(*choice.plan);
    plans.back().cost.lowerBoundBytes = lowerBoundBytes(network, layer, target.sram.bytes);
  }
  return plans;
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

/// Lifetimes of roots in layer steps; inputs from the start, outputs and what a phase leaves for
/// later ones to the end.
std::vector<LiveBuffer> lifetimes(const Network &network) {
  const auto steps = static_cast<int64_t>(network.layers.size());
  std::vector<LiveBuffer> buffers(network.tensors.size());
  const auto use = [&](TensorId id, int64_t begin, int64_t end) {
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
    const Layer &layer = network.layers[step];
    use(layer.output, step, step + 1);
    for (TensorId id : layer.inputs)
      use(id, step, step + 1);
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
  const std::vector<LiveBuffer> buffers = lifetimes(network);
  const absl::StatusOr<Placement> placement =
      searchPlacement(buffers, {.climbNodes = 100'000, .exactNodes = 300'000});
  if (!placement.ok())
    return placement.status();
  for (size_t id = 0; id < network.tensors.size(); ++id)
    plan.offsets.push_back(placement->offsets[rootOf(network, static_cast<TensorId>(id))]);
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
  absl::StatusOr<std::vector<LayerPlan>> tiles = planTiles(network, target, options);
  if (!tiles.ok())
    return tiles.status();
  plan.layers = *std::move(tiles);
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

} // namespace sdopt
