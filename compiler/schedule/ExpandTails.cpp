// What joined layers do with each tile of their leader's results.

#include "compiler/schedule/Emitter.h"

namespace sdopt {

void Emitter::finish(const ResultPart &part, const Tails &tails, const TailLayouts &layouts) {
  if (tails.isLeadStored)
    store(layer.output, part.box, part.at);
  SramOffset carried = part.at;
  for (size_t i = 0; i < tails.layers.size(); ++i) {
    current = layerIndex + 1 + static_cast<int32_t>(i);
    carried = finishTail(i, part, carried, tails.layers[i], layouts[i]);
  }
  current = layerIndex;
}

SramOffset Emitter::finishTail(size_t tail, const ResultPart &part, SramOffset carried,
                               const TailShape &shape, const TailLayout &layout) {
  const Layer &own = network.layers[current];
  const size_t carriedInput = joined.carriedInput(static_cast<size_t>(current));
  const TensorBox &box = part.box;
  const int64_t rows = box.extent[0] * box.extent[1] * box.extent[2], channels = box.extent[3];
  TensorBox result = box;
  result.elementBytes = shape.outputBytes;
  result.dims[3] = network.tensors[own.output].dims[3];
  if (const auto *combine = std::get_if<CombineLayer>(&own.spec))
    result.first[3] += combine->channelOffset;
  const SramPlace *resident = residents.ofResult(static_cast<size_t>(current));
  TailState &state = tailStates[tail];
  RowOperands operands{.a = carried,
                       .constant = at(layout.constant, 0),
                       .output = resident ? residentAt(*resident, result)
                                          : at(layout.output, part.tile) +
                                                part.before * shape.outputBytes,
                       .gate = part.gate};
  if (shape.constantBytes > 0 && !state.hasConstant) {
    const auto *table = std::get_if<TableLayer>(&own.spec);
    const auto *geglu = std::get_if<GegluLayer>(&own.spec);
    loadConstant(table   ? table->table
                 : geglu ? geglu->table
                         : std::get<NormLayer>(own.spec).channels,
                 0, shape.constantBytes, operands.constant);
    state.hasConstant = true;
  }
  if (shape.operandBytes > 0) {
    TensorBox other = box;
    other.elementBytes = shape.operandBytes;
    const SramPlace *place = residents.ofInput(static_cast<size_t>(current), 1 - carriedInput);
    if (place) {
      operands.b = residentAt(*place, other);
    } else {
      operands.b = at(layout.operand, part.tile) + part.before * shape.operandBytes;
      load(own.inputs[1 - carriedInput], other, operands.b);
    }
    if (carriedInput == 1)
      std::swap(operands.a, operands.b);
  }
  if (shape.rowBytes > 0) {
    if (state.picture != box.first[0] || state.channel != box.first[3]) {
      state = {box.first[0], box.first[3], state.rows + 1, state.hasConstant};
      load(own.inputs[1],
           {.dims = {1, 1, box.dims[0], box.dims[3]},
            .first = {0, 0, box.first[0], box.first[3]},
            .extent = {1, 1, 1, channels},
            .elementBytes = shape.rowBytes},
           at(layout.row, state.rows - 1));
    }
    operands.b = at(layout.row, state.rows - 1);
  }
  rowsCommand(own, operands, rows, channels);
  if (shape.isStored)
    store(own.output, result, operands.output);
  return operands.output;
}

} // namespace sdopt
