// Convolutions and linear layers in the three loop orders.

#include "compiler/schedule/Emitter.h"
#include "compiler/schedule/TrafficModel.h"

#include <algorithm>

namespace sdopt {
namespace {

constexpr int64_t kParamBytes = sizeof(ChannelParams);

/// One output tile of one picture.
struct SpatialTile {
  int64_t picture, row, rows, column, columns;
  InputSpan vertical, horizontal;
};

std::vector<SpatialTile> spatialTiles(const MatrixShape &s, const Tiling &t) {
  const AxisCut rows(s.vertical.output, t.height), columns(s.horizontal.output, t.width);
  std::vector<SpatialTile> tiles;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t i = 0; i < rows.tiles; ++i)
      for (int64_t j = 0; j < columns.tiles; ++j)
        tiles.push_back({.picture = b,
                         .row = rows.first(i),
                         .rows = rows.extent(i),
                         .column = columns.first(j),
                         .columns = columns.extent(j),
                         .vertical = s.vertical.span(rows.first(i), rows.extent(i)),
                         .horizontal = s.horizontal.span(columns.first(j), columns.extent(j))});
  return tiles;
}

/// A ring of blocks: a block is loaded when it is not the one wanted last; resident operands ask
/// for a group of blocks at once.
struct Stream {
  int64_t wanted = -1; ///< key of the newest load
  int64_t loads = 0;
  /// True if `key` must be loaded into the buffer of index `loads - 1`.
  bool next(int64_t key) {
    if (key == wanted)
      return false;
    wanted = key;
    ++loads;
    return true;
  }
  int64_t buffer() const { return loads - 1; }
};

} // namespace

void Emitter::expand(const MatrixShape &s) {
  const MatrixLayer &spec = std::get<MatrixLayer>(layer.spec);
  const AxisCut outputs(s.outputChannels, tiling.outputChannels);
  const AxisCut inputs(s.inputChannels, tiling.inputChannels);
  const std::vector<SpatialTile> tiles = spatialTiles(s, tiling);
  const std::vector<WeightBlock> blocks = weightBlocks(network, layer, tiling);
  const WindowCut vertical(s.vertical, tiling.height), horizontal(s.horizontal, tiling.width);
  const MatrixLayout layout =
      layoutOf(s, tiling, vertical.maxSpan * horizontal.maxSpan, target.sram.alignment);
  const bool inputStays = tiling.order == LoopOrder::InputResident;
  const bool weightsStay = tiling.order == LoopOrder::WeightResident;
  Stream inputStream, weightStream, paramStream;
  int64_t results = 0; // output tiles so far

  const auto loadInput = [&](const SpatialTile &tile, int64_t ci, int64_t buffer) {
    load(layer.inputs[0],
         {.dims = input().dims,
          .first = {tile.picture, tile.vertical.first, tile.horizontal.first, inputs.first(ci)},
          .extent = {1, tile.vertical.count, tile.horizontal.count, inputs.extent(ci)},
          .elementBytes = s.inputBytes},
         at(layout.input, buffer));
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
        loadInput(tile, ci, inputStream.buffer() * inputs.tiles + ci);
    for (int64_t ci = 0; ci < inputs.tiles; ++ci) {
      if (!weightsStay && weightStream.next(co * inputs.tiles + ci))
        loadWeights(co, ci, weightStream.buffer());
      if (!inputStays && inputStream.next(tileIndex * inputs.tiles + ci))
        loadInput(tile, ci, inputStream.buffer());
      const int64_t inputBuffer =
          inputStays ? inputStream.buffer() * inputs.tiles + ci : inputStream.buffer();
      const int64_t weightBuffer =
          weightsStay ? weightStream.buffer() * inputs.tiles + ci : weightStream.buffer();
      ConvCommand conv;
      conv.tile = {.inputHeight = tile.vertical.count,
                   .inputWidth = tile.horizontal.count,
                   .inputChannels = inputs.extent(ci),
                   .outputHeight = tile.rows,
                   .outputWidth = tile.columns,
                   .outputChannels = outputs.extent(co),
                   .kernelHeight = spec.kernelHeight,
                   .kernelWidth = spec.kernelWidth,
                   .strideH = spec.strideH,
                   .strideW = spec.strideW,
                   .dilationH = spec.dilationH,
                   .dilationW = spec.dilationW,
                   .padTop = tile.vertical.padding,
                   .padLeft = tile.horizontal.padding};
      conv.inputFormat = input().format();
      conv.input = at(layout.input, inputBuffer);
      conv.weights = at(layout.weights, weightBuffer);
      conv.accumulator = accumulator;
      conv.clear = ci == 0;
      conv.winograd = spec.winograd;
      add(conv);
    }
    if (paramStream.next(co))
      loadConstant(spec.params, outputs.first(co) * kParamBytes, outputs.extent(co) * kParamBytes,
                   at(layout.params, paramStream.buffer()));
    const SramOffset result = at(layout.output, results);
    add(RequantizeCommand{.accumulator = accumulator,
                          .params = at(layout.params, paramStream.buffer()),
                          .output = result,
                          .rows = tile.rows * tile.columns,
                          .channels = outputs.extent(co),
                          .outputFormat = output().format()});
    store(layer.output,
          {.dims = output().dims,
           .first = {tile.picture, tile.row, tile.column, outputs.first(co)},
           .extent = {1, tile.rows, tile.columns, outputs.extent(co)},
           .elementBytes = s.outputBytes},
          result);
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
      outputTile(tile, co);
}

} // namespace sdopt
