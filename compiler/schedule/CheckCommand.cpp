// Field ranges and footprints of every command.

#include "compiler/schedule/CheckCommand.h"

#include "absl/strings/str_cat.h"

#include <algorithm>

namespace sdopt {
namespace {

constexpr int64_t kMaxCount = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxWindow = 1 << 16; ///< kernels, strides, dilations, padding
constexpr int64_t kMaxStride = int64_t{1} << 44;
constexpr int64_t kMaxRuns = 4096; ///< separate runs of one transfer in SRAM
/// Of F(4x4, 3x3), at most: the sums of a row of its matrices in two dimensions, with the exponents
/// of the filter side on the result side; rounding doubles a number at most.
constexpr double kTapCodes = 2 * 10 * 10, kTapWeights = 2 * 7 * 7 * 128, kTapSums = 32 * 32;
constexpr double kMaxByteCode = 256;
/// 4 * 9 * 128 * 128 times as many are below 2^31.
constexpr int64_t kMostTransformed = 3640;
constexpr double kMaxCode = 65536; ///< |code - zero point| of 16 bits, with room

struct Loop {
  int64_t count, stride;
};

struct CommandCheck {
  const Program &program;
  const int64_t sramBytes;
  std::vector<Footprint> &footprints;
  std::string problem = "";

  bool require(bool holds, const std::string &what) {
    if (!holds && problem.empty())
      problem = what;
    return problem.empty();
  }
  bool within(const char *field, int64_t value, int64_t least, int64_t most) {
    if (value >= least && value <= most)
      return problem.empty();
    return require(false, absl::StrCat(field, " is ", value, "; needs ", least, "..", most));
  }
  bool counts(std::initializer_list<std::pair<const char *, int64_t>> fields) {
    for (const auto &[field, value] : fields)
      within(field, value, 1, kMaxCount);
    return problem.empty();
  }
  bool scaling(const char *field, Scaling s) {
    return require(s.multiplier >= 0 && s.shift >= 1 && s.shift <= 62,
                   absl::StrCat(field, " is ", s.multiplier, " >> ", s.shift,
                                "; needs a multiplier of at least 0 and a shift in 1..62"));
  }
  bool format(const char *field, CodeFormat f, bool centred = false) {
    require(
        f.type == ElementType::I8 || f.type == ElementType::I16,
        absl::StrCat(field, " has element type ", static_cast<int>(f.type), "; needs i8 or i16"));
    if (centred && f.type == ElementType::I16)
      return within(field, f.zeroPoint, 0, 0);
    return within(field, f.zeroPoint, -128, 127);
  }
  static int64_t width(CodeFormat f) { return f.type == ElementType::I8 ? 1 : 2; }

  /// A range of SRAM; factors have been bounded, at most four of them.
  Footprint *sram(const char *field, int64_t offset, std::initializer_list<int64_t> factors,
                  int64_t alignment, bool write, Content content = Content::Bytes) {
    if (!problem.empty())
      return nullptr;
    Int128 bytes = 1;
    for (int64_t factor : factors)
      bytes *= factor;
    if (!require(offset >= 0 && bytes >= 1 && bytes <= sramBytes &&
                     offset <= sramBytes - static_cast<int64_t>(bytes),
                 absl::StrCat(field, " at ", offset, " leaves the ", sramBytes, " bytes of sram")))
      return nullptr;
    if (!require(offset % alignment == 0,
                 absl::StrCat(field, " at ", offset, " is not aligned to ", alignment)))
      return nullptr;
    footprints.push_back({.sram = true,
                          .write = write,
                          .begin = offset,
                          .end = offset + static_cast<int64_t>(bytes),
                          .content = content});
    return &footprints.back();
  }
  void read(const char *field, int64_t offset, std::initializer_list<int64_t> factors,
            int64_t alignment, Content content = Content::Bytes) {
    sram(field, offset, factors, alignment, false, content);
  }
  void write(const char *field, int64_t offset, std::initializer_list<int64_t> factors,
             int64_t alignment) {
    sram(field, offset, factors, alignment, true);
  }
  void accumulate(const char *field, int64_t offset, std::initializer_list<int64_t> factors,
                  Content content, double growth, bool clear) {
    if (!clear)
      read(field, offset, factors, 8, content);
    if (Footprint *footprint = sram(field, offset, factors, 8, true, content)) {
      footprint->growth = growth;
      footprint->clear = clear;
    }
  }

  /// The SRAM side of a transfer, run by run unless the loops fill a range without a gap.
  void transferred(const DmaShape &shape, SramOffset offset, bool write) {
    std::vector<Loop> loops;
    for (int i = 0; i < 3; ++i)
      if (shape.counts[i] > 1 && shape.sramStrides[i] > 0)
        loops.push_back({shape.counts[i], shape.sramStrides[i]});
    std::sort(loops.begin(), loops.end(),
              [](const Loop &a, const Loop &b) { return a.stride < b.stride; });
    int64_t run = shape.runBytes;
    size_t joined = 0;
    while (joined < loops.size() && loops[joined].stride <= run) {
      const Int128 end = static_cast<Int128>(loops[joined].count - 1) * loops[joined].stride + run;
      if (!require(end <= sramBytes, absl::StrCat("transfer of ", static_cast<int64_t>(end >> 20),
                                                  " MiB leaves sram")))
        return;
      run = static_cast<int64_t>(end);
      ++joined;
    }
    Int128 runs = 1;
    for (size_t i = joined; i < loops.size(); ++i)
      runs *= loops[i].count;
    if (!require(runs <= kMaxRuns,
                 absl::StrCat("transfer touches sram in more than ", kMaxRuns, " separate runs")))
      return;
    std::vector<Int128> starts = {offset};
    for (size_t i = joined; i < loops.size(); ++i) {
      std::vector<Int128> next;
      for (Int128 start : starts)
        for (int64_t n = 0; n < loops[i].count; ++n)
          next.push_back(start + static_cast<Int128>(n) * loops[i].stride);
      starts = std::move(next);
    }
    for (Int128 start : starts) {
      if (!require(
              start >= 0 && start <= sramBytes,
              absl::StrCat("transfer at ", offset, " leaves the ", sramBytes, " bytes of sram")))
        return;
      sram("transfer", static_cast<int64_t>(start), {run}, 1, write);
    }
  }

  bool shape(const DmaShape &s, int64_t most) {
    within("run", s.runBytes, 1, kMaxCount);
    Int128 moved = s.runBytes;
    for (int i = 0; i < 3; ++i) {
      within("count", s.counts[i], 1, kMaxCount);
      within("dram stride", s.dramStrides[i], 0, kMaxStride);
      within("sram stride", s.sramStrides[i], 0, kMaxStride);
      if (problem.empty())
        moved *= s.counts[i];
    }
    return require(moved <= most,
                   absl::StrCat("moves more bytes than the ", most, " of what it fills"));
  }

  /// The DRAM side, as the range around it.
  void dram(Region region, int64_t offset, const DmaShape &s, bool write) {
    if (!problem.empty())
      return;
    const int64_t size = region == Region::Arena ? program.arenaBytes : program.constantsBytes;
    Int128 end = static_cast<Int128>(offset) + s.runBytes;
    for (int i = 0; i < 3; ++i)
      end += static_cast<Int128>(s.counts[i] - 1) * s.dramStrides[i];
    if (!require(offset >= 0 && end <= size,
                 absl::StrCat("dram range at ", offset, " leaves the ", size, " bytes of the ",
                              region == Region::Arena ? "arena" : "constants")))
      return;
    if (region == Region::Arena)
      footprints.push_back(
          {.sram = false, .write = write, .begin = offset, .end = static_cast<int64_t>(end)});
  }

  void queue(const Command &command, Queue needed) {
    require(command.queue == needed, absl::StrCat("is on queue ", static_cast<int>(command.queue),
                                                  "; needs ", name(needed)));
  }

  void table(const char *field, SramOffset offset, CodeFormat input) {
    read(field, offset, {input.type == ElementType::I8 ? kTableEntries8 : kTableKnots16, 4}, 4);
  }

  void check(const Command &command, const DmaLoad &c) {
    queue(command, Queue::DmaIn);
    require(c.region == Region::Arena || c.region == Region::Constants, "has no such region");
    if (!shape(c.shape, sramBytes))
      return;
    dram(c.region, c.dram, c.shape, false);
    transferred(c.shape, c.sram, true);
  }
  void check(const Command &command, const DmaStore &c) {
    queue(command, Queue::DmaOut);
    if (!shape(c.shape, program.arenaBytes))
      return;
    dram(Region::Arena, c.dram, c.shape, true);
    transferred(c.shape, c.sram, false);
  }
  void check(const Command &command, const DmaGather &c) {
    queue(command, Queue::DmaIn);
    if (!counts({{"rows", c.rows}, {"row bytes", c.rowBytes}, {"table rows", c.tableRows}}))
      return;
    const Int128 bytes = static_cast<Int128>(c.tableRows) * c.rowBytes;
    require(c.dram >= 0 && bytes + c.dram <= program.constantsBytes,
            absl::StrCat("table at ", c.dram, " leaves the ", program.constantsBytes,
                         " bytes of the constants"));
    read("ids", c.ids, {c.rows, 4}, 4);
    write("rows", c.sram, {c.rows, c.rowBytes}, 1);
  }
  void check(const Command &command, const DmaWeights &c) {
    queue(command, Queue::DmaIn);
    const WeightExtent &b = c.block;
    const std::string wrong = formProblem(c.form);
    require(wrong.empty() && !c.form.isPlainInt8(),
            wrong.empty() ? "decodes what is not coded" : wrong);
    within("first channel in its group", b.firstInGroup, 0,
           std::max<int64_t>(c.form.groupSize - 1, 0));
    within("first channel in its run", b.firstInRun, 0, std::max<int64_t>(c.form.run - 1, 0));
    within("first output with its palette", b.firstInPalette, 0,
           std::max<int64_t>(c.form.paletteOutputs - 1, 0));
    if (!counts({{"outputs", b.outputs}, {"taps", b.taps}, {"inputs", b.inputs}}))
      return;
    const Int128 weights = static_cast<Int128>(b.outputs) * b.taps * b.inputs;
    if (!require(weights <= sramBytes, "decodes more weights than sram holds"))
      return;
    const int64_t needed = storedBytes(c.form, b);
    require(c.form.varies() ? c.bytes >= 1 && c.bytes <= needed : c.bytes == needed,
            absl::StrCat("has ", c.bytes, " stored bytes; its block has ",
                         c.form.varies() ? "1.." : "", needed));
    require(c.dram >= 0 && c.bytes <= program.constantsBytes &&
                c.dram <= program.constantsBytes - c.bytes,
            absl::StrCat("stream at ", c.dram, " leaves the ", program.constantsBytes,
                         " bytes of the constants"));
    write("weights", c.sram, {b.outputs, b.taps, b.inputs}, 1);
  }
  void check(const Command &command, const ConvCommand &c) {
    queue(command, Queue::Array);
    const ConvTile &t = c.tile;
    counts({{"input height", t.inputHeight},
            {"input width", t.inputWidth},
            {"input channels", t.inputChannels},
            {"output height", t.outputHeight},
            {"output width", t.outputWidth},
            {"output channels", t.outputChannels}});
    for (int64_t value :
         {t.kernelHeight, t.kernelWidth, t.strideH, t.strideW, t.dilationH, t.dilationW})
      within("kernel, stride or dilation", value, 1, kMaxWindow);
    for (int64_t value : {t.padTop, t.padLeft})
      within("padding", value, 0, kMaxWindow);
    require(c.winograd == WinogradForm::None ||
                (t.kernelHeight == 3 && t.kernelWidth == 3 && t.strideH == 1 && t.strideW == 1 &&
                 t.dilationH == 1 && t.dilationW == 1),
            "transforms a window that is not 3x3 of stride and dilation 1");
    require(c.winograd != WinogradForm::F2x2 || t.inputChannels <= kMostTransformed,
            absl::StrCat("transforms ", t.inputChannels,
                         " input channels; sums of 32 bits need 1..", kMostTransformed));
    if (!format("input format", c.inputFormat, true))
      return;
    read("input", c.input, {t.inputHeight, t.inputWidth, t.inputChannels, width(c.inputFormat)},
         width(c.inputFormat));
    read("weights", c.weights, {t.outputChannels, t.kernelHeight, t.kernelWidth, t.inputChannels},
         1);
    const bool isTapWise = c.winograd == WinogradForm::F4x4;
    for (const auto &shifts : {c.taps.codes, c.taps.weights})
      for (int64_t shift : shifts)
        within("shift", shift, 0, isTapWise ? kMostTapShift : 0);
    const double products = static_cast<double>(t.kernelHeight) *
                            static_cast<double>(t.kernelWidth) *
                            static_cast<double>(t.inputChannels);
    const double tapSum = kTapCodes *
                          (c.inputFormat.type == ElementType::I8 ? kMaxByteCode : kMaxCode) *
                          kTapWeights * kTapSums * static_cast<double>(t.inputChannels);
    accumulate("accumulator", c.accumulator, {t.outputHeight, t.outputWidth, t.outputChannels, 8},
               Content::Accumulators, isTapWise ? tapSum : products * kMaxCode * 128, c.clear);
  }
  void check(const Command &command, const RequantizeCommand &c) {
    queue(command, Queue::Vector);
    if (!counts({{"rows", c.rows}, {"channels", c.channels}}) ||
        !format("output format", c.outputFormat))
      return;
    read("accumulator", c.accumulator, {c.rows, c.channels, 8}, 8, Content::Accumulators);
    read("params", c.params, {c.channels, 16}, 8);
    write("output", c.output, {c.rows, c.channels, width(c.outputFormat)}, width(c.outputFormat));
  }
  void check(const Command &command, const CombineCommand &c) {
    queue(command, Queue::Vector);
    counts({{"rows", c.rows}, {"channels", c.channels}});
    within("shift", c.params.scaling.shift, 1, 62);
    within("b", c.b, -1, kMaxCount);
    if (!format("format of a", c.aFormat) || !format("format of b", c.bFormat) ||
        !format("output format", c.outputFormat))
      return;
    read("a", c.a, {c.rows, c.channels, width(c.aFormat)}, width(c.aFormat));
    if (c.b >= 0)
      read("b", c.b, {c.params.broadcastRows ? 1 : c.rows, c.channels, width(c.bFormat)},
           width(c.bFormat));
    write("output", c.output, {c.rows, c.channels, width(c.outputFormat)}, width(c.outputFormat));
  }
  void check(const Command &command, const ModulateCommand &c) {
    queue(command, Queue::Vector);
    counts({{"rows", c.rows}, {"channels", c.channels}});
    within("multiplier of scale", c.params.scaleMultiplier, 0, kLargestScaleMultiplier);
    within("unit", c.params.unit, 0, kLargestModulation);
    within("multiplier of shift", c.params.shiftMultiplier, 0, kLargestModulation);
    within("shift", c.params.shift, 1, kLargestModulateShift);
    within("offset of shift", c.shift, -1, kMaxCount);
    if (!format("input format", c.inputFormat, true) ||
        !format("format of scale", c.scaleFormat, true) ||
        !format("format of shift", c.shiftFormat, true) || !format("output format", c.outputFormat))
      return;
    read("input", c.input, {c.rows, c.channels, width(c.inputFormat)}, width(c.inputFormat));
    read("scale", c.scale, {c.channels, width(c.scaleFormat)}, width(c.scaleFormat));
    if (c.shift >= 0)
      read("shift", c.shift, {c.channels, width(c.shiftFormat)}, width(c.shiftFormat));
    write("output", c.output, {c.rows, c.channels, width(c.outputFormat)}, width(c.outputFormat));
  }
  void check(const Command &command, const TableCommand &c) {
    queue(command, Queue::Vector);
    if (!counts({{"count", c.count}}) || !format("input format", c.inputFormat) ||
        !format("output format", c.outputFormat))
      return;
    read("input", c.input, {c.count, width(c.inputFormat)}, width(c.inputFormat));
    table("table", c.table, c.inputFormat);
    write("output", c.output, {c.count, width(c.outputFormat)}, width(c.outputFormat));
  }
  void check(const Command &command, const GegluCommand &c) {
    queue(command, Queue::Vector);
    if (!counts({{"rows", c.rows}, {"channels", c.channels}}) ||
        !format("input format", c.inputFormat) || !format("output format", c.outputFormat) ||
        !scaling("scaling", c.params.scaling))
      return;
    within("offset of the gate", c.gate, -1, kMaxCount);
    const int64_t halves = c.gate < 0 ? 2 : 1;
    read("input", c.input, {c.rows, halves, c.channels, width(c.inputFormat)},
         width(c.inputFormat));
    if (c.gate >= 0)
      read("gate", c.gate, {c.rows, c.channels, width(c.inputFormat)}, width(c.inputFormat));
    table("table", c.table, c.inputFormat);
    write("output", c.output, {c.rows, c.channels, width(c.outputFormat)}, width(c.outputFormat));
  }
  bool groups(int64_t rows, int64_t channels, int64_t perGroup) {
    return counts({{"rows", rows}, {"channels", channels}, {"channels of a group", perGroup}}) &&
           require(channels % perGroup == 0,
                   absl::StrCat("groups of ", perGroup, " do not divide ", channels, " channels"));
  }
  void check(const Command &command, const NormSumsCommand &c) {
    queue(command, Queue::Vector);
    if (!groups(c.rows, c.channels, c.channelsPerGroup) || !format("input format", c.inputFormat))
      return;
    read("input", c.input, {c.rows, c.channels, width(c.inputFormat)}, width(c.inputFormat));
    const double elements = static_cast<double>(c.rows) * static_cast<double>(c.channelsPerGroup);
    accumulate("sums", c.sums, {c.channels / c.channelsPerGroup, 16}, Content::NormSums,
               elements * (1 << 30), c.clear);
  }
  void check(const Command &command, const NormApplyCommand &c) {
    queue(command, Queue::Vector);
    within("count", c.params.count, 1, kMaxCount);
    within("shift", c.params.shift, 1, 61);
    if (!groups(c.rows, c.channels, c.channelsPerGroup) || !format("input format", c.inputFormat) ||
        !format("output format", c.outputFormat))
      return;
    read("input", c.input, {c.rows, c.channels, width(c.inputFormat)}, width(c.inputFormat));
    if (!c.perRow)
      read("sums", c.sums, {c.channels / c.channelsPerGroup, 16}, 8, Content::NormSums);
    read("channel params", c.channelParams, {c.channels, 16}, 8);
    write("output", c.output, {c.rows, c.channels, width(c.outputFormat)}, width(c.outputFormat));
  }
  bool attention(const AttentionTile &t, const AttentionParams &p) {
    counts({{"queries", t.queries}, {"keys", t.keys}, {"head dimension", t.headDim}});
    within("first query", t.firstQuery, 0, kMaxCount);
    within("first key", t.firstKey, 0, kMaxCount);
    within("query stride", t.queryStride, t.headDim, kMaxCount);
    within("key stride", t.keyStride, t.headDim, kMaxCount);
    scaling("exponent", p.exponent);
    return scaling("output scaling", p.output);
  }
  void rows(const char *field, SramOffset offset, int64_t count, int64_t stride, int64_t headDim,
            CodeFormat f, bool written = false) {
    if (!problem.empty())
      return;
    const Int128 elements = static_cast<Int128>(count - 1) * stride + headDim;
    if (!require(elements <= sramBytes, absl::StrCat(field, " is larger than sram")))
      return;
    sram(field, offset, {static_cast<int64_t>(elements), width(f)}, width(f), written);
  }
  void check(const Command &command, const AttentionMaximaCommand &c) {
    queue(command, Queue::Array);
    if (!attention(c.tile, c.params) || !format("format of q", c.qFormat, true) ||
        !format("format of k", c.kFormat, true))
      return;
    const AttentionTile &t = c.tile;
    rows("q", c.q, t.queries, t.queryStride, t.headDim, c.qFormat);
    rows("k", c.k, t.keys, t.keyStride, t.headDim, c.kFormat);
    accumulate("row maxima", c.rowMax, {t.queries, 8}, Content::RowMaxima, 0, c.clear);
  }
  void check(const Command &command, const AttentionAccumulateCommand &c) {
    queue(command, Queue::Array);
    if (!attention(c.tile, c.params) || !format("format of q", c.qFormat, true) ||
        !format("format of k", c.kFormat, true) || !format("format of v", c.vFormat, true))
      return;
    const AttentionTile &t = c.tile;
    rows("q", c.q, t.queries, t.queryStride, t.headDim, c.qFormat);
    rows("k", c.k, t.keys, t.keyStride, t.headDim, c.kFormat);
    rows("v", c.v, t.keys, t.keyStride, t.headDim, c.vFormat);
    read("row maxima", c.rowMax, {t.queries, 8}, 8, Content::RowMaxima);
    const double weights = static_cast<double>(t.keys) * 65535;
    accumulate("row sums", c.rowSum, {t.queries, 8}, Content::RowSums, weights, c.clear);
    accumulate("accumulator", c.accumulator, {t.queries, t.headDim, 8}, Content::WeightedSums,
               weights * kMaxCode, c.clear);
  }
  void check(const Command &command, const AttentionFinishCommand &c) {
    queue(command, Queue::Vector);
    counts({{"queries", c.queries}, {"head dimension", c.headDim}});
    within("output stride", c.outputStride, c.headDim, kMaxCount);
    if (!scaling("output scaling", c.params.output) || !format("output format", c.outputFormat))
      return;
    read("row sums", c.rowSum, {c.queries, 8}, 8, Content::RowSums);
    read("accumulator", c.accumulator, {c.queries, c.headDim, 8}, 8, Content::WeightedSums);
    rows("output", c.output, c.queries, c.outputStride, c.headDim, c.outputFormat, true);
  }
  void check(const Command &command, const TimeEmbeddingCommand &c) {
    queue(command, Queue::Vector);
    counts({{"batch", c.batch}, {"inputs", c.inputs}, {"half dimension", c.params.halfDim}});
    require(c.inputs == 1 || c.inputs == c.batch,
            absl::StrCat("has ", c.inputs, " timesteps for a batch of ", c.batch));
    within("fraction bits", c.params.fractionBits, 0, 30);
    if (!format("output format", c.outputFormat))
      return;
    read("timesteps", c.input, {c.inputs, 4}, 4);
    read("steps", c.steps, {c.params.halfDim, 4}, 4);
    read("sine", c.sine, {kTableKnots16, 4}, 4);
    write("output", c.output, {c.batch, 2, c.params.halfDim, width(c.outputFormat)},
          width(c.outputFormat));
  }
  void check(const Command &command, const EmbedCommand &c) {
    queue(command, Queue::Vector);
    counts({{"rows", c.rows}, {"channels", c.channels}});
    within("shift", c.shift, 1, 62);
    if (!format("output format", c.outputFormat))
      return;
    read("tokens", c.tokens, {c.rows, c.channels}, 1);
    read("token multipliers", c.tokenMultipliers, {c.rows, 4}, 4);
    read("positions", c.positions, {c.rows, c.channels}, 1);
    read("position multipliers", c.positionMultipliers, {c.rows, 4}, 4);
    write("output", c.output, {c.rows, c.channels, width(c.outputFormat)}, width(c.outputFormat));
  }
  void check(const Command &command, const PoolTokenCommand &c) {
    queue(command, Queue::Vector);
    if (!counts({{"tokens", c.tokens}, {"row bytes", c.rowBytes}}))
      return;
    read("hidden", c.hidden, {c.tokens, c.rowBytes}, 1);
    read("ids", c.ids, {c.tokens, 4}, 4);
    write("output", c.output, {c.rowBytes}, 1);
  }
};

} // namespace

std::string commandProblem(const Command &command, const Program &program, int64_t sramBytes,
                           std::vector<Footprint> &footprints) {
  footprints.clear();
  CommandCheck check{program, sramBytes, footprints};
  if (static_cast<int>(command.queue) >= kQueues)
    return "is on no queue";
  check.require(command.layer >= 0, "belongs to a negative layer");
  std::visit([&](const auto &args) { check.check(command, args); }, command.args);
  return check.problem;
}

} // namespace sdopt
