// Which layers may follow in the tiles of another.

#include "compiler/schedule/JoinedLayers.h"

#include "absl/strings/str_cat.h"

namespace sdopt {

JoinedLayers::JoinedLayers(const Network &network)
    : network(network), readers(network.tensors.size(), 0) {
  for (const Layer &layer : network.layers)
    for (TensorId id : layer.inputs)
      ++readers[rootOf(network, id)];
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role == TensorRole::Output)
      ++readers[rootOf(network, static_cast<TensorId>(id))];
}

bool JoinedLayers::isStored(size_t layer, size_t end) const {
  return layer + 1 >= end || readers[rootOf(network, network.layers[layer].output)] > 1;
}

size_t JoinedLayers::carriedInput(size_t layer) const {
  const std::vector<TensorId> &inputs = network.layers[layer].inputs;
  if (inputs.empty())
    return 0;
  const TensorId carried = rootOf(network, network.layers[layer - 1].output);
  return rootOf(network, inputs[0]) == carried ? 0 : 1;
}

std::string JoinedLayers::problem(size_t lead, size_t layer) const {
  if (lead >= layer || layer >= network.layers.size() || layer - lead > kMostTails)
    return absl::StrCat("is not one of ", kMostTails, " layers after its leader");
  const Layer &first = network.layers[lead], &before = network.layers[layer - 1],
              &own = network.layers[layer];
  const auto *norm = std::get_if<NormLayer>(&first.spec);
  const bool isMatrix = std::holds_alternative<MatrixLayer>(first.spec);
  if (!isMatrix && !(norm && !norm->perRow))
    return absl::StrCat("follows a ", kindName(first), "; only matrix layers and group norms lead");
  if (layer - lead > 1)
    if (std::string wrong = problem(lead, layer - 1); !wrong.empty())
      return wrong;
  if (own.phase != first.phase)
    return "is of another phase than its leader";
  // Of concatenated parts each is only a part of the output.
  const TensorInfo &result = network.tensors[before.output];
  if (const auto *combine = std::get_if<CombineLayer>(&before.spec))
    if (network.tensors[before.inputs[0]].dims[3] != result.dims[3] || combine->channelOffset != 0)
      return "takes a part of what the layer before it fills";
  const TensorId carried = rootOf(network, before.output);
  const size_t index = carriedInput(layer);
  if (index >= own.inputs.size() || rootOf(network, own.inputs[index]) != carried)
    return "does not take what the layer before it makes";
  const TensorInfo &input = network.tensors[own.inputs[index]];
  if (input.dims[3] != result.dims[3] || input.elements() != result.elements() ||
      input.type != result.type)
    return "takes what the layer before it makes in another shape";
  for (size_t i = 0; i < own.inputs.size(); ++i)
    for (size_t other = lead; i != index && other < layer; ++other)
      if (rootOf(network, own.inputs[i]) == rootOf(network, network.layers[other].output))
        return "takes another result of its group";
  if (const auto *combine = std::get_if<CombineLayer>(&own.spec)) {
    if (!combine->params.broadcastRows)
      return "";
    const auto &rows = network.tensors[first.output].dims;
    return index == 0 && input.dims[0] == rows[0]
               ? ""
               : "has a row for each picture; the tiles of its leader have no such pictures";
  }
  if (std::holds_alternative<TableLayer>(own.spec))
    return "";
  if (std::holds_alternative<GegluLayer>(own.spec))
    return isMatrix && layer == lead + 1 && !isStored(lead, layer + 1)
               ? ""
               : "makes one channel of two of no matrix layer whose result only it reads";
  const auto *rowNorm = std::get_if<NormLayer>(&own.spec);
  if (rowNorm && rowNorm->perRow)
    return isMatrix ? "" : "takes whole rows, which its leader does not make";
  return absl::StrCat("is a ", kindName(own), ", which cannot be joined");
}

std::string JoinedLayers::tilingProblem(size_t layer, const Tiling &tiling, size_t lead) const {
  const int64_t channels = network.tensors[network.layers[lead].output].dims[3];
  const TailShape tail = tailShape(layer, layer + 1);
  if (tail.takesRows && tiling.outputChannels < channels)
    return absl::StrCat("takes whole rows; its leader makes tiles of ", tiling.outputChannels,
                        " of ", channels, " channels");
  if (tail.isGated && (tiling.order == LoopOrder::WeightResident || channels % 2 != 0 ||
                       channels / 2 % tiling.outputChannels != 0))
    return absl::StrCat("takes two halves of channels; its leader makes tiles of ",
                        tiling.outputChannels, " of ", channels, " channels in order ",
                        name(tiling.order));
  return "";
}

TailShape JoinedLayers::tailShape(size_t layer, size_t end) const {
  const Layer &own = network.layers[layer];
  const auto rows = std::get<RowsShape>(shapeOf(network, own));
  const auto &carried = network.tensors[own.inputs[carriedInput(layer)]];
  TailShape tail{.rowBytes = rows.broadcastBytes[0],
                 .constantBytes = rows.constantBytes,
                 .outputBytes = rows.outputBytes,
                 .passes = rows.passes,
                 .isStored = isStored(layer, end),
                 .isGated = std::holds_alternative<GegluLayer>(own.spec),
                 .takesRows = std::holds_alternative<NormLayer>(own.spec)};
  if (rows.inputBytes[1] > 0)
    tail.operandBytes = rows.inputBytes[0] + rows.inputBytes[1] - byteWidth(carried.type);
  return tail;
}

LayerShape JoinedLayers::shape(size_t lead, size_t end) const {
  LayerShape shape = shapeOf(network, network.layers[lead]);
  if (end <= lead + 1)
    return shape;
  Tails tails{.isLeadStored = isStored(lead, end), .layers = {}};
  for (size_t layer = lead + 1; layer < end; ++layer)
    tails.layers.push_back(tailShape(layer, end));
  if (auto *matrix = std::get_if<MatrixShape>(&shape))
    matrix->tails = std::move(tails);
  else if (auto *norm = std::get_if<GroupNormShape>(&shape))
    norm->tails = std::move(tails);
  return shape;
}

std::string joinProblem(const Network &network, const Plan &plan) {
  const JoinedLayers joined(network);
  for (size_t i = 0; i < network.layers.size(); ++i) {
    if (!plan.layers[i].joined)
      continue;
    const size_t lead = leaderOf(plan, i);
    std::string wrong = joined.problem(lead, i);
    if (wrong.empty())
      wrong = joined.tilingProblem(i, plan.layers[lead].tiling, lead);
    if (!wrong.empty())
      return absl::StrCat("layer '", network.layers[i].name, "' is joined and ", wrong);
  }
  return "";
}

size_t groupEnd(const Plan &plan, size_t lead) {
  size_t end = lead + 1;
  while (end < plan.layers.size() && plan.layers[end].joined)
    ++end;
  return end;
}

size_t leaderOf(const Plan &plan, size_t layer) {
  while (layer > 0 && plan.layers[layer].joined)
    --layer;
  return layer;
}

} // namespace sdopt
