//===- SramLayout.h - the buffers of one layer in SRAM ----------*- C++ -*-===//
//
// Where a layer's buffers lie, relative to the layer's first byte. The traffic model sizes tiles
// by it and expand() writes the same offsets into commands.
//
// A streamed operand has a ring of equal buffers: load i goes to buffer i mod count, so that the
// next tile is loaded while the last one is used. Weights and parameters whose blocks all have
// a buffer are loaded once. Tiling::buffers counts up what is doubled:
//
//   1  nothing
//   2  streamed operands (what the two inner loops load, and the output)
//   3  and accumulators: the array starts a tile while the vector unit finishes the last one
//   4  and the resident operand of orders A and B: no stall where the outer loop advances
//
// A matrix layer adds kHaloKept where the input rows that two tiles share stay in SRAM when the one
// below follows the one above: the buffer is a ring of rows, row r of the picture in slot r mod
// rows, and only new rows are loaded. So the picture is read once for each stripe of columns.
//
//   3x3, tiles of 4 rows, ring of 6:   tile 0 reads rows 0..4   slots 0 1 2 3 4 .
//                                      tile 1       rows 3..8         6 7 8 3 4 5
//
// A window that runs over the end of the ring is summed in two commands, one for each side.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_SRAMLAYOUT_H
#define SDOPT_COMPILER_SCHEDULE_SRAMLAYOUT_H

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

namespace sdopt {

inline constexpr int64_t kHaloKept = 8;
inline int64_t bufferLevel(const Tiling &tiling) { return tiling.buffers % kHaloKept; }

/// Has each of so many blocks of a streamed operand a buffer of its own? It is loaded once then.
inline bool haveBuffers(const Tiling &tiling, int64_t blocks) {
  return blocks <= (bufferLevel(tiling) >= 2 ? 2 : 1);
}

/// "A 8x16x64x64 x2, rows kept": loop order, tile (height x width x output channels x input
/// channels), buffers; rows that tiles share stay in SRAM.
std::string tilingText(const Tiling &tiling);
/// The same, with ", joined" for a layer that takes the tiles of the one before it, and ", resident
/// x320" for a result that stays in SRAM in blocks of so many channels.
std::string planText(const LayerPlan &plan);

/// A window axis cut into tiles, with the input positions that they need.
struct WindowCut {
  AxisCut cut;
  int64_t maxSpan = 0; ///< of one tile
  int64_t sumSpan = 0; ///< of all tiles, overlaps counted again
  int64_t sumNew = 0;  ///< of all tiles, overlaps counted once
  WindowCut(const WindowAxis &axis, int64_t tile);
};

/// Channels of a matrix layer cut into tiles.
struct ChannelCut {
  AxisCut outputs, inputs;
  ChannelCut(const MatrixShape &shape, const Tiling &tiling)
      : outputs(shape.outputChannels, tiling.outputChannels),
        inputs(shape.inputChannels, tiling.inputChannels) {}
};

/// Output tiles of a matrix layer: Tiling::height beyond a picture's cuts the batch.
struct PictureCut : AxisCut {
  PictureCut(const MatrixShape &shape, const Tiling &tiling)
      : AxisCut(shape.batch == 1 ? AxisCut(1, 1) // without divisions, for the search
                                 : AxisCut(shape.batch, tiling.height / shape.vertical.output)) {}
};

struct Ring {
  SramOffset offset = 0;
  int64_t pitch = 0; ///< bytes from one buffer to the next
  int64_t count = 1;
  SramOffset at(int64_t index) const { return offset + pitch * (index % count); }
};

/// Hands out buffers one after the other; the alignment is a power of two.
class SramCursor {
public:
  explicit SramCursor(int64_t alignment) : alignment(alignment) {}
  Ring add(int64_t bytes, int64_t count = 1);
  int64_t bytes() const { return next; }

private:
  int64_t alignment, next = 0;
};

/// Rows of the ring that keeps what tiles share of the input; 0 where they share none, or where the
/// order does not visit them in turn.
int64_t ringRows(const MatrixShape &shape, const Tiling &tiling, const WindowCut &vertical,
                 bool hasAllInputs);

/// Of a joined layer.
struct TailLayout {
  Ring operand, row, constant, output;
};
using TailLayouts = std::array<TailLayout, kMostTails>;

struct MatrixLayout {
  Ring input, weights, params, accumulator, output;
  TailLayouts tails;
  int64_t ringRows = 0; ///< of the ring that an input buffer is; 0: tiles are loaded whole
  int64_t bytes = 0;
};
MatrixLayout layoutOf(const MatrixShape &shape, const Tiling &tiling, const ChannelCut &channels,
                      const WindowCut &vertical, const WindowCut &horizontal, int64_t alignment);
/// Only MatrixLayout::bytes.
int64_t layoutBytes(const MatrixShape &shape, const Tiling &tiling, const ChannelCut &channels,
                    const WindowCut &vertical, const WindowCut &horizontal, int64_t alignment);

struct RowsLayout {
  std::array<Ring, 2> inputs;
  std::array<Ring, 2> broadcast;
  Ring constant, output;
  int64_t bytes = 0;
};
RowsLayout layoutOf(const RowsShape &shape, const Tiling &tiling, int64_t alignment);

struct GroupNormLayout {
  Ring input, sums, params, output;
  TailLayouts tails;
  int64_t bytes = 0;
};
/// Order InputResident keeps the rows of the first pass for the second.
GroupNormLayout layoutOf(const GroupNormShape &shape, const Tiling &tiling, int64_t alignment);

/// Heads whose rows are loaded and stored together, Tiling::outputChannels in all: those of tokens
/// follow each other in DRAM. More than one only where all keys are in one tile.
int64_t headsTogether(const AttentionShape &shape, const Tiling &tiling);

struct AttentionLayout {
  Ring q, k, v, rowMax, rowSum, accumulator, output;
  int64_t bytes = 0;
};
/// One key tile: the keys and values of a head stay while its queries pass; order WeightResident:
/// its keys stay, tile by tile, and values are streamed.
AttentionLayout layoutOf(const AttentionShape &shape, const Tiling &tiling, int64_t alignment);

/// Upsample and permute: one ring that is loaded and stored.
struct MoveLayout {
  Ring tile;
  int64_t bytes = 0;
};
MoveLayout layoutOf(const UpsampleShape &shape, const Tiling &tiling, int64_t alignment);
MoveLayout layoutOf(const PermuteShape &shape, const Tiling &tiling, int64_t alignment);

struct EmbeddingLayout {
  Ring ids, tokens, tokenMultipliers, positions, positionMultipliers, output;
  int64_t bytes = 0;
};
EmbeddingLayout layoutOf(const EmbeddingShape &shape, const Tiling &tiling, int64_t alignment);

struct TimeEmbeddingLayout {
  Ring input, steps, sine, output;
  int64_t bytes = 0;
};
TimeEmbeddingLayout layoutOf(const TimeEmbeddingShape &shape, const Tiling &tiling,
                             int64_t alignment);

struct PoolLayout {
  Ring hidden, ids, output;
  int64_t bytes = 0;
};
PoolLayout layoutOf(const PoolShape &shape, const Tiling &tiling, int64_t alignment);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_SRAMLAYOUT_H
