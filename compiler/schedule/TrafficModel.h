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
#include "compiler/schedule/SramLayout.h"

#include <cstdint>

namespace sdopt {

struct Estimate {
  LayerCost cost;     ///< without lowerBoundBytes; of all layers of a group together
  int64_t cycles = 0; ///< of the whole layer, with what overlaps overlapping
  int64_t tiles = 0;
};

/// Cycles in which the bus moves that many bytes, or fewer.
int64_t busCycles(int64_t bytes, const Target &target);

/// Channels of a matrix layer cut into tiles, with what their weights take.
struct MatrixCut : ChannelCut {
  int64_t weightBytes; ///< stored, of all blocks
  MatrixCut(const MatrixShape &shape, const Tiling &tiling);
};

/// Cycles that the array does not go below: all + eachTile * tiles of pixels, whatever these are.
struct ArrayBound {
  int64_t all, eachTile;
};
ArrayBound leastArrayCycles(const MatrixShape &shape, const MatrixCut &cut, const Target &target);

/// DRAM bytes of a matrix layer by operand, and how often each is fetched.
struct MatrixBytes {
  int64_t input, inputTimes, weights, weightTimes, params, paramTimes, output;
  int64_t tails; ///< of joined layers, both ways
  int64_t total() const { return input + weights + params + output + tails; }
};
MatrixBytes bytesOf(const MatrixShape &shape, const MatrixCut &cut, const WindowCut &vertical,
                    const WindowCut &horizontal, const Tiling &tiling);

/// As estimate(); stops early, with cycles above `limit`, where DRAM alone takes longer than that.
Estimate estimateMatrix(const MatrixShape &shape, const MatrixCut &cut, const WindowCut &vertical,
                        const WindowCut &horizontal, const Tiling &tiling, const Target &target,
                        int64_t limit);

Estimate estimate(const LayerShape &shape, const Tiling &tiling, const Target &target);

/// Of one joined layer of a group cut in this way.
LayerCost tailCost(const LayerShape &group, size_t tail, const Tiling &tiling,
                   const Target &target);

/// Bytes that no schedule of the layer can do without.
int64_t lowerBoundBytes(const Network &network, const Layer &layer, int64_t sramBytes);
/// Operands of a layer that are passed on in SRAM.
struct OnChip {
  std::array<bool, 3> inputs = {false, false, false};
  bool result = false;
};
/// The same for what else it moves.
int64_t lowerBoundBytes(const Network &network, const Layer &layer, int64_t sramBytes,
                        const OnChip &onChip);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_TRAFFICMODEL_H
