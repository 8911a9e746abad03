#include "compiler/figures/UnitRecount.h"

#include "compiler/kernels/WeightStream.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr int64_t kSum = 8, kWord = 4, kRecord = 16; ///< bytes

int64_t cuts(int64_t size, int64_t part) { return (size + part - 1) / part; }
int64_t widthOf(CodeFormat format) { return format.type == ElementType::I16 ? 2 : 1; }
bool isWide(CodeFormat format) { return widthOf(format) == 2; }

int64_t extentOf(const DmaShape &shape) {
  int64_t last = shape.runBytes;
  for (size_t i = 0; i < 3; ++i)
    last += (shape.counts[i] - 1) * shape.sramStrides[i];
  return last;
}

int64_t bytesOf(const DmaShape &shape) {
  return shape.counts[0] * shape.counts[1] * shape.counts[2] * shape.runBytes;
}

int64_t strided(int64_t rows, int64_t stride, int64_t width) { return (rows - 1) * stride + width; }

int64_t tableBytes(CodeFormat input) { return (isWide(input) ? 1025 : 256) * kWord; }

/// In the order of the fields of docs/isa.md.
struct ExtentsOf {
  std::vector<SramExtent> operator()(const DmaLoad &c) const {
    return {{c.sram, extentOf(c.shape)}};
  }
  std::vector<SramExtent> operator()(const DmaStore &c) const {
    return {{c.sram, extentOf(c.shape)}};
  }
  std::vector<SramExtent> operator()(const DmaGather &c) const {
    return {{c.ids, c.rows * kWord}, {c.sram, c.rows * c.rowBytes}};
  }
  std::vector<SramExtent> operator()(const DmaWeights &c) const {
    return {{c.sram, c.block.outputs * c.block.taps * c.block.inputs}};
  }
  std::vector<SramExtent> operator()(const ConvCommand &c) const {
    const ConvTile &t = c.tile;
    return {{c.input, t.inputHeight * t.inputWidth * t.inputChannels * widthOf(c.inputFormat)},
            {c.weights, t.outputChannels * t.kernelHeight * t.kernelWidth * t.inputChannels},
            {c.accumulator, t.outputHeight * t.outputWidth * t.outputChannels * kSum}};
  }
  std::vector<SramExtent> operator()(const RequantizeCommand &c) const {
    return {{c.accumulator, c.rows * c.channels * kSum},
            {c.params, c.channels * kRecord},
            {c.output, c.rows * c.channels * widthOf(c.outputFormat)}};
  }
  std::vector<SramExtent> operator()(const CombineCommand &c) const {
    std::vector<SramExtent> all = {{c.a, c.rows * c.channels * widthOf(c.aFormat)},
                                   {c.output, c.rows * c.channels * widthOf(c.outputFormat)}};
    if (c.b >= 0)
      all.push_back({c.b, (c.params.broadcastRows ? 1 : c.rows) * c.channels * widthOf(c.bFormat)});
    return all;
  }
  std::vector<SramExtent> operator()(const TableCommand &c) const {
    return {{c.input, c.count * widthOf(c.inputFormat)},
            {c.table, tableBytes(c.inputFormat)},
            {c.output, c.count * widthOf(c.outputFormat)}};
  }
  std::vector<SramExtent> operator()(const GegluCommand &c) const {
    const int64_t half = c.rows * c.channels * widthOf(c.inputFormat);
    std::vector<SramExtent> all = {{c.input, c.gate < 0 ? 2 * half : half},
                                   {c.table, tableBytes(c.inputFormat)},
                                   {c.output, c.rows * c.channels * widthOf(c.outputFormat)}};
    if (c.gate >= 0)
      all.push_back({c.gate, half});
    return all;
  }
  std::vector<SramExtent> operator()(const NormSumsCommand &c) const {
    return {{c.input, c.rows * c.channels * widthOf(c.inputFormat)},
            {c.sums, c.channels / c.channelsPerGroup * kRecord}};
  }
  std::vector<SramExtent> operator()(const NormApplyCommand &c) const {
    std::vector<SramExtent> all = {{c.input, c.rows * c.channels * widthOf(c.inputFormat)},
                                   {c.channelParams, c.channels * kRecord},
                                   {c.output, c.rows * c.channels * widthOf(c.outputFormat)}};
    if (!c.perRow)
      all.push_back({c.sums, c.channels / c.channelsPerGroup * kRecord});
    return all;
  }
  std::vector<SramExtent> operator()(const AttentionMaximaCommand &c) const {
    const AttentionTile &t = c.tile;
    return {{c.q, strided(t.queries, t.queryStride, t.headDim) * widthOf(c.qFormat)},
            {c.k, strided(t.keys, t.keyStride, t.headDim) * widthOf(c.kFormat)},
            {c.rowMax, t.queries * kSum}};
  }
  std::vector<SramExtent> operator()(const AttentionAccumulateCommand &c) const {
    const AttentionTile &t = c.tile;
    return {{c.q, strided(t.queries, t.queryStride, t.headDim) * widthOf(c.qFormat)},
            {c.k, strided(t.keys, t.keyStride, t.headDim) * widthOf(c.kFormat)},
            {c.v, strided(t.keys, t.keyStride, t.headDim) * widthOf(c.vFormat)},
            {c.rowMax, t.queries * kSum},
            {c.rowSum, t.queries * kSum},
            {c.accumulator, t.queries * t.headDim * kSum}};
  }
  std::vector<SramExtent> operator()(const AttentionFinishCommand &c) const {
    return {{c.rowSum, c.queries * kSum},
            {c.accumulator, c.queries * c.headDim * kSum},
            {c.output, strided(c.queries, c.outputStride, c.headDim) * widthOf(c.outputFormat)}};
  }
  std::vector<SramExtent> operator()(const TimeEmbeddingCommand &c) const {
    const int64_t half = c.params.halfDim;
    return {{c.input, c.inputs * kWord},
            {c.steps, half * kWord},
            {c.sine, 1025 * kWord},
            {c.output, c.batch * 2 * half * widthOf(c.outputFormat)}};
  }
  std::vector<SramExtent> operator()(const EmbedCommand &c) const {
    return {{c.tokens, c.rows * c.channels},
            {c.tokenMultipliers, c.rows * kWord},
            {c.positions, c.rows * c.channels},
            {c.positionMultipliers, c.rows * kWord},
            {c.output, c.rows * c.channels * widthOf(c.outputFormat)}};
  }
  std::vector<SramExtent> operator()(const PoolTokenCommand &c) const {
    return {{c.hidden, c.tokens * c.rowBytes}, {c.ids, c.tokens * kWord}, {c.output, c.rowBytes}};
  }
  std::vector<SramExtent> operator()(const ModulateCommand &c) const {
    std::vector<SramExtent> all = {{c.input, c.rows * c.channels * widthOf(c.inputFormat)},
                                   {c.scale, c.channels * widthOf(c.scaleFormat)},
                                   {c.output, c.rows * c.channels * widthOf(c.outputFormat)}};
    if (c.shift >= 0)
      all.push_back({c.shift, c.channels * widthOf(c.shiftFormat)});
    return all;
  }
};

/// Elements of a pass, and passes, of commands of the vector queue.
std::pair<int64_t, int64_t> passesOf(const CommandArgs &args) {
  if (const auto *c = std::get_if<RequantizeCommand>(&args))
    return {c->rows * c->channels, 1};
  if (const auto *c = std::get_if<CombineCommand>(&args))
    return {c->rows * c->channels, c->b >= 0 ? 2 : 1};
  if (const auto *c = std::get_if<TableCommand>(&args))
    return {c->count, 1};
  if (const auto *c = std::get_if<GegluCommand>(&args))
    return {c->rows * c->channels, 2};
  if (const auto *c = std::get_if<NormSumsCommand>(&args))
    return {c->rows * c->channels, 1};
  if (const auto *c = std::get_if<NormApplyCommand>(&args))
    return {c->rows * c->channels, c->perRow ? 2 : 1};
  if (const auto *c = std::get_if<AttentionFinishCommand>(&args))
    return {c->queries * c->headDim, 1};
  if (const auto *c = std::get_if<TimeEmbeddingCommand>(&args))
    return {2 * c->batch * c->params.halfDim, 1};
  if (const auto *c = std::get_if<EmbedCommand>(&args))
    return {c->rows * c->channels, 2};
  if (const auto *c = std::get_if<PoolTokenCommand>(&args))
    return {c->tokens + c->rowBytes, 1};
  if (const auto *c = std::get_if<ModulateCommand>(&args))
    return {c->rows * c->channels, 2};
  return {0, 0};
}

} // namespace

std::vector<SramExtent> sramExtents(const CommandArgs &args) {
  return std::visit(ExtentsOf(), args);
}

std::optional<StreamRecount> recountStream(const DmaWeights &stream,
                                           std::span<const std::byte> constants,
                                           const ArrayTarget &array) {
  const WeightExtent &block = stream.block;
  if (!stream.form.varies() || stream.bytes >= storedBytes(stream.form, block))
    return std::nullopt;
  const auto bytes =
      constants.subspan(static_cast<size_t>(stream.dram), static_cast<size_t>(stream.bytes));
  StreamRecount result;
  result.codes = codedCodes(stream.form, block, bytes);
  if (!stream.form.tellsZeros())
    return result;
  std::vector<int8_t> weights(static_cast<size_t>(block.outputs * block.taps * block.inputs));
  if (!decodeWeights(stream.form, block, bytes, weights.data()))
    return result;
  result.tellsZeros = true;
  const auto at = [&](int64_t output, int64_t tap, int64_t input) {
    return weights[static_cast<size_t>((output * block.taps + tap) * block.inputs + input)];
  };
  for (int64_t first = 0; first < block.outputs; first += array.columns) {
    int64_t tiles = 0;
    for (int64_t tap = 0; tap < block.taps; ++tap) {
      int64_t rows = 0;
      for (int64_t window = 0; window < block.inputs; window += array.sparseWindow) {
        int64_t most = 0;
        for (int64_t o = first; o < std::min(first + array.columns, block.outputs); ++o) {
          int64_t others = 0;
          for (int64_t i = window; i < std::min(window + array.sparseWindow, block.inputs); ++i)
            others += at(o, tap, i) != 0;
          result.nonzeros += others;
          most = std::max(most, others);
        }
        rows += most;
      }
      result.rows += rows;
      tiles += cuts(rows, array.rows);
    }
    result.tiles.push_back(tiles);
  }
  return result;
}

UnitRecount::UnitRecount(const Target &target, int64_t constantsBytes)
    : target_(target), dram_(target) {
  const int64_t page = std::max<int64_t>(target.dram.pageBytes, 1);
  arena_ = cuts(constantsBytes, page) * page;
}

void UnitRecount::multiply(CommandRecount &cost, const Product &p,
                           const StreamRecount *sparse) const {
  const ArrayTarget &array = target_.array;
  const EnergyTarget &energy = target_.energy;
  double rate = 1, mac = energy.mac8;
  if (p.wideA && p.wideB) {
    rate = array.a16a16Rate;
    mac = energy.mac16x16;
  } else if (p.wideA || p.wideB) {
    rate = array.a16w8Rate;
    mac = energy.mac16;
  }
  const bool transformed = p.winograd != WinogradForm::None;
  const bool isTapWise = p.winograd == WinogradForm::F4x4;
  if (transformed)
    mac = energy.macWinograd * (p.wideA || p.wideB ? 2 : 1);
  const int64_t ends = 2 * array.rows + array.columns + (isTapWise ? 11 : transformed ? 7 : 0);
  const int64_t blocks = cuts(p.outputs, array.columns);
  std::vector<int64_t> tiles(static_cast<size_t>(blocks), cuts(p.reduction, array.rows) * p.taps);
  int64_t rows = p.reduction * p.taps * blocks;
  const int64_t dense = p.streamed * p.reduction * p.outputs * p.taps;
  int64_t macs = dense;
  if (sparse) {
    tiles = sparse->tiles;
    rows = sparse->rows;
    macs = p.streamed * sparse->nonzeros;
  }
  int64_t all = 0;
  std::vector<int64_t> shares(static_cast<size_t>(array.count), 0);
  for (size_t i = 0; i < tiles.size(); ++i) {
    all += tiles[i];
    shares[i % shares.size()] += tiles[i];
  }
  const auto timeOf = [&](int64_t streamed, int64_t count) {
    const auto stream = static_cast<int64_t>(std::ceil(static_cast<double>(streamed) / rate));
    return array.weightTiles > 1 ? count * std::max(stream, array.rows) + ends
                                 : count * (stream + ends);
  };
  cost.cycles += std::min(timeOf(cuts(p.streamed, array.count), all),
                          timeOf(p.streamed, *std::ranges::max_element(shares)));
  cost.macs += macs;
  cost.skipped += dense - macs;
  const int64_t codes = p.streamed * rows *
                        (isTapWise     ? 16
                         : transformed ? 4
                                       : 1) *
                        (p.wideA ? 2 : 1);
  cost.energy += static_cast<double>(macs) * mac + static_cast<double>(codes) * energy.sramByte;
}

void UnitRecount::convolve(CommandRecount &cost, const ConvCommand &conv,
                           const StreamRecount *stream) const {
  const ConvTile &t = conv.tile;
  const EnergyTarget &energy = target_.energy;
  const bool plain = conv.winograd == WinogradForm::None;
  const StreamRecount *sparse = stream && stream->tellsZeros && plain ? stream : nullptr;
  const int64_t pixels = t.outputHeight * t.outputWidth;
  const int64_t pairs = t.inputChannels * t.outputChannels;
  const bool wide = isWide(conv.inputFormat);
  const int64_t taps = t.kernelHeight * t.kernelWidth;
  int64_t readsOfPair = taps;
  if (plain) {
    multiply(cost, {pixels, t.inputChannels, t.outputChannels, taps, wide, false}, sparse);
  } else {
    const bool isTapWise = conv.winograd == WinogradForm::F4x4;
    const int64_t side = isTapWise ? 4 : 2, products = isTapWise ? 36 : 16;
    const int64_t squares = cuts(t.outputHeight, side) * cuts(t.outputWidth, side);
    multiply(cost,
             {squares, t.inputChannels, t.outputChannels, products, wide, false, conv.winograd},
             nullptr);
    // A tile's numbers of all their terms, for each block of outputs, and what rounds them; for
    // each weight tile of inputs the additions to sums.
    readsOfPair = isTapWise ? 256 : 64;
    const int64_t planes = wide ? 2 : 1;
    const int64_t codes = squares * t.inputChannels *
                          cuts(t.outputChannels, target_.array.columns) *
                          (isTapWise ? 576 : (64 - 16) * planes);
    const int64_t sums = squares * t.outputChannels * cuts(t.inputChannels, target_.array.rows) *
                         (isTapWise ? 324 : 36) * planes;
    const int64_t results = pixels * t.outputChannels * (isTapWise ? 1 : planes);
    const int64_t weights = pairs * (isTapWise ? 256 : 64 - 16);
    cost.energy += static_cast<double>(codes + sums + results + weights) * energy.addition;
  }
  const int64_t weights = sparse ? sparse->nonzeros : pairs * readsOfPair;
  const int64_t sums = pixels * t.outputChannels * kSum * (conv.clear ? 1 : 2);
  cost.energy += static_cast<double>(weights + sums) * energy.sramByte;
}

void UnitRecount::attend(CommandRecount &cost, const AttentionTile &t, bool q, bool k) const {
  multiply(cost, {t.queries, t.headDim, t.keys, 1, q, k}, nullptr);
}

void UnitRecount::compute(CommandRecount &cost, const CommandArgs &args) const {
  const auto [elements, passes] = passesOf(args);
  cost.cycles = cuts(elements, target_.vector.lanes) * passes;
  cost.elements = elements * passes;
  int64_t bytes = 0;
  for (const SramExtent &extent : sramExtents(args))
    bytes += extent.bytes;
  cost.energy = static_cast<double>(cost.elements) * target_.energy.vectorElement +
                static_cast<double>(bytes) * target_.energy.sramByte;
}

std::vector<DramRecount::Run> UnitRecount::runsOf(int64_t base, const DmaShape &shape) const {
  std::vector<DramRecount::Run> runs;
  const auto &[outer, middle, inner] = shape.counts;
  for (int64_t i = 0; i < outer; ++i)
    for (int64_t j = 0; j < middle; ++j)
      for (int64_t k = 0; k < inner; ++k)
        runs.push_back(
            {base + i * shape.dramStrides[0] + j * shape.dramStrides[1] + k * shape.dramStrides[2],
             shape.runBytes});
  return runs;
}

void UnitRecount::move(CommandRecount &cost, const std::vector<DramRecount::Run> &runs,
                       int64_t bytes, bool writes) {
  const DramRecount::Result result = dram_.transfer(runs);
  const EnergyTarget &energy = target_.energy;
  cost.cycles += result.cycles;
  cost.activations += result.activations;
  (writes ? cost.writeBytes : cost.readBytes) += bytes;
  cost.energy += static_cast<double>(result.bursts * target_.dram.burstBytes) *
                     (writes ? energy.dramWriteByte : energy.dramReadByte) +
                 static_cast<double>(result.activations) * energy.dramActivate +
                 static_cast<double>(bytes) * energy.sramByte;
}

CommandRecount UnitRecount::copy(int64_t bytes) {
  CommandRecount cost;
  move(cost, {{arena_, bytes}}, bytes, false);
  move(cost, {{arena_, bytes}}, bytes, true);
  return cost;
}

CommandRecount UnitRecount::cost(const Command &command, const StreamRecount *stream) {
  CommandRecount cost;
  const CommandArgs &args = command.args;
  if (const auto *load = std::get_if<DmaLoad>(&args)) {
    move(cost, runsOf((load->region == Region::Arena ? arena_ : 0) + load->dram, load->shape),
         bytesOf(load->shape), false);
  } else if (const auto *store = std::get_if<DmaStore>(&args)) {
    move(cost, runsOf(arena_ + store->dram, store->shape), bytesOf(store->shape), true);
  } else if (const auto *gather = std::get_if<DmaGather>(&args)) {
    // Which rows is known in a run only: all ids count as 0.
    move(cost,
         std::vector<DramRecount::Run>(static_cast<size_t>(gather->rows),
                                       {gather->dram, gather->rowBytes}),
         gather->rows * gather->rowBytes, false);
  } else if (const auto *weights = std::get_if<DmaWeights>(&args)) {
    move(cost, {{weights->dram, weights->bytes}}, weights->bytes, false);
    const int64_t decoded = weights->block.outputs * weights->block.taps * weights->block.inputs;
    cost.decoder = cuts(decoded, target_.decoder.weights);
    if (stream && stream->codes > 0)
      cost.decoder = std::max(
          cost.decoder, cuts(stream->codes, std::min(weights->form.lanes, target_.decoder.lanes)));
    cost.energy += static_cast<double>(decoded - weights->bytes) * target_.energy.sramByte;
  } else if (const auto *conv = std::get_if<ConvCommand>(&args)) {
    convolve(cost, *conv, stream);
  } else if (const auto *maxima = std::get_if<AttentionMaximaCommand>(&args)) {
    attend(cost, maxima->tile, isWide(maxima->qFormat), isWide(maxima->kFormat));
  } else if (const auto *sums = std::get_if<AttentionAccumulateCommand>(&args)) {
    attend(cost, sums->tile, isWide(sums->qFormat), isWide(sums->kFormat));
    const AttentionTile &t = sums->tile;
    multiply(cost, {t.queries, t.keys, t.headDim, 1, true, isWide(sums->vFormat)}, nullptr);
  } else {
    compute(cost, args);
  }
  return cost;
}

} // namespace sdopt
