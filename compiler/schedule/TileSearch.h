//===- TileSearch.h - the best tiling of one layer --------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SCHEDULE_TILESEARCH_H
#define SDOPT_COMPILER_SCHEDULE_TILESEARCH_H

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace sdopt {

/// Sizes to try for an axis, ascending, 1 and `size` among them: size / k rounded up, at least a
/// fifth apart, multiples of `granule` above it.
std::vector<int64_t> tileSizes(int64_t size, int64_t granule = 1);

struct TileChoice {
  std::optional<LayerPlan> plan; ///< none: nothing fits
  int64_t leastSram = 0;         ///< bytes of the smallest tiling, where nothing fits
};

/// Tries every combination of tile sizes, loop orders and buffers that fits. Least estimated time;
/// among those within 1/16 of it least DRAM bytes, then fewest tiles, then time, then first tried.
/// `order` restricts the search to one loop order (tests).
TileChoice searchTiles(const LayerShape &shape, const Target &target,
                       std::optional<LoopOrder> order = std::nullopt);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_TILESEARCH_H
