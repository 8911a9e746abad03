// Layers that stream rows through the vector unit: combine, modulate, table, geglu, layer norm;
// group norm.

#include "compiler/schedule/Emitter.h"

namespace sdopt {

void Emitter::rowsCommand(const Layer &of, const RowOperands &operands, int64_t rows,
                          int64_t channels) {
  const auto &[a, b, c, constant, result, gate] = operands;
  const auto format = [&](size_t i) { return network.tensors[of.inputs[i]].format(); };
  const CodeFormat from = format(0), to = network.tensors[of.output].format();
  if (const auto *combine = std::get_if<CombineLayer>(&of.spec)) {
    CombineCommand command{.a = a,
                           .b = b,
                           .output = result,
                           .rows = rows,
                           .channels = channels,
                           .aFormat = from,
                           .bFormat = b < 0 ? from : format(1),
                           .outputFormat = to,
                           .params = combine->params};
    add(command);
  } else if (const auto *modulate = std::get_if<ModulateLayer>(&of.spec)) {
    add(ModulateCommand{.input = a,
                        .scale = b,
                        .shift = c,
                        .output = result,
                        .rows = rows,
                        .channels = channels,
                        .inputFormat = from,
                        .scaleFormat = format(1),
                        .shiftFormat = format(c < 0 ? 1 : 2),
                        .outputFormat = to,
                        .params = modulate->params});
  } else if (std::holds_alternative<TableLayer>(of.spec)) {
    add(TableCommand{.input = a,
                     .table = constant,
                     .output = result,
                     .count = rows * channels,
                     .inputFormat = from,
                     .outputFormat = to});
  } else if (const auto *geglu = std::get_if<GegluLayer>(&of.spec)) {
    add(GegluCommand{.input = a,
                     .table = constant,
                     .output = result,
                     .rows = rows,
                     .channels = channels,
                     .inputFormat = from,
                     .outputFormat = to,
                     .params = geglu->params,
                     .gate = gate});
  } else if (const auto *norm = std::get_if<NormLayer>(&of.spec)) {
    add(NormApplyCommand{.input = a,
                         .sums = 0,
                         .channelParams = constant,
                         .output = result,
                         .rows = rows,
                         .channels = channels,
                         .channelsPerGroup = channels,
                         .perRow = true,
                         .inputFormat = from,
                         .outputFormat = to,
                         .params = norm->params});
  }
}

void Emitter::expand(const RowsShape &s) {
  const AxisCut rows(s.rows, tiling.height), channels(s.channels, tiling.outputChannels);
  const RowsLayout layout = layoutOf(s, tiling, target.sram.alignment);
  const bool gated = std::holds_alternative<GegluLayer>(layer.spec);
  const auto *combine = std::get_if<CombineLayer>(&layer.spec);
  const int64_t slice = combine ? combine->channelOffset : 0;

  ConstantId constant = kNone;
  if (const auto *table = std::get_if<TableLayer>(&layer.spec))
    constant = table->table;
  if (const auto *geglu = std::get_if<GegluLayer>(&layer.spec))
    constant = geglu->table;
  if (const auto *norm = std::get_if<NormLayer>(&layer.spec))
    constant = norm->channels;
  if (constant != kNone)
    loadConstant(constant, 0, s.constantBytes, at(layout.constant, 0));

  /// Where the tile is: in its ring once it is loaded, or where it is resident.
  const auto operandAt = [&](int operand, int64_t picture, int64_t i, int64_t j, SramOffset to) {
    const int64_t width = byteWidth(input(operand).type);
    const int64_t row = picture * s.rows + rows.first(i), count = rows.extent(i);
    const int64_t column = channels.first(j), extent = channels.extent(j);
    if (!gated) {
      const TensorBox box{.dims = {1, 1, s.pictures * s.rows, s.channels},
                          .first = {0, 0, row, column},
                          .extent = {1, 1, count, extent},
                          .elementBytes = width};
      if (const SramPlace *place = residentInput(operand))
        return residentAt(*place, box);
      load(layer.inputs[operand], box, to);
      return to;
    }
    // Both halves of the columns, side by side.
    const int64_t half = s.channels * width, run = extent * width;
    add(DmaLoad{.region = Region::Arena,
                .dram = dramOf(layer.inputs[operand]) + row * 2 * half + column * width,
                .sram = to,
                .shape = joinedShape({{count, 2 * half, 2 * run}, {2, half, run}}, run)});
    return to;
  };

  int64_t tile = 0, broadcast = -1;
  for (int64_t picture = 0; picture < s.pictures; ++picture)
    for (int64_t j = 0; j < channels.tiles; ++j) {
      ++broadcast;
      for (int k = 0; k < 2; ++k)
        if (s.broadcastBytes[k] > 0)
          load(layer.inputs[1 + k],
               {.dims = {1, 1, s.pictures, s.channels},
                .first = {0, 0, picture, channels.first(j)},
                .extent = {1, 1, 1, channels.extent(j)},
                .elementBytes = s.broadcastBytes[k]},
               at(layout.broadcast[k], broadcast));
      for (int64_t i = 0; i < rows.tiles; ++i, ++tile) {
        const TensorBox result{
            .dims = {1, 1, s.pictures * s.rows, output().dims[3]},
            .first = {0, 0, picture * s.rows + rows.first(i), slice + channels.first(j)},
            .extent = {1, 1, rows.extent(i), channels.extent(j)},
            .elementBytes = s.outputBytes};
        const SramPlace *resident = residentResult();
        RowOperands operands{.a = operandAt(0, picture, i, j, at(layout.inputs[0], tile)),
                             .constant = at(layout.constant, 0),
                             .output = resident ? residentAt(*resident, result)
                                                : at(layout.output, tile)};
        if (s.inputBytes[1] > 0)
          operands.b = operandAt(1, picture, i, j, at(layout.inputs[1], tile));
        else if (s.broadcastBytes[0] > 0)
          operands.b = at(layout.broadcast[0], broadcast);
        if (s.broadcastBytes[1] > 0)
          operands.c = at(layout.broadcast[1], broadcast);
        rowsCommand(layer, operands, rows.extent(i), channels.extent(j));
        if (s.isStored)
          store(layer.output, result, operands.output);
      }
    }
}

void Emitter::expand(const GroupNormShape &s) {
  const NormLayer &norm = std::get<NormLayer>(layer.spec);
  const AxisCut rows(s.rows, tiling.height), channels(s.channels, tiling.outputChannels);
  const GroupNormLayout layout = layoutOf(s, tiling, target.sram.alignment);
  const bool kept = tiling.order == LoopOrder::InputResident;
  const int64_t record = sizeof(NormChannel);
  int64_t loads = 0, slice = 0, stores = 0;

  for (int64_t j = 0; j < channels.tiles; ++j) {
    const SramOffset params = at(layout.params, j);
    loadConstant(norm.channels, channels.first(j) * record, channels.extent(j) * record, params);
    for (int64_t picture = 0; picture < s.pictures; ++picture, ++slice) {
      const auto box = [&](int64_t i, int64_t width) {
        return TensorBox{.dims = {s.pictures, 1, s.rows, s.channels},
                         .first = {picture, 0, rows.first(i), channels.first(j)},
                         .extent = {1, 1, rows.extent(i), channels.extent(j)},
                         .elementBytes = width};
      };
      const SramOffset sums = at(layout.sums, slice);
      const int64_t firstLoad = loads;
      const SramPlace *from = residentInput(), *to = residentResult();
      const auto inputAt = [&](int64_t i, int64_t buffer, bool isLoaded) {
        if (from)
          return residentAt(*from, box(i, s.inputBytes));
        const SramOffset tile = at(layout.input, buffer);
        if (isLoaded)
          load(layer.inputs[0], box(i, s.inputBytes), tile);
        return tile;
      };
      for (int64_t i = 0; i < rows.tiles; ++i) {
        const SramOffset tile = inputAt(i, loads++, true);
        add(NormSumsCommand{.input = tile,
                            .sums = sums,
                            .rows = rows.extent(i),
                            .channels = channels.extent(j),
                            .channelsPerGroup = s.channelsPerGroup,
                            .inputFormat = input().format(),
                            .clear = i == 0});
      }
      for (int64_t i = 0; i < rows.tiles; ++i, ++stores) {
        const SramOffset tile = inputAt(i, kept ? firstLoad + i : loads++, !kept);
        const SramOffset result =
            to ? residentAt(*to, box(i, s.outputBytes)) : at(layout.output, stores);
        add(NormApplyCommand{.input = tile,
                             .sums = sums,
                             .channelParams = params,
                             .output = result,
                             .rows = rows.extent(i),
                             .channels = channels.extent(j),
                             .channelsPerGroup = s.channelsPerGroup,
                             .perRow = false,
                             .inputFormat = input().format(),
                             .outputFormat = output().format(),
                             .params = norm.params});
        finish({.box = box(i, s.outputBytes), .at = result, .tile = stores}, s.tails, layout.tails);
      }
    }
  }
}

} // namespace sdopt
