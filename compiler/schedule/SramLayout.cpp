// Buffers of each family of layers.

#include "compiler/schedule/SramLayout.h"

namespace sdopt {
namespace {

constexpr int64_t kWide = 8;    ///< bytes of an accumulator, a row maximum, a row sum
constexpr int64_t kWord = 4;    ///< bytes of ids, multipliers, table entries
constexpr int64_t kRecord = 16; ///< bytes of ChannelParams, NormChannel, NormSums

/// Buffers of a streamed operand that is loaded `loads` times in all.
int64_t streamed(const Tiling &tiling, int64_t loads) {
  return std::min<int64_t>(tiling.buffers >= 2 ? 2 : 1, loads);
}

} // namespace

Ring SramCursor::add(int64_t bytes, int64_t count) {
  const Ring ring = {next, (bytes + alignment - 1) & -alignment, count};
  next += ring.pitch * count;
  return ring;
}

MatrixLayout layoutOf(const MatrixShape &shape, const Tiling &t, int64_t maxInputPixels,
                      int64_t alignment) {
  const AxisCut outputs(shape.outputChannels, t.outputChannels);
  const AxisCut inputs(shape.inputChannels, t.inputChannels);
  const int64_t spatial = shape.batch * AxisCut(shape.vertical.output, t.height).tiles *
                          AxisCut(shape.horizontal.output, t.width).tiles;
  const int64_t pixels =
      std::min(t.height, shape.vertical.output) * std::min(t.width, shape.horizontal.output);
  const int64_t inputLoads = spatial * inputs.tiles, weightLoads = outputs.tiles * inputs.tiles;
  const int64_t residents = t.buffers >= 4 ? 2 : 1;
  const int64_t inputCount = t.order == LoopOrder::InputResident
                                 ? inputs.tiles * std::min(residents, spatial)
                                 : streamed(t, inputLoads);
  const int64_t weightCount = t.order == LoopOrder::WeightResident
                                  ? inputs.tiles * std::min(residents, outputs.tiles)
                                  : streamed(t, weightLoads);
  SramCursor cursor(alignment);
  MatrixLayout layout;
  layout.input = cursor.add(maxInputPixels * inputs.tile * shape.inputBytes, inputCount);
  layout.weights = cursor.add(outputs.tile * shape.taps() * inputs.tile, weightCount);
  layout.params = cursor.add(outputs.tile * kRecord, streamed(t, outputs.tiles));
  layout.accumulator =
      cursor.add(pixels * outputs.tile * kWide,
                 std::min<int64_t>(t.buffers >= 3 ? 2 : 1, spatial * outputs.tiles));
  layout.output =
      cursor.add(pixels * outputs.tile * shape.outputBytes, streamed(t, spatial * outputs.tiles));
  layout.bytes = cursor.bytes();
  return layout;
}

RowsLayout layoutOf(const RowsShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut rows(shape.rows, t.height), channels(shape.channels, t.outputChannels);
  const int64_t tile = rows.tile * channels.tile;
  const int64_t loads = shape.pictures * rows.tiles * channels.tiles;
  SramCursor cursor(alignment);
  RowsLayout layout;
  for (int i = 0; i < 2; ++i)
    if (shape.inputBytes[i] > 0)
      layout.inputs[i] = cursor.add(tile * shape.inputBytes[i], streamed(t, loads));
  for (int i = 0; i < 2; ++i)
    if (shape.broadcastBytes[i] > 0)
      layout.broadcast[i] = cursor.add(channels.tile * shape.broadcastBytes[i],
                                       streamed(t, shape.pictures * channels.tiles));
  if (shape.constantBytes > 0)
    layout.constant = cursor.add(shape.constantBytes);
  layout.output = cursor.add(tile * shape.outputBytes, streamed(t, loads));
  layout.bytes = cursor.bytes();
  return layout;
}

GroupNormLayout layoutOf(const GroupNormShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut rows(shape.rows, t.height), channels(shape.channels, t.outputChannels);
  const int64_t tile = rows.tile * channels.tile;
  const int64_t slices = shape.pictures * channels.tiles;
  SramCursor cursor(alignment);
  GroupNormLayout layout;
  const int64_t inputs = t.order == LoopOrder::InputResident ? rows.tiles * streamed(t, slices)
                                                             : streamed(t, slices * rows.tiles * 2);
  layout.input = cursor.add(tile * shape.inputBytes, inputs);
  layout.sums = cursor.add(channels.tile / shape.channelsPerGroup * kRecord, streamed(t, slices));
  layout.params = cursor.add(channels.tile * kRecord, streamed(t, channels.tiles));
  layout.output = cursor.add(tile * shape.outputBytes, streamed(t, slices * rows.tiles));
  layout.bytes = cursor.bytes();
  return layout;
}

AttentionLayout layoutOf(const AttentionShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut queries(shape.queries, t.height), keys(shape.keys, t.width);
  const int64_t heads = shape.batch * shape.heads, blocks = heads * queries.tiles;
  const int64_t keyCount = keys.tiles == 1 ? std::min<int64_t>(t.buffers >= 4 ? 2 : 1, heads)
                                           : streamed(t, blocks * keys.tiles);
  const int64_t sums = std::min<int64_t>(t.buffers >= 3 ? 2 : 1, blocks);
  SramCursor cursor(alignment);
  AttentionLayout layout;
  layout.q = cursor.add(queries.tile * shape.headDim * shape.qBytes, streamed(t, blocks));
  layout.k = cursor.add(keys.tile * shape.headDim * shape.kBytes, keyCount);
  layout.v = cursor.add(keys.tile * shape.headDim * shape.vBytes, keyCount);
  layout.rowMax = cursor.add(queries.tile * kWide, sums);
  layout.rowSum = cursor.add(queries.tile * kWide, sums);
  layout.accumulator = cursor.add(queries.tile * shape.headDim * kWide, sums);
  layout.output = cursor.add(queries.tile * shape.headDim * shape.outputBytes, streamed(t, blocks));
  layout.bytes = cursor.bytes();
  return layout;
}

MoveLayout layoutOf(const UpsampleShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut rows(shape.height, t.height), columns(shape.width, t.width);
  SramCursor cursor(alignment);
  MoveLayout layout;
  layout.tile = cursor.add(rows.tile * columns.tile * shape.pixelBytes,
                           streamed(t, shape.pictures * rows.tiles * columns.tiles));
  layout.bytes = cursor.bytes();
  return layout;
}

MoveLayout layoutOf(const PermuteShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut a(shape.dims[1], t.height), b(shape.dims[2], t.width),
      c(shape.dims[3], t.outputChannels);
  SramCursor cursor(alignment);
  MoveLayout layout;
  layout.tile = cursor.add(a.tile * b.tile * c.tile * shape.elementBytes,
                           streamed(t, shape.dims[0] * a.tiles * b.tiles * c.tiles));
  layout.bytes = cursor.bytes();
  return layout;
}

EmbeddingLayout layoutOf(const EmbeddingShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut tokens(shape.tokens, t.width);
  const int64_t blocks = tokens.tiles * shape.batch;
  SramCursor cursor(alignment);
  EmbeddingLayout layout;
  layout.ids = cursor.add(tokens.tile * kWord, streamed(t, blocks));
  layout.tokens = cursor.add(tokens.tile * shape.channels, streamed(t, blocks));
  layout.tokenMultipliers = cursor.add(tokens.tile * kWord, streamed(t, blocks));
  layout.positions = cursor.add(tokens.tile * shape.channels, streamed(t, tokens.tiles));
  layout.positionMultipliers = cursor.add(tokens.tile * kWord, streamed(t, tokens.tiles));
  layout.output = cursor.add(tokens.tile * shape.channels * shape.outputBytes, streamed(t, blocks));
  layout.bytes = cursor.bytes();
  return layout;
}

TimeEmbeddingLayout layoutOf(const TimeEmbeddingShape &shape, const Tiling &, int64_t alignment) {
  SramCursor cursor(alignment);
  TimeEmbeddingLayout layout;
  layout.input = cursor.add(shape.inputs * kWord);
  layout.steps = cursor.add(shape.halfDim * kWord);
  layout.sine = cursor.add(kTableKnots16 * kWord);
  layout.output = cursor.add(shape.batch * 2 * shape.halfDim * shape.outputBytes);
  layout.bytes = cursor.bytes();
  return layout;
}

PoolLayout layoutOf(const PoolShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut channels(shape.channels, t.outputChannels);
  const int64_t tiles = shape.batch * channels.tiles;
  SramCursor cursor(alignment);
  PoolLayout layout;
  layout.hidden = cursor.add(shape.tokens * channels.tile * shape.elementBytes, streamed(t, tiles));
  layout.ids = cursor.add(shape.tokens * kWord, streamed(t, shape.batch));
  layout.output = cursor.add(channels.tile * shape.elementBytes, streamed(t, tiles));
  layout.bytes = cursor.bytes();
  return layout;
}

} // namespace sdopt
