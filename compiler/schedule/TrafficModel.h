//===- TrafficModel.h - what a tiling costs ---------------------*- C++ -*-===//
//
// DRAM bytes exactly as expand() moves them (halos counted, operands fetched again as the loop
// order demands), SRAM bytes exactly as SramLayout.h lays them out, cycles estimated with the
// array and vector model of docs/isa.md and DRAM transfers rounded up to bursts.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_TRAFFICMODEL_H
#define SDOPT_COMPILER_SCHEDULE_TRAFFICMODEL_H

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

#include <cstdint>

namespace sdopt {

struct Estimate {
  LayerCost cost;     ///< without lowerBoundBytes
  int64_t cycles = 0; ///< of the whole layer, with what overlaps overlapping
  int64_t tiles = 0;
};

/// A window axis cut into tiles, with the input positions that they need.
struct WindowCut {
  AxisCut cut;
  int64_t maxSpan = 0; ///< of one tile
  int64_t sumSpan = 0; ///< of all tiles, overlaps counted again
  WindowCut(const WindowAxis &axis, int64_t tile);
};

/// SRAM bytes of a matrix layer.
int64_t sramBytes(const MatrixShape &shape, const WindowCut &vertical, const WindowCut &horizontal,
                  const Tiling &tiling, const Target &target);

/// As estimate(); stops early, with cycles above `limit`, where DRAM alone takes longer than that.
Estimate estimateMatrix(const MatrixShape &shape, const WindowCut &vertical,
                        const WindowCut &horizontal, const Tiling &tiling, const Target &target,
                        int64_t limit);

Estimate estimate(const LayerShape &shape, const Tiling &tiling, const Target &target);

/// Bytes that no schedule of the layer can do without.
int64_t lowerBoundBytes(const Network &network, const Layer &layer, int64_t sramBytes);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_TRAFFICMODEL_H
