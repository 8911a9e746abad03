#include "tests/benchmark/NvdlaMachine.h"

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/LayerZoo.h"

#include <map>

namespace sdopt {
namespace {

constexpr int64_t kInputGranule = 16;
constexpr int64_t kTransformedWeights = 16, kKernelWeights = 9;

/// How the tiles of a network are found.
struct Rules {
  bool growsWeights = false; ///< and every window is by Winograd
  std::optional<LoopOrder> order = std::nullopt;
  /// Every layer by itself, as in the sheet.
  SearchOptions options() const { return {.order = order, .joins = false, .residents = false}; }
};

/// A layer as the sheet stores it. The other operand of an addition that is done on the way out
/// takes the bus and SRAM as a second byte of each result does.
Network sheetNetwork(const SheetLayer &layer) {
  NetworkBuilder b;
  b.network.name = layer.name;
  const int64_t folds = layer.stride, size = layer.outputSize();
  const int64_t channels = ceilDiv(layer.inputs * folds * folds, kInputGranule) * kInputGranule;
  const TensorId x = b.tensor({1, size, size, channels}, ElementType::I8, TensorRole::Input);
  const TensorId y = b.conv(x, layer.outputs, ceilDiv(layer.kernel, folds), 1,
                            layer.adds ? ElementType::I16 : ElementType::I8);
  b.network.tensors[y].dims = {1, size, size, layer.outputs};
  b.network.tensors[y].role = TensorRole::Output;
  auto &matrix = std::get<MatrixLayer>(b.network.layers.back().spec);
  if (matrix.kernelHeight % 2 == 0) {
    --matrix.padBottom;
    --matrix.padRight;
  }
  // Room for what growWeights() reads.
  b.constant(ConstantKind::Rows, b.network.constants[matrix.weights].bytes);
  return b.network;
}

/// Weights as they come to a machine that does not transform them itself: 16 bytes for 9 of them on
/// the bus, where tiles have room for the 9. They are the first constant.
void growWeights(PackageModule &module) {
  const int64_t end = module.info.constantOffsets[1];
  Program &program = module.info.program;
  for (Command &command : program.commands) {
    auto *load = std::get_if<DmaLoad>(&command.args);
    if (!load || load->region != Region::Constants || load->dram >= end)
      continue;
    load->dram = load->dram * kTransformedWeights / kKernelWeights;
    load->shape.runBytes = ceilDiv(load->shape.runBytes * kTransformedWeights, kKernelWeights);
    // Where they lie makes no difference to time.
    load->sram = 0;
    program.sramBytes = std::max(program.sramBytes, load->shape.runBytes);
  }
}

struct Choice {
  LayerPlan plan;
  bool winograd = false;
};

absl::StatusOr<Choice> chooseTiles(const Network &network, const Layer &layer, const Target &target,
                                   const Rules &rules) {
  LayerShape shape = shapeOf(network, layer);
  TileChoice best = searchTiles(shape, target, rules.options());
  if (!best.plan)
    return absl::ResourceExhaustedError("no tiles fit layer '" + layer.name + "'");
  const Choice direct = {*best.plan};
  const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
  if (!matrix || !winogradProblem(WinogradForm::F2x2, *matrix, network.constants[matrix->weights],
                                  network.tensors[layer.inputs[0]].dims[3])
                      .empty())
    return direct;
  const int64_t cycles = estimate(shape, direct.plan.tiling, target).cycles;
  auto &transformed = std::get<MatrixShape>(shape);
  transformed.winograd = WinogradForm::F2x2;
  if (rules.growsWeights) { // in a form of which more bytes than weights can be expected
    transformed.weights.zeros = ZeroLayout::Runs;
    transformed.weightShare = ceilDiv(kShareUnit * kTransformedWeights, kKernelWeights);
  }
  best = searchTiles(shape, target, rules.options());
  if (!best.plan ||
      (!rules.growsWeights && estimate(shape, best.plan->tiling, target).cycles >= cycles))
    return direct;
  return Choice{*best.plan, true};
}

absl::StatusOr<PackageModule> moduleOf(Network network, const Target &target, const Rules &rules) {
  absl::StatusOr<Plan> plan = planNetwork(network, target, rules.options());
  if (!plan.ok())
    return plan.status();
  std::map<std::vector<int64_t>, Choice> known;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    Layer &layer = network.layers[i];
    std::vector<int64_t> key = signature(shapeOf(network, layer));
    auto found = known.find(key);
    if (found == known.end()) {
      const absl::StatusOr<Choice> choice = chooseTiles(network, layer, target, rules);
      if (!choice.ok())
        return choice.status();
      found = known.emplace(std::move(key), *choice).first;
    }
    plan->layers[i] = found->second.plan;
    if (found->second.winograd)
      std::get<MatrixLayer>(layer.spec).winograd = WinogradForm::F2x2;
  }
  return test::expandedModule(network, *std::move(plan), target);
}

absl::StatusOr<RunStatistics> simulate(const PackageModule &module, const Target &target) {
  Simulator simulator(module, target);
  RunStatistics run;
  if (auto result = simulator.run({}, {.values = false}, &run); !result.ok())
    return result.status();
  return run;
}

absl::StatusOr<MachineCost> costOf(const Network &network, const Target &target,
                                   const Rules &rules) {
  absl::StatusOr<PackageModule> module = moduleOf(network, target, rules);
  if (!module.ok())
    return module.status();
  const bool winograd =
      std::get<MatrixLayer>(module->info.network.layers[0].spec).winograd != WinogradForm::None;
  if (winograd && rules.growsWeights)
    growWeights(*module);
  const absl::StatusOr<RunStatistics> run = simulate(*module, target);
  if (!run.ok())
    return run.status();
  MachineCost cost{.cycles = run->cycles,
                   .dramBytes = run->dramReadBytes + run->dramWriteBytes,
                   .winograd = winograd,
                   .bound = run->layers[0].bound};
  for (const LayerStatistics &layer : run->layers) {
    cost.arrayCycles += layer.arrayCycles;
    cost.dramCycles += layer.dmaInCycles + layer.dmaOutCycles;
  }
  return cost;
}

/// A layer and its pooling. There is no layer that pools: in place of the first one stands a 2x2
/// convolution of stride 2, which reads and writes the same pixels; in place of the last one a
/// table of all its pixels.
TensorId addPooled(NetworkBuilder &b, TensorId x, const SheetLayer &layer) {
  if (layer.pooled == 1)
    return b.slice(b.table(x, ElementType::I8), {0, 0, 0, 0}, {1, 1, 1, layer.outputs});
  const TensorId y = b.conv(x, layer.outputs, 2, 2, ElementType::I8);
  b.network.tensors[y].dims = {1, layer.pooled, layer.pooled, layer.outputs};
  auto &matrix = std::get<MatrixLayer>(b.network.layers.back().spec);
  matrix.padTop = matrix.padLeft = matrix.padBottom = matrix.padRight = 0;
  return y;
}

/// A layer with what follows it.
TensorId addOwn(NetworkBuilder &b, TensorId x, TensorId shortcut, const SheetLayer &layer) {
  TensorId y = b.conv(x, layer.outputs, layer.kernel, layer.stride, ElementType::I8);
  if (layer.adds)
    y = b.combine(y, shortcut, ElementType::I8);
  return layer.pooled ? addPooled(b, y, layer) : y;
}

Network ownNetwork(const SheetLayer &layer) {
  NetworkBuilder b;
  b.network.name = layer.name;
  const TensorId x =
      b.tensor({1, layer.size, layer.size, layer.inputs}, ElementType::I8, TensorRole::Input);
  const int64_t size = layer.outputSize();
  const TensorId shortcut =
      layer.adds ? b.tensor({1, size, size, layer.outputs}, ElementType::I8, TensorRole::Input)
                 : kNone;
  b.network.tensors[addOwn(b, x, shortcut, layer)].role = TensorRole::Output;
  return b.network;
}

/// All layers, one after the other.
Network ownNetwork() {
  NetworkBuilder b;
  b.network.name = "resnet50";
  TensorId x = b.tensor({1, 224, 224, 3}, ElementType::I8, TensorRole::Input);
  TensorId shortcut = kNone;
  for (const SheetLayer &layer : resNet50()) {
    if (layer.name.ends_with("_1")) { // beside the next three
      shortcut = addOwn(b, x, kNone, layer);
      continue;
    }
    const TensorId before = x;
    x = addOwn(b, x, shortcut, layer);
    if (layer.adds)
      shortcut = kNone;
    else if (layer.name.ends_with("_2a") && shortcut == kNone)
      shortcut = before;
  }
  b.network.tensors[x].role = TensorRole::Output;
  return b.network;
}

} // namespace

SheetMachine machineOf(const Target &target) {
  const ArrayTarget &array = target.array;
  return {array.count * array.rows * array.columns, target.sram.bytes / 1024,
          target.dram.bandwidth * 1e-9};
}

Target targetOf(Target target, const SheetMachine &machine) {
  ArrayTarget &array = target.array;
  while (array.count * array.rows * array.columns > machine.multipliers)
    (array.count > 1 ? array.count : array.columns >= array.rows ? array.columns : array.rows) /= 2;
  target.sram.bytes = machine.kibibytes * 1024;
  target.dram.bandwidth = machine.gigabytes * 1e9;
  return target;
}

absl::StatusOr<std::vector<MachineCost>> machineCosts(const Target &target, Lowering lowering) {
  const bool asSheet = lowering == Lowering::Sheet;
  std::vector<MachineCost> costs;
  std::map<std::vector<int64_t>, MachineCost> known;
  for (const SheetLayer &layer : asSheet ? sheetResNet50() : resNet50()) {
    Rules rules;
    if (asSheet)
      rules = {true, sheetCost(layer, machineOf(target)).inputStays ? LoopOrder::InputResident
                                                                    : LoopOrder::WeightResident};
    const Network network = asSheet ? sheetNetwork(layer) : ownNetwork(layer);
    std::vector<int64_t> key;
    for (const Layer &part : network.layers)
      for (int64_t number : signature(shapeOf(network, part)))
        key.push_back(number);
    auto found = known.find(key);
    if (found == known.end()) {
      const absl::StatusOr<MachineCost> cost = costOf(network, target, rules);
      if (!cost.ok())
        return cost.status();
      found = known.emplace(std::move(key), *cost).first;
    }
    costs.push_back(found->second);
  }
  return costs;
}

absl::StatusOr<int64_t> networkCycles(const Target &target) {
  const absl::StatusOr<PackageModule> module = moduleOf(ownNetwork(), target, Rules());
  if (!module.ok())
    return module.status();
  const absl::StatusOr<RunStatistics> run = simulate(*module, target);
  if (!run.ok())
    return run.status();
  return run->cycles;
}

} // namespace sdopt
