#include "compiler/package/CommandOperands.h"

#include "absl/strings/str_cat.h"
#include "compiler/kernels/IntegerWinograd.h"
#include "compiler/package/CommandFields.h"
#include "compiler/package/SaturatingArithmetic.h"

namespace sdopt {
namespace {

constexpr int64_t kWide = 8;    ///< bytes of accumulators, sums of rows, their alignment
constexpr int64_t kWord = 4;    ///< bytes of ids, table entries, multipliers
constexpr int64_t kRecord = 16; ///< ChannelParams, NormChannel, NormSums

/// Rows of `width` elements, `stride` elements from one to the next: elements from first to last.
int64_t stridedElements(int64_t rows, int64_t stride, int64_t width) {
  return saturatingSum(saturatingProduct({rows - 1, stride}), width);
}

/// First to last byte of one side of a DMA.
int64_t extent(const DmaShape &shape, const std::array<int64_t, 3> &strides) {
  int64_t bytes = shape.runBytes;
  for (int i = 0; i < 3; ++i)
    bytes = saturatingSum(bytes, saturatingProduct({shape.counts[i] - 1, strides[i]}));
  return bytes;
}

int64_t moved(const DmaShape &shape) {
  return saturatingProduct({shape.counts[0], shape.counts[1], shape.counts[2], shape.runBytes});
}

struct SramVisitor {
  std::vector<SramOperand> operands;

  void add(const char *name, int64_t offset, int64_t bytes, int64_t alignment, bool written) {
    operands.push_back({name, offset, bytes, alignment, written});
  }
  void codes(const char *name, int64_t offset, int64_t elements, CodeFormat format, bool written) {
    const int64_t width = byteWidth(format.type);
    add(name, offset, saturatingProduct({elements, width}), width, written);
  }
  void table(const char *name, int64_t offset, CodeFormat input) {
    const int64_t entries = input.type == ElementType::I8 ? kTableEntries8 : kTableKnots16;
    add(name, offset, entries * kWord, kWord, false);
  }

  void operator()(const DmaLoad &c) {
    add("sram", c.sram, extent(c.shape, c.shape.sramStrides), 1, true);
  }
  void operator()(const DmaStore &c) {
    add("sram", c.sram, extent(c.shape, c.shape.sramStrides), 1, false);
  }
  void operator()(const DmaGather &c) {
    add("ids", c.ids, saturatingProduct({c.rows, kWord}), kWord, false);
    add("sram", c.sram, saturatingProduct({c.rows, c.rowBytes}), 1, true);
  }
  void operator()(const DmaWeights &c) {
    add("sram", c.sram, saturatingProduct({c.block.outputs, c.block.taps, c.block.inputs}), 1,
        true);
  }
  void operator()(const ConvCommand &c) {
    const ConvTile &t = c.tile;
    codes("input", c.input, saturatingProduct({t.inputHeight, t.inputWidth, t.inputChannels}),
          c.inputFormat, false);
    add("weights", c.weights,
        saturatingProduct({t.outputChannels, t.kernelHeight, t.kernelWidth, t.inputChannels}), 1,
        false);
    add("accumulator", c.accumulator,
        saturatingProduct({t.outputHeight, t.outputWidth, t.outputChannels, kWide}), kWide, true);
  }
  void operator()(const RequantizeCommand &c) {
    add("accumulator", c.accumulator, saturatingProduct({c.rows, c.channels, kWide}), kWide, false);
    add("params", c.params, saturatingProduct({c.channels, kRecord}), kWide, false);
    codes("output", c.output, saturatingProduct({c.rows, c.channels}), c.outputFormat, true);
  }
  void operator()(const CombineCommand &c) {
    codes("a", c.a, saturatingProduct({c.rows, c.channels}), c.aFormat, false);
    if (c.b >= 0)
      codes("b", c.b, saturatingProduct({c.params.broadcastRows ? 1 : c.rows, c.channels}),
            c.bFormat, false);
    codes("output", c.output, saturatingProduct({c.rows, c.channels}), c.outputFormat, true);
  }
  void operator()(const ModulateCommand &c) {
    const int64_t elements = saturatingProduct({c.rows, c.channels});
    codes("input", c.input, elements, c.inputFormat, false);
    codes("scale", c.scale, c.channels, c.scaleFormat, false);
    if (c.shift >= 0)
      codes("offsets", c.shift, c.channels, c.shiftFormat, false);
    codes("output", c.output, elements, c.outputFormat, true);
  }
  void operator()(const TableCommand &c) {
    codes("input", c.input, c.count, c.inputFormat, false);
    table("table", c.table, c.inputFormat);
    codes("output", c.output, c.count, c.outputFormat, true);
  }
  void operator()(const GegluCommand &c) {
    codes("input", c.input, saturatingProduct({c.rows, c.gate < 0 ? 2 : 1, c.channels}),
          c.inputFormat, false);
    if (c.gate >= 0)
      codes("gate", c.gate, saturatingProduct({c.rows, c.channels}), c.inputFormat, false);
    table("table", c.table, c.inputFormat);
    codes("output", c.output, saturatingProduct({c.rows, c.channels}), c.outputFormat, true);
  }
  void operator()(const NormSumsCommand &c) {
    codes("input", c.input, saturatingProduct({c.rows, c.channels}), c.inputFormat, false);
    add("sums", c.sums, saturatingProduct({c.channels / c.channelsPerGroup, kRecord}), kWide, true);
  }
  void operator()(const NormApplyCommand &c) {
    codes("input", c.input, saturatingProduct({c.rows, c.channels}), c.inputFormat, false);
    if (!c.perRow)
      add("sums", c.sums, saturatingProduct({c.channels / c.channelsPerGroup, kRecord}), kWide,
          false);
    add("params", c.channelParams, saturatingProduct({c.channels, kRecord}), kWide, false);
    codes("output", c.output, saturatingProduct({c.rows, c.channels}), c.outputFormat, true);
  }
  void operator()(const AttentionMaximaCommand &c) {
    const AttentionTile &t = c.tile;
    codes("q", c.q, stridedElements(t.queries, t.queryStride, t.headDim), c.qFormat, false);
    codes("k", c.k, stridedElements(t.keys, t.keyStride, t.headDim), c.kFormat, false);
    add("row_max", c.rowMax, saturatingProduct({t.queries, kWide}), kWide, true);
  }
  void operator()(const AttentionAccumulateCommand &c) {
    const AttentionTile &t = c.tile;
    codes("q", c.q, stridedElements(t.queries, t.queryStride, t.headDim), c.qFormat, false);
    codes("k", c.k, stridedElements(t.keys, t.keyStride, t.headDim), c.kFormat, false);
    codes("v", c.v, stridedElements(t.keys, t.keyStride, t.headDim), c.vFormat, false);
    add("row_max", c.rowMax, saturatingProduct({t.queries, kWide}), kWide, false);
    add("row_sum", c.rowSum, saturatingProduct({t.queries, kWide}), kWide, true);
    add("accumulator", c.accumulator, saturatingProduct({t.queries, t.headDim, kWide}), kWide,
        true);
  }
  void operator()(const AttentionFinishCommand &c) {
    add("row_sum", c.rowSum, saturatingProduct({c.queries, kWide}), kWide, false);
    add("accumulator", c.accumulator, saturatingProduct({c.queries, c.headDim, kWide}), kWide,
        false);
    codes("output", c.output, stridedElements(c.queries, c.outputStride, c.headDim), c.outputFormat,
          true);
  }
  void operator()(const TimeEmbeddingCommand &c) {
    add("input", c.input, saturatingProduct({c.inputs, kWord}), kWord, false);
    add("steps", c.steps, saturatingProduct({c.params.halfDim, kWord}), kWord, false);
    add("sine", c.sine, kTableKnots16 * kWord, kWord, false);
    codes("output", c.output, saturatingProduct({c.batch, 2, c.params.halfDim}), c.outputFormat,
          true);
  }
  void operator()(const EmbedCommand &c) {
    const int64_t elements = saturatingProduct({c.rows, c.channels});
    add("tokens", c.tokens, elements, 1, false);
    add("token_multipliers", c.tokenMultipliers, saturatingProduct({c.rows, kWord}), kWord, false);
    add("positions", c.positions, elements, 1, false);
    add("position_multipliers", c.positionMultipliers, saturatingProduct({c.rows, kWord}), kWord,
        false);
    codes("output", c.output, elements, c.outputFormat, true);
  }
  void operator()(const PoolTokenCommand &c) {
    add("hidden", c.hidden, saturatingProduct({c.tokens, c.rowBytes}), 1, false);
    add("ids", c.ids, saturatingProduct({c.tokens, kWord}), kWord, false);
    add("output", c.output, c.rowBytes, 1, true);
  }
};

/// Collects the first field that no kernel may see.
struct FieldCheck {
  std::string problem;

  void refuse(const char *name, int64_t value, const char *need) {
    if (problem.empty())
      problem = absl::StrCat("field '", name, "' is ", value, "; needs ", need);
  }
  void positive(std::initializer_list<std::pair<const char *, int64_t>> fields) {
    for (auto [name, value] : fields)
      if (value < 1)
        refuse(name, value, "at least 1");
  }
  void notNegative(std::initializer_list<std::pair<const char *, int64_t>> fields) {
    for (auto [name, value] : fields)
      if (value < 0)
        refuse(name, value, "at least 0");
  }
  void scaling(const char *name, Scaling scaling) {
    if (scaling.multiplier < 0)
      refuse(name, scaling.multiplier, "a multiplier of at least 0");
    if (scaling.shift < 25 || scaling.shift > 62)
      refuse(name, scaling.shift, "a shift in 25..62");
  }
  void shift(int32_t value) {
    if (value < 1 || value > 62)
      refuse("shift", value, "1..62");
  }
  void format(const char *name, CodeFormat format) {
    if (format.type != ElementType::I8 && format.type != ElementType::I16)
      refuse(name, static_cast<int64_t>(format.type), "element type i8 or i16");
    else if (format.zeroPoint < format.min() || format.zeroPoint > format.max())
      refuse(name, format.zeroPoint, "a zero point in the range of the codes");
  }
  void groups(int64_t channels, int64_t channelsPerGroup) {
    positive({{"channels", channels}, {"group", channelsPerGroup}});
    if (problem.empty() && channels % channelsPerGroup != 0)
      refuse("group", channelsPerGroup, "a divisor of the channels");
  }
  void attention(const AttentionTile &t, const AttentionParams &p) {
    positive({{"queries", t.queries}, {"keys", t.keys}, {"head_dim", t.headDim}});
    notNegative({{"first_query", t.firstQuery}, {"first_key", t.firstKey}});
    if (t.queryStride < t.headDim)
      refuse("query_stride", t.queryStride, "at least head_dim");
    if (t.keyStride < t.headDim)
      refuse("key_stride", t.keyStride, "at least head_dim");
    scaling("exponent", p.exponent);
    scaling("output", p.output);
  }
  void shape(const DmaShape &shape) {
    positive({{"counts", shape.counts[0]},
              {"counts", shape.counts[1]},
              {"counts", shape.counts[2]},
              {"run", shape.runBytes}});
    for (int i = 0; i < 3; ++i)
      notNegative({{"dram_strides", shape.dramStrides[i]}, {"sram_strides", shape.sramStrides[i]}});
  }

  void operator()(const DmaLoad &c) { shape(c.shape); }
  void operator()(const DmaStore &c) { shape(c.shape); }
  void operator()(const DmaGather &c) {
    positive({{"rows", c.rows}, {"row_bytes", c.rowBytes}, {"table_rows", c.tableRows}});
  }
  void operator()(const DmaWeights &c) {
    const WeightExtent &b = c.block;
    positive({{"block", b.outputs}, {"block", b.taps}, {"block", b.inputs}});
    notNegative({{"dram", c.dram},
                 {"first", b.firstInGroup},
                 {"first_in_run", b.firstInRun},
                 {"first_output", b.firstInPalette}});
    if (b.firstInGroup > 0 && b.firstInGroup >= c.form.groupSize)
      refuse("first", b.firstInGroup, "less than the group size");
    if (b.firstInRun > 0 && b.firstInRun >= c.form.run)
      refuse("first_in_run", b.firstInRun, "less than the run");
    if (b.firstInPalette > 0 && b.firstInPalette >= c.form.paletteOutputs)
      refuse("first_output", b.firstInPalette, "less than the outputs of a palette");
    if (!problem.empty())
      return;
    problem = formProblem(c.form);
    if (problem.empty() && c.form.isPlainInt8())
      problem = "field 'coding' is 0 (raw); needs a form that is decoded";
    constexpr int64_t kMostWeights = int64_t{1} << 31; // SRAM has no more bytes
    if (problem.empty() && saturatingProduct({b.outputs, b.taps, b.inputs}) > kMostWeights)
      problem = "decodes more weights than SRAM can hold";
    if (!problem.empty())
      return;
    const int64_t most = storedBytes(c.form, b), least = c.form.varies() ? 1 : most;
    if (c.bytes < least || c.bytes > most)
      problem = absl::StrCat("field 'bytes' is ", c.bytes, "; its block is stored in ",
                             least < most ? "at most " : "", most);
  }
  void operator()(const ConvCommand &c) {
    const ConvTile &t = c.tile;
    positive({{"in", t.inputHeight},
              {"in", t.inputWidth},
              {"in", t.inputChannels},
              {"out", t.outputHeight},
              {"out", t.outputWidth},
              {"out", t.outputChannels},
              {"kernel", t.kernelHeight},
              {"kernel", t.kernelWidth},
              {"stride", t.strideH},
              {"stride", t.strideW},
              {"dilation", t.dilationH},
              {"dilation", t.dilationW}});
    notNegative({{"pad", t.padTop}, {"pad", t.padLeft}});
    format("input_format", c.inputFormat);
    if (problem.empty() && c.winograd == WinogradForm::F2x2 &&
        (!hasWinogradForm(t) || t.inputChannels > kWinogradChannels))
      problem = absl::StrCat("needs a 3x3 window of stride and dilation 1 over at most ",
                             kWinogradChannels, " input channels");
    if (problem.empty() && c.winograd == WinogradForm::F4x4 && !hasWinogradForm(t))
      problem = "needs a 3x3 window of stride and dilation 1";
    const auto shifts = [&](const char *name, const auto &all) {
      for (int64_t shift : all)
        if (shift > kMostTapShift)
          refuse(name, shift, absl::StrCat("at most ", kMostTapShift).c_str());
    };
    shifts("code_shifts", c.taps.codes);
    shifts("weight_shifts", c.taps.weights);
  }
  void operator()(const RequantizeCommand &c) {
    positive({{"rows", c.rows}, {"channels", c.channels}});
    format("output_format", c.outputFormat);
  }
  void operator()(const CombineCommand &c) {
    positive({{"rows", c.rows}, {"channels", c.channels}});
    format("a_format", c.aFormat);
    format("b_format", c.bFormat);
    format("output_format", c.outputFormat);
    shift(c.params.scaling.shift);
    if (c.b < -1)
      refuse("b", c.b, "an offset or -1");
  }
  void operator()(const ModulateCommand &c) {
    positive({{"rows", c.rows}, {"channels", c.channels}});
    format("input_format", c.inputFormat);
    format("scale_format", c.scaleFormat);
    format("offsets_format", c.shiftFormat);
    format("output_format", c.outputFormat);
    const auto within = [&](const char *name, int64_t value, int64_t most) {
      if (value < 0 || value > most)
        refuse(name, value, "a multiplier in range");
    };
    within("scale_multiplier", c.params.scaleMultiplier, kLargestScaleMultiplier);
    within("unit", c.params.unit, kLargestModulation);
    within("offsets_multiplier", c.params.shiftMultiplier, kLargestModulation);
    if (c.params.shift < 1 || c.params.shift > kLargestModulateShift)
      refuse("shift", c.params.shift, "1..61");
    if (c.shift < -1)
      refuse("offsets", c.shift, "an offset or -1");
  }
  void operator()(const TableCommand &c) {
    positive({{"count", c.count}});
    format("input_format", c.inputFormat);
    format("output_format", c.outputFormat);
  }
  void operator()(const GegluCommand &c) {
    positive({{"rows", c.rows}, {"channels", c.channels}});
    format("input_format", c.inputFormat);
    format("output_format", c.outputFormat);
    scaling("scaling", c.params.scaling);
  }
  void operator()(const NormSumsCommand &c) {
    positive({{"rows", c.rows}});
    groups(c.channels, c.channelsPerGroup);
    format("input_format", c.inputFormat);
  }
  void operator()(const NormApplyCommand &c) {
    positive({{"rows", c.rows}, {"count", c.params.count}});
    groups(c.channels, c.channelsPerGroup);
    format("input_format", c.inputFormat);
    format("output_format", c.outputFormat);
    shift(c.params.shift);
  }
  void operator()(const AttentionMaximaCommand &c) {
    attention(c.tile, c.params);
    format("q_format", c.qFormat);
    format("k_format", c.kFormat);
  }
  void operator()(const AttentionAccumulateCommand &c) {
    attention(c.tile, c.params);
    format("q_format", c.qFormat);
    format("k_format", c.kFormat);
    format("v_format", c.vFormat);
  }
  void operator()(const AttentionFinishCommand &c) {
    positive({{"queries", c.queries}, {"head_dim", c.headDim}});
    if (c.outputStride < c.headDim)
      refuse("row_stride", c.outputStride, "at least head_dim");
    format("output_format", c.outputFormat);
    scaling("output", c.params.output);
  }
  void operator()(const TimeEmbeddingCommand &c) {
    positive({{"batch", c.batch}, {"inputs", c.inputs}, {"half_dim", c.params.halfDim}});
    if (c.inputs != 1 && c.inputs != c.batch)
      refuse("inputs", c.inputs, "1 or the batch");
    if (c.params.fractionBits < 0 || c.params.fractionBits > 30)
      refuse("fraction_bits", c.params.fractionBits, "0..30");
    format("output_format", c.outputFormat);
  }
  void operator()(const EmbedCommand &c) {
    positive({{"rows", c.rows}, {"channels", c.channels}});
    shift(c.shift);
    format("output_format", c.outputFormat);
  }
  void operator()(const PoolTokenCommand &c) {
    positive({{"tokens", c.tokens}, {"row_bytes", c.rowBytes}});
  }
};

std::string outside(const char *name, int64_t offset, int64_t bytes, const char *memory,
                    int64_t size) {
  return absl::StrCat("operand '", name, "' is ", bytes, " bytes at ", offset, ", outside the ",
                      size, " bytes of ", memory);
}

/// Empty if every operand lies in its memory.
std::string boundsProblem(const Command &command, const Program &program) {
  for (const SramOperand &operand : sramOperands(command.args)) {
    if (!liesWithin(operand.offset, operand.bytes, program.sramBytes))
      return outside(operand.name, operand.offset, operand.bytes, "sram", program.sramBytes);
    if (operand.offset % operand.alignment != 0)
      return absl::StrCat("operand '", operand.name, "' at sram offset ", operand.offset,
                          " is not aligned to ", operand.alignment, " bytes");
  }
  for (const DramOperand &operand : dramOperands(command.args)) {
    const bool arena = operand.region == Region::Arena;
    const int64_t size = arena ? program.arenaBytes : program.constantsBytes;
    if (!liesWithin(operand.offset, operand.bytes, size))
      return outside("dram", operand.offset, operand.bytes, arena ? "the arena" : "the constants",
                     size);
    // A load fills SRAM, a store fills the arena: moving more than the target holds writes bytes
    // twice, and bounds the work that a hostile file can ask for. A stream of weights is bound by
    // what it becomes.
    const int64_t most = operand.written ? program.arenaBytes : program.sramBytes;
    if (operand.moved > most && !std::holds_alternative<DmaWeights>(command.args))
      return absl::StrCat("moves ", operand.moved, " bytes into a memory of ", most);
  }
  return "";
}

} // namespace

std::vector<SramOperand> sramOperands(const CommandArgs &args) {
  SramVisitor visitor;
  std::visit(visitor, args);
  return std::move(visitor.operands);
}

std::vector<DramOperand> dramOperands(const CommandArgs &args) {
  if (const auto *load = std::get_if<DmaLoad>(&args))
    return {{load->region, load->dram, extent(load->shape, load->shape.dramStrides),
             moved(load->shape), false}};
  if (const auto *store = std::get_if<DmaStore>(&args))
    return {{Region::Arena, store->dram, extent(store->shape, store->shape.dramStrides),
             moved(store->shape), true}};
  if (const auto *weights = std::get_if<DmaWeights>(&args))
    return {{Region::Constants, weights->dram, weights->bytes, weights->bytes, false}};
  if (const auto *gather = std::get_if<DmaGather>(&args))
    return {{Region::Constants, gather->dram,
             saturatingProduct({gather->tableRows, gather->rowBytes}),
             saturatingProduct({gather->rows, gather->rowBytes}), false}};
  return {};
}

absl::Status checkCommand(const Command &command) {
  FieldCheck check;
  if (command.queue != queueOf(command.args))
    check.problem = absl::StrCat("is on queue ", name(command.queue), "; only ",
                                 name(queueOf(command.args)), " takes it");
  std::visit(check, command.args);
  if (check.problem.empty())
    return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(mnemonic(command), ": ", check.problem));
}

absl::Status checkCommands(const Program &program, int64_t layers) {
  for (size_t i = 0; i < program.commands.size(); ++i) {
    const Command &command = program.commands[i];
    absl::Status status = checkCommand(command);
    if (status.ok() && (command.layer < 0 || command.layer >= layers))
      status = absl::DataLossError(absl::StrCat(mnemonic(command), ": layer ", command.layer,
                                                " of a module of ", layers, " layers"));
    if (status.ok())
      if (std::string problem = boundsProblem(command, program); !problem.empty())
        status = absl::DataLossError(absl::StrCat(mnemonic(command), ": ", problem));
    if (!status.ok())
      return absl::Status(status.code(), absl::StrCat("command ", i, ": ", status.message()));
  }
  return absl::OkStatus();
}

} // namespace sdopt
