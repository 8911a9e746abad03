// Layers that mostly move bytes: upsample, permute, slice, constant, embedding, time embedding,
// pool.

#include "compiler/schedule/Emitter.h"

namespace sdopt {
namespace {

constexpr int64_t kWord = 4;

} // namespace

void Emitter::expand(const UpsampleShape &s) {
  const AxisCut rows(s.height, tiling.height), columns(s.width, tiling.width);
  const MoveLayout layout = layoutOf(s, tiling, target.sram.alignment);
  const int64_t pixel = s.pixelBytes, outputRow = s.width * s.factorW * pixel;
  int64_t loads = 0;
  for (int64_t picture = 0; picture < s.pictures; ++picture)
    for (int64_t i = 0; i < rows.tiles; ++i)
      for (int64_t j = 0; j < columns.tiles; ++j) {
        const int64_t height = rows.extent(i), width = columns.extent(j);
        const TensorBox box{.dims = {s.pictures, s.height, s.width, pixel},
                            .first = {picture, rows.first(i), columns.first(j), 0},
                            .extent = {1, height, width, pixel},
                            .elementBytes = 1};
        const SramPlace *place = residentInput(); // one block of whole pixels
        const SramOffset tile = place ? place->offset + box.offset() : at(layout.tile, loads++);
        if (!place)
          load(layer.inputs[0], box, tile);
        const int64_t corner = (picture * s.height + rows.first(i)) * s.factorH * outputRow +
                               columns.first(j) * s.factorW * pixel;
        const DmaShape shape = joinedShape(
            {{height, s.factorH * outputRow, width * pixel}, {width, s.factorW * pixel, pixel}},
            pixel);
        for (int64_t dy = 0; dy < s.factorH; ++dy)
          for (int64_t dx = 0; dx < s.factorW; ++dx)
            add(DmaStore{.dram = dramOf(layer.output) + corner + dy * outputRow + dx * pixel,
                         .sram = tile,
                         .shape = shape});
      }
}

void Emitter::expand(const PermuteShape &s) {
  const AxisCut a(s.dims[1], tiling.height), b(s.dims[2], tiling.width),
      c(s.dims[3], tiling.outputChannels);
  const MoveLayout layout = layoutOf(s, tiling, target.sram.alignment);
  const int64_t width = s.elementBytes;
  const auto &stride = s.inputStrides;
  const auto *constant = std::get_if<ConstantLayer>(&layer.spec);
  const int64_t source = constant ? constantOffsets[constant->codes] : dramOf(layer.inputs[0]);
  int64_t loads = 0;
  for (int64_t n = 0; n < s.dims[0]; ++n)
    for (int64_t i = 0; i < a.tiles; ++i)
      for (int64_t j = 0; j < b.tiles; ++j)
        for (int64_t k = 0; k < c.tiles; ++k) {
          const SramOffset tile = at(layout.tile, loads++);
          const int64_t ni = a.extent(i), nj = b.extent(j), nk = c.extent(k);
          const int64_t from = s.first + n * stride[0] + a.first(i) * stride[1] +
                               b.first(j) * stride[2] + c.first(k) * stride[3];
          // In the order of the output: SRAM holds the tile as the store wants it.
          add(DmaLoad{.region = constant ? Region::Constants : Region::Arena,
                      .dram = source + from * width,
                      .sram = tile,
                      .shape = joinedShape({{ni, stride[1] * width, nj * nk * width},
                                            {nj, stride[2] * width, nk * width},
                                            {nk, stride[3] * width, width}},
                                           width)});
          store(layer.output,
                {.dims = s.dims,
                 .first = {n, a.first(i), b.first(j), c.first(k)},
                 .extent = {1, ni, nj, nk},
                 .elementBytes = width},
                tile);
        }
}

void Emitter::expand(const EmbeddingShape &s) {
  const EmbeddingLayer &spec = std::get<EmbeddingLayer>(layer.spec);
  const AxisCut tokens(s.tokens, tiling.width);
  const EmbeddingLayout layout = layoutOf(s, tiling, target.sram.alignment);
  const auto gather = [&](ConstantId table, int64_t rowBytes, int64_t rows, SramOffset ids,
                          SramOffset to) {
    add(DmaGather{.dram = constantOffsets[table],
                  .ids = ids,
                  .sram = to,
                  .rows = rows,
                  .rowBytes = rowBytes,
                  .tableRows = spec.vocabulary});
  };
  int64_t block = 0;
  for (int64_t i = 0; i < tokens.tiles; ++i) {
    const int64_t first = tokens.first(i), rows = tokens.extent(i);
    const SramOffset positions = at(layout.positions, i);
    const SramOffset positionMultipliers = at(layout.positionMultipliers, i);
    loadConstant(spec.positions, first * s.channels, rows * s.channels, positions);
    loadConstant(spec.positionMultipliers, first * kWord, rows * kWord, positionMultipliers);
    for (int64_t picture = 0; picture < s.batch; ++picture, ++block) {
      const SramOffset ids = at(layout.ids, block), result = at(layout.output, block);
      load(layer.inputs[0],
           {.dims = {1, 1, s.batch, s.tokens},
            .first = {0, 0, picture, first},
            .extent = {1, 1, 1, rows},
            .elementBytes = kWord},
           ids);
      gather(spec.tokens, s.channels, rows, ids, at(layout.tokens, block));
      gather(spec.tokenMultipliers, kWord, rows, ids, at(layout.tokenMultipliers, block));
      add(EmbedCommand{.tokens = at(layout.tokens, block),
                       .tokenMultipliers = at(layout.tokenMultipliers, block),
                       .positions = positions,
                       .positionMultipliers = positionMultipliers,
                       .output = result,
                       .rows = rows,
                       .channels = s.channels,
                       .shift = spec.shift,
                       .outputFormat = output().format()});
      store(layer.output,
            {.dims = {1, s.batch, s.tokens, s.channels},
             .first = {0, picture, first, 0},
             .extent = {1, 1, rows, s.channels},
             .elementBytes = s.outputBytes},
            result);
    }
  }
}

void Emitter::expand(const TimeEmbeddingShape &s) {
  const TimeEmbeddingLayer &spec = std::get<TimeEmbeddingLayer>(layer.spec);
  const TimeEmbeddingLayout layout = layoutOf(s, tiling, target.sram.alignment);
  loadConstant(spec.steps, 0, s.halfDim * kWord, at(layout.steps, 0));
  loadConstant(spec.sine, 0, kTableKnots16 * kWord, at(layout.sine, 0));
  load(layer.inputs[0],
       {.dims = {1, 1, 1, s.inputs}, .extent = {1, 1, 1, s.inputs}, .elementBytes = kWord},
       at(layout.input, 0));
  add(TimeEmbeddingCommand{.input = at(layout.input, 0),
                           .steps = at(layout.steps, 0),
                           .sine = at(layout.sine, 0),
                           .output = at(layout.output, 0),
                           .batch = s.batch,
                           .inputs = s.inputs,
                           .outputFormat = output().format(),
                           .params = spec.params});
  store(layer.output,
        {.dims = output().dims, .extent = output().dims, .elementBytes = s.outputBytes},
        at(layout.output, 0));
}

void Emitter::expand(const PoolShape &s) {
  const PoolTokenLayer &spec = std::get<PoolTokenLayer>(layer.spec);
  const AxisCut channels(s.channels, tiling.outputChannels);
  const PoolLayout layout = layoutOf(s, tiling, target.sram.alignment);
  int64_t tile = 0;
  for (int64_t picture = 0; picture < s.batch; ++picture) {
    load(layer.inputs[1],
         {.dims = {1, 1, s.batch, s.tokens},
          .first = {0, 0, picture, 0},
          .extent = {1, 1, 1, s.tokens},
          .elementBytes = kWord},
         at(layout.ids, picture));
    for (int64_t j = 0; j < channels.tiles; ++j, ++tile) {
      const SramOffset hidden = at(layout.hidden, tile), result = at(layout.output, tile);
      const int64_t column = channels.first(j), extent = channels.extent(j);
      load(layer.inputs[0],
           {.dims = {1, s.batch, s.tokens, s.channels},
            .first = {0, picture, 0, column},
            .extent = {1, 1, s.tokens, extent},
            .elementBytes = s.elementBytes},
           hidden);
      add(PoolTokenCommand{.hidden = hidden,
                           .ids = at(layout.ids, picture),
                           .output = result,
                           .tokens = s.tokens,
                           .rowBytes = extent * s.elementBytes,
                           .token = spec.token});
      store(layer.output,
            {.dims = {1, 1, s.batch, s.channels},
             .first = {0, 0, picture, column},
             .extent = {1, 1, 1, extent},
             .elementBytes = s.elementBytes},
            result);
    }
  }
}

} // namespace sdopt
