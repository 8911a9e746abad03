// The search against brute force that shares no code with it: every tile size of small layers,
// every number of tiles of layers of SD 2.1.

#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WinogradLayers.h"
#include "tests/schedule/LayerZoo.h"

#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <thread>

namespace sdopt {
namespace {

/// A convolution with padding kernel / 2, or a linear layer as one row of pixels.
struct Problem {
  int64_t batch, height, width, inputs, outputs, kernel, stride, bytes;

  int64_t padding() const { return kernel / 2; }
  int64_t rows() const { return (height + 2 * padding() - kernel) / stride + 1; }
  int64_t columns() const { return (width + 2 * padding() - kernel) / stride + 1; }

  Network network() const {
    NetworkBuilder builder;
    const ElementType type = bytes == 1 ? ElementType::I8 : ElementType::I16;
    const TensorId x = builder.tensor({batch, height, width, inputs}, type, TensorRole::Input);
    builder.network.tensors[builder.conv(x, outputs, kernel, stride, type)].role =
        TensorRole::Output;
    return builder.network;
  }
};

int64_t pieces(int64_t size, int64_t piece) { return size / piece + (size % piece != 0); }
int64_t padded(int64_t bytes) { return pieces(bytes, 64) * 64; }

/// Input positions that the tiles of one axis read.
struct Reads {
  int64_t tiles = 0, most = 0, all = 0, once = 0;

  Reads(int64_t size, int64_t outputs, int64_t tile, int64_t kernel, int64_t stride) {
    std::set<int64_t> seen;
    for (int64_t first = 0; first < outputs; first += tile, ++tiles) {
      int64_t low = size, high = -1;
      for (int64_t o = first; o < std::min(first + tile, outputs); ++o)
        for (int64_t k = 0; k < kernel; ++k) {
          const int64_t at = o * stride + k - kernel / 2;
          if (at < 0 || at >= size)
            continue;
          low = std::min(low, at);
          high = std::max(high, at);
        }
      for (int64_t at = low; at <= high; ++at)
        seen.insert(at);
      most = std::max(most, high - low + 1);
      all += high - low + 1;
    }
    once = static_cast<int64_t>(seen.size());
  }
};

/// Fewest bytes that a problem moves within `sram`, streamed operands doubled, over the given
/// tiles.
struct BruteForce {
  const Problem &p;
  int64_t sram;
  int64_t fewest = INT64_MAX;

  void run(const std::vector<int64_t> &heights, const std::vector<int64_t> &widths,
           const std::vector<int64_t> &outputs, const std::vector<int64_t> &inputs) {
    std::vector<std::pair<int64_t, Reads>> rows, columns;
    for (int64_t tile : heights)
      rows.emplace_back(tile, Reads(p.height, p.rows(), tile, p.kernel, p.stride));
    for (int64_t tile : widths)
      columns.emplace_back(tile, Reads(p.width, p.columns(), tile, p.kernel, p.stride));
    for (const auto &[h, row] : rows)
      for (const auto &[w, column] : columns)
        for (int64_t pictures = 1; pictures <= (row.tiles == 1 ? p.batch : 1); ++pictures)
          for (int64_t co : outputs)
            for (int64_t ci : inputs)
              for (char order : {'A', 'B', 'C'})
                for (bool keepsRows : {false, true})
                  consider(order, keepsRows, pictures, h, row, w, column, co, ci);
  }

  void consider(char order, bool keepsRows, int64_t pictures, int64_t h, const Reads &row,
                int64_t w, const Reads &column, int64_t co, int64_t ci) {
    const int64_t coTiles = pieces(p.outputs, co), ciTiles = pieces(p.inputs, ci);
    const int64_t spatial = pieces(p.batch, pictures) * row.tiles * column.tiles;
    if (keepsRows && (order == 'C' || (order == 'B' && ciTiles > 1) || row.once == row.all))
      return;
    // What SRAM holds.
    const int64_t inputTile = padded(pictures * row.most * column.most * ci * p.bytes);
    const int64_t weightTile = padded(co * p.kernel * p.kernel * ci);
    int64_t held = 0;
    if (keepsRows) {
      const int64_t ahead = order == 'B' ? h * p.stride : 0;
      held += ciTiles * padded(std::min(row.most + ahead, p.height) * column.most * ci * p.bytes);
    } else {
      held += inputTile * (order == 'A' ? ciTiles : std::min<int64_t>(2, spatial * ciTiles));
    }
    held += weightTile * (order == 'B' ? ciTiles : std::min<int64_t>(2, coTiles * ciTiles));
    const int64_t pixels = pictures * h * w;
    held += padded(16 * co) * std::min<int64_t>(2, coTiles);
    held += padded(8 * pixels * co);
    held += padded(p.bytes * pixels * co) * std::min<int64_t>(2, spatial * coTiles);
    if (held > sram)
      return;
    // What DRAM moves.
    const int64_t x = p.batch * (keepsRows ? row.once : row.all) * column.all * p.inputs * p.bytes;
    const int64_t weights = p.outputs * p.inputs * p.kernel * p.kernel, params = 16 * p.outputs;
    int64_t moved = p.batch * p.rows() * p.columns() * p.outputs * p.bytes;
    if (order == 'A')
      moved += x;
    else if (order == 'B')
      moved += spatial * ciTiles > 1 ? x * coTiles : x;
    else
      moved += ciTiles > 1 ? x * coTiles : x;
    moved += order != 'B' && coTiles * ciTiles > 2 ? weights * spatial : weights;
    moved += order != 'B' && coTiles > 2 ? params * spatial : params;
    fewest = std::min(fewest, moved);
  }
};

std::vector<int64_t> everySize(int64_t size) {
  std::vector<int64_t> sizes;
  for (int64_t i = 1; i <= size; ++i)
    sizes.push_back(i);
  return sizes;
}

/// The smallest size for each number of tiles.
std::vector<int64_t> everyCount(int64_t size) {
  std::set<int64_t> sizes;
  for (int64_t count = 1; count <= size; ++count)
    sizes.insert(pieces(size, count));
  return {sizes.begin(), sizes.end()};
}

int64_t bytesOf(const TileChoice &choice) {
  return choice.plan ? choice.plan->cost.dramReadBytes + choice.plan->cost.dramWriteBytes
                     : INT64_MAX;
}

constexpr SearchOptions kLeastTraffic{.objective = Objective::Traffic, .leastBuffers = 2};

void expectNearOracle(const Problem &p, int64_t sram, int64_t oracle) {
  const Network network = p.network();
  const LayerShape shape = shapeOf(network, network.layers[0]);
  const Target target = smallTarget(sram);
  const int64_t found = bytesOf(searchTiles(shape, target, kLeastTraffic));
  SCOPED_TRACE(testing::Message() << p.batch << "x" << p.height << "x" << p.width << "x" << p.inputs
                                  << " -> " << p.outputs << ", kernel " << p.kernel << ", stride "
                                  << p.stride << ", " << p.bytes << " bytes, SRAM " << sram);
  ASSERT_EQ(found == INT64_MAX, oracle == INT64_MAX);
  if (oracle == INT64_MAX)
    return;
  // Below the oracle: the two models differ.
  EXPECT_GE(found, oracle);
  EXPECT_LE(static_cast<double>(found), 1.02 * static_cast<double>(oracle));
  EXPECT_GE(found, lowerBoundBytes(network, network.layers[0], sram));
  for (LoopOrder order :
       {LoopOrder::InputResident, LoopOrder::WeightResident, LoopOrder::OutputStationary}) {
    SearchOptions only = kLeastTraffic;
    only.order = order;
    const int64_t other = bytesOf(searchTiles(shape, target, only));
    EXPECT_GE(other == INT64_MAX ? other : other + other / 128, found);
  }
}

TEST(TileOracle, EveryTileOfSmallLayers) {
  for (const Problem &p : {Problem{1, 12, 12, 40, 48, 3, 1, 1}, Problem{1, 9, 13, 33, 20, 3, 1, 2},
                           Problem{2, 6, 6, 40, 24, 3, 1, 1}, Problem{1, 16, 12, 24, 40, 3, 2, 1},
                           Problem{1, 1, 77, 64, 48, 1, 1, 1}, Problem{2, 1, 50, 30, 64, 1, 1, 2},
                           Problem{1, 8, 8, 48, 32, 1, 1, 1}, Problem{1, 10, 10, 16, 24, 5, 1, 1},
                           Problem{3, 4, 5, 32, 40, 3, 1, 1}, Problem{1, 1, 1, 64, 96, 1, 1, 1},
                           Problem{1, 14, 14, 32, 24, 1, 2, 1}, Problem{2, 9, 12, 24, 40, 1, 3, 1}})
    for (int64_t sram : {3 << 10, 6 << 10, 12 << 10, 24 << 10, 48 << 10}) {
      BruteForce oracle{p, sram};
      oracle.run(everySize(p.rows()), everySize(p.columns()), everySize(p.outputs),
                 everySize(p.inputs));
      expectNearOracle(p, sram, oracle.fewest);
    }
}

TEST(TileOracle, EveryCountOfStableDiffusionLayers) {
  for (const Problem &p :
       {Problem{1, 64, 64, 320, 320, 3, 1, 1}, Problem{1, 64, 64, 960, 320, 3, 1, 1},
        Problem{1, 64, 64, 320, 320, 3, 2, 1}, Problem{1, 32, 32, 1280, 640, 3, 1, 1},
        Problem{1, 16, 16, 2560, 1280, 3, 1, 1}, Problem{2, 8, 8, 1280, 1280, 3, 1, 1},
        Problem{1, 1, 4096, 320, 2560, 1, 1, 1}, Problem{1, 1, 1024, 2560, 640, 1, 1, 1},
        Problem{1, 1, 256, 5120, 1280, 1, 1, 1}, Problem{1, 1, 77, 1024, 320, 1, 1, 1},
        Problem{1, 128, 128, 512, 512, 3, 1, 1}, Problem{1, 512, 512, 128, 128, 3, 1, 1}})
    for (int64_t sram : {512 << 10, 1 << 20, 4 << 20}) {
      BruteForce oracle{p, sram};
      oracle.run(everyCount(p.rows()), everyCount(p.columns()), everyCount(p.outputs),
                 everyCount(p.inputs));
      expectNearOracle(p, sram, oracle.fewest);
    }
}

TEST(TileOracle, EveryTileOfAttention) {
  for (const auto &[queries, keys, width] :
       {std::array<int64_t, 3>{64, 96, 16}, {100, 77, 8}, {150, 150, 32}})
    for (int64_t sram : {4 << 10, 8 << 10, 16 << 10, 64 << 10}) {
      const AttentionShape s{.heads = 2, .queries = queries, .keys = keys, .headDim = width};
      int64_t fewest = INT64_MAX;
      for (int64_t q = 1; q <= queries; ++q)
        for (int64_t k = 1; k <= keys; ++k)
          for (bool keysStay : {false, true}) {
            const int64_t keyTiles = pieces(keys, k), passes = pieces(queries, q);
            const int64_t keyTile = padded(k * width);
            int64_t held = 4 * padded(q * width) + 2 * padded(8 * q) + padded(8 * q * width);
            if (2 * passes == 1)
              held -= 2 * padded(q * width);
            if (keyTiles == 1)
              held += 2 * keyTile;
            else
              held += (keysStay ? keyTiles : 2) * keyTile + 2 * keyTile;
            if (held > sram)
              continue;
            const int64_t all = keys * width;
            const int64_t k2 = keyTiles == 1 || keysStay ? all : 2 * passes * all;
            const int64_t v = keyTiles == 1 ? all : passes * all;
            fewest = std::min(fewest, 2 * (2 * queries * width + k2 + v));
          }
      const TileChoice choice = searchTiles(s, smallTarget(sram), kLeastTraffic);
      SCOPED_TRACE(testing::Message() << queries << " " << keys << " " << width << " " << sram);
      ASSERT_EQ(choice.plan.has_value(), fewest != INT64_MAX);
      if (!choice.plan)
        continue;
      EXPECT_GE(bytesOf(choice), fewest);
      EXPECT_LE(static_cast<double>(bytesOf(choice)), 1.02 * static_cast<double>(fewest));
    }
}

/// Least estimated cycles, and the least score of tilings within the slack of them, of all tilings
/// in the lists of sizes.
struct Fastest {
  int64_t cycles = INT64_MAX;
  double score = std::numeric_limits<double>::infinity();
};

Fastest fastestOf(const MatrixShape &s, const Target &target) {
  std::vector<std::pair<int64_t, double>> all; // cycles, score
  const auto sizes = [&](int64_t size) {
    std::vector<int64_t> all = tileSizes(size, s.winograd == WinogradForm::F2x2 ? 2 : 1);
    if (s.winograd != WinogradForm::F4x4)
      return all;
    for (int64_t &tile : all = tileSizes(size, 4))
      tile = std::min((tile + 3) / 4 * 4, size);
    return all;
  };
  const bool keepsRows = s.winograd != WinogradForm::F4x4;
  std::vector<int64_t> heights = sizes(s.vertical.output);
  for (int64_t pictures : tileSizes(s.batch))
    if (pictures > 1)
      heights.push_back(pictures * s.vertical.output);
  for (int order = 0; order < 3; ++order)
    for (int64_t buffers : {1, 2, 3, 4, 9, 10, 11, 12})
      for (int64_t height : heights)
        for (int64_t width : sizes(s.horizontal.output))
          for (int64_t co : outputTileSizes(s.outputChannels, target.array))
            for (int64_t ci : tileSizes(s.inputChannels, target.array.rows)) {
              if ((order == 2 && (buffers == 4 || buffers > 8)) || (buffers > 8 && !keepsRows))
                continue; // as with fewer, or not allowed
              const Estimate e = estimate(
                  s, {static_cast<LoopOrder>(order), height, width, co, ci, buffers}, target);
              if (e.cost.sramBytes <= target.sram.bytes)
                all.emplace_back(e.cycles, timeScore(e));
            }
  Fastest fastest;
  for (const auto &[cycles, score] : all)
    fastest.cycles = std::min(fastest.cycles, cycles);
  for (const auto &[cycles, score] : all)
    if (cycles - fastest.cycles <= fastest.cycles / SearchOptions().cycleSlack)
      fastest.score = std::min(fastest.score, score);
  return fastest;
}

// What the search leaves tilings out by is never above their estimate.
TEST(TileSearch, BoundsAreBelowEstimates) {
  std::mt19937 random(1);
  int64_t tilings = 0;
  double close = 0;
  for (int kind = 0; kind < kZooKinds; ++kind)
    for (int round = 0; round < 12; ++round) {
      const Network network = randomLayer(kind, random);
      LayerShape shape = shapeOf(network, network.layers[0]);
      auto *s = std::get_if<MatrixShape>(&shape);
      if (!s)
        continue;
      Target target = smallTarget(64 << 10);
      target.array.weightTiles = 1 + round % 2;
      target.array.count = 1 + round % 3;
      target.dram.hitLatency = 20e-9;
      target.dram.conflictLatency = 60e-9;
      target.dram.channels = 1 + round % 4;
      if (round % 3 == 1)
        s->tails.layers = {{.operandBytes = 2, .rowBytes = 1, .outputBytes = 2}};
      const CycleBound bound(*s, target);
      for (int64_t width : tileSizes(s->horizontal.output))
        for (int64_t height : tileSizes(s->vertical.output))
          for (int64_t co : tileSizes(s->outputChannels))
            for (int64_t ci : tileSizes(s->inputChannels)) {
              const Tiling t{.order = static_cast<LoopOrder>(random() % 3),
                             .height = height,
                             .width = width,
                             .outputChannels = co,
                             .inputChannels = ci,
                             .buffers = 1 + static_cast<int64_t>(random() % 2) * kHaloKept +
                                        static_cast<int64_t>(random() % 4)};
              const MatrixCut cut(*s, t);
              const WindowCut rows(s->vertical, height), columns(s->horizontal, width);
              const Estimate e = estimate(shape, t, target);
              ASSERT_EQ(layoutBytes(*s, t, cut, rows, columns, target.sram.alignment),
                        e.cost.sramBytes);
              const int64_t least = bound(
                  t, cut, leastArrayCycles(*s, cut, target), bytesOf(*s, cut, rows, columns, t),
                  inputShare(*s, cut, columns, target), resultShare(*s, cut, columns, target),
                  s->batch * rows.cut.tiles * columns.cut.tiles);
              ASSERT_LE(least, e.cycles) << tilingText(t);
              close += static_cast<double>(least) / static_cast<double>(e.cycles);
              ++tilings;
            }
    }
  EXPECT_GT(tilings, 10000);
  EXPECT_GT(close / static_cast<double>(tilings), 0.7);
}

// What is left out because it cannot win could not have won.
TEST(TileSearch, LeavesOutNothingThatWins) {
  int matrices = 0;
  for (int kind = 0; kind < kZooKinds; ++kind) {
    std::mt19937 random(kind);
    for (int round = 0; round < 6; ++round) {
      const Network network = randomLayer(kind, random);
      const LayerShape shape = shapeOf(network, network.layers[0]);
      const auto *matrix = std::get_if<MatrixShape>(&shape);
      if (!matrix)
        continue;
      for (int64_t sram : {4 << 10, 16 << 10, 64 << 10}) {
        Target target = smallTarget(sram);
        target.array.weightTiles = 1 + round % 2;
        const TileChoice choice = searchTiles(shape, target);
        const Fastest fastest = fastestOf(*matrix, target);
        ASSERT_EQ(choice.plan.has_value(), fastest.cycles != INT64_MAX);
        if (!choice.plan)
          continue;
        ++matrices;
        EXPECT_EQ(winogradTilingProblem(*matrix, choice.plan->tiling), "");
        const Estimate e = estimate(shape, choice.plan->tiling, target);
        EXPECT_LE(timeScore(e), fastest.score + fastest.score / kScoreSlack);
        EXPECT_LE(e.cycles, fastest.cycles + fastest.cycles / SearchOptions().cycleSlack);
      }
    }
  }
  EXPECT_GT(matrices, 20);
}

TEST(TileSearch, SameInEveryThread) {
  const Problem p{1, 32, 32, 640, 640, 3, 1, 1};
  const Network network = p.network();
  const LayerShape shape = shapeOf(network, network.layers[0]);
  for (Objective objective : {Objective::Time, Objective::Traffic}) {
    const Tiling expected =
        searchTiles(shape, smallTarget(512 << 10), {.objective = objective}).plan->tiling;
    std::vector<Tiling> found(4);
    std::vector<std::thread> threads;
    for (Tiling &tiling : found)
      threads.emplace_back([&] {
        tiling = searchTiles(shape, smallTarget(512 << 10), {.objective = objective}).plan->tiling;
      });
    for (std::thread &thread : threads)
      thread.join();
    for (const Tiling &tiling : found)
      EXPECT_EQ(tiling, expected);
  }
}

} // namespace
} // namespace sdopt
