// Attention, head by head: exact row maxima over all keys first, then the sums. Rows of several
// heads may be loaded and stored together.

#include "compiler/schedule/Emitter.h"

namespace sdopt {

void Emitter::expand(const AttentionShape &s) {
  const AttentionLayer &attention = std::get<AttentionLayer>(layer.spec);
  const AxisCut queries(s.queries, tiling.height), keys(s.keys, tiling.width);
  const AttentionLayout layout = layoutOf(s, tiling, target.sram.alignment);
  const bool resident = keys.tiles == 1;
  const bool keysStay = resident || tiling.order == LoopOrder::WeightResident;
  const std::array<const SramPlace *, 3> from = {residentInput(0), residentInput(1),
                                                 residentInput(2)};
  const SramPlace *to = residentResult();
  const int64_t together = headsTogether(s, tiling), channels = together * s.headDim;
  // Heads lie side by side, in the block of a resident tensor or in the rows that are loaded.
  const auto stride = [&](const SramPlace *place) { return place ? place->channels : channels; };
  int64_t block = 0, sums = 0, kLoads = 0, vLoads = 0;

  for (int64_t picture = 0; picture < s.batch; ++picture)
    for (int64_t first = 0; first < s.heads; first += together) {
      /// Rows of heads [head, head + count).
      const auto boxOf = [&](const AxisCut &cut, int64_t i, int64_t width, int64_t head,
                             int64_t count) {
        return TensorBox{.dims = {1, s.batch, cut.size, s.heads * s.headDim},
                         .first = {0, picture, cut.first(i), head * s.headDim},
                         .extent = {1, 1, cut.extent(i), count * s.headDim},
                         .elementBytes = width};
      };
      const auto box = [&](const AxisCut &cut, int64_t i, int64_t width) {
        return boxOf(cut, i, width, first, together);
      };
      const auto loadK = [&](int64_t j) {
        if (!from[1])
          load(layer.inputs[1], box(keys, j, s.kBytes), at(layout.k, kLoads++));
      };
      const auto loadV = [&](int64_t j) {
        if (!from[2])
          load(layer.inputs[2], box(keys, j, s.vBytes), at(layout.v, vLoads++));
      };
      for (int64_t i = 0; i < queries.tiles; ++i, ++block) {
        if (!from[0])
          load(layer.inputs[0], box(queries, i, s.qBytes), at(layout.q, block));
        if (keysStay && i == 0)
          for (int64_t j = 0; j < keys.tiles; ++j)
            loadK(j);
        for (int64_t head = first; head < first + together; ++head, ++sums) {
          /// Where rows of the head are: where they are resident, or in a buffer.
          const auto rowsAt = [&](const SramPlace *place, const AxisCut &cut, int64_t index,
                                  int64_t width, SramOffset buffer) {
            return place ? residentAt(*place, boxOf(cut, index, width, head, 1))
                         : buffer + (head - first) * s.headDim * width;
          };
          const auto keysAt = [&](int64_t j) {
            return rowsAt(from[1], keys, j, s.kBytes,
                          at(layout.k, keysStay ? kLoads - keys.tiles + j : kLoads - 1));
          };
          const SramOffset q = rowsAt(from[0], queries, i, s.qBytes, at(layout.q, block));
          const SramOffset rowMax = at(layout.rowMax, sums);
          const SramOffset rowSum = at(layout.rowSum, sums);
          const SramOffset accumulator = at(layout.accumulator, sums);
          const auto tile = [&](int64_t j) {
            return AttentionTile{.queries = queries.extent(i),
                                 .keys = keys.extent(j),
                                 .headDim = s.headDim,
                                 .firstQuery = queries.first(i),
                                 .firstKey = keys.first(j),
                                 .queryStride = stride(from[0]),
                                 .keyStride = stride(from[1] ? from[1] : from[2])};
          };
          for (int64_t j = 0; j < keys.tiles; ++j) {
            if (!keysStay)
              loadK(j);
            add(AttentionMaximaCommand{.tile = tile(j),
                                       .q = q,
                                       .k = keysAt(j),
                                       .rowMax = rowMax,
                                       .qFormat = input(0).format(),
                                       .kFormat = input(1).format(),
                                       .params = attention.params,
                                       .clear = j == 0});
          }
          for (int64_t j = 0; j < keys.tiles; ++j) {
            if (!keysStay)
              loadK(j);
            if (!resident || (i == 0 && head == first))
              loadV(j);
            add(AttentionAccumulateCommand{
                .tile = tile(j),
                .q = q,
                .k = keysAt(j),
                .v = rowsAt(from[2], keys, j, s.vBytes, at(layout.v, vLoads - 1)),
                .rowMax = rowMax,
                .rowSum = rowSum,
                .accumulator = accumulator,
                .qFormat = input(0).format(),
                .kFormat = input(1).format(),
                .vFormat = input(2).format(),
                .params = attention.params,
                .clear = j == 0});
          }
          add(AttentionFinishCommand{
              .queries = queries.extent(i),
              .headDim = s.headDim,
              .outputStride = stride(to),
              .rowSum = rowSum,
              .accumulator = accumulator,
              .output = rowsAt(to, queries, i, s.outputBytes, at(layout.output, block)),
              .outputFormat = output().format(),
              .params = attention.params});
        }
        if (!s.isStored)
          continue;
        if (!to) {
          store(layer.output, box(queries, i, s.outputBytes), at(layout.output, block));
          continue;
        }
        for (int64_t head = first; head < first + together; ++head) {
          const TensorBox rows = boxOf(queries, i, s.outputBytes, head, 1);
          add(DmaStore{.dram = dramOf(layer.output) + rows.offset(),
                       .sram = residentAt(*to, rows),
                       .shape =
                           joinedShape({{queries.extent(i), s.heads * s.headDim * s.outputBytes,
                                         stride(to) * s.outputBytes}},
                                       s.headDim * s.outputBytes)});
        }
      }
    }
}

} // namespace sdopt
