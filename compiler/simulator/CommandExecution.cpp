#include "compiler/simulator/CommandExecution.h"

#include "absl/strings/str_cat.h"
#include "compiler/kernels/IntegerWinograd.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/RowBlocks.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace sdopt {
namespace {

/// Do the runs of one side lie apart, each after the one before?
bool runsAreApart(const DmaShape &shape, const std::array<int64_t, 3> &strides) {
  int64_t extent = shape.runBytes;
  for (size_t loop = 3; loop-- > 0;) {
    if (shape.counts[loop] > 1 && strides[loop] < extent)
      return false;
    extent += (shape.counts[loop] - 1) * strides[loop];
  }
  return true;
}

/// Copies runs from `source` to `target`; with several threads if there is much to copy and no byte
/// is written twice.
void copyRuns(const DmaShape &shape, const std::byte *source,
              const std::array<int64_t, 3> &sourceStrides, std::byte *target,
              const std::array<int64_t, 3> &targetStrides) {
  constexpr int64_t kGrain = 1 << 17; // bytes
  const auto &counts = shape.counts;
  const int64_t runs = counts[0] * counts[1] * counts[2], run = shape.runBytes;
  const auto copy = [&](int64_t n, int64_t from, int64_t to) {
    const std::array<int64_t, 3> index = {n / (counts[1] * counts[2]), n / counts[2] % counts[1],
                                          n % counts[2]};
    int64_t read = from, write = from;
    for (size_t loop = 0; loop < 3; ++loop) {
      read += index[loop] * sourceStrides[loop];
      write += index[loop] * targetStrides[loop];
    }
    std::memcpy(target + write, source + read, static_cast<size_t>(to - from));
  };
  if (runs * run < 2 * kGrain || !runsAreApart(shape, targetStrides)) {
    for (int64_t n = 0; n < runs; ++n)
      copy(n, 0, run);
    return;
  }
  if (run >= kGrain) {
    for (int64_t n = 0; n < runs; ++n)
      parallelRanges(run, kGrain, [&](int64_t from, int64_t to) { copy(n, from, to); });
    return;
  }
  parallelRanges(runs, kGrain / run, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n)
      copy(n, 0, run);
  });
}

class Execution {
public:
  Execution(const MemoryImages &memory, const IntegerKernels &kernels)
      : memory_(memory), kernels_(kernels) {}

  absl::Status operator()(const DmaLoad &c) {
    const std::byte *source =
        c.region == Region::Arena ? memory_.arena.data() : memory_.constants.data();
    copyRuns(c.shape, source + c.dram, c.shape.dramStrides, memory_.sram.data() + c.sram,
             c.shape.sramStrides);
    return absl::OkStatus();
  }

  absl::Status operator()(const DmaWeights &c) {
    const auto stream =
        memory_.constants.subspan(static_cast<size_t>(c.dram), static_cast<size_t>(c.bytes));
    if (decodeWeights(c.form, c.block, stream, at<int8_t>(c.sram)))
      return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("the ", c.bytes, " bytes at ", c.dram,
                                            " of the constants are no stream of weights as ",
                                            name(c.form)));
  }

  absl::Status operator()(const DmaStore &c) {
    copyRuns(c.shape, memory_.sram.data() + c.sram, c.shape.sramStrides,
             memory_.arena.data() + c.dram, c.shape.dramStrides);
    return absl::OkStatus();
  }

  absl::Status operator()(const DmaGather &c) {
    // Ids and rows may overlap in a program that nobody checked; take the ids first.
    const std::vector<int32_t> ids(at<int32_t>(c.ids), at<int32_t>(c.ids) + c.rows);
    for (int64_t i = 0; i < c.rows; ++i) {
      const int64_t row = std::clamp<int64_t>(ids[i], 0, c.tableRows - 1);
      std::memcpy(at<std::byte>(c.sram) + i * c.rowBytes,
                  memory_.constants.data() + c.dram + row * c.rowBytes, c.rowBytes);
    }
    return absl::OkStatus();
  }

  absl::Status operator()(const ConvCommand &c) {
    const ConvTile &t = c.tile;
    auto *accumulator = at<int64_t>(c.accumulator);
    if (c.clear)
      std::fill_n(accumulator, t.outputHeight * t.outputWidth * t.outputChannels, 0);
    const Codes x = codes(c.input, c.inputFormat);
    if (c.winograd == WinogradForm::F4x4)
      tapAccumulate(kernels_, t, x, at<int8_t>(c.weights), c.taps, accumulator);
    else if (c.winograd == WinogradForm::F2x2)
      winogradAccumulate(kernels_, t, x, at<int8_t>(c.weights), accumulator);
    else
      kernels_.convAccumulate(t, x, at<int8_t>(c.weights), accumulator);
    return absl::OkStatus();
  }

  absl::Status operator()(const RequantizeCommand &c) {
    // Results may lie over parameters in a program that nobody checked.
    const std::vector<ChannelParams> params(at<ChannelParams>(c.params),
                                            at<ChannelParams>(c.params) + c.channels);
    for (int64_t channel = 0; channel < c.channels; ++channel)
      if (params[channel].shift < 1 || params[channel].shift > 62)
        return absl::DataLossError(absl::StrCat("channel ", channel, " of the parameters at sram ",
                                                c.params, " has shift ", params[channel].shift,
                                                "; needs 1..62"));
    kernels_.requantize(at<int64_t>(c.accumulator), c.rows, c.channels, params.data(),
                        c.outputFormat, at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const CombineCommand &c) {
    Codes b;
    if (c.b >= 0)
      b = codes(c.b, c.bFormat);
    kernels_.combine(codes(c.a, c.aFormat), b, c.rows, c.channels, c.params, c.outputFormat,
                     at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const ModulateCommand &c) {
    Codes shift;
    if (c.shift >= 0)
      shift = codes(c.shift, c.shiftFormat);
    kernels_.modulate(codes(c.input, c.inputFormat), codes(c.scale, c.scaleFormat), shift, c.rows,
                      c.channels, c.params, c.outputFormat, at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const TableCommand &c) {
    kernels_.table(codes(c.input, c.inputFormat), c.count, table(c.table, c.inputFormat),
                   c.outputFormat, at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const GegluCommand &c) {
    if (c.gate < 0) {
      kernels_.geglu(codes(c.input, c.inputFormat), c.rows, c.channels,
                     table(c.table, c.inputFormat), c.params, c.outputFormat,
                     at<std::byte>(c.output));
      return absl::OkStatus();
    }
    // The kernel takes both halves of a row side by side.
    const int64_t half = c.channels * byteWidth(c.inputFormat.type);
    std::vector<std::byte> both(static_cast<size_t>(2 * c.rows * half));
    for (int64_t row = 0; row < c.rows; ++row) {
      std::memcpy(both.data() + 2 * row * half, at<std::byte>(c.input + row * half),
                  static_cast<size_t>(half));
      std::memcpy(both.data() + (2 * row + 1) * half, at<std::byte>(c.gate + row * half),
                  static_cast<size_t>(half));
    }
    kernels_.geglu({both.data(), c.inputFormat}, c.rows, c.channels, table(c.table, c.inputFormat),
                   c.params, c.outputFormat, at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const NormSumsCommand &c) {
    const std::span<NormSums> sums(at<NormSums>(c.sums),
                                   static_cast<size_t>(c.channels / c.channelsPerGroup));
    if (c.clear)
      std::fill(sums.begin(), sums.end(), NormSums());
    kernels_.normSums(codes(c.input, c.inputFormat), c.rows, c.channels, c.channelsPerGroup, sums);
    return absl::OkStatus();
  }

  absl::Status operator()(const NormApplyCommand &c) {
    const auto groups = static_cast<size_t>(c.channels / c.channelsPerGroup);
    const auto *params = at<NormChannel>(c.channelParams);
    if (!c.perRow) {
      kernels_.normApply(codes(c.input, c.inputFormat), c.rows, c.channels, c.channelsPerGroup,
                         std::span<const NormSums>(at<NormSums>(c.sums), groups), c.params, params,
                         c.outputFormat, at<std::byte>(c.output));
      return absl::OkStatus();
    }
    const int64_t inputRow = c.channels * byteWidth(c.inputFormat.type),
                  outputRow = c.channels * byteWidth(c.outputFormat.type);
    const auto rows = [&](int64_t first, int64_t count) {
      std::vector<NormSums> sums(groups);
      for (int64_t row = first; row < first + count; ++row) {
        const Codes x = codes(c.input + row * inputRow, c.inputFormat);
        std::fill(sums.begin(), sums.end(), NormSums());
        kernels_.normSums(x, 1, c.channels, c.channelsPerGroup, sums);
        kernels_.normApply(x, 1, c.channels, c.channelsPerGroup, sums, c.params, params,
                           c.outputFormat, at<std::byte>(c.output + row * outputRow));
      }
    };
    const bool isApart =
        c.output >= c.input + c.rows * inputRow || c.input >= c.output + c.rows * outputRow;
    if (isApart)
      forRowBlocks(c.rows, c.channels, rows);
    else // rows may be written where later ones are read
      rows(0, c.rows);
    return absl::OkStatus();
  }

  absl::Status operator()(const AttentionMaximaCommand &c) {
    clear(c);
    kernels_.attentionMaxima(c.tile, codes(c.q, c.qFormat), codes(c.k, c.kFormat), c.params,
                             at<int64_t>(c.rowMax));
    return absl::OkStatus();
  }

  absl::Status operator()(const AttentionAccumulateCommand &c) {
    clear(c);
    kernels_.attentionAccumulate(c.tile, codes(c.q, c.qFormat), codes(c.k, c.kFormat),
                                 codes(c.v, c.vFormat), c.params, at<int64_t>(c.rowMax),
                                 at<int64_t>(c.rowSum), at<int64_t>(c.accumulator));
    return absl::OkStatus();
  }

  void operator()(const AttentionMaximaCommand &maxima, const AttentionAccumulateCommand &c) {
    clear(maxima);
    clear(c);
    kernels_.attention(c.tile, codes(c.q, c.qFormat), codes(c.k, c.kFormat), codes(c.v, c.vFormat),
                       c.params, at<int64_t>(c.rowMax), at<int64_t>(c.rowSum),
                       at<int64_t>(c.accumulator));
  }

  absl::Status operator()(const AttentionFinishCommand &c) {
    kernels_.attentionFinish(c.queries, c.headDim, at<int64_t>(c.rowSum),
                             at<int64_t>(c.accumulator), c.params, c.outputFormat, c.outputStride,
                             at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const TimeEmbeddingCommand &c) {
    const auto halfDim = static_cast<size_t>(c.params.halfDim);
    const int64_t rowBytes = 2 * c.params.halfDim * byteWidth(c.outputFormat.type);
    for (int64_t row = 0; row < c.batch; ++row)
      kernels_.timeEmbedding(at<int32_t>(c.input)[c.inputs == 1 ? 0 : row],
                             std::span<const uint32_t>(at<uint32_t>(c.steps), halfDim),
                             std::span<const int32_t>(at<int32_t>(c.sine), kTableKnots16), c.params,
                             c.outputFormat, at<std::byte>(c.output + row * rowBytes));
    return absl::OkStatus();
  }

  absl::Status operator()(const EmbedCommand &c) {
    kernels_.embed(at<int8_t>(c.tokens), at<int32_t>(c.tokenMultipliers), at<int8_t>(c.positions),
                   at<int32_t>(c.positionMultipliers), c.shift, c.rows, c.channels, c.outputFormat,
                   at<std::byte>(c.output));
    return absl::OkStatus();
  }

  absl::Status operator()(const PoolTokenCommand &c) {
    const auto *ids = at<int32_t>(c.ids);
    const auto *found = std::find(ids, ids + c.tokens, c.token);
    const int64_t row = found == ids + c.tokens ? 0 : found - ids;
    std::memmove(at<std::byte>(c.output), at<std::byte>(c.hidden) + row * c.rowBytes, c.rowBytes);
    return absl::OkStatus();
  }

private:
  void clear(const AttentionMaximaCommand &c) const {
    if (c.clear)
      std::fill_n(at<int64_t>(c.rowMax), c.tile.queries, std::numeric_limits<int64_t>::min());
  }
  void clear(const AttentionAccumulateCommand &c) const {
    if (!c.clear)
      return;
    std::fill_n(at<int64_t>(c.rowSum), c.tile.queries, 0);
    std::fill_n(at<int64_t>(c.accumulator), c.tile.queries * c.tile.headDim, 0);
  }
  template <typename T> T *at(SramOffset offset) const {
    return reinterpret_cast<T *>(memory_.sram.data() + offset);
  }
  Codes codes(SramOffset offset, CodeFormat format) const {
    return {memory_.sram.data() + offset, format};
  }
  std::span<const int32_t> table(SramOffset offset, CodeFormat input) const {
    const int64_t entries = input.type == ElementType::I8 ? kTableEntries8 : kTableKnots16;
    return {at<int32_t>(offset), static_cast<size_t>(entries)};
  }

  const MemoryImages &memory_;
  const IntegerKernels &kernels_;
};

} // namespace

absl::Status execute(const CommandArgs &args, const MemoryImages &memory,
                     const IntegerKernels &kernels) {
  return std::visit(Execution(memory, kernels), args);
}

void execute(const AttentionMaximaCommand &maxima, const AttentionAccumulateCommand &sums,
             const MemoryImages &memory, const IntegerKernels &kernels) {
  Execution(memory, kernels)(maxima, sums);
}

} // namespace sdopt
