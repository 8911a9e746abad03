#include "compiler/simulator/WholeLayers.h"

#include "compiler/schedule/ResidentTensors.h"
#include "compiler/simulator/BytePattern.h"
#include "compiler/simulator/Leftovers.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

namespace sdopt {
namespace {

/// A block of a dense tensor [batch, height, width, channels].
struct Box {
  std::array<int64_t, 4> first, extent;
};

/// A tensor in the arena, or resident in SRAM in blocks of channels.
struct Place {
  std::array<int64_t, 4> dims;
  int64_t offset, elementBytes;
  int64_t block = 0; ///< channels of one; 0: in the arena

  int64_t end() const { return offset + dims[0] * dims[1] * dims[2] * dims[3] * elementBytes; }
  WholePlace whole() const { return {.offset = offset, .block = block}; }

  bool meets(int64_t first, int64_t last) const { return offset < last && first < end(); }
  bool meets(const Place &other) const {
    return (block > 0) == (other.block > 0) && meets(other.offset, other.end());
  }

  /// The box of that extent that lies there in SRAM: whole rows of one picture and block, or a part
  /// of its only row.
  std::optional<Box> blockBox(int64_t sram, const std::array<int64_t, 4> &extent) const {
    const int64_t element = (sram - offset) / elementBytes;
    if (block == 0 || sram < offset || sram >= end() || (sram - offset) % elementBytes != 0 ||
        element % block != 0 || extent[0] != 1 || (extent[2] != dims[2] && dims[1] != 1) ||
        extent[3] != block)
      return std::nullopt;
    const int64_t pixel = element / block, row = pixel / dims[2], rows = dims[0] * dims[1];
    const Box box{
        .first = {row % rows / dims[1], row % dims[1], pixel % dims[2], row / rows * block},
        .extent = extent};
    if (box.first[1] + extent[1] > dims[1] || box.first[2] + extent[2] > dims[2])
      return std::nullopt;
    return box;
  }

  /// The block of that extent that a DMA moves.
  std::optional<Box> boxOf(int64_t dram, const DmaShape &shape,
                           const std::array<int64_t, 4> &extent) const {
    if (dram < offset || dram >= end() || (dram - offset) % elementBytes != 0)
      return std::nullopt;
    Box box{.first = {}, .extent = extent};
    DmaShape expected;
    expected.runBytes = extent[3] * elementBytes;
    int64_t element = (dram - offset) / elementBytes, stride = elementBytes;
    for (size_t axis = 4; axis-- > 0;) {
      box.first[axis] = element % dims[axis];
      element /= dims[axis];
      if (box.first[axis] + extent[axis] > dims[axis])
        return std::nullopt;
      if (axis < 3) {
        expected.counts[axis] = extent[axis];
        expected.dramStrides[axis] = stride;
      }
      stride *= dims[axis];
    }
    if (BytePattern(shape, shape.dramStrides) != BytePattern(expected, expected.dramStrides))
      return std::nullopt;
    return box;
  }
};

/// Does a window over `count` pixels from `first` on, with its own padding, see what a window over
/// all `size` pixels sees?
struct Axis {
  int64_t size, kernel, stride, dilation, padding;

  bool sees(int64_t firstOutput, int64_t outputs, int64_t first, int64_t count,
            int64_t ownPadding) const {
    if (first - ownPadding != firstOutput * stride - padding)
      return false;
    for (int64_t i = firstOutput; i < firstOutput + outputs; ++i)
      for (int64_t k = 0; k < kernel; ++k) {
        const int64_t at = i * stride + k * dilation - padding;
        if ((at >= 0 && at < size) != (at >= first && at < first + count))
          return false;
      }
    return true;
  }
};

bool equal(CodeFormat a, CodeFormat b) { return a.type == b.type && a.zeroPoint == b.zeroPoint; }
bool equal(Scaling a, Scaling b) { return a.multiplier == b.multiplier && a.shift == b.shift; }

/// Do two commands of one kind compute the same, wherever their operands lie?
bool sameWork(const CombineCommand &a, const CombineCommand &b) {
  const auto &p = a.params.scaling, &q = b.params.scaling;
  return equal(a.aFormat, b.aFormat) && equal(a.bFormat, b.bFormat) &&
         equal(a.outputFormat, b.outputFormat) && (a.b < 0) == (b.b < 0) &&
         std::tie(p.multiplierA, p.multiplierB, p.shift, a.params.broadcastRows) ==
             std::tie(q.multiplierA, q.multiplierB, q.shift, b.params.broadcastRows);
}
bool sameWork(const TableCommand &a, const TableCommand &b) {
  return equal(a.inputFormat, b.inputFormat) && equal(a.outputFormat, b.outputFormat);
}
bool sameWork(const GegluCommand &a, const GegluCommand &b) {
  return equal(a.inputFormat, b.inputFormat) && equal(a.outputFormat, b.outputFormat) &&
         equal(a.params.scaling, b.params.scaling);
}
bool sameWork(const NormApplyCommand &a, const NormApplyCommand &b) {
  return equal(a.inputFormat, b.inputFormat) && equal(a.outputFormat, b.outputFormat) &&
         std::tie(a.params.count, a.params.epsilon, a.params.shift, a.params.centered) ==
             std::tie(b.params.count, b.params.epsilon, b.params.shift, b.params.centered);
}

/// Follows the commands of one layer and of those that are joined to it.
class LayerTrace {
public:
  /// Layers [lead, end).
  LayerTrace(const ModuleInfo &module, const ResidentTensors &residents, size_t lead, size_t end)
      : layer_(module.network.layers[lead]), input_(inputPlace(module, residents, lead, 0)),
        output_(placeOf(module, layer_.output)), spec_(std::get<MatrixLayer>(layer_.spec)),
        lead_(lead) {
    whole_.pictures = input_.dims[0];
    whole_.input = input_.whole();
    whole_.tile = {.inputHeight = input_.dims[1],
                   .inputWidth = input_.dims[2],
                   .inputChannels = input_.dims[3],
                   .outputHeight = output_.dims[1],
                   .outputWidth = output_.dims[2],
                   .outputChannels = output_.dims[3],
                   .kernelHeight = spec_.kernelHeight,
                   .kernelWidth = spec_.kernelWidth,
                   .strideH = spec_.strideH,
                   .strideW = spec_.strideW,
                   .dilationH = spec_.dilationH,
                   .dilationW = spec_.dilationW,
                   .padTop = spec_.padTop,
                   .padLeft = spec_.padLeft};
    if (spec_.winograd == WinogradForm::F4x4)
      whole_.taps = spec_.taps;
    stages_.push_back({.place = output_, .isStored = residents.isStored(lead)});
    addResident(residents, lead);
    for (size_t i = lead + 1; i < end; ++i)
      addStage(module, residents, i);
    possible_ = input_.dims[0] == output_.dims[0] && areApart();
  }

  void add(const Command &command) {
    if (!possible_)
      return;
    stage_ = static_cast<size_t>(command.layer) - lead_;
    possible_ =
        std::visit([this](const auto &args) { return follow(args); }, command.args) && mayBeWhole_;
  }

  std::optional<WholeLayer> result() {
    if (!possible_ || !formatsKnown_ || !orderWeights())
      return std::nullopt;
    for (size_t i = 0; i < stages_.size(); ++i) {
      const Stage &stage = stages_[i];
      if ((stage.isStored && !coversOutput(stage, stage.stored)) ||
          (stage.resident.block > 0 && !coversOutput(stage, stage.kept)) ||
          (i > 0 && !stage.isKnown))
        return std::nullopt;
      const WholeResult made = {.isStored = stage.isStored,
                                .offset = stage.place.offset,
                                .rowChannels = stage.place.dims[3],
                                .firstChannel = stage.firstChannel,
                                .resident = stage.resident.whole()};
      if (i == 0) {
        whole_.result = made;
        continue;
      }
      stages_[i].tail.result = made;
      whole_.tails.push_back(stage.tail);
    }
    return std::move(whole_);
  }

private:
  using Covered = std::map<std::pair<int64_t, int64_t>, std::vector<bool>>; ///< by channels

  /// The layer itself, or one that is joined to it.
  struct Stage {
    Place place; ///< of its result, in rows and columns of the layer's
    bool isStored = true;
    Place resident = {};      ///< the same in SRAM; block 0: not there
    int64_t firstChannel = 0; ///< of its result in the tensor that it fills
    std::optional<Place> operand = std::nullopt;
    bool isKnown = false; ///< tail is
    WholeTail tail = {};
    Covered stored = {}, kept = {}; ///< what of it is in the arena, and in SRAM
  };

  void addStage(const ModuleInfo &module, const ResidentTensors &residents, size_t index) {
    const Layer &layer = module.network.layers[index];
    Stage stage{.place = placeOf(module, layer.output), .isStored = residents.isStored(index)};
    const int64_t channels = stage.place.dims[3];
    stage.place.dims = output_.dims;
    stage.place.dims[3] = channels;
    const Place &before = stages_.back().place;
    stage.tail.channels = before.dims[3];
    if (std::holds_alternative<GegluLayer>(layer.spec))
      stage.tail.channels /= 2;
    stage.tail.carried = residents.joinedLayers().carriedInput(index);
    if (const auto *combine = std::get_if<CombineLayer>(&layer.spec)) {
      stage.firstChannel = combine->channelOffset;
      if (layer.inputs.size() > 1) {
        stage.operand = inputPlace(module, residents, index, 1 - stage.tail.carried);
        stage.tail.operand = stage.operand->whole();
        // Views of one size: the rows and columns are the layer's.
        if (!combine->params.broadcastRows)
          stage.operand->dims = before.dims;
      }
    }
    stages_.push_back(std::move(stage));
    addResident(residents, index);
  }

  /// Where the result of the last stage stays in SRAM, if it does.
  void addResident(const ResidentTensors &residents, size_t layer) {
    Stage &stage = stages_.back();
    if (const SramPlace *place = residents.ofResult(layer))
      stage.resident = {.dims = stage.place.dims,
                        .offset = place->offset,
                        .elementBytes = stage.place.elementBytes,
                        .block = place->channels};
  }

  /// Nothing that is written may lie where something is read, or written too.
  bool areApart() const {
    std::vector<Place> read = {input_}, written;
    for (const Stage &stage : stages_) {
      if (stage.operand)
        read.push_back(*stage.operand);
      if (stage.isStored)
        written.push_back(stage.place);
      if (stage.resident.block > 0)
        written.push_back(stage.resident);
    }
    for (size_t i = 0; i < written.size(); ++i) {
      const auto meets = [&](const Place &place) { return place.meets(written[i]); };
      if (std::ranges::any_of(read, meets) ||
          std::any_of(written.begin(), written.begin() + static_cast<int64_t>(i), meets))
        return false;
    }
    return true;
  }

  /// A load, or what later ones have left of it.
  struct Loaded {
    Region region;
    int64_t dram;
    DmaShape shape;
    int64_t begin; ///< of all of it in SRAM
  };
  /// Weights as they are stored.
  struct Stream {
    WeightForm form;
    WeightExtent extent;
    int64_t dram = 0, bytes = 0;
  };
  /// What input channels add, all rows of the input at once or some after the others.
  struct Term {
    Stream weights;
    std::vector<std::pair<int64_t, int64_t>> rows; ///< first, count
  };
  struct Sums {
    ConvTile tile;                 ///< of the first command
    Box input;                     ///< picture and first column
    int64_t origin;                ///< input row of the first tap, in the padding if negative
    std::map<int64_t, Term> terms; ///< by first input channel
  };
  /// Codes of a stage; gated ones come from two sums, half of all channels apart.
  struct Result {
    size_t stage = 0;
    std::vector<std::pair<Sums, int64_t>> parts;   ///< with the place of their parameters
    std::vector<Box> operands;                     ///< that went in, which must lie where it does
    std::vector<std::pair<int64_t, int64_t>> rows; ///< picture and first channel, likewise
  };
  using Content = std::variant<Loaded, Stream, Sums, Result>;
  struct Buffer {
    int64_t end;
    Content content;
  };

  static Place placeOf(const ModuleInfo &module, TensorId id) {
    const TensorInfo &tensor = module.network.tensors[id];
    return {tensor.dims, module.plan.offsets[id], byteWidth(tensor.type)};
  }

  static Place inputPlace(const ModuleInfo &module, const ResidentTensors &residents, size_t layer,
                          size_t input) {
    Place place = placeOf(module, module.network.layers[layer].inputs[input]);
    if (const SramPlace *resident = residents.ofInput(layer, input)) {
      place.offset = resident->offset;
      place.block = resident->channels;
    }
    return place;
  }

  /// May bytes of SRAM be written? Not over what is resident, but for the result that becomes it.
  bool mayWrite(int64_t begin, int64_t end, const Content &content) const {
    const auto *result = std::get_if<Result>(&content);
    const auto isIn = [&](const Place &place) {
      return place.block > 0 && place.meets(begin, end);
    };
    if (isIn(input_))
      return false;
    for (size_t i = 0; i < stages_.size(); ++i)
      if ((stages_[i].operand && isIn(*stages_[i].operand)) ||
          (isIn(stages_[i].resident) && !(result && result->stage == i)))
        return false;
    return true;
  }

  template <typename Kind> Kind *find(int64_t begin, int64_t bytes) {
    const auto found = buffers_.find(begin);
    if (found == buffers_.end() || found->second.end != begin + bytes)
      return nullptr;
    return std::get_if<Kind>(&found->second.content);
  }

  void put(int64_t begin, int64_t bytes, Content content) {
    const int64_t end = begin + bytes;
    mayBeWhole_ = mayBeWhole_ && mayWrite(begin, end, content);
    auto it = buffers_.lower_bound(begin);
    if (it != buffers_.begin() && std::prev(it)->second.end > begin)
      --it;
    while (it != buffers_.end() && it->first < end) {
      const int64_t first = it->first;
      const Buffer old = std::move(it->second);
      it = buffers_.erase(it);
      if (!std::holds_alternative<Loaded>(old.content))
        continue;
      if (first < begin)
        buffers_.emplace(first, Buffer{begin, old.content});
      if (old.end > end)
        it = buffers_.emplace(end, Buffer{old.end, old.content}).first;
    }
    buffers_.emplace(begin, Buffer{end, std::move(content)});
  }

  /// Where so many constants lie, aligned, that were loaded as they are.
  template <typename T> std::optional<int64_t> constantsAt(int64_t sram, int64_t count) {
    const int64_t bytes = count * int64_t(sizeof(T));
    const Loaded *loaded = find<Loaded>(sram, bytes);
    if (!loaded || loaded->region != Region::Constants || loaded->begin != sram ||
        loaded->shape.bytes() != bytes || loaded->dram % int64_t(alignof(T)) != 0 ||
        !BytePattern(loaded->shape, loaded->shape.dramStrides).loops.empty())
      return std::nullopt;
    return loaded->dram;
  }

  /// The weights of a tile, loaded as they are or decoded.
  std::optional<Stream> weightsAt(int64_t sram, const ConvTile &t) {
    const WeightExtent extent{.outputs = t.outputChannels,
                              .taps = t.kernelHeight * t.kernelWidth,
                              .inputs = t.inputChannels};
    if (const auto dram = constantsAt<int8_t>(sram, extent.weights()))
      return Stream{{}, extent, *dram, extent.weights()};
    const Stream *decoded = find<Stream>(sram, extent.weights());
    if (!decoded || decoded->extent.outputs != extent.outputs ||
        decoded->extent.taps != extent.taps || decoded->extent.inputs != extent.inputs)
      return std::nullopt;
    return *decoded;
  }

  bool follow(const DmaWeights &c) {
    put(c.sram, c.block.weights(), Stream{c.form, c.block, c.dram, c.bytes});
    return true;
  }

  bool follow(const DmaLoad &c) {
    if (!isDense(c.shape))
      return false;
    put(c.sram, c.shape.bytes(), Loaded{c.region, c.dram, c.shape, c.sram});
    return true;
  }

  /// The input of a tile: rows that lie one after the other, of one load or several.
  std::optional<Box> inputAt(int64_t sram, const ConvTile &t) const {
    if (input_.block > 0)
      return input_.blockBox(sram, {1, t.inputHeight, t.inputWidth, t.inputChannels});
    const int64_t rowBytes = t.inputWidth * t.inputChannels * input_.elementBytes;
    const int64_t end = sram + t.inputHeight * rowBytes;
    std::optional<Box> input;
    for (int64_t at = sram; at < end;) {
      const auto after = buffers_.upper_bound(at);
      if (after == buffers_.begin())
        return std::nullopt;
      const auto it = std::prev(after);
      if (it->second.end <= at)
        return std::nullopt;
      const auto *loaded = std::get_if<Loaded>(&it->second.content);
      if (!loaded || loaded->region != Region::Arena || loaded->shape.bytes() % rowBytes != 0 ||
          (at - loaded->begin) % rowBytes != 0)
        return std::nullopt;
      auto box = input_.boxOf(loaded->dram, loaded->shape,
                              {1, loaded->shape.bytes() / rowBytes, t.inputWidth, t.inputChannels});
      const int64_t next = std::min(end, it->second.end);
      if (!box || (next - at) % rowBytes != 0)
        return std::nullopt;
      box->first[1] += (at - loaded->begin) / rowBytes;
      box->extent[1] = (next - at) / rowBytes;
      if (!input) {
        input = box;
      } else {
        const int64_t row = input->first[1] + input->extent[1];
        if (box->first != std::array{input->first[0], row, input->first[2], input->first[3]})
          return std::nullopt;
        input->extent[1] += box->extent[1];
      }
      at = next;
    }
    return input;
  }

  bool follow(const ConvCommand &c) {
    const ConvTile &t = c.tile;
    if (byteWidth(c.inputFormat.type) != input_.elementBytes || !isKernel(t) || !isForm(c) ||
        !agree(c.inputFormat))
      return false;
    const auto box = inputAt(c.input, t);
    const auto weights = weightsAt(c.weights, t);
    if (!box || !weights)
      return false;
    const int64_t bytes =
        t.outputHeight * t.outputWidth * t.outputChannels * int64_t(sizeof(int64_t));
    if (c.clear) {
      put(c.accumulator, bytes, Sums{t, *box, box->first[1] - t.padTop, {}});
      if (!inputAt(c.input, t) || !weightsAt(c.weights, t))
        return false; // what it reads is no more
    }
    Sums *sums = find<Sums>(c.accumulator, bytes);
    return sums && addTerm(*sums, t, *box, *weights);
  }

  bool isKernel(const ConvTile &t) const {
    return std::tie(t.kernelHeight, t.kernelWidth, t.strideH, t.strideW, t.dilationH,
                    t.dilationW) == std::tie(spec_.kernelHeight, spec_.kernelWidth, spec_.strideH,
                                             spec_.strideW, spec_.dilationH, spec_.dilationW);
  }

  /// Does it add the same to the sums as the layer?
  bool isForm(const ConvCommand &c) const {
    if (c.winograd == WinogradForm::F4x4)
      return whole_.taps == c.taps;
    return !whole_.taps;
  }

  bool agree(CodeFormat format) {
    if (!inputFormat_)
      inputFormat_ = format;
    return inputFormat_->type == format.type && inputFormat_->zeroPoint == format.zeroPoint;
  }

  /// The same pixels and outputs as the terms before, other input channels or rows.
  static bool addTerm(Sums &sums, const ConvTile &t, const Box &box, const Stream &weights) {
    const auto window = [](const ConvTile &tile) {
      return std::tie(tile.inputWidth, tile.outputHeight, tile.outputWidth, tile.outputChannels,
                      tile.padLeft);
    };
    if (window(t) != window(sums.tile) || box.first[0] != sums.input.first[0] ||
        box.first[2] != sums.input.first[2] || box.first[1] - t.padTop != sums.origin)
      return false;
    const auto [term, isNew] = sums.terms.emplace(box.first[3], Term{weights, {}});
    term->second.rows.emplace_back(box.first[1], t.inputHeight);
    return isNew || sameStream(term->second.weights, weights);
  }

  static bool sameStream(const Stream &a, const Stream &b) {
    return a.form == b.form && a.extent == b.extent && a.dram == b.dram && a.bytes == b.bytes;
  }

  bool follow(const RequantizeCommand &c) {
    const int64_t sumBytes = c.rows * c.channels * int64_t(sizeof(int64_t));
    const Sums *sums = find<Sums>(c.accumulator, sumBytes);
    const int64_t paramBytes = c.channels * int64_t(sizeof(ChannelParams));
    const auto params = constantsAt<ChannelParams>(c.params, c.channels);
    if (!sums || !params || c.channels != sums->tile.outputChannels ||
        byteWidth(c.outputFormat.type) != output_.elementBytes)
      return false;
    if (!formatsKnown_)
      whole_.outputFormat = c.outputFormat;
    formatsKnown_ = true;
    if (whole_.outputFormat.type != c.outputFormat.type ||
        whole_.outputFormat.zeroPoint != c.outputFormat.zeroPoint)
      return false;
    return putResult(c.output, c.rows * c.channels * output_.elementBytes,
                     Result{.stage = 0, .parts = {{*sums, *params}}, .operands = {}, .rows = {}}) &&
           stage_ == 0 && find<Sums>(c.accumulator, sumBytes) && find<Loaded>(c.params, paramBytes);
  }

  /// The result of the stage before that lies there.
  const Result *carriedAt(int64_t sram, int64_t bytes) {
    const Result *result = find<Result>(sram, bytes);
    return result && stage_ > 0 && result->stage + 1 == stage_ ? result : nullptr;
  }
  int64_t bytesOf(const Result &result, int64_t elementBytes) const {
    const ConvTile &t = result.parts.front().first.tile;
    return t.outputHeight * t.outputWidth * t.outputChannels * elementBytes;
  }

  /// All commands of a stage compute the same; its result stands where they put it.
  template <typename Args>
  bool finish(const Args &c, int64_t constant, int64_t bytes, Result result) {
    Stage &stage = stages_[stage_];
    if (!stage.isKnown) {
      stage.tail.command = c;
      stage.tail.constant = constant;
    }
    stage.isKnown = true;
    const auto *known = std::get_if<Args>(&stage.tail.command);
    if (!known || !sameWork(*known, c) || stage.tail.constant != constant ||
        byteWidth(c.outputFormat.type) != stage.place.elementBytes)
      return false;
    result.stage = stage_;
    return putResult(c.output, bytes, std::move(result));
  }

  /// A tile of a stage's result; of a resident one it lies where it stays.
  bool putResult(int64_t begin, int64_t bytes, Result result) {
    Stage &stage = stages_[result.stage];
    if (stage.resident.block > 0) {
      const ConvTile &t = result.parts.front().first.tile;
      const auto box =
          stage.resident.blockBox(begin, {1, t.outputHeight, t.outputWidth, t.outputChannels});
      if (!box || !fill(stage.kept, *box, result))
        return false;
    }
    put(begin, bytes, std::move(result));
    return true;
  }

  bool follow(const CombineCommand &c) {
    if (stage_ == 0)
      return false;
    const Stage &stage = stages_[stage_];
    const int64_t elements = c.rows * c.channels;
    const bool isA = stage.tail.carried == 0;
    const int64_t from = isA ? c.a : c.b, width = byteWidth(isA ? c.aFormat.type : c.bFormat.type);
    const Result *carried = carriedAt(from, elements * width);
    if (!carried || (c.b >= 0) != stage.operand.has_value() ||
        c.channels != carried->parts.front().first.tile.outputChannels)
      return false;
    Result result = *carried;
    if (stage.operand && !addOperand(c, stage, result))
      return false;
    return finish(c, 0, elements * byteWidth(c.outputFormat.type), std::move(result)) &&
           find<Result>(from, elements * width);
  }

  /// The other operand of a combine, loaded from where it lies.
  bool addOperand(const CombineCommand &c, const Stage &stage, Result &result) {
    const bool isA = stage.tail.carried == 1;
    const int64_t rows = c.params.broadcastRows ? 1 : c.rows;
    const CodeFormat format = isA ? c.aFormat : c.bFormat;
    const ConvTile &t = result.parts.front().first.tile;
    if (stage.operand->block > 0) {
      const auto box =
          stage.operand->blockBox(isA ? c.a : c.b, {1, t.outputHeight, t.outputWidth, c.channels});
      if (!box || c.params.broadcastRows || rows != t.outputHeight * t.outputWidth ||
          byteWidth(format.type) != stage.operand->elementBytes)
        return false;
      result.operands.push_back(*box);
      return true;
    }
    const int64_t bytes = rows * c.channels * byteWidth(format.type);
    const Loaded *loaded = find<Loaded>(isA ? c.a : c.b, bytes);
    if (!loaded || loaded->region != Region::Arena || loaded->begin != (isA ? c.a : c.b) ||
        loaded->shape.bytes() != bytes || byteWidth(format.type) != stage.operand->elementBytes ||
        (c.params.broadcastRows && isA))
      return false;
    const auto box = stage.operand->boxOf(
        loaded->dram, loaded->shape,
        c.params.broadcastRows
            ? std::array<int64_t, 4>{1, 1, 1, c.channels}
            : std::array<int64_t, 4>{1, t.outputHeight, t.outputWidth, c.channels});
    if (!box)
      return false;
    if (c.params.broadcastRows)
      result.rows.emplace_back(box->first[0], box->first[3]);
    else
      result.operands.push_back(*box);
    return true;
  }

  bool follow(const TableCommand &c) {
    const int64_t bytes = c.count * byteWidth(c.inputFormat.type);
    const Result *carried = carriedAt(c.input, bytes);
    const auto table = constantsAt<int32_t>(
        c.table, c.inputFormat.type == ElementType::I8 ? kTableEntries8 : kTableKnots16);
    return carried && table &&
           finish(c, *table, c.count * byteWidth(c.outputFormat.type), *carried) &&
           find<Result>(c.input, bytes);
  }

  bool follow(const GegluCommand &c) {
    if (c.gate < 0)
      return false;
    const int64_t bytes = c.rows * c.channels * byteWidth(c.inputFormat.type);
    const Result *left = carriedAt(c.input, bytes), *right = carriedAt(c.gate, bytes);
    const auto table = constantsAt<int32_t>(
        c.table, c.inputFormat.type == ElementType::I8 ? kTableEntries8 : kTableKnots16);
    if (!left || !right || !table || left->stage != 0 || right->stage != 0)
      return false;
    Result both = *left;
    both.parts.push_back(right->parts.front());
    return finish(c, *table, c.rows * c.channels * byteWidth(c.outputFormat.type), both) &&
           find<Result>(c.input, bytes) && find<Result>(c.gate, bytes);
  }

  bool follow(const NormApplyCommand &c) {
    const int64_t bytes = c.rows * c.channels * byteWidth(c.inputFormat.type);
    const Result *carried = carriedAt(c.input, bytes);
    const auto params = constantsAt<NormChannel>(c.channelParams, c.channels);
    return c.perRow && carried && params && c.channels == stages_[stage_].tail.channels &&
           c.channelsPerGroup == c.channels &&
           finish(c, *params, c.rows * c.channels * byteWidth(c.outputFormat.type), *carried) &&
           find<Result>(c.input, bytes);
  }

  bool follow(const DmaStore &c) {
    const Result *result = find<Result>(c.sram, c.shape.bytes());
    if (!result || result->stage != stage_ || !isDense(c.shape))
      return false;
    Stage &stage = stages_[stage_];
    const ConvTile &t = result->parts.front().first.tile;
    auto box =
        stage.place.boxOf(c.dram, c.shape, {1, t.outputHeight, t.outputWidth, t.outputChannels});
    if (!box || !stage.isStored || box->first[3] < stage.firstChannel)
      return false;
    box->first[3] -= stage.firstChannel;
    return fill(stage.stored, *box, *result);
  }

  /// A result of a stage comes to where that box of it lies.
  bool fill(Covered &covered, const Box &box, const Result &result) {
    for (const Box &operand : result.operands)
      if (operand.first != box.first)
        return false;
    for (const auto &[picture, channel] : result.rows)
      if (picture != box.first[0] || channel != box.first[3])
        return false;
    return cover(covered, box) && addParts(box, result);
  }

  /// Window, parameters and weights of each part of a result.
  bool addParts(Box box, const Result &result) {
    for (const auto &[sums, place] : result.parts) {
      if (!sameWindow(box, sums) ||
          sums.tile.outputChannels != result.parts.front().first.tile.outputChannels)
        return false;
      const int64_t params = place - box.first[3] * int64_t(sizeof(ChannelParams));
      if (!stored_)
        whole_.params = params;
      stored_ = true;
      if (params != whole_.params || !addWeights(box, sums))
        return false;
      box.first[3] += output_.dims[3] / 2;
    }
    return true;
  }

  template <typename Other> bool follow(const Other &) { return false; }

  bool sameWindow(const Box &box, const Sums &sums) const {
    const ConvTile &t = sums.tile;
    const Axis rows{input_.dims[1], spec_.kernelHeight, spec_.strideH, spec_.dilationH,
                    spec_.padTop};
    const Axis columns{input_.dims[2], spec_.kernelWidth, spec_.strideW, spec_.dilationW,
                       spec_.padLeft};
    return box.first[0] == sums.input.first[0] && (!whole_.taps || hasWholeTiles(box, sums)) &&
           columns.sees(box.first[2], t.outputWidth, sums.input.first[2], t.inputWidth,
                        t.padLeft) &&
           std::ranges::all_of(sums.terms, [&](const auto &term) {
             const auto seen = joined(term.second.rows);
             return seen && rows.sees(box.first[1], t.outputHeight, seen->first, seen->second,
                                      seen->first - sums.origin);
           });
  }

  /// Are the codes that a window by F(4x4, 3x3) transforms together those of the whole layer, all
  /// of them in one command?
  bool hasWholeTiles(const Box &box, const Sums &sums) const {
    for (const auto &[axis, size] :
         {std::pair(1, sums.tile.outputHeight), {2, sums.tile.outputWidth}}) {
      const int64_t first = box.first[axis], end = first + size;
      if (first % kTapOutputs != 0 || (end % kTapOutputs != 0 && end != output_.dims[axis]))
        return false;
    }
    return std::ranges::all_of(sums.terms,
                               [](const auto &term) { return term.second.rows.size() == 1; });
  }

  /// Rows that follow each other without a gap, each once.
  static std::optional<std::pair<int64_t, int64_t>>
  joined(std::vector<std::pair<int64_t, int64_t>> rows) {
    std::ranges::sort(rows);
    std::pair<int64_t, int64_t> all = {rows.front().first, 0};
    for (const auto &[first, count] : rows) {
      if (first != all.first + all.second)
        return std::nullopt;
      all.second += count;
    }
    return all;
  }

  /// Notes the pixels of a tile; false if one was stored before.
  bool cover(Covered &all, const Box &box) {
    std::vector<bool> &covered = all[{box.first[3], box.extent[3]}];
    covered.resize(output_.dims[0] * output_.dims[1] * output_.dims[2]);
    for (int64_t row = box.first[1]; row < box.first[1] + box.extent[1]; ++row)
      for (int64_t column = box.first[2]; column < box.first[2] + box.extent[2]; ++column) {
        auto pixel = covered[(box.first[0] * output_.dims[1] + row) * output_.dims[2] + column];
        if (pixel)
          return false;
        pixel = true;
      }
    return true;
  }

  /// All tiles of the same channels take the same weights.
  bool addWeights(const Box &box, const Sums &sums) {
    for (const auto &[firstInput, term] : sums.terms) {
      const Stream &stream = term.weights;
      const WholeWeights weights{.block = {.firstOutput = box.first[3],
                                           .firstInput = firstInput,
                                           .extent = stream.extent,
                                           .offset = stream.dram,
                                           .bytes = stream.bytes},
                                 .form = stream.form};
      const auto [known, isNew] = weights_.emplace(std::pair(box.first[3], firstInput), weights);
      if (!isNew && !sameWeights(known->second, weights))
        return false;
    }
    int64_t inputs = 0; // terms have channels of their own in ascending order
    for (const auto &[firstInput, term] : sums.terms) {
      if (firstInput != inputs || term.weights.extent.outputs != box.extent[3])
        return false;
      inputs += term.weights.extent.inputs;
    }
    return inputs == input_.dims[3];
  }

  static bool sameWeights(const WholeWeights &a, const WholeWeights &b) {
    const WeightExtent &x = a.block.extent, &y = b.block.extent;
    return x == y && a.block.offset == b.block.offset && a.block.bytes == b.block.bytes &&
           a.form == b.form;
  }

  /// Every output channel once, and every pixel of it.
  bool coversOutput(const Stage &stage, const Covered &all) const {
    int64_t next = 0;
    for (const auto &[channels, covered] : all) {
      if (channels.first != next || std::ranges::find(covered, false) != covered.end())
        return false;
      next += channels.second;
    }
    return next == (stage.tail.channels > 0 ? stage.tail.channels : output_.dims[3]);
  }

  bool orderWeights() {
    int64_t products = 0;
    for (const auto &[key, weights] : weights_) {
      whole_.weights.push_back(weights);
      products += weights.block.extent.outputs * weights.block.extent.inputs;
    }
    whole_.inputFormat = *inputFormat_;
    return products == input_.dims[3] * output_.dims[3];
  }

  const Layer &layer_;
  const Place input_, output_;
  const MatrixLayer &spec_;
  const size_t lead_;
  size_t stage_ = 0; ///< of the command under way
  std::vector<Stage> stages_;
  WholeLayer whole_;
  bool possible_ = false, mayBeWhole_ = true, formatsKnown_ = false, stored_ = false;
  std::optional<CodeFormat> inputFormat_;
  std::map<int64_t, Buffer> buffers_;
  std::map<std::pair<int64_t, int64_t>, WholeWeights> weights_;
};

} // namespace

std::vector<WholeLayer> wholeLayers(const ModuleInfo &module) {
  const std::vector<Command> &commands = module.program.commands;
  const ResidentTensors residents(module.network, module.plan);
  const auto leader = [&](size_t command) {
    return leaderOf(module.plan, static_cast<size_t>(commands[command].layer));
  };
  // Commands of one group of layers that follow each other, by the first.
  std::vector<size_t> stretches;
  Leftovers leftovers(module, residents);
  for (size_t i = 0; i < commands.size(); ++i) {
    if (i == 0 || leader(i) != leader(i - 1))
      stretches.push_back(i);
    leftovers.add(commands[i], stretches.back());
  }
  std::vector<WholeLayer> result;
  for (size_t s = 0; s < stretches.size(); ++s) {
    const size_t first = stretches[s];
    const size_t last = s + 1 < stretches.size() ? stretches[s + 1] : commands.size();
    const size_t lead = leader(first), end = groupEnd(module.plan, lead);
    if (!std::holds_alternative<MatrixLayer>(module.network.layers[lead].spec) ||
        leftovers.isRead(first))
      continue;
    LayerTrace trace(module, residents, lead, end);
    for (size_t i = first; i < last; ++i)
      trace.add(commands[i]);
    if (std::optional<WholeLayer> whole = trace.result()) {
      whole->first = first;
      whole->last = last;
      result.push_back(*std::move(whole));
    }
  }
  return result;
}

} // namespace sdopt
