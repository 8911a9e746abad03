// Which results may stay in SRAM, and what that means for the layers of a plan.

#include "compiler/schedule/ResidentTensors.h"

#include "absl/strings/str_cat.h"
#include "compiler/schedule/SramLayout.h"

#include <algorithm>

namespace sdopt {

TensorUses::TensorUses(const Network &network) : network(network), all(network.tensors.size()) {
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Layer &layer = network.layers[i];
    ++all[rootOf(network, layer.output)].makers;
    for (size_t k = 0; k < layer.inputs.size(); ++k)
      all[rootOf(network, layer.inputs[k])].readers.push_back({i, k});
  }
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role != TensorRole::Intermediate)
      all[rootOf(network, static_cast<TensorId>(id))].isKept = true;
}

std::string TensorUses::makerProblem(size_t layer, int64_t blockChannels) const {
  const Layer &maker = network.layers[layer];
  const TensorInfo &result = network.tensors[maker.output];
  const TensorId owner = rootOf(network, maker.output);
  const auto wrong = absl::StrCat("cannot be in blocks of ", blockChannels, " channels: ");
  if (blockChannels < 1 || result.dims[3] % blockChannels != 0)
    return absl::StrCat(wrong, "it has ", result.dims[3]);
  if (all[owner].makers != 1 || network.tensors[owner].role == TensorRole::Input)
    return "has parts that are made by others";
  if (const auto *combine = std::get_if<CombineLayer>(&maker.spec))
    return combine->channelOffset == 0 && network.tensors[maker.inputs[0]].dims[3] == result.dims[3]
               ? ""
               : "is a part of a wider tensor";
  if (const auto *norm = std::get_if<NormLayer>(&maker.spec)) {
    const int64_t whole =
        norm->perRow ? result.dims[3] : std::max<int64_t>(result.dims[3] / norm->groups, 1);
    return blockChannels % whole == 0 ? "" : absl::StrCat(wrong, "its groups have ", whole);
  }
  if (const auto *attention = std::get_if<AttentionLayer>(&maker.spec)) {
    const int64_t head = std::max<int64_t>(result.dims[3] / attention->heads, 1);
    return blockChannels % head == 0 ? "" : absl::StrCat(wrong, "its heads have ", head);
  }
  if (std::holds_alternative<MatrixLayer>(maker.spec) ||
      std::holds_alternative<TableLayer>(maker.spec) ||
      std::holds_alternative<GegluLayer>(maker.spec) ||
      std::holds_alternative<ModulateLayer>(maker.spec))
    return "";
  return absl::StrCat("is made by a ", kindName(maker), ", which only stores it");
}

std::string TensorUses::readerProblem(size_t maker, const Reader &reader,
                                      int64_t blockChannels) const {
  const Layer &own = network.layers[reader.layer];
  const TensorInfo &result = network.tensors[network.layers[maker].output];
  const TensorInfo &input = network.tensors[own.inputs[reader.input]];
  const auto wrong = [&](const char *what) {
    return absl::StrCat("'", own.name, "' ", what, " and cannot take blocks of ", blockChannels,
                        " channels");
  };
  if (own.phase != network.layers[maker].phase)
    return wrong("is of another phase");
  if (input.dims[3] != result.dims[3] || input.elements() != result.elements() ||
      input.type != result.type)
    return wrong("takes it in another shape");
  const int64_t channels = result.dims[3];
  if (const auto *combine = std::get_if<CombineLayer>(&own.spec))
    return combine->params.broadcastRows && reader.input == 1 ? wrong("takes a row of it") : "";
  if (const auto *norm = std::get_if<NormLayer>(&own.spec)) {
    const int64_t whole = norm->perRow ? channels : std::max<int64_t>(channels / norm->groups, 1);
    return blockChannels % whole == 0 ? "" : wrong("takes whole groups");
  }
  if (const auto *attention = std::get_if<AttentionLayer>(&own.spec))
    return blockChannels % std::max<int64_t>(channels / attention->heads, 1) == 0
               ? ""
               : wrong("takes whole heads");
  if (std::holds_alternative<ModulateLayer>(own.spec))
    return reader.input == 0 ? "" : wrong("takes a row of it");
  if (std::holds_alternative<UpsampleLayer>(own.spec))
    return blockChannels == channels ? "" : wrong("takes whole pixels");
  if (std::holds_alternative<MatrixLayer>(own.spec)) {
    const WindowAxis axis = std::get<MatrixShape>(shapeOf(network, own)).horizontal;
    return WindowCut(axis, axis.output).maxSpan == axis.input ? "" : wrong("leaves columns out");
  }
  if (std::holds_alternative<TableLayer>(own.spec))
    return "";
  return wrong("takes it in other pieces");
}

namespace {

struct NoteResidence {
  const GroupResidence &residence;

  void tails(Tails &tails) const {
    tails.isLeadResident = residence.results[0];
    tails.isLeadStored = residence.isStored[0];
    for (size_t i = 0; i < tails.layers.size(); ++i) {
      tails.layers[i].isOperandResident = residence.operands[i];
      tails.layers[i].isResident = residence.results[i + 1];
      tails.layers[i].isStored = residence.isStored[i + 1];
    }
  }
  void operator()(MatrixShape &s) const {
    tails(s.tails);
    s.inputBlock = residence.inputs[0];
    s.channelTiles = residence.channelTiles;
  }
  void operator()(GroupNormShape &s) const {
    tails(s.tails);
    s.isInputResident = residence.inputs[0] > 0;
    s.channelTiles = residence.channelTiles;
  }
  void operator()(RowsShape &s) const {
    s.isInputResident = {residence.inputs[0] > 0, residence.inputs[1] > 0};
    s.isResident = residence.results[0];
    s.isStored = residence.isStored[0];
    s.channelTiles = residence.channelTiles;
  }
  void operator()(AttentionShape &s) const {
    for (int i = 0; i < 3; ++i)
      s.isInputResident[i] = residence.inputs[i] > 0;
    s.isResident = residence.results[0];
    s.isStored = residence.isStored[0];
  }
  void operator()(UpsampleShape &s) const { s.isInputResident = residence.inputs[0] > 0; }
  template <typename Other> void operator()(Other &) const {}
};

} // namespace

void setResidence(LayerShape &shape, const GroupResidence &residence) {
  std::visit(NoteResidence{residence}, shape);
}

SramSpan largestGap(std::vector<SramSpan> taken, int64_t sramBytes) {
  std::sort(taken.begin(), taken.end(),
            [](const SramSpan &a, const SramSpan &b) { return a.begin < b.begin; });
  taken.push_back({sramBytes, sramBytes});
  SramSpan largest;
  int64_t end = 0;
  for (const SramSpan &span : taken) {
    if (span.begin - end > largest.bytes())
      largest = {end, span.begin};
    end = std::max(end, span.end);
  }
  return largest;
}

ResidentTensors::ResidentTensors(const Network &network, const Plan &plan)
    : network(network), plan(plan), uses(network), joined(network),
      makers(network.tensors.size(), -1), stored(network.layers.size(), true),
      inDram(network.tensors.size(), false) {
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const TensorId result = network.layers[i].output;
    const auto &readers = uses.readers(result);
    const auto most = static_cast<int64_t>(readers.size());
    const bool isCarried = i + 1 < network.layers.size() && plan.layers[i + 1].joined;
    const SramPlace &place = plan.layers[i].resident;
    int64_t fromSram = isCarried ? 1 : 0;
    if (place.channels > 0 && most > 0) {
      const int64_t count = std::clamp<int64_t>(place.readers, 1, most);
      fromSram = std::max(fromSram, count);
      makers[rootOf(network, result)] = static_cast<int32_t>(i);
      lives.push_back({i,
                       leaderOf(plan, i),
                       leaderOf(plan, readers[count - 1].layer),
                       {place.offset, place.offset + network.tensors[result].bytes()}});
    }
    stored[i] = fromSram == 0 || uses.isKept(result) || most > fromSram;
    if (stored[i])
      inDram[rootOf(network, result)] = true;
  }
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].role == TensorRole::Input)
      inDram[rootOf(network, static_cast<TensorId>(id))] = true;
}

const SramPlace *ResidentTensors::ofResult(size_t layer) const {
  const SramPlace &place = plan.layers[layer].resident;
  return place.channels > 0 && makers[rootOf(network, network.layers[layer].output)] ==
                                   static_cast<int32_t>(layer)
             ? &place
             : nullptr;
}

const SramPlace *ResidentTensors::ofInput(size_t layer, size_t input) const {
  const TensorId id = network.layers[layer].inputs[input];
  const int32_t maker = makers[rootOf(network, id)];
  if (maker < 0 || (plan.layers[layer].joined && joined.carriedInput(layer) == input))
    return nullptr;
  const SramPlace &place = plan.layers[static_cast<size_t>(maker)].resident;
  const auto &readers = uses.readers(id);
  for (int64_t i = 0; i < std::min(place.readers, static_cast<int64_t>(readers.size())); ++i)
    if (readers[i].layer == layer && readers[i].input == input)
      return &place;
  return nullptr;
}

LayerShape ResidentTensors::shape(size_t lead) const {
  const size_t end = groupEnd(plan, lead);
  LayerShape shape = joined.shape(lead, end);
  GroupResidence residence;
  for (size_t i = 0; i < network.layers[lead].inputs.size() && i < residence.inputs.size(); ++i)
    if (const SramPlace *place = ofInput(lead, i))
      residence.inputs[i] = place->channels;
  for (size_t layer = lead; layer < end; ++layer) {
    residence.results[layer - lead] = ofResult(layer) != nullptr;
    residence.isStored[layer - lead] = stored[layer];
    if (layer > lead && network.layers[layer].inputs.size() > 1)
      residence.operands[layer - lead - 1] =
          ofInput(layer, 1 - joined.carriedInput(layer)) != nullptr;
  }
  setResidence(shape, residence);
  return shape;
}

SramSpan ResidentTensors::gap(size_t lead, int64_t sramBytes, int64_t alignment) const {
  std::vector<SramSpan> taken;
  for (const Life &life : lives)
    if (life.first <= lead && lead <= life.last)
      taken.push_back({life.span.begin, ceilDiv(life.span.end, alignment) * alignment});
  return largestGap(std::move(taken), sramBytes);
}

namespace {

/// Are the tiles of a group whole rows of pixels, or parts of the only one?
bool hasWholeRows(const Network &network, const Layer &lead, const Tiling &tiling) {
  return !std::holds_alternative<MatrixLayer>(lead.spec) ||
         tiling.width >= network.tensors[lead.output].dims[2] ||
         std::get<MatrixShape>(shapeOf(network, lead)).hasOneRow();
}

} // namespace

std::string ResidentTensors::layerProblem(const Life &life, int64_t sramBytes) const {
  const Layer &maker = network.layers[life.maker];
  const SramPlace &place = plan.layers[life.maker].resident;
  if (place.offset < 0 || place.offset % 16 != 0 || life.span.end > sramBytes)
    return absl::StrCat("at ", place.offset, " of SRAM; there are ", sramBytes, " bytes");
  if (place.readers < 1 || place.readers > static_cast<int64_t>(uses.readers(maker.output).size()))
    return absl::StrCat("for ", place.readers, " readers of ", uses.readers(maker.output).size());
  if (std::string wrong = uses.makerProblem(life.maker, place.channels); !wrong.empty())
    return wrong;
  // What cuts the results of a group, or takes an operand beside them, has tiles of their blocks.
  const auto isCutAlike = [&](size_t lead) {
    const Tiling &tiling = plan.layers[lead].tiling;
    return hasWholeRows(network, network.layers[lead], tiling) &&
           (std::holds_alternative<AttentionLayer>(network.layers[lead].spec) ||
            std::holds_alternative<UpsampleLayer>(network.layers[lead].spec) ||
            tiling.outputChannels == place.channels);
  };
  if (!isCutAlike(life.first))
    return absl::StrCat("in blocks of ", place.channels, " channels, which its tiles are not");
  for (int64_t i = 0; i < place.readers; ++i) {
    const TensorUses::Reader &reader = uses.readers(maker.output)[i];
    const Layer &own = network.layers[reader.layer];
    const Tiling &tiling = plan.layers[reader.layer].tiling;
    if (plan.layers[reader.layer].joined && joined.carriedInput(reader.layer) == reader.input)
      continue;
    if (std::string wrong = uses.readerProblem(life.maker, reader, place.channels); !wrong.empty())
      return wrong;
    const bool leadsMatrix = std::holds_alternative<MatrixLayer>(own.spec);
    bool fits = leadsMatrix
                    ? tiling.inputChannels == place.channels && hasWholeRows(network, own, tiling)
                    : isCutAlike(leaderOf(plan, reader.layer));
    if (std::holds_alternative<UpsampleLayer>(own.spec))
      fits = tiling.width >= network.tensors[own.inputs[0]].dims[2];
    if (const auto *attention = std::get_if<AttentionLayer>(&own.spec)) {
      const int64_t head = network.tensors[own.output].dims[3] / attention->heads;
      const SramPlace *k = ofInput(reader.layer, 1), *v = ofInput(reader.layer, 2);
      fits = (k ? k->channels : head) == (v ? v->channels : head);
    }
    if (!fits)
      return absl::StrCat("in blocks of ", place.channels, " channels, which the tiles of '",
                          own.name, "' are not");
  }
  return "";
}

std::string ResidentTensors::problem(int64_t sramBytes) const {
  for (const Life &life : lives) {
    std::string wrong = layerProblem(life, sramBytes);
    for (const Life &other : lives)
      if (wrong.empty() && other.maker != life.maker && life.first <= other.last &&
          other.first <= life.last && life.span.begin < other.span.end &&
          other.span.begin < life.span.end)
        wrong = absl::StrCat("where '", network.layers[other.maker].name, "' is");
    if (!wrong.empty())
      return absl::StrCat("layer '", network.layers[life.maker].name, "' is resident ", wrong);
  }
  return "";
}

} // namespace sdopt
