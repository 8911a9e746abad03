// Convolutions and linear layers in the three loop orders.

#include "compiler/schedule/Emitter.h"
#include "compiler/schedule/TrafficModel.h"

#include <algorithm>

namespace sdopt {
namespace {

constexpr int64_t kParamBytes = sizeof(ChannelParams);
constexpr int64_t kSumBytes = sizeof(int64_t);

/// Input rows that lie one after the other in a buffer, from row `slot` of it on.
struct RowRun {
  int64_t first, rows, slot;
};

/// Output rows of one picture, all of whose windows see the same runs. Sums of the runs add up.
struct TilePart {
  int64_t picture, row, rows, pixelsBefore; ///< pixels of the tile's parts before
  std::vector<RowRun> runs;
};

/// One output tile: rows and columns of a picture, or columns of several whole pictures.
struct SpatialTile {
  int64_t picture, pictures;
  int64_t row, rows, column, columns;
  InputSpan vertical, horizontal;
  std::vector<RowRun> loads; ///< of each picture
  std::vector<TilePart> parts;
};

/// Rows [first, end) in a ring of `ringRows`.
std::vector<RowRun> runsOf(int64_t first, int64_t end, int64_t ringRows) {
  std::vector<RowRun> runs;
  while (first < end) {
    const int64_t slot = first % ringRows, rows = std::min(end - first, ringRows - slot);
    runs.push_back({first, rows, slot});
    first += rows;
  }
  return runs;
}

/// Cuts the rows of a tile where windows begin to see, or see no more, what lies before the end of
/// the ring.
std::vector<TilePart> partsOf(const SpatialTile &tile, const WindowAxis &axis,
                              const std::vector<RowRun> &runs) {
  const auto seenBy = [&](int64_t row, int64_t rows) {
    const InputSpan window = axis.span(row, rows);
    std::vector<RowRun> seen;
    for (const RowRun &run : runs) {
      const int64_t first = std::max(run.first, window.first);
      const int64_t end = std::min(run.first + run.rows, window.first + window.count);
      if (first < end)
        seen.push_back({first, end - first, run.slot + first - run.first});
    }
    return seen;
  };
  /// Of the first run seen, and how many.
  const auto runOf = [&](int64_t row) {
    const std::vector<RowRun> seen = seenBy(row, 1);
    return std::pair(seen.front().slot - seen.front().first, seen.size());
  };
  std::vector<TilePart> parts;
  const int64_t end = tile.row + tile.rows;
  for (int64_t row = tile.row, next = row; row < end; row = next) {
    while (next < end && runOf(next) == runOf(row))
      ++next;
    parts.push_back(
        {tile.picture, row, next - row, (row - tile.row) * tile.columns, seenBy(row, next - row)});
  }
  return parts;
}

/// Tiles in order: the one below after the one above where rows of input are kept.
std::vector<SpatialTile> spatialTiles(const MatrixShape &s, const WindowCut &vertical,
                                      const WindowCut &horizontal, const Tiling &t,
                                      int64_t ringRows) {
  const PictureCut pictures(s, t);
  const AxisCut &rows = vertical.cut, &columns = horizontal.cut;
  const bool rolls = ringRows > 0;
  std::vector<SpatialTile> tiles;
  const auto add = [&](int64_t b, int64_t i, int64_t j) {
    SpatialTile tile{.picture = pictures.first(b),
                     .pictures = pictures.extent(b),
                     .row = rows.first(i),
                     .rows = rows.extent(i),
                     .column = columns.first(j),
                     .columns = columns.extent(j),
                     .vertical = s.vertical.span(rows.first(i), rows.extent(i)),
                     .horizontal = s.horizontal.span(columns.first(j), columns.extent(j)),
                     .loads = {},
                     .parts = {}};
    const int64_t first = tile.vertical.first, end = first + tile.vertical.count;
    if (rolls) {
      const int64_t loaded = i > 0 ? tiles.back().vertical.first + tiles.back().vertical.count : 0;
      tile.loads = runsOf(std::max(first, loaded), end, ringRows);
      tile.parts = partsOf(tile, s.vertical, runsOf(first, end, ringRows));
    } else {
      tile.loads = {{first, tile.vertical.count, 0}};
      for (int64_t p = 0; p < tile.pictures; ++p)
        tile.parts.push_back(
            {tile.picture + p, tile.row, tile.rows, p * tile.rows * tile.columns, tile.loads});
    }
    tiles.push_back(std::move(tile));
  };
  for (int64_t b = 0; b < pictures.tiles; ++b)
    for (int64_t outer = 0; outer < (rolls ? columns : rows).tiles; ++outer)
      for (int64_t inner = 0; inner < (rolls ? rows : columns).tiles; ++inner)
        rolls ? add(b, inner, outer) : add(b, outer, inner);
  return tiles;
}

/// A ring of blocks: a block is loaded when it is not the one wanted last, or where all blocks have
/// a buffer of their own once; resident operands ask for a group of blocks at once.
struct Stream {
  bool hasAll = false; ///< keys are the buffers
  int64_t wanted = -1; ///< newest key
  int64_t loads = 0;
  /// True if `key` must be loaded into the buffer of index buffer().
  bool next(int64_t key) {
    const bool isThere = hasAll ? key < loads : key == wanted;
    wanted = key;
    if (!isThere)
      ++loads;
    return !isThere;
  }
  int64_t buffer() const { return hasAll ? wanted : loads - 1; }
};

} // namespace

void Emitter::expand(const MatrixShape &s) {
  const MatrixLayer &spec = std::get<MatrixLayer>(layer.spec);
  const AxisCut outputs(s.outputChannels, tiling.outputChannels);
  const AxisCut inputs(s.inputChannels, tiling.inputChannels);
  const std::vector<WeightBlock> blocks = weightBlocks(network, layer, tiling);
  const WindowCut vertical(s.vertical, tiling.height), horizontal(s.horizontal, tiling.width);
  const MatrixLayout layout =
      layoutOf(s, tiling, ChannelCut(s, tiling), vertical, horizontal, target.sram.alignment);
  const std::vector<SpatialTile> tiles =
      spatialTiles(s, vertical, horizontal, tiling, layout.ringRows);
  const bool rolls = layout.ringRows > 0;
  const bool inputStays = tiling.order == LoopOrder::InputResident;
  const bool weightsStay = tiling.order == LoopOrder::WeightResident;
  Stream inputStream,
      weightStream{.hasAll = !weightsStay && haveBuffers(tiling, outputs.tiles * inputs.tiles)},
      paramStream{.hasAll = haveBuffers(tiling, outputs.tiles)};
  int64_t results = 0; // output tiles so far

  /// Bytes of a row of input pixels of a tile, of one block of channels.
  const auto rowBytes = [&](const SpatialTile &tile, int64_t ci) {
    return tile.horizontal.count * inputs.extent(ci) * s.inputBytes;
  };
  const SramPlace *resident = residentInput(), *residentOutput = residentResult();
  const auto loadInput = [&](const SpatialTile &tile, int64_t ci, int64_t buffer) {
    if (resident)
      return;
    for (int64_t p = 0; p < tile.pictures; ++p)
      for (const RowRun &run : tile.loads)
        load(layer.inputs[0],
             {.dims = input().dims,
              .first = {tile.picture + p, run.first, tile.horizontal.first, inputs.first(ci)},
              .extent = {1, run.rows, tile.horizontal.count, inputs.extent(ci)},
              .elementBytes = s.inputBytes},
             at(layout.input, buffer) + (p * tile.vertical.count + run.slot) * rowBytes(tile, ci));
  };
  const auto loadWeights = [&](int64_t co, int64_t ci, int64_t buffer) {
    const WeightBlock &block = blocks[co * inputs.tiles + ci];
    if (s.weights.isPlainInt8())
      return loadConstant(spec.weights, block.offset, block.bytes, at(layout.weights, buffer));
    add(DmaWeights{.dram = constantOffsets[spec.weights] + block.offset,
                   .bytes = block.bytes,
                   .sram = at(layout.weights, buffer),
                   .form = s.weights,
                   .block = block.extent});
  };

  // Of gated results, the right half of the channels comes after the left one.
  const int64_t gates = s.tails.isGated() ? 2 : 1, halves = outputs.tiles / gates;
  const int64_t halfBytes = PictureCut(s, tiling).tile * vertical.cut.tile * horizontal.cut.tile *
                            outputs.tile * s.outputBytes;

  const auto inputGroup = [&] { return rolls ? 0 : inputStream.buffer(); };
  const auto outputTile = [&](int64_t tileIndex, int64_t co) {
    const SpatialTile &tile = tiles[tileIndex];
    const SramOffset accumulator = at(layout.accumulator, results);
    if (weightsStay && weightStream.next(co))
      for (int64_t ci = 0; ci < inputs.tiles; ++ci)
        loadWeights(co, ci, weightStream.buffer() * inputs.tiles + ci);
    // Weights first: they do not wait for the layer before.
    if (!weightsStay && weightStream.next(co * inputs.tiles))
      loadWeights(co, 0, weightStream.buffer());
    if (inputStays && inputStream.next(tileIndex))
      for (int64_t ci = 0; ci < inputs.tiles; ++ci)
        loadInput(tile, ci, inputGroup() * inputs.tiles + ci);
    for (int64_t ci = 0; ci < inputs.tiles; ++ci) {
      if (!weightsStay && weightStream.next(co * inputs.tiles + ci))
        loadWeights(co, ci, weightStream.buffer());
      if (!inputStays && inputStream.next(tileIndex * inputs.tiles + ci))
        loadInput(tile, ci, inputGroup());
      const int64_t inputBuffer = inputStays ? inputGroup() * inputs.tiles + ci : inputGroup();
      const int64_t weightBuffer =
          weightsStay ? weightStream.buffer() * inputs.tiles + ci : weightStream.buffer();
      for (const TilePart &part : tile.parts)
        for (const RowRun &run : part.runs) {
          ConvCommand conv;
          conv.tile = {.inputHeight = run.rows,
                       .inputWidth = tile.horizontal.count,
                       .inputChannels = inputs.extent(ci),
                       .outputHeight = part.rows,
                       .outputWidth = tile.columns,
                       .outputChannels = outputs.extent(co),
                       .kernelHeight = spec.kernelHeight,
                       .kernelWidth = spec.kernelWidth,
                       .strideH = spec.strideH,
                       .strideW = spec.strideW,
                       .dilationH = spec.dilationH,
                       .dilationW = spec.dilationW,
                       .padTop = run.first - (part.row * spec.strideH - spec.padTop),
                       .padLeft = tile.horizontal.padding};
          conv.inputFormat = input().format();
          conv.input =
              resident ? residentAt(*resident, {.dims = input().dims,
                                                .first = {part.picture, run.first,
                                                          tile.horizontal.first, inputs.first(ci)},
                                                .elementBytes = s.inputBytes})
                       : at(layout.input, inputBuffer) +
                             ((part.picture - tile.picture) * tile.vertical.count + run.slot) *
                                 rowBytes(tile, ci);
          conv.weights = at(layout.weights, weightBuffer);
          conv.accumulator = accumulator + part.pixelsBefore * outputs.extent(co) * kSumBytes;
          conv.clear = ci == 0 && run.first == part.runs.front().first;
          conv.winograd = spec.winograd;
          conv.taps = spec.taps;
          add(conv);
        }
    }
    if (paramStream.next(co))
      loadConstant(spec.params, outputs.first(co) * kParamBytes, outputs.extent(co) * kParamBytes,
                   at(layout.params, paramStream.buffer()));
    const int64_t gate = co / halves, channels = outputs.extent(co);
    const SramOffset result = at(layout.output, results / gates);
    std::array<int64_t, 4> dims = output().dims;
    dims[3] /= gates;
    for (const TilePart &part : tile.parts) {
      const int64_t before = part.pixelsBefore * channels;
      const TensorBox box{
          .dims = dims,
          .first = {part.picture, part.row, tile.column, outputs.first(co % halves)},
          .extent = {1, part.rows, tile.columns, channels},
          .elementBytes = s.outputBytes};
      const SramOffset place =
          residentOutput ? residentAt(*residentOutput, box) : result + before * s.outputBytes;
      add(RequantizeCommand{.accumulator = accumulator + before * kSumBytes,
                            .params = at(layout.params, paramStream.buffer()),
                            .output = place + gate * halfBytes,
                            .rows = part.rows * tile.columns,
                            .channels = channels,
                            .outputFormat = output().format()});
      if (gate + 1 == gates)
        finish({.box = box,
                .at = place,
                .gate = gates > 1 ? place + halfBytes : -1,
                .tile = results / gates,
                .before = before},
               s.tails, layout.tails);
    }
    ++results;
  };

  const auto count = static_cast<int64_t>(tiles.size());
  if (weightsStay) {
    for (int64_t co = 0; co < outputs.tiles; ++co)
      for (int64_t tile = 0; tile < count; ++tile)
        outputTile(tile, co);
    return;
  }
  for (int64_t tile = 0; tile < count; ++tile)
    for (int64_t co = 0; co < outputs.tiles; ++co)
      outputTile(tile, co % gates * halves + co / gates);
}

} // namespace sdopt
