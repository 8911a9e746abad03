// Buffers of each family of layers.

#include "compiler/schedule/SramLayout.h"

#include "absl/strings/str_cat.h"

namespace sdopt {

std::string tilingText(const Tiling &tiling) {
  return absl::StrCat(name(tiling.order), " ", tiling.height, "x", tiling.width, "x",
                      tiling.outputChannels, "x", tiling.inputChannels, " x", bufferLevel(tiling),
                      tiling.buffers > kHaloKept ? ", rows kept" : "");
}

std::string planText(const LayerPlan &plan) {
  return absl::StrCat(
      tilingText(plan.tiling), plan.joined ? ", joined" : "",
      plan.resident.channels > 0 ? absl::StrCat(", resident x", plan.resident.channels) : "");
}
namespace {

constexpr int64_t kWide = 8;    ///< bytes of an accumulator, a row maximum, a row sum
constexpr int64_t kWord = 4;    ///< bytes of ids, multipliers, table entries
constexpr int64_t kRecord = 16; ///< bytes of ChannelParams, NormChannel, NormSums

/// Buffers of a streamed operand that is loaded `loads` times in all.
int64_t streamed(const Tiling &tiling, int64_t loads) {
  return std::min<int64_t>(bufferLevel(tiling) >= 2 ? 2 : 1, loads);
}

/// Buffers of results that go to DRAM, or only on to the next command of the vector unit.
int64_t resultBuffers(const Tiling &tiling, bool isStored, int64_t tiles) {
  return isStored ? streamed(tiling, tiles) : 1;
}

int64_t padded(int64_t bytes, int64_t alignment) { return (bytes + alignment - 1) & -alignment; }

/// Calls add(ring, bytes, count) for the buffers of joined layers; `elements` and `channels` of one
/// tile of their results.
template <typename Add>
void addTails(TailLayouts &layouts, const Tails &tails, const Tiling &tiling, int64_t elements,
              int64_t channels, int64_t tiles, Add add) {
  for (size_t i = 0; i < tails.layers.size(); ++i) {
    const TailShape &tail = tails.layers[i];
    TailLayout &layout = layouts[i];
    if (tail.operandBytes > 0 && !tail.isOperandResident)
      add(layout.operand, elements * tail.operandBytes, streamed(tiling, tiles));
    if (tail.rowBytes > 0)
      add(layout.row, channels * tail.rowBytes, streamed(tiling, tiles));
    if (tail.constantBytes > 0)
      add(layout.constant, tail.constantBytes, 1);
    if (!tail.isResident)
      add(layout.output, elements * tail.outputBytes, resultBuffers(tiling, tail.isStored, tiles));
  }
}

/// The same for all buffers of a matrix layer.
template <typename Add>
void addBuffers(MatrixLayout &layout, const MatrixShape &shape, const Tiling &t,
                const ChannelCut &channels, const WindowCut &vertical, const WindowCut &horizontal,
                Add add) {
  const AxisCut &outputs = channels.outputs, &inputs = channels.inputs;
  const PictureCut pictures(shape, t);
  const int64_t level = bufferLevel(t);
  const int64_t spatial = pictures.tiles * vertical.cut.tiles * horizontal.cut.tiles;
  const int64_t pixels = pictures.tile * vertical.cut.tile * horizontal.cut.tile;
  const int64_t inputLoads = spatial * inputs.tiles, weightLoads = outputs.tiles * inputs.tiles;
  const int64_t residents = level >= 4 ? 2 : 1;
  layout.ringRows = ringRows(shape, t, vertical, inputs.tiles == 1);
  int64_t inputCount = streamed(t, inputLoads), inputRows = pictures.tile * vertical.maxSpan;
  if (t.order == LoopOrder::InputResident)
    inputCount = inputs.tiles * std::min(residents, spatial);
  if (layout.ringRows > 0) {
    inputCount = inputs.tiles;
    inputRows = layout.ringRows;
  }
  const int64_t weightCount = t.order == LoopOrder::WeightResident
                                  ? inputs.tiles * std::min(residents, outputs.tiles)
                                  : streamed(t, weightLoads);
  if (shape.inputBlock == 0)
    add(layout.input, inputRows * horizontal.maxSpan * inputs.tile * shape.inputBytes, inputCount);
  add(layout.weights, outputs.tile * shape.taps() * inputs.tile, weightCount);
  add(layout.params, outputs.tile * kRecord, streamed(t, outputs.tiles));
  add(layout.accumulator, pixels * outputs.tile * kWide,
      std::min<int64_t>(level >= 3 ? 2 : 1, spatial * outputs.tiles));
  const int64_t results = pixels * outputs.tile;
  if (!shape.tails.isLeadResident)
    add(layout.output, results * (shape.tails.isGated() ? 2 : 1) * shape.outputBytes,
        resultBuffers(t, shape.tails.isLeadStored, spatial * outputs.tiles));
  addTails(layout.tails, shape.tails, t, results, outputs.tile, spatial * outputs.tiles, add);
}

/// Lays out what is added.
auto adder(SramCursor &cursor) {
  return [&cursor](Ring &ring, int64_t bytes, int64_t count) { ring = cursor.add(bytes, count); };
}

} // namespace

WindowCut::WindowCut(const WindowAxis &axis, int64_t tile) : cut(axis.output, tile) {
  int64_t end = 0;
  for (int64_t i = 0; i < cut.tiles; ++i) {
    const InputSpan span = axis.span(cut.first(i), cut.extent(i));
    maxSpan = std::max(maxSpan, span.count);
    sumSpan += span.count;
    sumNew += span.first + span.count - std::max(end, span.first);
    end = span.first + span.count;
  }
}

Ring SramCursor::add(int64_t bytes, int64_t count) {
  const Ring ring = {next, padded(bytes, alignment), count};
  next += ring.pitch * count;
  return ring;
}

int64_t ringRows(const MatrixShape &shape, const Tiling &t, const WindowCut &vertical,
                 bool hasAllInputs) {
  const bool byInputs = t.order == LoopOrder::InputResident;
  const bool inTurn = byInputs || (t.order == LoopOrder::WeightResident && hasAllInputs);
  if (t.buffers < kHaloKept || !inTurn || shape.inputBlock > 0 ||
      vertical.sumNew == vertical.sumSpan)
    return 0;
  const int64_t ahead =
      bufferLevel(t) >= (byInputs ? 4 : 2) ? vertical.cut.tile * shape.vertical.stride : 0;
  return std::min(vertical.maxSpan + ahead, shape.vertical.input);
}

MatrixLayout layoutOf(const MatrixShape &shape, const Tiling &t, const ChannelCut &channels,
                      const WindowCut &vertical, const WindowCut &horizontal, int64_t alignment) {
  SramCursor cursor(alignment);
  MatrixLayout layout;
  addBuffers(layout, shape, t, channels, vertical, horizontal, adder(cursor));
  layout.bytes = cursor.bytes();
  return layout;
}

int64_t layoutBytes(const MatrixShape &shape, const Tiling &t, const ChannelCut &channels,
                    const WindowCut &vertical, const WindowCut &horizontal, int64_t alignment) {
  MatrixLayout nowhere;
  int64_t all = 0;
  addBuffers(
      nowhere, shape, t, channels, vertical, horizontal,
      [&](Ring &, int64_t bytes, int64_t count) { all += padded(bytes, alignment) * count; });
  return all;
}

RowsLayout layoutOf(const RowsShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut rows(shape.rows, t.height), channels(shape.channels, t.outputChannels);
  const int64_t tile = rows.tile * channels.tile;
  const int64_t loads = shape.pictures * rows.tiles * channels.tiles;
  SramCursor cursor(alignment);
  RowsLayout layout;
  for (int i = 0; i < 2; ++i)
    if (shape.inputBytes[i] > 0 && !shape.isInputResident[i])
      layout.inputs[i] = cursor.add(tile * shape.inputBytes[i], streamed(t, loads));
  for (int i = 0; i < 2; ++i)
    if (shape.broadcastBytes[i] > 0)
      layout.broadcast[i] = cursor.add(channels.tile * shape.broadcastBytes[i],
                                       streamed(t, shape.pictures * channels.tiles));
  if (shape.constantBytes > 0)
    layout.constant = cursor.add(shape.constantBytes);
  if (!shape.isResident)
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
  if (!shape.isInputResident)
    layout.input = cursor.add(tile * shape.inputBytes, inputs);
  layout.sums = cursor.add(channels.tile / shape.channelsPerGroup * kRecord, streamed(t, slices));
  layout.params = cursor.add(channels.tile * kRecord, streamed(t, channels.tiles));
  if (!shape.tails.isLeadResident)
    layout.output = cursor.add(tile * shape.outputBytes,
                               resultBuffers(t, shape.tails.isLeadStored, slices * rows.tiles));
  addTails(layout.tails, shape.tails, t, tile, channels.tile, slices * rows.tiles, adder(cursor));
  layout.bytes = cursor.bytes();
  return layout;
}

int64_t headsTogether(const AttentionShape &shape, const Tiling &t) {
  const int64_t heads = t.outputChannels / shape.headDim;
  const bool haveOneStride = shape.isInputResident[1] == shape.isInputResident[2];
  return heads > 1 && t.width >= shape.keys && shape.heads % heads == 0 && haveOneStride ? heads
                                                                                         : 1;
}

AttentionLayout layoutOf(const AttentionShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut queries(shape.queries, t.height), keys(shape.keys, t.width);
  const int64_t together = headsTogether(shape, t), channels = together * shape.headDim;
  const int64_t groups = shape.batch * shape.heads / together, blocks = groups * queries.tiles;
  const int64_t residents = std::min<int64_t>(bufferLevel(t) >= 4 ? 2 : 1, groups);
  const int64_t loaded = streamed(t, blocks * keys.tiles);
  const bool keysStay = keys.tiles == 1 || t.order == LoopOrder::WeightResident;
  const int64_t sums = std::min<int64_t>(bufferLevel(t) >= 3 ? 2 : 1, blocks * together);
  SramCursor cursor(alignment);
  AttentionLayout layout;
  if (!shape.isInputResident[0])
    layout.q = cursor.add(queries.tile * channels * shape.qBytes, streamed(t, blocks));
  if (!shape.isInputResident[1])
    layout.k =
        cursor.add(keys.tile * channels * shape.kBytes, keysStay ? keys.tiles * residents : loaded);
  if (!shape.isInputResident[2])
    layout.v =
        cursor.add(keys.tile * channels * shape.vBytes, keys.tiles == 1 ? residents : loaded);
  layout.rowMax = cursor.add(queries.tile * kWide, sums);
  layout.rowSum = cursor.add(queries.tile * kWide, sums);
  layout.accumulator = cursor.add(queries.tile * shape.headDim * kWide, sums);
  if (!shape.isResident)
    layout.output = cursor.add(queries.tile * channels * shape.outputBytes, streamed(t, blocks));
  layout.bytes = cursor.bytes();
  return layout;
}

MoveLayout layoutOf(const UpsampleShape &shape, const Tiling &t, int64_t alignment) {
  const AxisCut rows(shape.height, t.height), columns(shape.width, t.width);
  SramCursor cursor(alignment);
  MoveLayout layout;
  if (!shape.isInputResident)
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
