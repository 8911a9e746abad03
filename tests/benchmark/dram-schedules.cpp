// DRAM accesses and their energy for AlexNet, VGG-16 and MobileNet-v1 at int8: loop orders fixed
// for a network or chosen layer by layer, under the mapping that the DRAM's timing asks for and
// under all others. After Putra, Hanif, Shafique: ROMANet, IEEE TVLSI 29(4), 2021. Layers are
// planned, expanded to commands and simulated one by one.
//
//   dram-schedules TARGET.yaml [alexnet|vgg16|mobilenet]

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/DramMapping.h"
#include "compiler/simulator/Simulator.h"
#include "tests/power/PlannedModule.h"
#include "tests/schedule/LayerZoo.h"

#include <array>
#include <cstdio>
#include <map>

namespace sdopt {
namespace {

/// `count` equal convolutions: groups, depthwise ones with one channel each.
struct Conv {
  int64_t input, inputs, outputs, kernel, stride = 1, padding = 1, count = 1;
};

std::vector<Conv> alexNet() {
  return {{227, 3, 96, 11, 4, 0},
          {27, 48, 128, 5, 1, 2, 2},
          {13, 256, 384, 3},
          {13, 192, 192, 3, 1, 1, 2},
          {13, 192, 128, 3, 1, 1, 2}};
}

std::vector<Conv> vgg16() {
  return {{224, 3, 64, 3},   {224, 64, 64, 3},  {112, 64, 128, 3}, {112, 128, 128, 3},
          {56, 128, 256, 3}, {56, 256, 256, 3}, {56, 256, 256, 3}, {28, 256, 512, 3},
          {28, 512, 512, 3}, {28, 512, 512, 3}, {14, 512, 512, 3}, {14, 512, 512, 3},
          {14, 512, 512, 3}};
}

std::vector<Conv> mobileNet() {
  std::vector<Conv> layers = {{224, 3, 32, 3, 2}};
  int64_t size = 112, channels = 32;
  for (const auto &[outputs, stride] : std::vector<std::pair<int64_t, int64_t>>{{64, 1},
                                                                                {128, 2},
                                                                                {128, 1},
                                                                                {256, 2},
                                                                                {256, 1},
                                                                                {512, 2},
                                                                                {512, 1},
                                                                                {512, 1},
                                                                                {512, 1},
                                                                                {512, 1},
                                                                                {512, 1},
                                                                                {1024, 2},
                                                                                {1024, 1}}) {
    layers.push_back({size, 1, 1, 3, stride, 1, channels});
    size /= stride;
    layers.push_back({size, channels, outputs, 1, 1, 0});
    channels = outputs;
  }
  return layers;
}

Network networkOf(const Conv &conv) {
  NetworkBuilder b;
  b.network.name = "conv";
  const TensorId x =
      b.tensor({1, conv.input, conv.input, conv.inputs}, ElementType::I8, TensorRole::Input);
  const int64_t size = (conv.input + 2 * conv.padding - conv.kernel) / conv.stride + 1;
  MatrixLayer s;
  s.kernelHeight = s.kernelWidth = conv.kernel;
  s.strideH = s.strideW = conv.stride;
  s.padTop = s.padLeft = s.padBottom = s.padRight = conv.padding;
  s.weights =
      b.constant(ConstantKind::Weights, conv.outputs * conv.kernel * conv.kernel * conv.inputs);
  s.params = b.constant(ConstantKind::ChannelParams, conv.outputs * 16);
  const TensorId y = b.tensor({1, size, size, conv.outputs}, ElementType::I8, TensorRole::Output);
  b.layer({x}, y, s);
  return b.network;
}

struct Cost {
  double bytes = 0, activations = 0, joules = 0, seconds = 0;
  Cost &operator+=(const Cost &other) {
    bytes += other.bytes;
    activations += other.activations;
    joules += other.joules;
    seconds += other.seconds;
    return *this;
  }
};

/// By mapping.
using Costs = std::vector<Cost>;

absl::StatusOr<Cost> simulate(const PackageModule &module, const Target &target, double count) {
  Simulator simulator(module, target);
  RunStatistics run;
  if (auto result = simulator.run({}, {.values = false}, &run); !result.ok())
    return result.status();
  const LayerStatistics &layer = run.layers[0];
  return Cost{count * static_cast<double>(run.dramReadBytes + run.dramWriteBytes),
              count * static_cast<double>(run.dramActivations), count * run.energy,
              count * static_cast<double>(layer.dmaInCycles + layer.dmaOutCycles) / target.clock};
}

/// One layer in one order under all mappings.
absl::StatusOr<Costs> costsOf(const Conv &conv, LoopOrder order, Target target,
                              const std::vector<std::vector<DramField>> &mappings) {
  const Network network = networkOf(conv);
  absl::StatusOr<PackageModule> module = test::plannedModule(network, target);
  if (!module.ok())
    return module.status();
  const TileChoice choice =
      searchTiles(shapeOf(network, network.layers[0]), target, {.order = order});
  if (!choice.plan)
    return absl::ResourceExhaustedError("no tiles fit");
  Plan plan = module->info.plan;
  plan.layers[0] = *choice.plan;
  module = test::expandedModule(network, std::move(plan), target);
  if (!module.ok())
    return module.status();
  Costs costs;
  for (const std::vector<DramField> &mapping : mappings) {
    target.dram.mapping = mapping;
    const absl::StatusOr<Cost> cost = simulate(*module, target, static_cast<double>(conv.count));
    if (!cost.ok())
      return cost.status();
    costs.push_back(*cost);
  }
  return costs;
}

/// The target with energy for DRAM accesses alone.
Target dramAlone(Target target) {
  EnergyTarget &energy = target.energy;
  energy.mac8 = energy.mac16 = energy.mac16x16 = energy.vectorElement = energy.sramByte = 0;
  energy.leakagePower = energy.dramIdlePower = 0;
  return target;
}

absl::Status study(const char *name, const std::vector<Conv> &layers, const Target &target) {
  std::vector<std::vector<DramField>> mappings = allMappings(target.dram);
  // The one that the timing asks for first.
  std::iter_swap(mappings.begin(),
                 std::find(mappings.begin(), mappings.end(), rowHitMapping(target.dram)));
  constexpr std::array<LoopOrder, 3> kOrders = {LoopOrder::InputResident, LoopOrder::WeightResident,
                                                LoopOrder::OutputStationary};
  std::array<Costs, 4> schedules; // the fixed orders, then the best of each layer
  schedules.fill(Costs(mappings.size()));
  std::array<int, 3> chosen = {0, 0, 0};
  for (const Conv &conv : layers) {
    std::array<Costs, 3> costs;
    for (size_t i = 0; i < kOrders.size(); ++i) {
      absl::StatusOr<Costs> found = costsOf(conv, kOrders[i], target, mappings);
      if (!found.ok())
        return found.status();
      costs[i] = *std::move(found);
    }
    for (size_t m = 0; m < mappings.size(); ++m) {
      size_t best = 0;
      for (size_t i = 0; i < kOrders.size(); ++i) {
        schedules[i][m] += costs[i][m];
        if (costs[i][m].joules < costs[best][m].joules)
          best = i;
      }
      schedules[3][m] += costs[best][m];
      chosen[best] += m == 0;
    }
  }
  std::printf(
      "\n%s: layers by order %d A, %d B, %d C; MB moved, then for the mapping of the timing\n"
      "rows opened (thousands), mJ, ms; then those of least and of most mJ of %zu mappings\n",
      name, chosen[0], chosen[1], chosen[2], mappings.size());
  const std::array<const char *, 4> titles = {"A input-resident", "B weight-resident",
                                              "C output-stationary", "adaptive"};
  for (size_t i = 0; i < schedules.size(); ++i) {
    const Cost &own = schedules[i][0];
    size_t least = 0, most = 0;
    for (size_t m = 0; m < mappings.size(); ++m) {
      least = schedules[i][m].joules < schedules[i][least].joules ? m : least;
      most = schedules[i][m].joules > schedules[i][most].joules ? m : most;
    }
    std::printf("%-20s %8.2f %8.1f %8.3f %8.3f\n", titles[i], own.bytes * 1e-6,
                own.activations * 1e-3, own.joules * 1e3, own.seconds * 1e3);
    for (size_t m : {least, most})
      std::printf("  %-45s %8.1f %8.3f %8.3f\n", mappingName(mappings[m]).c_str(),
                  schedules[i][m].activations * 1e-3, schedules[i][m].joules * 1e3,
                  schedules[i][m].seconds * 1e3);
  }
  if (mappings.size() > 6)
    return absl::OkStatus();
  std::printf("adaptive under each mapping: rows opened, mJ, ms\n");
  for (size_t m = 0; m < mappings.size(); ++m)
    std::printf("  %-45s %8.1f %8.3f %8.3f\n", mappingName(mappings[m]).c_str(),
                schedules[3][m].activations * 1e-3, schedules[3][m].joules * 1e3,
                schedules[3][m].seconds * 1e3);
  return absl::OkStatus();
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) {
  using namespace sdopt;
  const std::map<std::string, std::vector<Conv>> networks = {
      {"alexnet", alexNet()}, {"vgg16", vgg16()}, {"mobilenet", mobileNet()}};
  absl::StatusOr<Target> target = loadTarget(argc > 1 ? argv[1] : "edge-tiny");
  absl::Status status = target.status();
  for (const auto &[name, layers] : networks)
    if (status.ok() && (argc < 3 || name == argv[2]))
      status = study(name.c_str(), layers, dramAlone(*target));
  if (!status.ok())
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
