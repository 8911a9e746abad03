// checkPlan: places and costs of a plan, recomputed the slow way. Shares no code with
// planNetwork().

#include "absl/strings/str_cat.h"
#include "compiler/schedule/Plan.h"

#include <algorithm>

namespace sdopt {
namespace {

using Problem = std::string;

TensorId ownerOf(const Network &network, TensorId id) {
  while (network.tensors[id].aliasOf != kNone)
    id = network.tensors[id].aliasOf;
  return id;
}

/// First and last layer while which some view of `owner` must keep its bytes; last < first: never.
struct Life {
  int64_t first = INT64_MAX, last = -1;
  bool aliveAt(int64_t step) const { return first <= step && step <= last; }
};

/// First or last layer of those that run tile by tile with layer `step`.
int64_t firstOfGroup(const Plan &plan, int64_t step) {
  while (step > 0 && plan.layers[step].joined)
    --step;
  return step;
}
int64_t lastOfGroup(const Plan &plan, int64_t step) {
  while (step + 1 < static_cast<int64_t>(plan.layers.size()) && plan.layers[step + 1].joined)
    ++step;
  return step;
}

/// All (layer, input) that read some view of `owner`, in order.
std::vector<std::pair<size_t, size_t>> readsOf(const Network &network, TensorId owner) {
  std::vector<std::pair<size_t, size_t>> reads;
  for (size_t i = 0; i < network.layers.size(); ++i)
    for (size_t k = 0; k < network.layers[i].inputs.size(); ++k)
      if (ownerOf(network, network.layers[i].inputs[k]) == owner)
        reads.emplace_back(i, k);
  return reads;
}

/// The layers of a plan whose results are resident, by the owner of the result's bytes, and what
/// reads each tensor. Made once: layers ask again and again.
struct Residents {
  const Network &network;
  const Plan &plan;
  std::vector<int64_t> maker; ///< by owner, or -1
  std::vector<std::vector<std::pair<size_t, size_t>>> reads;

  Residents(const Network &network, const Plan &plan)
      : network(network), plan(plan), maker(network.tensors.size(), -1) {
    for (size_t i = 0; i < network.layers.size(); ++i)
      if (plan.layers[i].resident.channels != 0)
        maker[ownerOf(network, network.layers[i].output)] = static_cast<int64_t>(i);
    for (size_t id = 0; id < network.tensors.size(); ++id)
      reads.push_back(readsOf(network, static_cast<TensorId>(id)));
  }
  /// Is it the result of the layer before, which its group takes tile by tile?
  bool isCarried(size_t layer, size_t input) const {
    return layer > 0 && plan.layers[layer].joined &&
           ownerOf(network, network.layers[layer].inputs[input]) ==
               ownerOf(network, network.layers[layer - 1].output);
  }
  bool isFromSram(size_t layer, size_t input) const {
    const TensorId owner = ownerOf(network, network.layers[layer].inputs[input]);
    if (maker[owner] < 0)
      return false;
    const auto count =
        static_cast<size_t>(plan.layers[static_cast<size_t>(maker[owner])].resident.readers);
    for (size_t i = 0; i < reads[owner].size() && i < count; ++i)
      if (reads[owner][i] == std::pair(layer, input))
        return true;
    return false;
  }
  /// Is anything of it read from DRAM, in this run or by the host? What nobody reads goes there
  /// too.
  bool isWanted(TensorId owner) const {
    for (size_t id = 0; id < network.tensors.size(); ++id)
      if (network.tensors[id].role != TensorRole::Intermediate &&
          ownerOf(network, static_cast<TensorId>(id)) == owner)
        return true;
    return reads[owner].empty() ||
           std::any_of(reads[owner].begin(), reads[owner].end(), [&](const auto &read) {
             return !isCarried(read.first, read.second) && !isFromSram(read.first, read.second);
           });
  }
  bool isInDram(TensorId owner) const {
    return network.tensors[owner].role == TensorRole::Input ||
           std::any_of(network.layers.begin(), network.layers.end(), [&](const Layer &layer) {
             return ownerOf(network, layer.output) == owner && isWanted(owner);
           });
  }
};

Life lifeOf(const Network &network, const Plan &plan, TensorId owner) {
  Life life;
  const auto steps = static_cast<int64_t>(network.layers.size());
  const auto uses = [&](const Layer &layer) {
    if (ownerOf(network, layer.output) == owner)
      return true;
    return std::any_of(layer.inputs.begin(), layer.inputs.end(),
                       [&](TensorId id) { return ownerOf(network, id) == owner; });
  };
  for (int64_t step = 0; step < steps; ++step)
    if (uses(network.layers[step])) {
      life.first = std::min(life.first, firstOfGroup(plan, step));
      life.last = std::max(life.last, lastOfGroup(plan, step));
    }
  // A later phase may run many times: what it finds must still be there the next time.
  for (int64_t step = 0; step < steps; ++step)
    if (ownerOf(network, network.layers[step].output) == owner &&
        network.layers[step].phase != network.layers[life.last].phase)
      life.last = steps - 1;
  for (size_t id = 0; id < network.tensors.size(); ++id) {
    if (ownerOf(network, static_cast<TensorId>(id)) != owner)
      continue;
    if (network.tensors[id].role == TensorRole::Input) {
      life.first = 0;
      life.last = std::max<int64_t>(life.last, 0);
    }
    if (network.tensors[id].role == TensorRole::Output) {
      life.first = std::min(life.first, steps - 1);
      life.last = steps - 1;
    }
  }
  return life;
}

Problem placementProblem(const Network &network, const Plan &plan, const Residents &residents) {
  std::vector<TensorId> owners;
  for (size_t i = 0; i < network.tensors.size(); ++i) {
    const auto id = static_cast<TensorId>(i);
    const TensorInfo &tensor = network.tensors[i];
    if (plan.offsets[i] != plan.offsets[ownerOf(network, id)])
      return absl::StrCat("tensor '", tensor.name, "' does not lie where its owner lies");
    if (!residents.isInDram(ownerOf(network, id))) {
      if (plan.offsets[i] != kNowhere)
        return absl::StrCat("tensor '", tensor.name, "' has a place in DRAM and never is there");
      continue;
    }
    if (plan.offsets[i] % 64 != 0 || plan.offsets[i] < 0 ||
        plan.offsets[i] + tensor.bytes() > plan.arenaBytes)
      return absl::StrCat("tensor '", tensor.name, "' of ", tensor.bytes(), " bytes at ",
                          plan.offsets[i], " does not fit the arena of ", plan.arenaBytes,
                          " or is not aligned to 64");
    if (ownerOf(network, id) == id)
      owners.push_back(id);
  }
  std::vector<Life> lives;
  for (TensorId owner : owners)
    lives.push_back(lifeOf(network, plan, owner));
  int64_t mostLive = 0;
  for (size_t step = 0; step < network.layers.size(); ++step) {
    int64_t live = 0;
    std::vector<TensorId> here;
    for (size_t k = 0; k < owners.size(); ++k)
      if (lives[k].aliveAt(static_cast<int64_t>(step))) {
        here.push_back(owners[k]);
        live += network.tensors[owners[k]].bytes();
      }
    mostLive = std::max(mostLive, live);
    for (TensorId a : here)
      for (TensorId b : here)
        if (a < b && plan.offsets[a] < plan.offsets[b] + network.tensors[b].bytes() &&
            plan.offsets[b] < plan.offsets[a] + network.tensors[a].bytes())
          return absl::StrCat("tensors '", network.tensors[a].name, "' and '",
                              network.tensors[b].name, "' overlap while layer '",
                              network.layers[step].name, "' runs");
  }
  if (plan.arenaLowerBound != mostLive)
    return absl::StrCat("states ", plan.arenaLowerBound, " live bytes; they are ", mostLive);
  return "";
}

/// DRAM bytes of a matrix layer by walking its tiles.
struct MatrixWalk {
  const MatrixLayer &spec;
  const TensorInfo &x, &y;
  const Tiling &t;
  const ConstantInfo &weights;
  bool isFromSram; ///< the input
  int64_t read = 0, written = 0;

  /// First and last input position that some outputs of one axis see.
  static std::array<int64_t, 2> inputs(int64_t first, int64_t count, int64_t stride,
                                       int64_t dilation, int64_t kernel, int64_t pad,
                                       int64_t size) {
    const int64_t low = first * stride - pad;
    const int64_t high = (first + count - 1) * stride - pad + (kernel - 1) * dilation;
    return {std::max<int64_t>(low, 0), std::min(high, size - 1)};
  }

  /// Input rows of all tiles of a stripe; those that the tile above has left are not read again.
  bool keepsRows() const {
    return t.buffers > 8 &&
           (t.order == LoopOrder::InputResident ||
            (t.order == LoopOrder::WeightResident && t.inputChannels == x.dims[3]));
  }

  void run() {
    std::vector<std::array<int64_t, 4>> spatial; // input bytes of one channel, outputs, key
    const int64_t pictures = std::max<int64_t>(t.height / y.dims[1], 1);
    for (int64_t b = 0; b < y.dims[0]; b += pictures)
      for (int64_t w = 0; w < y.dims[2]; w += t.width) {
        int64_t lastRow = -1;
        for (int64_t h = 0; h < y.dims[1]; h += t.height) {
          const int64_t n = std::min(pictures, y.dims[0] - b);
          const int64_t nh = std::min(t.height, y.dims[1] - h);
          const int64_t nw = std::min(t.width, y.dims[2] - w);
          const auto rows = inputs(h, nh, spec.strideH, spec.dilationH, spec.kernelHeight,
                                   spec.padTop, x.dims[1]);
          const auto columns = inputs(w, nw, spec.strideW, spec.dilationW, spec.kernelWidth,
                                      spec.padLeft, x.dims[2]);
          const int64_t above = keepsRows() ? std::max(rows[0], lastRow + 1) : rows[0];
          lastRow = rows[1];
          spatial.push_back({n * (rows[1] - above + 1) * (columns[1] - columns[0] + 1), n * nh * nw,
                             static_cast<int64_t>(spatial.size()), 0});
        }
      }
    if (t.order == LoopOrder::WeightResident) {
      for (int64_t co = 0; co < y.dims[3]; co += t.outputChannels)
        for (const auto &tile : spatial)
          visit(tile, co);
    } else {
      for (const auto &tile : spatial)
        for (int64_t co = 0; co < y.dims[3]; co += t.outputChannels)
          visit(tile, co);
    }
  }

  void visit(const std::array<int64_t, 4> &tile, int64_t co) {
    const int64_t outputs = std::min(t.outputChannels, y.dims[3] - co);
    for (int64_t ci = 0; ci < x.dims[3]; ci += t.inputChannels) {
      const int64_t channels = std::min(t.inputChannels, x.dims[3] - ci);
      const bool inputStays = t.order == LoopOrder::InputResident;
      const bool weightsStay = t.order == LoopOrder::WeightResident;
      const std::array<int64_t, 2> input = {tile[2], inputStays ? 0 : ci};
      const std::array<int64_t, 2> weights = {co, weightsStay ? 0 : ci};
      // A resident operand is loaded with all its blocks when the first is wanted.
      if (input != lastInput && !isFromSram)
        read += tile[0] * byteWidth(x.type) * (inputStays ? x.dims[3] : channels);
      if (!isThere(lastWeights, weights))
        for (int64_t first = ci; first < (weightsStay ? x.dims[3] : ci + channels);
             first += t.inputChannels)
          read += streamBytes(co, outputs, first, std::min(t.inputChannels, x.dims[3] - first));
      lastInput = input;
    }
    if (!isThere(lastParams, {co, 0}))
      read += outputs * 16;
    written += tile[1] * outputs * byteWidth(y.type);
  }

  /// Is a block in one of the buffers of its operand, two where it is doubled? It is from now on.
  bool isThere(std::vector<std::array<int64_t, 2>> &last,
               const std::array<int64_t, 2> &block) const {
    if (std::find(last.begin(), last.end(), block) != last.end())
      return true;
    last.push_back(block);
    if (last.size() > (t.buffers % 8 >= 2 ? 2U : 1U))
      last.erase(last.begin());
    return false;
  }

  /// Bytes of the weights of output channels [co, co + outputs) and input channels [first, first +
  /// channels): as they were packed, or as expected.
  int64_t streamBytes(int64_t co, int64_t outputs, int64_t first, int64_t channels) const {
    const int64_t taps = spec.kernelHeight * spec.kernelWidth;
    const int64_t plain = plainBytes(co, outputs, first, channels, taps);
    if (!weights.form.varies())
      return plain;
    const int64_t columns = (x.dims[3] + t.inputChannels - 1) / t.inputChannels;
    const int64_t rows = (y.dims[3] + t.outputChannels - 1) / t.outputChannels;
    if (static_cast<int64_t>(weights.blockBytes.size()) == rows * columns)
      return weights.blockBytes[co / t.outputChannels * columns + first / t.inputChannels];
    const int64_t whole = plain / kShareUnit * weights.share,
                  rest = plain % kShareUnit * weights.share;
    return whole + rest / kShareUnit + (rest % kShareUnit > 0);
  }

  /// Codes, and parameters palette by palette or group by group.
  int64_t plainBytes(int64_t co, int64_t outputs, int64_t first, int64_t channels,
                     int64_t taps) const {
    const WeightForm &form = weights.form;
    if (form.coding == WeightCoding::Raw)
      return outputs * taps * channels;
    if (form.coding == WeightCoding::Palette) {
      int64_t palettes = 0;
      for (int64_t o = co; o < co + outputs; ++o)
        palettes += o == co || (form.paletteOutputs > 0 && o % form.paletteOutputs == 0);
      const int64_t bits = outputs * taps * channels * form.bits;
      return palettes * (int64_t{1} << form.bits) + bits / 8 + (bits % 8 > 0);
    }
    int64_t groups = 0;
    for (int64_t c = first; c < first + channels; ++c)
      groups += c == first || (form.groupSize > 0 && c % form.groupSize == 0);
    if (form.groupSize == 0 && form.symmetric)
      groups = 0;
    const int64_t halves = outputs * groups * (form.sharedTaps || form.groupSize == 0 ? 1 : taps) *
                           (form.symmetric ? 1 : 2);
    const int64_t bits = outputs * taps * channels * form.bits;
    return halves / 2 + halves % 2 + bits / 8 + (bits % 8 > 0);
  }

  std::array<int64_t, 2> lastInput = {-1, -1};
  std::vector<std::array<int64_t, 2>> lastWeights, lastParams; ///< newest last
};

Problem matrixProblem(const Network &network, const Layer &layer, const LayerPlan &plan,
                      bool isFromSram) {
  const MatrixLayer &spec = std::get<MatrixLayer>(layer.spec);
  const TensorInfo &x = network.tensors[layer.inputs[0]], &y = network.tensors[layer.output];
  const Tiling &t = plan.tiling;
  const bool cutsBatch = t.height > y.dims[1];
  if ((cutsBatch && (t.height % y.dims[1] != 0 || t.height > y.dims[0] * y.dims[1])) ||
      t.width > y.dims[2] || t.outputChannels > y.dims[3] || t.inputChannels > x.dims[3])
    return "has a tile larger than its tensors";
  if (spec.winograd == WinogradForm::F4x4) {
    const bool cutsRows = t.height < y.dims[1], cutsColumns = t.width < y.dims[2];
    if ((cutsRows && t.height % 4 != 0) || (cutsColumns && t.width % 4 != 0))
      return absl::StrCat("has tiles of ", t.height, "x", t.width,
                          " outputs that cut those of 4x4 that belong together");
    if (t.buffers > 8)
      return "keeps rows in a ring that cuts its windows";
  }
  MatrixWalk walk{.spec = spec,
                  .x = x,
                  .y = y,
                  .t = t,
                  .weights = network.constants[spec.weights],
                  .isFromSram = isFromSram,
                  .lastWeights = {},
                  .lastParams = {}};
  walk.run();
  if (walk.written != y.bytes())
    return absl::StrCat("covers ", walk.written, " of ", y.bytes(), " output bytes");
  if (walk.read != plan.cost.dramReadBytes)
    return absl::StrCat("states ", plan.cost.dramReadBytes, " bytes read; its tiles read ",
                        walk.read);
  return "";
}

Problem attentionProblem(const Network &network, size_t index, const LayerPlan &plan,
                         const Residents &residents) {
  const Layer &layer = network.layers[index];
  const auto &q = network.tensors[layer.inputs[0]], &k = network.tensors[layer.inputs[1]],
             &v = network.tensors[layer.inputs[2]];
  const Tiling &t = plan.tiling;
  if (t.height > q.dims[2] || t.width > k.dims[2])
    return "has a tile larger than its tokens";
  const auto loaded = [&](size_t input, const TensorInfo &tensor) {
    return residents.isFromSram(index, input) ? 0 : tensor.bytes();
  };
  const int64_t keys = loaded(1, k), values = loaded(2, v);
  int64_t read = loaded(0, q);
  if (t.width >= k.dims[2]) {
    read += keys + values;
  } else {
    const bool keysStay = t.order == LoopOrder::WeightResident;
    read += keysStay ? keys : 0;
    for (int64_t first = 0; first < q.dims[2]; first += t.height)
      read += (keysStay ? 0 : 2 * keys) + values;
  }
  if (read != plan.cost.dramReadBytes)
    return absl::StrCat("states ", plan.cost.dramReadBytes, " bytes read; its tiles read ", read);
  return "";
}

/// Bytes that a layer writes.
int64_t bytesMade(const Network &network, const Residents &residents, size_t index) {
  const Layer &layer = network.layers[index];
  if (!residents.isWanted(ownerOf(network, layer.output)))
    return 0;
  const TensorInfo &y = network.tensors[layer.output];
  if (std::holds_alternative<CombineLayer>(layer.spec))
    return network.tensors[layer.inputs[0]].elements() * byteWidth(y.type);
  return y.bytes();
}

/// A layer that takes each tile of the one before it.
Problem joinedProblem(const Network &network, const Plan &plan, size_t index,
                      const Residents &residents) {
  const Layer &layer = network.layers[index];
  if (index == 0)
    return "is joined to no layer";
  const auto first = static_cast<size_t>(firstOfGroup(plan, static_cast<int64_t>(index)));
  const Layer &before = network.layers[index - 1], &lead = network.layers[first];
  const auto *norm = std::get_if<NormLayer>(&lead.spec);
  if (!std::holds_alternative<MatrixLayer>(lead.spec) && (!norm || norm->perRow))
    return absl::StrCat("is joined to a ", kindName(lead));
  if (layer.phase != lead.phase)
    return "is joined to a layer of another phase";
  if (!(plan.layers[index].tiling == plan.layers[first].tiling))
    return "is joined to a layer that is cut in another way";
  // Its other operands come from DRAM: nothing of the group may be among them.
  int64_t carried = 0, others = 0;
  for (size_t k = 0; k < layer.inputs.size(); ++k) {
    const TensorId id = layer.inputs[k];
    const TensorInfo &tensor = network.tensors[id];
    if (ownerOf(network, id) == ownerOf(network, before.output)) {
      ++carried;
      if (tensor.elements() != network.tensors[before.output].elements() ||
          tensor.dims[3] != network.tensors[before.output].dims[3])
        return "is joined to a layer whose result it takes in another shape";
      continue;
    }
    others += residents.isFromSram(index, k) ? 0 : tensor.bytes();
    for (size_t i = first; i < index; ++i)
      if (ownerOf(network, id) == ownerOf(network, network.layers[i].output))
        return "is joined and reads another result of its group from DRAM";
  }
  if (carried != 1)
    return "is joined to a layer whose result it does not take once";
  if (const auto *table = std::get_if<TableLayer>(&layer.spec))
    others += network.constants[table->table].bytes;
  else if (const auto *geglu = std::get_if<GegluLayer>(&layer.spec))
    others += network.constants[geglu->table].bytes;
  else if (const auto *rows = std::get_if<NormLayer>(&layer.spec); rows && rows->perRow)
    others += network.constants[rows->channels].bytes;
  else if (!std::holds_alternative<CombineLayer>(layer.spec))
    return absl::StrCat("is a ", kindName(layer), ", which cannot be joined");
  const int64_t channels = network.tensors[lead.output].dims[3];
  if (std::holds_alternative<NormLayer>(layer.spec) &&
      plan.layers[index].tiling.outputChannels < channels)
    return "takes whole rows of channels; its leader makes parts of them";
  // A row for each picture may be read again for each tile.
  const auto *combine = std::get_if<CombineLayer>(&layer.spec);
  const int64_t read = plan.layers[index].cost.dramReadBytes;
  if (combine && combine->params.broadcastRows ? read < others || read % others != 0
                                               : read != others)
    return absl::StrCat("states ", read, " bytes read; its other operands have ", others);
  return "";
}

/// How a layer must be cut to make or take a resident tensor whose blocks have so many channels:
/// tiles of whole rows of pixels, or of any pixels of the only row, of the channels of a block.
Problem blockProblem(const Network &network, const Plan &plan, size_t index, bool isMaker,
                     int64_t channels) {
  const auto first = static_cast<size_t>(firstOfGroup(plan, static_cast<int64_t>(index)));
  const Layer &own = network.layers[index], &lead = network.layers[first];
  const Tiling &t = plan.layers[first].tiling;
  const bool isLead = first == index;
  const auto &made = network.tensors[lead.output].dims;
  if (std::holds_alternative<MatrixLayer>(lead.spec) && t.width < made[2] &&
      (made[1] > 1 || network.tensors[lead.inputs[0]].dims[1] > 1))
    return "is cut in columns";
  if (const auto *attention = std::get_if<AttentionLayer>(&own.spec))
    return channels % (network.tensors[own.output].dims[3] / attention->heads) == 0
               ? ""
               : "has heads that are cut";
  if (std::holds_alternative<UpsampleLayer>(own.spec))
    return t.width >= network.tensors[own.inputs[0]].dims[2] &&
                   channels == network.tensors[own.inputs[0]].dims[3]
               ? ""
               : "takes whole pixels";
  const bool takesMatrix = std::holds_alternative<MatrixLayer>(own.spec) && isLead && !isMaker;
  const int64_t tile = takesMatrix ? t.inputChannels : t.outputChannels;
  return tile == channels ? "" : absl::StrCat("has tiles of ", tile, " channels");
}

/// Places in SRAM: who makes and takes what lies there, and that nothing else does.
Problem residentProblem(const Network &network, const Plan &plan, const Residents &residents,
                        const Target &target) {
  const int64_t sramBytes = target.sram.bytes;
  struct Stay {
    size_t maker;
    int64_t first, last, begin, end;
  };
  std::vector<Stay> stays;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const SramPlace &place = plan.layers[i].resident;
    if (place.channels == 0)
      continue;
    const Layer &maker = network.layers[i];
    const TensorInfo &result = network.tensors[maker.output];
    const TensorId owner = ownerOf(network, maker.output);
    const auto &reads = residents.reads[owner];
    const auto wrong = [&](const std::string &text) {
      return absl::StrCat("layer '", maker.name, "' is resident and ", text);
    };
    if (place.channels < 1 || result.dims[3] % place.channels != 0 || place.offset < 0 ||
        place.offset % 16 != 0 || place.offset + result.bytes() > sramBytes)
      return wrong(absl::StrCat("lies at ", place.offset, " in blocks of ", place.channels,
                                " channels; SRAM has ", sramBytes, " bytes"));
    if (place.readers < 1 || place.readers > static_cast<int64_t>(reads.size()))
      return wrong(absl::StrCat("has ", place.readers, " readers of ", reads.size()));
    for (size_t other = 0; other < network.layers.size(); ++other)
      if (other != i && ownerOf(network, network.layers[other].output) == owner)
        return wrong(absl::StrCat("'", network.layers[other].name, "' makes a part of it"));
    if (Problem problem = blockProblem(network, plan, i, true, place.channels); !problem.empty())
      return wrong(problem);
    size_t last = i;
    for (int64_t k = 0; k < place.readers; ++k) {
      const auto [layer, input] = reads[k];
      const TensorInfo &taken = network.tensors[network.layers[layer].inputs[input]];
      last = layer;
      if (network.layers[layer].phase != maker.phase || taken.dims[3] != result.dims[3] ||
          taken.elements() != result.elements() || layer <= i)
        return wrong(absl::StrCat("'", network.layers[layer].name, "' takes something else"));
      if (residents.isCarried(layer, input))
        continue;
      if (Problem problem = blockProblem(network, plan, layer, false, place.channels);
          !problem.empty())
        return wrong(absl::StrCat("'", network.layers[layer].name, "' ", problem));
    }
    stays.push_back({i, firstOfGroup(plan, static_cast<int64_t>(i)),
                     lastOfGroup(plan, static_cast<int64_t>(last)), place.offset,
                     place.offset + result.bytes()});
  }
  for (const Stay &a : stays)
    for (const Stay &b : stays)
      if (a.maker < b.maker && a.first <= b.last && b.first <= a.last && a.begin < b.end &&
          b.begin < a.end)
        return absl::StrCat("layers '", network.layers[a.maker].name, "' and '",
                            network.layers[b.maker].name, "' are resident in the same bytes");
  // Tiles go where nothing is resident: no byte between `begin` and the next stay is taken.
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const auto step = static_cast<int64_t>(i);
    std::vector<int64_t> begins = {0};
    std::vector<const Stay *> here;
    for (const Stay &stay : stays)
      if (stay.first <= step && step <= stay.last) {
        here.push_back(&stay);
        begins.push_back((stay.end + target.sram.alignment - 1) / target.sram.alignment *
                         target.sram.alignment);
      }
    bool fits = false;
    for (int64_t begin : begins) {
      const int64_t end = begin + plan.layers[i].cost.sramBytes;
      fits |= end <= sramBytes && std::none_of(here.begin(), here.end(), [&](const Stay *stay) {
                return stay->begin < end && begin < stay->end;
              });
    }
    if (!fits)
      return absl::StrCat("layer '", network.layers[i].name, "' takes ",
                          plan.layers[i].cost.sramBytes, " bytes of SRAM beside ", here.size(),
                          " resident results");
  }
  return "";
}

Problem layerProblem(const Network &network, const Plan &plans, size_t index,
                     const Residents &residents, const Target &target) {
  const Layer &layer = network.layers[index];
  const LayerPlan &plan = plans.layers[index];
  const Tiling &t = plan.tiling;
  for (int64_t size : {t.height, t.width, t.outputChannels, t.inputChannels})
    if (size < 1)
      return absl::StrCat("has tile size ", size, "; needs at least 1");
  const Layer &lead =
      network.layers[static_cast<size_t>(firstOfGroup(plans, static_cast<int64_t>(index)))];
  const bool isMatrix = std::holds_alternative<MatrixLayer>(lead.spec);
  if (t.buffers < 1 || (t.buffers > 4 && !(isMatrix && t.buffers > 8 && t.buffers <= 12)))
    return absl::StrCat("has ", t.buffers, " buffers; needs 1..4, or 9..12 in matrix layers");
  const LayerCost &cost = plan.cost;
  if (cost.sramBytes < 0 || cost.sramBytes > target.sram.bytes)
    return absl::StrCat("takes ", cost.sramBytes, " bytes of SRAM; there are ", target.sram.bytes);
  if (cost.lowerBoundBytes > cost.dramReadBytes + cost.dramWriteBytes)
    return absl::StrCat("moves ", cost.dramReadBytes + cost.dramWriteBytes,
                        " bytes, below the bound of ", cost.lowerBoundBytes);
  if (const int64_t made = bytesMade(network, residents, index); cost.dramWriteBytes != made)
    return absl::StrCat("writes ", cost.dramWriteBytes, " bytes; its output has ", made);
  if (plan.joined)
    return joinedProblem(network, plans, index, residents);
  const TensorInfo &y = network.tensors[layer.output];
  if (const auto *norm = std::get_if<NormLayer>(&layer.spec))
    if (t.outputChannels > y.dims[3] || (t.outputChannels % (y.dims[3] / norm->groups)) != 0)
      return absl::StrCat("cuts ", norm->groups, " groups into tiles of ", t.outputChannels,
                          " channels");
  if (std::holds_alternative<MatrixLayer>(layer.spec))
    return matrixProblem(network, layer, plan, residents.isFromSram(index, 0));
  if (std::holds_alternative<AttentionLayer>(layer.spec))
    return attentionProblem(network, index, plan, residents);
  return "";
}

} // namespace

absl::Status checkPlan(const Network &network, const Plan &plan, const Target &target) {
  const auto error = [&](const Problem &problem) {
    return absl::InternalError(absl::StrCat("plan of '", network.name, "': ", problem));
  };
  if (plan.layers.size() != network.layers.size() || plan.offsets.size() != network.tensors.size())
    return error("is for another network");
  const Residents residents(network, plan);
  if (Problem problem = residentProblem(network, plan, residents, target); !problem.empty())
    return error(problem);
  if (Problem problem = placementProblem(network, plan, residents); !problem.empty())
    return error(problem);
  for (size_t i = 0; i < network.layers.size(); ++i)
    if (Problem problem = layerProblem(network, plan, i, residents, target); !problem.empty())
      return error(absl::StrCat("layer '", network.layers[i].name, "' (",
                                kindName(network.layers[i]), ") ", problem));
  int64_t needed = plan.arenaBytes;
  for (size_t i = 0; i < network.constants.size(); ++i)
    needed += packedBytes(network, plan, static_cast<ConstantId>(i));
  if (needed > target.dram.bytes)
    return error(absl::StrCat("takes ", needed, " bytes of DRAM; there are ", target.dram.bytes));
  return absl::OkStatus();
}

} // namespace sdopt
