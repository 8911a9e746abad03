#include "compiler/simulator/CommandTiming.h"

#include "compiler/package/CommandOperands.h"
#include "compiler/schedule/WinogradLayers.h"

#include <algorithm>
#include <cmath>

namespace sdopt {
namespace {

bool isWide(CodeFormat format) { return format.type != ElementType::I8; }

/// Elements that a vector command passes through the lanes, and how often.
struct VectorWork {
  int64_t elements = 0;
  int64_t passes = 1;
};

struct VectorWorkOf {
  VectorWork operator()(const RequantizeCommand &c) const { return {c.rows * c.channels, 1}; }
  VectorWork operator()(const CombineCommand &c) const {
    return {c.rows * c.channels, c.b < 0 ? 1 : 2};
  }
  VectorWork operator()(const ModulateCommand &c) const { return {c.rows * c.channels, 2}; }
  VectorWork operator()(const TableCommand &c) const { return {c.count, 1}; }
  VectorWork operator()(const GegluCommand &c) const { return {c.rows * c.channels, 2}; }
  VectorWork operator()(const NormSumsCommand &c) const { return {c.rows * c.channels, 1}; }
  VectorWork operator()(const NormApplyCommand &c) const {
    return {c.rows * c.channels, c.perRow ? 2 : 1};
  }
  VectorWork operator()(const AttentionFinishCommand &c) const {
    return {c.queries * c.headDim, 1};
  }
  VectorWork operator()(const TimeEmbeddingCommand &c) const {
    return {c.batch * 2 * c.params.halfDim, 1};
  }
  VectorWork operator()(const EmbedCommand &c) const { return {c.rows * c.channels, 2}; }
  VectorWork operator()(const PoolTokenCommand &c) const { return {c.tokens + c.rowBytes, 1}; }
  template <typename Other> VectorWork operator()(const Other &) const { return {0, 0}; }
};

} // namespace

CommandTiming::CommandTiming(const Target &target, int64_t constantsBytes)
    : target_(target), dram_(target.dram, target.clock) {
  const int64_t page = std::max<int64_t>(target.dram.pageBytes, 1);
  arenaBase_ = ceilDiv(constantsBytes, page) * page;
}

void CommandTiming::addProduct(CommandCost &cost, const Product &product,
                               const StreamFacts *sparse) const {
  const ArrayTarget &array = target_.array;
  const bool both = product.wideA && product.wideB, any = product.wideA || product.wideB;
  const double rate = both ? array.a16a16Rate : any ? array.a16w8Rate : 1.0;
  const int64_t blocks = ceilDiv(product.outputs, array.columns);
  const WinogradWork &work = workOf(product.winograd);
  const bool isTransformed = product.winograd != WinogradForm::None;
  const int64_t fill = 2 * array.rows + array.columns + work.depth;
  // The weights of a tile take a cycle for each row to come, beside the products or after them.
  const bool ahead = array.weightTiles > 1;
  auto streaming = [&](int64_t rows) {
    const auto cycles = static_cast<int64_t>(std::ceil(static_cast<double>(rows) / rate));
    return ahead ? std::max(cycles, array.rows) : cycles + fill;
  };
  // Weight tiles of all blocks of outputs, and the most that one array gets of them.
  const int64_t tilesOfBlock = ceilDiv(product.reduction, array.rows) * product.taps;
  int64_t tiles = tilesOfBlock * blocks, most = tilesOfBlock * ceilDiv(blocks, array.count);
  int64_t rows = product.reduction * product.taps * blocks;
  const int64_t all = product.streamed * product.reduction * product.outputs * product.taps;
  int64_t macs = all;
  if (sparse) {
    std::vector<int64_t> share(static_cast<size_t>(array.count), 0);
    tiles = 0;
    for (size_t i = 0; i < sparse->tiles.size(); ++i) {
      tiles += sparse->tiles[i];
      share[i % share.size()] += sparse->tiles[i];
    }
    most = *std::max_element(share.begin(), share.end());
    rows = sparse->rows;
    macs = product.streamed * sparse->nonzeros;
  }
  // Either every array takes a share of the streamed rows, or a share of the output channel blocks.
  cost.cycles += std::min(tiles * streaming(ceilDiv(product.streamed, array.count)),
                          most * streaming(product.streamed)) +
                 (ahead ? fill : 0);
  cost.multiplyAccumulates += macs;
  cost.skippedMultiplies += all - macs;
  cost.minimumCycles += static_cast<double>(macs) /
                        (static_cast<double>(array.count * array.rows * array.columns) * rate);
  const EnergyTarget &energy = target_.energy;
  const double mac = both ? energy.mac16x16 : any ? energy.mac16 : energy.mac8;
  cost.energy +=
      static_cast<double>(macs) * (isTransformed ? energy.macWinograd * (any ? 2 : 1) : mac);
  // The streamed operand is read again for every block of outputs and every tap.
  const int64_t terms = isTransformed ? work.codeTerms / work.products : 1;
  const int64_t streamedBytes = product.streamed * rows * terms * (product.wideA ? 2 : 1);
  cost.energy += static_cast<double>(streamedBytes) * energy.sramByte;
}

void CommandTiming::addVector(CommandCost &cost, int64_t elements, int64_t passes) const {
  cost.vectorElements += elements * passes;
  cost.cycles += ceilDiv(elements, target_.vector.lanes) * passes;
  cost.minimumCycles +=
      static_cast<double>(elements * passes) / static_cast<double>(target_.vector.lanes);
  cost.energy += static_cast<double>(elements * passes) * target_.energy.vectorElement;
}

void CommandTiming::addRuns(const DmaShape &shape, int64_t base) {
  for (int64_t i = 0; i < shape.counts[0]; ++i)
    for (int64_t j = 0; j < shape.counts[1]; ++j)
      for (int64_t k = 0; k < shape.counts[2]; ++k)
        dram_.addRun(base + i * shape.dramStrides[0] + j * shape.dramStrides[1] +
                         k * shape.dramStrides[2],
                     shape.runBytes);
}

void CommandTiming::addTransfer(CommandCost &cost, int64_t bytes, bool write) {
  const DramTransfer transfer = dram_.finish();
  const EnergyTarget &energy = target_.energy;
  cost.cycles += transfer.cycles;
  (write ? cost.dramWriteBytes : cost.dramReadBytes) += bytes;
  cost.dramActivations += transfer.activations();
  cost.minimumCycles += static_cast<double>(bytes) / target_.dram.bandwidth * target_.clock;
  cost.energy += static_cast<double>(transfer.burstBytes) *
                     (write ? energy.dramWriteByte : energy.dramReadByte) +
                 static_cast<double>(transfer.activations()) * energy.dramActivate +
                 static_cast<double>(bytes) * energy.sramByte;
}

void CommandTiming::add(CommandCost &cost, const DmaLoad &c) {
  addRuns(c.shape, base(c.region) + c.dram);
  addTransfer(cost, c.shape.bytes(), false);
}

void CommandTiming::add(CommandCost &cost, const DmaWeights &c, const StreamFacts *facts) {
  dram_.addRun(base(Region::Constants) + c.dram, c.bytes);
  addTransfer(cost, c.bytes, false);
  const int64_t weights = c.block.weights();
  // An entropy decoder gives a code a cycle and lane.
  cost.decoderCycles = ceilDiv(weights, target_.decoder.weights);
  if (facts && facts->codes > 0)
    cost.decoderCycles = std::max(
        cost.decoderCycles, ceilDiv(facts->codes, std::min(target_.decoder.lanes, c.form.lanes)));
  // What arrives in SRAM are the decoded bytes.
  cost.energy += static_cast<double>(weights - c.bytes) * target_.energy.sramByte;
}

void CommandTiming::add(CommandCost &cost, const DmaStore &c) {
  addRuns(c.shape, base(Region::Arena) + c.dram);
  addTransfer(cost, c.shape.bytes(), true);
}

void CommandTiming::add(CommandCost &cost, const DmaGather &c, const GatherIds &ids) {
  for (int32_t id : ids) {
    const int64_t row = std::clamp<int64_t>(id, 0, c.tableRows - 1);
    dram_.addRun(base(Region::Constants) + c.dram + row * c.rowBytes, c.rowBytes);
  }
  addTransfer(cost, c.rows * c.rowBytes, false);
}

// To add numbers up takes one addition less than there are numbers. 16-bit codes of F(2x2, 3x3) are
// two planes with transforms of their own, those of F(4x4, 3x3) two parts of a transformed code.
void CommandTiming::addTransforms(CommandCost &cost, const ConvCommand &c) const {
  const ConvTile &t = c.tile;
  const ArrayTarget &array = target_.array;
  const WinogradWork &work = workOf(c.winograd);
  const int64_t tiles = winogradTiles(c.winograd, t.outputHeight, t.outputWidth);
  const int64_t planes = isWide(c.inputFormat) ? 2 : 1;
  const int64_t codes = tiles * t.inputChannels * ceilDiv(t.outputChannels, array.columns) *
                        (work.codeTerms - work.products + work.roundings);
  const int64_t weights =
      t.inputChannels * t.outputChannels * (work.weightTerms - work.products + work.roundings);
  const int64_t sums =
      tiles * t.outputChannels * ceilDiv(t.inputChannels, array.rows) * work.sumTerms;
  const int64_t ends = t.outputHeight * t.outputWidth * t.outputChannels;
  const int64_t additions = c.winograd == WinogradForm::F2x2
                                ? (codes + sums + ends) * planes + weights
                                : codes + sums * planes + ends + weights;
  cost.additions += additions;
  cost.energy += static_cast<double>(additions) * target_.energy.addition;
}

void CommandTiming::add(CommandCost &cost, const ConvCommand &c, const StreamFacts *facts) const {
  const ConvTile &t = c.tile;
  const bool isTransformed = c.winograd != WinogradForm::None;
  const WinogradWork &work = workOf(c.winograd);
  const StreamFacts *sparse = facts && facts->isSparse && !isTransformed ? facts : nullptr;
  const int64_t taps = t.kernelHeight * t.kernelWidth;
  addProduct(cost,
             {.streamed = winogradTiles(c.winograd, t.outputHeight, t.outputWidth),
              .reduction = t.inputChannels,
              .outputs = t.outputChannels,
              .taps = isTransformed ? work.products : taps,
              .wideA = isWide(c.inputFormat),
              .winograd = c.winograd},
             sparse);
  if (isTransformed)
    addTransforms(cost, c);
  const int64_t weights =
      sparse ? sparse->nonzeros
             : t.outputChannels * t.inputChannels * (isTransformed ? work.weightTerms : taps);
  const int64_t sums = t.outputHeight * t.outputWidth * t.outputChannels * 8 * (c.clear ? 1 : 2);
  cost.energy += static_cast<double>(weights + sums) * target_.energy.sramByte;
}

void CommandTiming::add(CommandCost &cost, const AttentionMaximaCommand &c) const {
  addProduct(cost, {.streamed = c.tile.queries,
                    .reduction = c.tile.headDim,
                    .outputs = c.tile.keys,
                    .wideA = isWide(c.qFormat),
                    .wideB = isWide(c.kFormat)});
}

void CommandTiming::add(CommandCost &cost, const AttentionAccumulateCommand &c) const {
  addProduct(cost, {.streamed = c.tile.queries,
                    .reduction = c.tile.headDim,
                    .outputs = c.tile.keys,
                    .wideA = isWide(c.qFormat),
                    .wideB = isWide(c.kFormat)});
  // E is an unsigned 16-bit number.
  addProduct(cost, {.streamed = c.tile.queries,
                    .reduction = c.tile.keys,
                    .outputs = c.tile.headDim,
                    .wideA = true,
                    .wideB = isWide(c.vFormat)});
}

CommandCost CommandTiming::copyCost(int64_t bytes) {
  CommandCost cost;
  for (bool write : {false, true}) {
    dram_.addRun(arenaBase_, bytes);
    addTransfer(cost, bytes, write);
  }
  return cost;
}

CommandCost CommandTiming::cost(const Command &command, const GatherIds &ids,
                                const StreamFacts *facts) {
  CommandCost cost;
  switch (command.queue) {
  case Queue::DmaIn:
    if (const auto *gather = std::get_if<DmaGather>(&command.args))
      add(cost, *gather, ids);
    else if (const auto *weights = std::get_if<DmaWeights>(&command.args))
      add(cost, *weights, facts);
    else
      add(cost, std::get<DmaLoad>(command.args));
    break;
  case Queue::DmaOut:
    add(cost, std::get<DmaStore>(command.args));
    break;
  case Queue::Array:
    if (const auto *conv = std::get_if<ConvCommand>(&command.args))
      add(cost, *conv, facts);
    else if (const auto *maxima = std::get_if<AttentionMaximaCommand>(&command.args))
      add(cost, *maxima);
    else
      add(cost, std::get<AttentionAccumulateCommand>(command.args));
    break;
  case Queue::Vector: {
    const VectorWork work = std::visit(VectorWorkOf(), command.args);
    addVector(cost, work.elements, work.passes);
    for (const SramOperand &operand : sramOperands(command.args))
      cost.energy += static_cast<double>(operand.bytes) * target_.energy.sramByte;
    break;
  }
  }
  return cost;
}

} // namespace sdopt
