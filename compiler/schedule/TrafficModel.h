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

/// Cycles that the array does not go below with channels cut in one way, whatever the tiles of
/// pixels are.
struct ArrayBound {
  int64_t all, eachTile; ///< all + eachTile * tiles
  int64_t oneTile;       ///< for each tile, of few pixels
  int64_t of(int64_t tiles) const { return std::max(all + eachTile * tiles, oneTile * tiles); }
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

/// Bytes that the bus could move, at least, in the time that it takes for each byte and command of
/// the input, or for each result (with what joined layers move for it) and tile of pixels; of tiles
/// of one width.
struct BusShare {
  double each = 1, command = 0;
};
BusShare inputShare(const MatrixShape &shape, const ChannelCut &cut, const WindowCut &horizontal,
                    const Target &target);
BusShare resultShare(const MatrixShape &shape, const ChannelCut &cut, const WindowCut &horizontal,
                     const Target &target);

/// A lower bound of Estimate::cycles from parts of it that many tilings share.
class CycleBound {
public:
  CycleBound(const MatrixShape &shape, const Target &target);
  /// Of `tiles` tiles of pixels, or more.
  int64_t operator()(const Tiling &tiling, const ChannelCut &cut, const ArrayBound &array,
                     const MatrixBytes &bytes, const BusShare &input, const BusShare &results,
                     int64_t tiles) const;

private:
  double results;
  int64_t vector;          ///< cycles
  double perByte, latency; ///< cycles
  double opening;          ///< bytes that could move while a row opens
};

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
