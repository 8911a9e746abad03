// What the tile search chooses, a line for each search, to compare two builds; the slowest searches
// with their time go to stderr. Layers of SD 2.1 at full size and groups of them, and random ones,
// by SRAM, objective and loop order:
//   tile-choices [RANDOM_LAYERS [SLOWEST]] > choices

#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/TileSearch.h"
#include "tests/schedule/LayerZoo.h"
#include "tests/schedule/StableDiffusion.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <set>

using namespace sdopt;

namespace {

struct Timed {
  double ms;
  std::string what;
};
std::vector<Timed> timed;

const char *const kObjectives[] = {"time", "traffic"};

void print(const LayerShape &shape, const Target &target, const SearchOptions &options,
           const std::string &name) {
  const std::clock_t begin = std::clock();
  const TileChoice choice = searchTiles(shape, target, options);
  const double ms = static_cast<double>(std::clock() - begin) * 1e3 / CLOCKS_PER_SEC;
  std::string what = name + " " + std::to_string(target.sram.bytes / 1024) + " KiB " +
                     kObjectives[static_cast<int>(options.objective)] + " from x" +
                     std::to_string(options.leastBuffers);
  if (options.order)
    what += std::string(" only ") + sdopt::name(*options.order);
  if (choice.plan)
    std::printf("%s: %s, %ld + %ld bytes, %ld SRAM\n", what.c_str(),
                tilingText(choice.plan->tiling).c_str(), long(choice.plan->cost.dramReadBytes),
                long(choice.plan->cost.dramWriteBytes), long(choice.plan->cost.sramBytes));
  else
    std::printf("%s: needs %ld\n", what.c_str(), long(choice.leastSram));
  timed.push_back({ms, std::move(what)});
}

void printSlowest(size_t count) {
  const auto slowest = std::min<size_t>(timed.size(), count);
  std::partial_sort(timed.begin(), timed.begin() + static_cast<std::ptrdiff_t>(slowest),
                    timed.end(), [](const Timed &a, const Timed &b) { return a.ms > b.ms; });
  for (size_t i = 0; i < slowest; ++i)
    std::fprintf(stderr, "%6.2f ms  %s\n", timed[i].ms, timed[i].what.c_str());
  timed.clear();
}

void printAll(const LayerShape &shape, Target target, const std::vector<int64_t> &kibibytes,
              const std::string &name) {
  for (int64_t kib : kibibytes) {
    target.sram.bytes = kib * 1024;
    for (Objective objective : {Objective::Time, Objective::Traffic})
      for (int64_t leastBuffers : {1, 2})
        print(shape, target, {.objective = objective, .leastBuffers = leastBuffers}, name);
  }
}

/// Every layer by itself and with those that may follow in its tiles.
void printNetwork(const Network &network, const Target &target, const std::string &name,
                  std::set<std::vector<int64_t>> &known) {
  const JoinedLayers joined(network);
  for (size_t lead = 0; lead < network.layers.size(); ++lead)
    for (size_t end = lead + 1; end <= std::min(lead + 1 + kMostTails, network.layers.size());
         ++end) {
      if (end > lead + 1 && !joined.problem(lead, end - 1).empty())
        break;
      LayerShape shape = joined.shape(lead, end);
      if (known.insert(signature(shape)).second)
        printAll(shape, target, {192, 256, 512, 1024, 2048, 4096, 8192},
                 name + " " + std::to_string(lead) + "-" + std::to_string(end));
    }
}

/// A matrix layer of any kind, with joined layers and residents.
MatrixShape randomMatrix(std::mt19937 &random) {
  const auto pick = [&](int64_t least, int64_t most) {
    return least + static_cast<int64_t>(random() % static_cast<uint32_t>(most - least + 1));
  };
  const auto axis = [&](int64_t kernel) {
    WindowAxis a;
    a.output = pick(1, random() % 2 ? 17 : 80);
    a.kernel = kernel;
    a.stride = random() % 4 ? 1 : 2;
    a.dilation = random() % 6 ? 1 : 2;
    a.padBefore = kernel / 2 * a.dilation;
    a.input = std::max<int64_t>(
        (a.output - 1) * a.stride + (kernel - 1) * a.dilation + 1 - 2 * a.padBefore, 1);
    return a;
  };
  MatrixShape s;
  s.batch = random() % 3 ? 1 : pick(2, 5);
  const int64_t kernel = std::array<int64_t, 4>{1, 3, 3, 5}[random() % 4];
  s.vertical = axis(kernel);
  s.horizontal = axis(kernel);
  if (random() % 4 == 0) {
    s.vertical = {};
    s.horizontal = {};
    s.horizontal.input = s.horizontal.output = pick(1, 5000);
  }
  const int64_t step = random() % 2 ? 1 : 32;
  s.inputChannels = pick(1, 1280 / step) * step;
  s.outputChannels = pick(1, 1280 / step) * step;
  s.wideInput = random() % 2;
  s.inputBytes = s.wideInput ? 2 : 1;
  s.outputBytes = random() % 2 ? 2 : 1;
  const bool hasForm = s.taps() == 9 && s.vertical.stride == 1 && s.vertical.dilation == 1 &&
                       s.horizontal.stride == 1 && s.horizontal.dilation == 1;
  if (hasForm && random() % 2)
    s.winograd = WinogradForm::F2x2;
  s.weights = randomForm(random);
  if (s.weights.varies())
    s.weightShare = kShareUnit * pick(5, 10) / 10;
  if (s.outputChannels % 2 == 0 && s.vertical.kernel == 1 && random() % 2)
    s.tails.layers.push_back({.isGated = true});
  while (s.tails.layers.size() < kMostTails && random() % 2)
    s.tails.layers.push_back({.operandBytes = pick(0, 2),
                              .rowBytes = pick(0, 1),
                              .constantBytes = pick(0, 1) * 64,
                              .outputBytes = pick(1, 2),
                              .passes = pick(1, 3),
                              .isStored = random() % 2 == 0,
                              .takesRows = random() % 4 == 0,
                              .isOperandResident = random() % 4 == 0,
                              .isResident = random() % 4 == 0});
  s.tails.isLeadStored = s.tails.layers.empty() || (!s.tails.isGated() && random() % 2);
  if (random() % 4 == 0 && s.inputChannels % 2 == 0)
    s.inputBlock = s.inputChannels / 2;
  if (random() % 4 == 0 && s.outputChannels % 4 == 0 && !s.tails.isGated()) {
    s.channelTiles = {s.outputChannels / 4, s.outputChannels / 2};
    s.tails.isLeadResident = random() % 2;
  }
  return s;
}

} // namespace

int main(int argc, char **argv) {
  const int randoms = argc > 1 ? std::atoi(argv[1]) : 200;
  const size_t count = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 20;
  const absl::StatusOr<Target> mobile = loadTarget("mobile"), laptop = loadTarget("laptop");
  if (!mobile.ok() || !laptop.ok())
    return 2;
  std::set<std::vector<int64_t>> known;
  for (ElementType type : {ElementType::I8, ElementType::I16})
    for (Network network : {unet(64, type), vaeDecoder(64, type)}) {
      const std::string name = network.name + (type == ElementType::I8 ? " 8" : " 16");
      printNetwork(network, *mobile, name, known);
      if (type != ElementType::I8)
        continue;
      useWinograd(network, *mobile, false);
      printNetwork(network, *mobile, name + " winograd", known);
      printNetwork(fourBits(network), *mobile, name + " 4-bit", known);
    }
  printSlowest(count);
  std::mt19937 random(1);
  for (int i = 0; i < randoms; ++i) {
    const MatrixShape shape = randomMatrix(random);
    const std::string name = "random " + std::to_string(i);
    const Target target = std::array{smallTarget(0), *mobile, *laptop}[i % 3];
    printAll(shape, target, {8, 32, 128, 1024}, name);
    SearchOptions only{.objective = Objective::Traffic, .leastBuffers = 2};
    only.order = static_cast<LoopOrder>(i % 3);
    Target own = target;
    own.sram.bytes = 512 * 1024;
    print(shape, own, only, name);
  }
  for (int kind = 0; kind < kZooKinds; ++kind)
    for (int i = 0; i < randoms / kZooKinds; ++i) {
      const Network network = randomLayer(kind, random);
      printAll(shapeOf(network, network.layers[0]), smallTarget(0), {4, 16, 64, 256},
               "kind " + std::to_string(kind) + " " + std::to_string(i));
    }
  printSlowest(count);
}
