//===- SramLayout.h - the buffers of one layer in SRAM ----------*- C++ -*-===//
//
// Where a layer's buffers lie, relative to the layer's first byte. The traffic model sizes tiles
// by it and expand() writes the same offsets into commands.
//
// A streamed operand has a ring of equal buffers: load i goes to buffer i mod count, so that the
// next tile is loaded while the last one is used. Tiling::buffers counts up what is doubled:
//
//   1  nothing
//   2  streamed operands (what the two inner loops load, and the output)
//   3  and accumulators: the array starts a tile while the vector unit finishes the last one
//   4  and the resident operand of orders A and B: no stall where the outer loop advances
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_SRAMLAYOUT_H
#define SDOPT_COMPILER_SCHEDULE_SRAMLAYOUT_H

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

namespace sdopt {

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

struct MatrixLayout {
  Ring input, weights, params, accumulator, output;
  int64_t bytes = 0;
};
/// `maxInputPixels`: pixels of the largest input tile.
MatrixLayout layoutOf(const MatrixShape &shape, const Tiling &tiling, int64_t maxInputPixels,
                      int64_t alignment);

struct RowsLayout {
  std::array<Ring, 2> inputs;
  std::array<Ring, 2> broadcast;
  Ring constant, output;
  int64_t bytes = 0;
};
RowsLayout layoutOf(const RowsShape &shape, const Tiling &tiling, int64_t alignment);

struct GroupNormLayout {
  Ring input, sums, params, output;
  int64_t bytes = 0;
};
/// Order InputResident keeps the rows of the first pass for the second.
GroupNormLayout layoutOf(const GroupNormShape &shape, const Tiling &tiling, int64_t alignment);

struct AttentionLayout {
  Ring q, k, v, rowMax, rowSum, accumulator, output;
  int64_t bytes = 0;
};
/// One key tile: the keys and values of a head stay while its queries pass.
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
