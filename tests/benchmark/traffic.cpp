// DRAM traffic of SD 2.1 at int8 against the reference of the traffic bound and fixed loop orders,
// for traffic.sh:
//   traffic                    tables for SRAM of 192 KiB to 8 MiB
//   traffic --layers unet 512  layer by layer
// Counts convolutions, linear layers and attention, layer by layer; everything else is assumed
// fused into them, as in the reference, and listed apart. Fails where a bar is missed.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "tests/schedule/StableDiffusion.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

using namespace sdopt;

namespace {

struct Bar {
  int64_t kib;
  double unetReference, vaeReference; ///< MB, published
  double unetBar, vaeBar;             ///< of the reference; 0: none
};
constexpr Bar kBars[] = {{192, 2197, 3950, 0, 0},        {256, 1951, 3428, 0, 0},
                         {512, 1569, 2438, 1.14, 0},     {1024, 1409, 1836, 1.08, 1.15},
                         {2048, 1383, 1450, 1.08, 1.15}, {4096, 1382, 1300, 1.08, 1.15},
                         {8192, 1382, 1277, 1.08, 1.15}};
constexpr double kMillisecondsBar = 10;

/// Good schedules with partial sums of 4 bytes: max(every byte once, 2 sqrt(pI pF pO) G / sqrt(R S)
/// - 2 S); attention as a flash schedule with S / headDim query rows at a time.
double referenceBytes(const LayerShape &shape, int64_t sram) {
  const auto capacity = static_cast<double>(sram);
  if (const auto *s = std::get_if<MatrixShape>(&shape)) {
    const auto pixels = static_cast<double>(s->batch * s->vertical.output * s->horizontal.output);
    const double inputs =
        static_cast<double>(s->batch * s->vertical.input * s->horizontal.input * s->inputChannels);
    const auto weights = static_cast<double>(s->weightCount());
    const double reuse =
        std::max(1.0, static_cast<double>(s->taps()) /
                          static_cast<double>(s->vertical.stride * s->horizontal.stride));
    const double once = inputs * static_cast<double>(s->inputBytes) + weights +
                        pixels * static_cast<double>(s->outputChannels * s->outputBytes);
    return std::max(once, 2 * std::sqrt(4.0 * static_cast<double>(s->inputBytes)) * pixels *
                                  weights / std::sqrt(reuse * capacity) -
                              2 * capacity);
  }
  const auto &s = std::get<AttentionShape>(shape);
  const auto heads = static_cast<double>(s.batch * s.heads), width = static_cast<double>(s.headDim);
  const auto queries = static_cast<double>(s.queries), keys = static_cast<double>(s.keys);
  return 2 * heads * width * (queries + keys * std::max(1.0, queries * width / capacity));
}

bool isCounted(const LayerShape &shape) {
  return std::holds_alternative<MatrixShape>(shape) ||
         std::holds_alternative<AttentionShape>(shape);
}

std::string describe(const LayerShape &shape) {
  char text[160];
  if (const auto *s = std::get_if<MatrixShape>(&shape))
    std::snprintf(text, sizeof text, "%ldx%ld %ldx%ldx%ld -> %ldx%ldx%ld", long(s->vertical.kernel),
                  long(s->vertical.stride), long(s->vertical.input), long(s->horizontal.input),
                  long(s->inputChannels), long(s->vertical.output), long(s->horizontal.output),
                  long(s->outputChannels));
  else if (const auto *a = std::get_if<AttentionShape>(&shape))
    std::snprintf(text, sizeof text, "attention %ld heads, %ld queries, %ld keys, %ld",
                  long(a->heads), long(a->queries), long(a->keys), long(a->headDim));
  else
    std::snprintf(text, sizeof text, "other");
  return text;
}

struct Total {
  double bytes = 0, reference = 0, floor = 0, others = 0;
  double cycles = 0;
  double worst = 0; ///< ms of a processor for the slowest distinct layer
  int layers = 0, distinct = 0;
};

struct Known {
  LayerPlan plan;
  int times = 0;
};

/// `pictures` at once: 2 for classifier-free guidance.
Total run(const Network &network, Target target, int64_t kib, const SearchOptions &options,
          bool lists = false, int64_t pictures = 1) {
  target.sram.bytes = kib * 1024;
  Total total;
  std::map<std::vector<int64_t>, Known> known;
  for (const Layer &layer : network.layers) {
    LayerShape shape = shapeOf(network, layer);
    if (auto *matrix = std::get_if<MatrixShape>(&shape))
      matrix->batch *= pictures;
    if (auto *attention = std::get_if<AttentionShape>(&shape))
      attention->batch *= pictures;
    Known &entry = known[signature(shape)];
    if (entry.times++ == 0) {
      const std::clock_t begin = std::clock();
      const TileChoice choice = searchTiles(shape, target, options);
      const double ms = static_cast<double>(std::clock() - begin) * 1e3 / CLOCKS_PER_SEC;
      if (!choice.plan) {
        std::printf("%s does not fit %ld KiB\n", layer.name.c_str(), long(kib));
        std::exit(2);
      }
      entry.plan = *choice.plan;
      if (isCounted(shape)) {
        total.worst = std::max(total.worst, ms);
        ++total.distinct;
      }
    }
    const LayerCost &cost = entry.plan.cost;
    const auto bytes = static_cast<double>(cost.dramReadBytes + cost.dramWriteBytes);
    const auto floor = static_cast<double>(lowerBoundBytes(network, layer, target.sram.bytes));
    if (bytes < floor) {
      std::printf("%s moves %.0f bytes, below the floor of %.0f\n", layer.name.c_str(), bytes,
                  floor);
      std::exit(2);
    }
    if (!isCounted(shape)) {
      total.others += bytes;
      continue;
    }
    const double reference = referenceBytes(shape, target.sram.bytes);
    total.bytes += bytes;
    total.cycles += static_cast<double>(estimate(shape, entry.plan.tiling, target).cycles);
    total.floor += floor;
    total.reference += reference;
    ++total.layers;
    const Tiling &t = entry.plan.tiling;
    if (lists && entry.times == 1)
      std::printf("%9.3f MB %9.3f reference %5.3f  %s  %c %ldx%ldx%ldx%ld x%ld, %ld SRAM\n",
                  bytes * 1e-6, reference * 1e-6, bytes / reference, describe(shape).c_str(),
                  "ABC"[static_cast<int>(t.order)], long(t.height), long(t.width),
                  long(t.outputChannels), long(t.inputChannels), long(t.buffers),
                  long(cost.sramBytes));
  }
  return total;
}

} // namespace

int main(int argc, char **argv) {
  absl::StatusOr<Target> target = loadTarget("mobile");
  if (!target.ok())
    return 2;
  const SearchOptions best{.objective = Objective::Traffic, .leastBuffers = 2};
  const Network networks[] = {unet(64, ElementType::I8), vaeDecoder(64, ElementType::I8)};
  if (argc == 4 && std::strcmp(argv[1], "--layers") == 0) {
    run(networks[std::strcmp(argv[2], "unet") != 0], *target, std::atol(argv[3]), best, true);
    return 0;
  }
  int missed = 0;
  for (const Network &network : networks) {
    const bool isUnet = network.name == "unet";
    std::printf("%s, MB per call at int8\n\n| SRAM KiB | reference | published | ours | of "
                "reference | bar | only A | only B | only C | least time | floor | not "
                "fused | ms | ms for tiles | |\n"
                "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
                network.name.c_str());
    for (const Bar &bar : kBars) {
      const Total ours = run(network, *target, bar.kib, best);
      double fixed[3];
      for (int o = 0; o < 3; ++o) {
        SearchOptions only = best;
        only.order = static_cast<LoopOrder>(o);
        fixed[o] = run(network, *target, bar.kib, only).bytes * 1e-6;
      }
      const Total fast = run(network, *target, bar.kib, {});
      const double ratio = ours.bytes / ours.reference, limit = isUnet ? bar.unetBar : bar.vaeBar;
      const bool passes =
          (limit == 0 || ratio <= limit) && std::max(ours.worst, fast.worst) <= kMillisecondsBar;
      missed += !passes;
      const auto ms = [&](const Total &total) { return total.cycles / target->clock * 1e3; };
      std::printf("| %ld | %.0f | %.0f | %.0f | %.3f | %.2f | %.0f | %.0f | %.0f | %.0f | %.0f | "
                  "%.0f | %.0f, %.0f | %.1f, %.1f | %s |\n",
                  long(bar.kib), ours.reference * 1e-6,
                  isUnet ? bar.unetReference : bar.vaeReference, ours.bytes * 1e-6, ratio, limit,
                  fixed[0], fixed[1], fixed[2], fast.bytes * 1e-6, ours.floor * 1e-6,
                  ours.others * 1e-6, ms(ours), ms(fast), ours.worst, fast.worst,
                  passes ? "pass" : "MISSED");
      std::fflush(stdout);
    }
    std::printf("\n");
  }
  std::printf("unet, two pictures at once, MB\n\n| SRAM KiB | reference | ours | one after the "
              "other |\n|---|---|---|---|\n");
  for (const Bar &bar : kBars) {
    const Total both = run(networks[0], *target, bar.kib, best, false, 2);
    const Total one = run(networks[0], *target, bar.kib, best);
    std::printf("| %ld | %.0f | %.0f | %.0f |\n", long(bar.kib), both.reference * 1e-6,
                both.bytes * 1e-6, 2 * one.bytes * 1e-6);
  }
  return missed > 0;
}
