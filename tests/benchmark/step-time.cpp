// Where the modelled time of a step goes:
//   step-time PACKAGE MODULE [TARGET]          a module of a package
//   step-time --layers unet|vae 8|16 [TARGET]  the layers of SD 2.1 at full size, planned anew;
//                                              --stored: no result stays in SRAM for layers to
//                                              come; --apart: nor for the next in tiles;
//                                              --4-bit: weights of 4 bits in groups of 64;
//                                              --winograd: where it pays; --winograd4: by F(4x4,
//                                              3x3) where that pays more; --batch N: of so many
//                                              pictures at once (2: classifier-free guidance)
//   --each                                     layer by layer, too
// Joined layers count with their leader. A layer's time is what it adds to the end of the one
// before it: its floor (the largest of products / peak, bytes that no schedule saves / bandwidth,
// elements / lanes), what its busiest unit takes beyond that, and the time in which that unit
// waits: before its first command of the layer, after its last, or between. The latter is negative
// where layers overlap. Classes (kind and pixels) come with the most time above their products
// first.
// The floor of the step is the largest of its products / peak, of the bytes of its weights as they
// are stored, of its other constants, inputs and outputs / bandwidth, and of its elements / lanes.

#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/simulator/CommandTiming.h"
#include "compiler/simulator/Simulator.h"
#include "tests/power/PlannedModule.h"
#include "tests/power/StepFloor.h"
#include "tests/schedule/StableDiffusion.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

using namespace sdopt;

namespace {

/// Cycles.
struct Share {
  double time = 0, floor = 0, busy = 0, before = 0, between = 0, after = 0;
  double bytes = 0, leastBytes = 0;
  double products = 0, array = 0, bus = 0; ///< at peak; of arrays and bus, busy
  std::array<double, 3> boundBy = {0, 0, 0};
  int layers = 0;
  void add(const Share &o) {
    time += o.time;
    floor += o.floor;
    busy += o.busy;
    before += o.before;
    between += o.between;
    after += o.after;
    bytes += o.bytes;
    leastBytes += o.leastBytes;
    products += o.products;
    array += o.array;
    bus += o.bus;
    for (size_t u = 0; u < boundBy.size(); ++u)
      boundBy[u] += o.boundBy[u];
    layers += o.layers;
  }
};

constexpr const char *kUnits[] = {"array", "vector", "dram"};

/// The unit that most of the time is bound by; with its share where others bind some, too.
std::string boundOf(const Share &s) {
  const auto most = std::max_element(s.boundBy.begin(), s.boundBy.end());
  char text[32];
  std::snprintf(text, sizeof text, "%s %.0f %%", kUnits[most - s.boundBy.begin()],
                100 * *most / std::max(s.time, 1.0));
  return text;
}

void print(const char *name, const Share &s, double clock) {
  const auto ms = [&](double cycles) { return cycles / clock * 1e3; };
  std::printf("| %s | %d | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | "
              "%.0f | %.0f | %s |\n",
              name, s.layers, ms(s.time), ms(s.products), ms(s.time - s.products), ms(s.array),
              ms(s.bus), ms(s.floor), ms(s.busy), ms(s.before), ms(s.between), ms(s.after),
              s.bytes * 1e-6, s.leastBytes * 1e-6, boundOf(s).c_str());
}

/// Of one layer: when each unit began and ended.
struct Use {
  std::array<int64_t, 3> first = {INT64_MAX, INT64_MAX, INT64_MAX}, last = {-1, -1, -1};
  std::array<double, 3> minimum = {0, 0, 0}, busy = {0, 0, 0};
  int64_t begin = INT64_MAX, end = -1;
};

int unitOf(Queue queue) { return queue == Queue::Array ? 0 : queue == Queue::Vector ? 1 : 2; }

void report(const PackageModule &module, const Target &target, bool lists) {
  const Network &network = module.info.network;
  const std::vector<Command> &commands = module.info.program.commands;
  Simulator simulator(module, target);
  RunStatistics run;
  std::vector<TraceEvent> trace;
  const absl::Status status =
      simulator.run({}, {.first = Phase::Prompt, .values = false, .trace = &trace}, &run).status();
  if (!status.ok()) {
    std::printf("%s\n", std::string(status.message()).c_str());
    std::exit(2);
  }
  CommandTiming timing(target, module.info.program.constantsBytes);
  ProgramStreams streams(module.info.program, module.constants, target.array);
  std::vector<Use> uses(network.layers.size());
  std::array<double, 3> allBusy = {0, 0, 0}, allLeast = {0, 0, 0};
  for (const TraceEvent &event : trace) {
    const Command &command = commands[event.command];
    if (network.layers[command.layer].phase != Phase::Step)
      continue;
    GatherIds ids;
    if (const auto *gather = std::get_if<DmaGather>(&command.args))
      ids.resize(static_cast<size_t>(gather->rows));
    const CommandCost cost = timing.cost(command, ids, streams.facts(event.command));
    Use &use = uses[leaderOf(module.info.plan, static_cast<size_t>(command.layer))];
    const int unit = unitOf(command.queue);
    use.first[unit] = std::min(use.first[unit], event.begin);
    use.last[unit] = std::max(use.last[unit], event.end);
    use.begin = std::min(use.begin, event.begin);
    use.end = std::max(use.end, event.end);
    if (unit < 2)
      use.minimum[unit] += cost.minimumCycles;
    use.busy[unit] += static_cast<double>(std::max(cost.cycles, cost.decoderCycles));
    allBusy[unit] += static_cast<double>(cost.cycles);
  }
  std::map<std::string, Share> byKind, byBound;
  Share total;
  int64_t before = 0;
  for (size_t i = 0; i < uses.size(); ++i) {
    Use &use = uses[i];
    if (use.end < 0)
      continue;
    if (before == 0)
      before = use.begin;
    Share s;
    const size_t end = groupEnd(module.info.plan, i);
    for (size_t k = i; k < end; ++k) {
      const LayerCost &cost = module.info.plan.layers[k].cost;
      s.bytes += static_cast<double>(cost.dramReadBytes + cost.dramWriteBytes);
      s.leastBytes += static_cast<double>(cost.lowerBoundBytes);
    }
    use.minimum[2] = s.leastBytes / target.dram.bandwidth * target.clock;
    const int bound =
        static_cast<int>(std::max_element(use.busy.begin(), use.busy.end()) - use.busy.begin());
    s.layers = static_cast<int>(end - i);
    const int64_t begin = std::max(before, std::min(use.begin, use.end));
    s.time = static_cast<double>(std::max<int64_t>(use.end - begin, 0));
    s.floor = *std::max_element(use.minimum.begin(), use.minimum.end());
    for (int u = 0; u < 3; ++u)
      allLeast[u] += use.minimum[u];
    s.busy = use.busy[bound] - s.floor;
    s.before = static_cast<double>(std::max<int64_t>(use.first[bound] - begin, 0));
    s.after = static_cast<double>(std::max<int64_t>(use.end - use.last[bound], 0));
    s.between = s.time - s.floor - s.busy - s.before - s.after;
    before = std::max(before, use.end);
    s.products = use.minimum[0];
    s.array = use.busy[0];
    s.bus = use.busy[2];
    s.boundBy[bound] = s.time;
    const auto &dims = network.tensors[network.layers[i].output].dims;
    byKind[std::string(kindName(network.layers[i])) + " " + std::to_string(dims[1] * dims[2])].add(
        s);
    byBound[kUnits[bound]].add(s);
    total.add(s);
    if (lists)
      print((std::string(kindName(network.layers[i])) + " " + network.layers[i].name).c_str(), s,
            target.clock);
  }
  std::printf("%s on %s, ms and MB of a step\n\n| | layers | time | products | above them | arrays "
              "busy | bus busy | floor | busiest unit beyond | it waits before | between | after | "
              "DRAM | least | bound by |\n"
              "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
              network.name.c_str(), target.name.c_str());
  std::vector<std::pair<std::string, Share>> classes(byKind.begin(), byKind.end());
  std::stable_sort(classes.begin(), classes.end(), [](const auto &a, const auto &b) {
    return a.second.time - a.second.products > b.second.time - b.second.products;
  });
  for (const auto &[name, share] : classes)
    print(name.c_str(), share, target.clock);
  for (const auto &[name, share] : byBound)
    print(("bound by " + name).c_str(), share, target.clock);
  print("all", total, target.clock);
  for (int u = 0; u < 3; ++u)
    std::printf("%s: busy %.2f ms, at least %.2f ms\n", kUnits[u], allBusy[u] / target.clock * 1e3,
                allLeast[u] / target.clock * 1e3);
  const test::StepFloor floor = test::stepFloor(module, target);
  std::printf("floor of the step: products %.2f ms, elements %.2f ms, %.0f MB %.2f ms; the step "
              "takes %.3f of it, %.3f of the sum of its layers' floors\n",
              floor.products * 1e3, floor.elements * 1e3, static_cast<double>(floor.bytes) * 1e-6,
              floor.transfers * 1e3, total.time / target.clock / floor.seconds(),
              total.time / total.floor);
}

/// SD 2.1 at full size, planned anew.
absl::StatusOr<PackageModule> layersOf(const std::string &model, int bits, const Target &target,
                                       const SearchOptions &options, int64_t pictures, bool narrow,
                                       WinogradForm most) {
  const ElementType type = bits == 8 ? ElementType::I8 : ElementType::I16;
  Network network =
      model == "unet" ? inPhases(unet(64, type, pictures)) : vaeDecoder(64, type, pictures);
  if (narrow)
    network = fourBits(std::move(network));
  if (most == WinogradForm::F2x2)
    useWinograd(network, target);
  if (most == WinogradForm::F4x4)
    std::printf("%d layers by F(4x4, 3x3)\n", useFastestForms(network, target));
  absl::StatusOr<Plan> plan = planNetwork(network, target, options);
  if (!plan.ok())
    return plan.status();
  return test::expandedModule(network, *std::move(plan), target);
}

int fail(const absl::Status &status) {
  std::fprintf(stderr, "step-time: error: %s\n", std::string(status.message()).c_str());
  return 1;
}

} // namespace

int main(int argc, char **argv) {
  std::vector<std::string> words;
  SearchOptions options;
  bool lists = false, narrow = false;
  int64_t pictures = 1;
  WinogradForm most = WinogradForm::None;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--each")
      lists = true;
    else if (word == "--apart")
      options.joins = options.residents = false;
    else if (word == "--stored")
      options.residents = false;
    else if (word == "--4-bit")
      narrow = true;
    else if (word == "--winograd")
      most = WinogradForm::F2x2;
    else if (word == "--winograd4")
      most = WinogradForm::F4x4;
    else if (word == "--batch" && i + 1 < argc)
      pictures = std::atoi(argv[++i]);
    else
      words.push_back(word);
  }
  const bool isModel = words.size() >= 3 && words[0] == "--layers";
  if (words.size() < 2 || pictures < 1) {
    std::fprintf(
        stderr, "usage: step-time [--each] PACKAGE MODULE [TARGET]\n"
                "       step-time [--each] [--apart] [--stored] [--4-bit] [--winograd|--winograd4] "
                "[--batch N] --layers unet|vae 8|16 [TARGET]\n");
    return 1;
  }
  const size_t last = isModel ? 3 : 2;
  const absl::StatusOr<Target> target = loadTarget(words.size() > last ? words[last] : "mobile");
  if (!target.ok())
    return fail(target.status());
  if (isModel) {
    const auto module =
        layersOf(words[1], std::atoi(words[2].c_str()), *target, options, pictures, narrow, most);
    if (!module.ok())
      return fail(module.status());
    report(*module, *target, lists);
    return 0;
  }
  const auto package = Package::open(words[0]);
  if (!package.ok())
    return fail(package.status());
  for (const PackageModule &module : (*package)->modules())
    if (module.info.network.name == words[1]) {
      report(module, *target, lists);
      return 0;
    }
  return fail(absl::NotFoundError("no module '" + words[1] + "'"));
}
