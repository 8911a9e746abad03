//===- TileSearch.h - the best tiling of one layer --------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SCHEDULE_TILESEARCH_H
#define SDOPT_COMPILER_SCHEDULE_TILESEARCH_H

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
#include "compiler/schedule/TrafficModel.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace sdopt {

/// Sizes to try for an axis, ascending, 1 and `size` among them: size / k rounded up, at least a
/// fifth apart, multiples of `granule` above it.
std::vector<int64_t> tileSizes(int64_t size, int64_t granule = 1);

/// The same for the output channels of a matrix layer, and those that fill whole rounds of the
/// arrays, which leave none idle.
std::vector<int64_t> outputTileSizes(int64_t size, const ArrayTarget &array);

struct TileChoice {
  std::optional<LayerPlan> plan; ///< none: nothing fits
  int64_t leastSram = 0;         ///< bytes of the smallest tiling, where nothing fits
};

/// What the best tiling has least of.
enum class Objective : uint8_t {
  Time = 0,   ///< estimated cycles; among those within a slack of the least, timeScore()
  Traffic = 1 ///< DRAM bytes; among those within 1/128 of the least, cycles
};

struct SearchOptions {
  Objective objective = Objective::Time;
  /// Only this loop order in matrix layers, as a baseline.
  std::optional<LoopOrder> order = std::nullopt;
  /// Tiling::buffers must be at least this; 2: streamed operands are always doubled.
  int64_t leastBuffers = 1;
  /// By time, a layer may take at most 1 / cycleSlack longer than its least to move fewer bytes.
  int64_t cycleSlack = 16;
  /// Layers may follow in the tiles of others; false as a baseline.
  bool joins = true;
  /// Results may stay in SRAM for layers to come; false as a baseline.
  bool residents = true;
};

/// DRAM bytes times the square of the estimated cycles: a part of the time is worth twice that part
/// of the bytes. Of tilings within 1 / kScoreSlack of the least the one with fewest tiles is taken:
/// estimates are no better.
inline constexpr double kScoreSlack = 32;
double timeScore(const Estimate &estimate);

/// Tries every combination of tile sizes, loop orders and buffers that fits and may be the best.
/// Ties: fewest tiles, then first tried.
TileChoice searchTiles(const LayerShape &shape, const Target &target,
                       const SearchOptions &options = {});

/// As planNetwork() in Plan.h, with options for the search.
absl::StatusOr<Plan> planNetwork(const Network &network, const Target &target,
                                 const SearchOptions &options);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_TILESEARCH_H
