// Traffic and time of a tiling, for each family of layers.

#include "compiler/schedule/TrafficModel.h"

#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/WinogradLayers.h"

#include <cmath>
#include <numeric>

namespace sdopt {

int64_t busCycles(int64_t bytes, const Target &target) {
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(bytes) / target.dram.bandwidth * target.clock));
}

namespace {

constexpr int64_t kWord = 4;
constexpr int64_t kRecord = 16; ///< ChannelParams, NormChannel

/// Runs of bytes in DRAM that begin `stride` apart; 0: one begins where another ends. Of a part of
/// the rows of a picture each has `inRow` of them, and rows begin `rowStride` apart.
struct Runs {
  int64_t bytes = 0, stride = 0, inRow = 0, rowStride = 0;

  bool follow() const { return stride == 0 || bytes >= stride; }
  /// The same elements with so many bytes each.
  Runs of(int64_t width) const { return {bytes * width, stride * width, inRow, rowStride * width}; }
};

/// What runs of bytes that do not follow each other take of the bus, after DramModel.h.
class StridedRuns {
public:
  explicit StridedRuns(const DramTarget &dram)
      : dram(dram), burst(std::max<int64_t>(dram.burstBytes, 1)) {
    const auto below = [&](DramField field, DramField other) {
      const auto at = [&](DramField f) {
        return std::find(dram.mapping.begin(), dram.mapping.end(), f);
      };
      return at(field) < at(other);
    };
    const bool rotates = below(DramField::Channel, DramField::Column) &&
                         (below(DramField::Channel, DramField::BankGroup) || dram.bankGroups == 1);
    channels = rotates ? std::max<int64_t>(dram.channels, 1) : 1;
    if (below(DramField::BankGroup, DramField::Column))
      groups = std::max<int64_t>(dram.bankGroups, 1);
  }

  /// Bytes that the bus moves in the time of `bytes`, moved by so many commands.
  int64_t busBytes(int64_t bytes, int64_t commands, const Runs &runs) const {
    if (runs.follow()) {
      const int64_t bursts = ceilDiv(ceilDiv(bytes, commands), burst);
      const double opening = opened(bursts) * waiting(bursts);
      return bytes + static_cast<int64_t>(first(commands, bursts) +
                                          static_cast<double>(commands) * opening);
    }
    return static_cast<int64_t>(first(commands, ceilDiv(runs.bytes, burst)) +
                                static_cast<double>(bytes) / static_cast<double>(runs.bytes) *
                                    onBus(runs));
  }

  /// At most busBytes(), but for rounding.
  BusShare least(const Runs &runs) const {
    if (runs.follow())
      return {1, waits()};
    return {onBus(runs) / static_cast<double>(runs.bytes), first(1, ceilDiv(runs.bytes, burst))};
  }

  /// Bytes that could move while a row opens.
  double waits() const { return (dram.conflictLatency - dram.hitLatency) * dram.bandwidth; }

private:
  /// Rows of one channel that a run opens.
  double opened(int64_t bursts) const {
    return static_cast<double>(std::min(groups, ceilDiv(bursts, channels)));
  }
  /// Bytes that could still move while a row opens behind those of the row before.
  double waiting(int64_t bursts) const {
    const int64_t before = std::max<int64_t>(bursts / (channels * groups), 1);
    return std::max(waits() - static_cast<double>(before * burst * channels), 0.0);
  }
  /// Nothing hides that a command's first rows open.
  double first(int64_t commands, int64_t bursts) const {
    return static_cast<double>(commands) * (waits() - waiting(bursts));
  }
  /// Of one run that does not follow another.
  double onBus(const Runs &runs) const {
    const int64_t bursts = ceilDiv(runs.bytes, burst);
    // Channels that no run begins in wait for those that all begin in.
    const int64_t step = runs.stride % burst == 0 ? std::gcd(runs.stride / burst, channels) : 1;
    const auto pages = static_cast<double>(dram.pageBytes * channels * groups);
    double stripes = static_cast<double>(runs.stride) / pages;
    if (runs.inRow > 0)
      stripes =
          std::min(static_cast<double>(runs.rowStride) / static_cast<double>(runs.inRow) / pages,
                   stripes + 1.0 / static_cast<double>(runs.inRow));
    return static_cast<double>(ceilDiv(bursts, step) * step * burst) +
           std::min(static_cast<double>(groups) * stripes * waiting(bursts),
                    opened(bursts) * waiting(bursts));
  }

  const DramTarget &dram;
  int64_t burst, channels = 1, groups = 1;
};

/// Counts reads and writes with the time they take.
struct Traffic {
  const Target &target;
  StridedRuns runs{target.dram};
  int64_t reads = 0, writes = 0;
  int64_t readBus = 0, writeBus = 0; ///< bytes that the bus could move in the time
  int64_t loads = 0, stores = 0;     ///< commands

  void read(int64_t bytes, int64_t commands, const Runs &from = {}) {
    reads += bytes;
    loads += commands;
    readBus += runs.busBytes(bytes, commands, from);
  }
  void write(int64_t bytes, int64_t commands, const Runs &to = {}) {
    writes += bytes;
    stores += commands;
    writeBus += runs.busBytes(bytes, commands, to);
  }
  /// Of the loads so far.
  int64_t readCycles() const { return busCycles(readBus, target) + loads * latency(); }
  /// Loads and stores share the bus, but not the wait for each command's first byte.
  int64_t cycles() const {
    return std::max({busCycles(readBus + writeBus, target), readCycles(),
                     busCycles(writeBus, target) + stores * latency()});
  }

private:
  int64_t latency() const {
    return static_cast<int64_t>(std::ceil(target.dram.hitLatency * target.clock));
  }
};

int64_t fillCycles(const ArrayTarget &array) { return 2 * array.rows + array.columns; }

/// Matrix products on the arrays (docs/isa.md, "Timing") with that many blocks of rows, of all
/// products together, and of columns of weights; `depth`: of adders around them.
int64_t blockCycles(const ArrayTarget &array, double rate, int64_t streamed, int64_t reductions,
                    int64_t blocks, int64_t products = 1, int64_t depth = 0) {
  const int64_t fill = fillCycles(array) + depth;
  const bool ahead = array.weightTiles > 1;
  const auto streaming = [&](int64_t rows) {
    const auto cycles = static_cast<int64_t>(std::ceil(static_cast<double>(rows) / rate));
    return ahead ? std::max(cycles, array.rows) : cycles + fill;
  };
  const int64_t byRows = blocks * streaming(ceilDiv(streamed, array.count));
  const int64_t byBlocks = ceilDiv(blocks, array.count) * streaming(streamed);
  return reductions * std::min(byRows, byBlocks) + (ahead ? products * fill : 0);
}

int64_t productCycles(const ArrayTarget &array, double rate, int64_t streamed, int64_t reduction,
                      int64_t outputs) {
  return blockCycles(array, rate, streamed, ceilDiv(reduction, array.rows),
                     ceilDiv(outputs, array.columns));
}

/// Sum of body(i) for all i < count, where body is the same again after `period`.
template <typename Body> int64_t periodicSum(int64_t count, int64_t period, Body body) {
  int64_t whole = 0, rest = 0;
  for (int64_t i = 0; i < std::min(period, count); ++i) {
    const int64_t value = body(i);
    whole += value;
    rest += i < count % period ? value : 0;
  }
  return count / period * whole + rest;
}

/// Tiles after which a tile begins again where one of `size` does; 0: anywhere.
int64_t periodOf(int64_t tile, int64_t size) { return size > 0 ? size / std::gcd(tile, size) : 1; }

/// Stored bytes of the blocks into which weights are cut.
int64_t blockBytes(const MatrixShape &s, const AxisCut &outputs, const AxisCut &inputs) {
  if (s.weights.isPlainInt8())
    return s.weightCount();
  if (s.packedBytes > 0)
    return s.packedBytes;
  // Blocks differ by where groups, runs and palettes begin.
  const int64_t inputPeriod =
      std::lcm(periodOf(inputs.tile, s.weights.groupSize), periodOf(inputs.tile, s.weights.run));
  const int64_t outputPeriod = periodOf(outputs.tile, s.weights.paletteOutputs);
  const auto row = [&](int64_t o) {
    const auto block = [&](int64_t i) {
      return s.expectedBytes(blockAt(s.weights, outputs.first(o), inputs.first(i),
                                     outputs.extent(o), s.taps(), inputs.extent(i)));
    };
    return periodicSum(inputs.tiles - 1, inputPeriod, block) + block(inputs.tiles - 1);
  };
  return periodicSum(outputs.tiles - 1, outputPeriod, row) + row(outputs.tiles - 1);
}

/// Weights that the decoder makes in a cycle.
int64_t decoderRate(const MatrixShape &s, const Target &target) {
  if (s.weights.lanes == 0)
    return target.decoder.weights;
  return std::min({target.decoder.weights, target.decoder.lanes, s.weights.lanes});
}

/// Cycles that the decoder takes beyond those of the bus.
int64_t decoderExcess(const MatrixShape &s, int64_t times, int64_t weightBus,
                      const Target &target) {
  if (s.weights.isPlainInt8())
    return 0;
  return std::max<int64_t>(
      ceilDiv(s.weightCount() * times, decoderRate(s, target)) - busCycles(weightBus, target), 0);
}

/// Calls body(extent, times) for the full tiles of an axis and for its last one.
template <typename Body> void forSizes(const AxisCut &cut, Body body) {
  if (cut.last == cut.tile)
    return body(cut.tile, cut.tiles);
  if (cut.tiles > 1)
    body(cut.tile, cut.tiles - 1);
  body(cut.last, int64_t{1});
}

struct Work {
  int64_t array = 0, vector = 0;
};

/// Tiles of results that joined layers take.
struct ResultTiles {
  int64_t elements = 0, channels = 0; ///< of all tiles together; of one row
  int64_t tiles = 0, rowLoads = 0;    ///< times that a row of a picture is loaded
  Runs runs;                          ///< of elements of one byte
};

/// Bytes of one joined layer.
struct TailBytes {
  int64_t operand, rows, constant, output;
  TailBytes(const TailShape &tail, const ResultTiles &results)
      : operand(tail.isOperandResident ? 0 : results.elements * tail.operandBytes),
        rows(results.rowLoads * results.channels * tail.rowBytes), constant(tail.constantBytes),
        output(tail.isStored ? results.elements * tail.outputBytes : 0) {}
  int64_t read() const { return operand + rows + constant; }
};

/// Runs of channels of a pixel, or of whole pixels of a row, in elements; of a row of `inRow`
/// pixels tiles take so many.
Runs pixelRuns(const AxisCut &channels, int64_t pixels, int64_t inRow, bool hasParts) {
  if (channels.tiles == 1)
    return {channels.tile * pixels, channels.size * inRow};
  if (!hasParts)
    return {channels.tile, channels.size};
  return {channels.tile, channels.size, pixels, channels.size * inRow};
}

Runs inputRuns(const MatrixShape &s, const AxisCut &inputs, const WindowCut &horizontal) {
  return pixelRuns(inputs, horizontal.maxSpan, s.horizontal.input, horizontal.cut.tiles > 1)
      .of(s.inputBytes);
}

/// Of results; gates leave one element of so many.
Runs resultRuns(const MatrixShape &s, AxisCut outputs, const WindowCut &horizontal,
                int64_t gates = 1) {
  outputs.size /= gates;
  return pixelRuns(outputs, horizontal.cut.tile, s.horizontal.output, horizontal.cut.tiles > 1);
}

/// Rows that are cut so.
Runs runsOf(const AxisCut &channels) {
  return channels.tiles > 1 ? Runs{channels.tile, channels.size} : Runs();
}

ResultTiles resultsOf(const MatrixShape &s, const ChannelCut &cut, const WindowCut &vertical,
                      const WindowCut &horizontal, const Tiling &t) {
  const int64_t gates = s.tails.isGated() ? 2 : 1;
  const int64_t channels = s.outputChannels / gates, channelTiles = cut.outputs.tiles / gates;
  const int64_t pixelTiles = s.batch * vertical.cut.tiles * horizontal.cut.tiles;
  const bool onceEach = t.order == LoopOrder::WeightResident || channelTiles == 1;
  ResultTiles results;
  results.elements = s.batch * s.vertical.output * s.horizontal.output * channels;
  results.channels = channels;
  results.tiles = pixelTiles * channelTiles;
  // For each picture, or for each tile of one; pictures that share tiles take turns.
  results.rowLoads = pixelTiles;
  if (const PictureCut pictures(s, t); onceEach) {
    const int64_t alone = pictures.tile == 1 ? s.batch : pictures.last == 1 ? 1 : 0;
    results.rowLoads = (s.batch - alone) * horizontal.cut.tiles + alone;
  }
  results.runs = resultRuns(s, cut.outputs, horizontal, gates);
  return results;
}

ResultTiles resultsOf(const GroupNormShape &s, const Tiling &t) {
  const AxisCut rows(s.rows, t.height), channels(s.channels, t.outputChannels);
  ResultTiles results;
  results.elements = s.pictures * s.rows * s.channels;
  results.channels = s.channels;
  results.tiles = s.pictures * rows.tiles * channels.tiles;
  results.rowLoads = s.pictures;
  results.runs = runsOf(channels);
  return results;
}

/// Adds what joined layers move, and what they compute.
void addTails(const Tails &tails, const ResultTiles &results, const Target &target,
              Traffic &traffic, int64_t &vector) {
  for (const TailShape &tail : tails.layers) {
    const TailBytes bytes(tail, results);
    if (bytes.operand > 0)
      traffic.read(bytes.operand, results.tiles, results.runs.of(tail.operandBytes));
    if (bytes.rows > 0)
      traffic.read(bytes.rows, results.tiles);
    if (bytes.constant > 0)
      traffic.read(bytes.constant, 1);
    if (bytes.output > 0)
      traffic.write(bytes.output, results.tiles, results.runs.of(tail.outputBytes));
    vector += tail.passes * ceilDiv(results.elements, target.vector.lanes);
  }
}

/// Blocks of rows of weights in all tiles of input channels.
int64_t reductionsOf(const AxisCut &inputs, const ArrayTarget &array) {
  return (inputs.tiles - 1) * ceilDiv(inputs.tile, array.rows) + ceilDiv(inputs.last, array.rows);
}

/// Of each streamed row and pair of channels.
int64_t productsOf(const MatrixShape &s) {
  return s.winograd == WinogradForm::None ? s.taps() : workOf(s.winograd).products;
}

/// A tile of h x w outputs and that many blocks of columns of weights, all tiles of input channels.
int64_t windowCycles(const MatrixShape &shape, const AxisCut &inputs, const ArrayTarget &array,
                     int64_t h, int64_t w, int64_t blocks) {
  const int64_t reductions = reductionsOf(inputs, array);
  const double rate = shape.wideInput ? array.a16w8Rate : 1.0;
  return blockCycles(array, rate, winogradTiles(shape.winograd, h, w),
                     reductions * productsOf(shape), blocks, inputs.tiles,
                     workOf(shape.winograd).depth);
}

Work matrixWork(const MatrixShape &shape, const ChannelCut &channels, const WindowCut &vertical,
                const WindowCut &horizontal, const Target &target) {
  Work work;
  forSizes(vertical.cut, [&](int64_t h, int64_t nh) {
    forSizes(horizontal.cut, [&](int64_t w, int64_t nw) {
      forSizes(channels.outputs, [&](int64_t co, int64_t nco) {
        const int64_t times = shape.batch * nh * nw * nco;
        work.vector += times * ceilDiv(h * w * co, target.vector.lanes);
        work.array += times * windowCycles(shape, channels.inputs, target.array, h, w,
                                           ceilDiv(co, target.array.columns));
      });
    });
  });
  return work;
}

/// Cycles of the array for windows that run over the end of a ring of rows, which are summed in two
/// commands, and for starting anew at the ring's end.
int64_t seamWork(const MatrixShape &s, const ChannelCut &channels, int64_t ringRows,
                 const WindowCut &horizontal, const Target &target) {
  const WindowAxis &axis = s.vertical;
  const int64_t seams = s.batch * ((axis.input - 1) / ringRows) * horizontal.cut.tiles;
  const int64_t rows = ceilDiv((axis.kernel - 1) * axis.dilation, axis.stride);
  const auto cycles = [&](int64_t h, int64_t w) {
    return windowCycles(s, channels.inputs, target.array, h, w,
                        ceilDiv(channels.outputs.tile, target.array.columns));
  };
  return seams * channels.outputs.tiles * (cycles(rows, horizontal.cut.tile) + cycles(1, 1));
}

/// Layers that stream tiles through the vector unit or only move bytes.
Estimate streamEstimate(const Traffic &traffic, int64_t vectorCycles, int64_t tiles, int64_t sram,
                        const Tiling &tiling) {
  Estimate estimate;
  estimate.cost.dramReadBytes = traffic.reads;
  estimate.cost.dramWriteBytes = traffic.writes;
  estimate.cost.sramBytes = sram;
  estimate.cost.computeCycles = vectorCycles;
  estimate.cost.dramCycles = traffic.cycles();
  estimate.tiles = tiles;
  // What comes before the first overlap and after the last: about one tile.
  const int64_t fill = estimate.cost.dramCycles / std::max<int64_t>(tiles, 1);
  estimate.cycles = bufferLevel(tiling) >= 2
                        ? std::max(vectorCycles, estimate.cost.dramCycles) + fill
                        : vectorCycles + estimate.cost.dramCycles;
  return estimate;
}

struct EstimateOf {
  const Tiling &t;
  const Target &target;

  Estimate operator()(const MatrixShape &s) const {
    return estimateMatrix(s, MatrixCut(s, t), WindowCut(s.vertical, t.height),
                          WindowCut(s.horizontal, t.width), t, target, INT64_MAX);
  }

  Estimate operator()(const RowsShape &s) const {
    const AxisCut rows(s.rows, t.height), channels(s.channels, t.outputChannels);
    const int64_t elements = s.pictures * s.rows * s.channels;
    const Runs runs = runsOf(channels);
    const int64_t tiles = s.pictures * rows.tiles * channels.tiles;
    Traffic traffic{target};
    for (int i = 0; i < 2; ++i)
      if (const int64_t width = s.isInputResident[i] ? 0 : s.inputBytes[i]; width > 0)
        traffic.read(elements * width, tiles, runs.of(width));
    for (int64_t width : s.broadcastBytes)
      if (width > 0)
        traffic.read(s.pictures * s.channels * width, s.pictures * channels.tiles);
    if (s.constantBytes > 0)
      traffic.read(s.constantBytes, 1);
    if (s.isStored)
      traffic.write(elements * s.outputBytes, tiles, runs.of(s.outputBytes));
    return streamEstimate(traffic, s.passes * ceilDiv(elements, target.vector.lanes), tiles,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const GroupNormShape &s) const {
    const AxisCut rows(s.rows, t.height), channels(s.channels, t.outputChannels);
    const int64_t elements = s.pictures * s.rows * s.channels;
    const Runs runs = runsOf(channels);
    const int64_t passes = t.order == LoopOrder::InputResident ? 1 : 2;
    const int64_t tiles = s.pictures * rows.tiles * channels.tiles;
    Traffic traffic{target};
    if (!s.isInputResident)
      traffic.read(passes * elements * s.inputBytes, passes * tiles, runs.of(s.inputBytes));
    traffic.read(s.channels * kRecord, channels.tiles);
    if (s.tails.isLeadStored)
      traffic.write(elements * s.outputBytes, tiles, runs.of(s.outputBytes));
    int64_t vector = 2 * ceilDiv(elements, target.vector.lanes);
    addTails(s.tails, resultsOf(s, t), target, traffic, vector);
    return streamEstimate(traffic, vector, tiles, layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const AttentionShape &s) const;

  Estimate operator()(const UpsampleShape &s) const {
    const AxisCut rows(s.height, t.height), columns(s.width, t.width);
    const int64_t bytes = s.pictures * s.height * s.width * s.pixelBytes;
    const int64_t tiles = s.pictures * rows.tiles * columns.tiles, copies = s.factorH * s.factorW;
    Traffic traffic{target};
    if (!s.isInputResident)
      traffic.read(bytes, tiles, runsOf(columns).of(s.pixelBytes));
    traffic.write(bytes * copies, tiles * copies, {s.pixelBytes, s.factorW * s.pixelBytes});
    return streamEstimate(traffic, 0, tiles, layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const PermuteShape &s) const {
    const AxisCut a(s.dims[1], t.height), b(s.dims[2], t.width), c(s.dims[3], t.outputChannels);
    const int64_t bytes = s.dims[0] * s.dims[1] * s.dims[2] * s.dims[3] * s.elementBytes;
    const int64_t tiles = s.dims[0] * a.tiles * b.tiles * c.tiles;
    Traffic traffic{target};
    traffic.read(bytes, tiles);
    traffic.write(bytes, tiles);
    return streamEstimate(traffic, 0, tiles, layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const EmbeddingShape &s) const {
    const AxisCut tokens(s.tokens, t.width);
    const int64_t rows = s.batch * s.tokens;
    const int64_t tiles = s.batch * tokens.tiles;
    Traffic traffic{target};
    traffic.read(rows * kWord, tiles);
    traffic.read(rows * s.channels, tiles);
    traffic.read(rows * kWord, tiles);
    traffic.read(s.tokens * s.channels, tokens.tiles);
    traffic.read(s.tokens * kWord, tokens.tiles);
    traffic.write(rows * s.channels * s.outputBytes, tiles);
    return streamEstimate(traffic, 2 * ceilDiv(rows * s.channels, target.vector.lanes), tiles,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const TimeEmbeddingShape &s) const {
    const int64_t output = s.batch * 2 * s.halfDim;
    Traffic traffic{target};
    traffic.read(s.inputs * kWord, 1);
    traffic.read(s.halfDim * kWord, 1);
    traffic.read(kTableKnots16 * kWord, 1);
    traffic.write(output * s.outputBytes, 1);
    return streamEstimate(traffic, ceilDiv(output, target.vector.lanes), 1,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const PoolShape &s) const {
    const AxisCut channels(s.channels, t.outputChannels);
    const int64_t row = s.channels * s.elementBytes;
    const int64_t tiles = s.batch * channels.tiles;
    Traffic traffic{target};
    traffic.read(s.batch * s.tokens * row, tiles);
    traffic.read(s.batch * s.tokens * kWord, s.batch);
    traffic.write(s.batch * row, tiles);
    return streamEstimate(traffic, s.batch * ceilDiv(row, target.vector.lanes), tiles,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }
};

Estimate EstimateOf::operator()(const AttentionShape &s) const {
  const AxisCut queries(s.queries, t.height), keys(s.keys, t.width);
  const int64_t heads = s.batch * s.heads, together = headsTogether(s, t);
  const int64_t groups = heads / together, row = together * s.headDim;
  const bool resident = keys.tiles == 1;
  const bool keysStay = resident || t.order == LoopOrder::WeightResident;
  const int64_t kTimes = keysStay ? 1 : 2 * queries.tiles, vTimes = resident ? 1 : queries.tiles;
  const int64_t kBytes = s.isInputResident[1] ? 0 : groups * s.keys * row * s.kBytes * kTimes;
  const int64_t vBytes = s.isInputResident[2] ? 0 : groups * s.keys * row * s.vBytes * vTimes;
  Traffic traffic{target};
  const Runs runs{row, s.heads * s.headDim};
  const int64_t blocks = groups * queries.tiles;
  if (!s.isInputResident[0])
    traffic.read(groups * s.queries * row * s.qBytes, blocks, runs.of(s.qBytes));
  if (kBytes > 0)
    traffic.read(kBytes, groups * keys.tiles * kTimes, runs.of(s.kBytes));
  if (vBytes > 0)
    traffic.read(vBytes, groups * keys.tiles * vTimes, runs.of(s.vBytes));
  if (s.isStored) {
    const int64_t stored = s.isResident ? s.headDim : row;
    traffic.write(heads * s.queries * s.headDim * s.outputBytes, blocks * (row / stored),
                  Runs{stored, runs.stride}.of(s.outputBytes));
  }
  // Scores twice (maxima, then sums), weighted sum of values once.
  const auto rate = [&](bool wideA, bool wideB) {
    return wideA && wideB ? target.array.a16a16Rate
                          : (wideA || wideB ? target.array.a16w8Rate : 1.0);
  };
  const double scores = rate(s.qBytes > 1, s.kBytes > 1), values = rate(true, s.vBytes > 1);
  Work work;
  forSizes(queries, [&](int64_t q, int64_t nq) {
    work.vector += heads * nq * ceilDiv(q * s.headDim, target.vector.lanes);
    forSizes(keys, [&](int64_t k, int64_t nk) {
      work.array += heads * nq * nk *
                    (2 * productCycles(target.array, scores, q, s.headDim, k) +
                     productCycles(target.array, values, q, k, s.headDim));
    });
  });
  Estimate e = streamEstimate(traffic, work.array + (bufferLevel(t) >= 3 ? 0 : work.vector),
                              blocks * keys.tiles, layoutOf(s, t, target.sram.alignment).bytes, t);
  if (keysStay && bufferLevel(t) < 4)
    e.cycles += busCycles(kBytes + (resident ? vBytes : 0), target);
  return e;
}

} // namespace

MatrixCut::MatrixCut(const MatrixShape &s, const Tiling &t)
    : ChannelCut(s, t), weightBytes(blockBytes(s, outputs, inputs)) {}

ArrayBound leastArrayCycles(const MatrixShape &s, const MatrixCut &cut, const Target &target) {
  const ArrayTarget &array = target.array;
  int64_t blocks = 0, rounds = 0;
  forSizes(cut.outputs, [&](int64_t size, int64_t times) {
    const int64_t some = ceilDiv(size, array.columns);
    blocks += times * some;
    rounds += times * ceilDiv(some, array.count);
  });
  const WinogradWork &work = workOf(s.winograd);
  const int64_t reductions = reductionsOf(cut.inputs, array) * productsOf(s);
  const int64_t outputs = s.batch * s.vertical.output * s.horizontal.output;
  const int64_t streamed = outputs / (work.outputs * work.outputs);
  const int64_t fill = fillCycles(array) + work.depth;
  const double rate = s.wideInput ? array.a16w8Rate : 1.0;
  const double products = static_cast<double>(blocks) * static_cast<double>(reductions) /
                          static_cast<double>(array.count);
  const auto all = static_cast<int64_t>(products * static_cast<double>(streamed) / rate);
  // Filled once for each command, or for each tile of weights.
  if (array.weightTiles > 1) {
    const int64_t fills = cut.outputs.tiles * cut.inputs.tiles * fill;
    return {all, fills, rounds * reductions * array.rows + fills};
  }
  return {all, static_cast<int64_t>(products * static_cast<double>(fill)),
          rounds * reductions * fill};
}

MatrixBytes bytesOf(const MatrixShape &s, const MatrixCut &cut, const WindowCut &vertical,
                    const WindowCut &horizontal, const Tiling &t) {
  const AxisCut &outputs = cut.outputs, &inputs = cut.inputs;
  const int64_t spatial = PictureCut(s, t).tiles * vertical.cut.tiles * horizontal.cut.tiles;
  const bool byWeights = t.order == LoopOrder::WeightResident;
  // How often each operand is fetched: once where the block wanted is the one loaded last.
  int64_t inputTimes = 1;
  if (byWeights)
    inputTimes = spatial * inputs.tiles == 1 ? 1 : outputs.tiles;
  else if (t.order == LoopOrder::OutputStationary)
    inputTimes = inputs.tiles == 1 ? 1 : outputs.tiles;
  const int64_t weightTimes =
      byWeights || haveBuffers(t, outputs.tiles * inputs.tiles) ? 1 : spatial;
  const int64_t paramTimes = byWeights || haveBuffers(t, outputs.tiles) ? 1 : spatial;
  const int64_t rows =
      ringRows(s, t, vertical, inputs.tiles == 1) > 0 ? vertical.sumNew : vertical.sumSpan;
  int64_t tails = 0;
  if (!s.tails.layers.empty()) {
    const ResultTiles results = resultsOf(s, cut, vertical, horizontal, t);
    for (const TailShape &tail : s.tails.layers) {
      const TailBytes own(tail, results);
      tails += own.read() + own.output;
    }
  }
  return {.input = s.inputBlock > 0 ? 0
                                    : s.batch * rows * horizontal.sumSpan * s.inputChannels *
                                          s.inputBytes * inputTimes,
          .inputTimes = inputTimes,
          .weights = cut.weightBytes * weightTimes,
          .weightTimes = weightTimes,
          .params = s.outputChannels * kRecord * paramTimes,
          .paramTimes = paramTimes,
          .output = s.tails.isLeadStored ? s.batch * s.vertical.output * s.horizontal.output *
                                               s.outputChannels * s.outputBytes
                                         : 0,
          .tails = tails};
}

BusShare inputShare(const MatrixShape &s, const ChannelCut &cut, const WindowCut &horizontal,
                    const Target &target) {
  return StridedRuns(target.dram).least(inputRuns(s, cut.inputs, horizontal));
}

BusShare resultShare(const MatrixShape &s, const ChannelCut &cut, const WindowCut &horizontal,
                     const Target &target) {
  const StridedRuns strided(target.dram);
  BusShare share = {0, 0};
  const auto add = [&](int64_t gates, int64_t width) {
    const BusShare own = strided.least(resultRuns(s, cut.outputs, horizontal, gates).of(width));
    const int64_t tiles = cut.outputs.tiles / gates;
    share.each += own.each * static_cast<double>(width) / static_cast<double>(gates);
    share.command += own.command * static_cast<double>(tiles);
  };
  if (s.tails.isLeadStored)
    add(1, s.outputBytes);
  for (const TailShape &tail : s.tails.layers) {
    if (tail.operandBytes > 0 && !tail.isOperandResident)
      add(s.tails.isGated() ? 2 : 1, tail.operandBytes);
    if (tail.isStored)
      add(s.tails.isGated() ? 2 : 1, tail.outputBytes);
  }
  return share;
}

CycleBound::CycleBound(const MatrixShape &s, const Target &target)
    : results(static_cast<double>(s.batch * s.vertical.output * s.horizontal.output *
                                  s.outputChannels)),
      vector(static_cast<int64_t>(results) / target.vector.lanes),
      perByte(target.clock / target.dram.bandwidth),
      latency(std::ceil(target.dram.hitLatency * target.clock)),
      opening(StridedRuns(target.dram).waits()) {}

int64_t CycleBound::operator()(const Tiling &t, const ChannelCut &cut, const ArrayBound &array,
                               const MatrixBytes &bytes, const BusShare &input,
                               const BusShare &result, int64_t tiles) const {
  struct Loads {
    double bus, commands;
  };
  const auto loads = [](int64_t bytes, int64_t commands, const BusShare &share) {
    const auto count = static_cast<double>(bytes > 0 ? commands : 0);
    return Loads{static_cast<double>(bytes) * share.each + count * share.command, count};
  };
  const auto cycles = [&](const Loads &l) { return l.bus * perByte + l.commands * latency; };
  const int64_t blocks = cut.outputs.tiles * cut.inputs.tiles;
  const Loads inputs = loads(bytes.input, tiles * cut.inputs.tiles * bytes.inputTimes, input);
  const Loads weights = loads(bytes.weights, blocks * bytes.weightTimes, {1, opening});
  const Loads params = loads(bytes.params, cut.outputs.tiles * bytes.paramTimes, {1, opening});
  const Loads all = {inputs.bus + weights.bus + params.bus,
                     inputs.commands + weights.commands + params.commands};
  const double bus = all.bus + results * result.each + static_cast<double>(tiles) * result.command;
  const double dram = std::max(bus * perByte, cycles(all));
  const int64_t level = bufferLevel(t), products = array.of(tiles);
  double alone = 0; // in which nothing is computed
  if (level < 2)
    alone = dram;
  else if (level < 4 && t.order == LoopOrder::InputResident)
    alone = cycles(inputs);
  else if (level < 4 && t.order == LoopOrder::WeightResident)
    alone = cycles(weights);
  const int64_t compute = level < 3 ? products + vector : std::max(products, vector);
  // Less what the estimate rounds down.
  constexpr double kRounding = 1 - 1e-9, kMostRounded = 16;
  return static_cast<int64_t>(std::max(static_cast<double>(compute) + alone, dram) * kRounding -
                              kMostRounded * (1 + perByte));
}

Estimate estimateMatrix(const MatrixShape &s, const MatrixCut &cut, const WindowCut &vertical,
                        const WindowCut &horizontal, const Tiling &t, const Target &target,
                        int64_t limit) {
  const AxisCut &outputs = cut.outputs, &inputs = cut.inputs;
  const int64_t tiles = PictureCut(s, t).tiles * vertical.cut.tiles * horizontal.cut.tiles *
                        outputs.tiles * inputs.tiles;
  const bool byWeights = t.order == LoopOrder::WeightResident;
  const MatrixBytes bytes = bytesOf(s, cut, vertical, horizontal, t);
  const int64_t pixelTiles = s.batch * vertical.cut.tiles * horizontal.cut.tiles;
  Traffic traffic{target};
  if (bytes.input > 0)
    traffic.read(bytes.input, pixelTiles * inputs.tiles * bytes.inputTimes,
                 inputRuns(s, inputs, horizontal));
  const int64_t inputCycles = traffic.readCycles(), inputBus = traffic.readBus;
  traffic.read(bytes.weights, outputs.tiles * inputs.tiles * bytes.weightTimes);
  const int64_t weightCycles = traffic.readCycles() - inputCycles;
  const int64_t excess = decoderExcess(s, bytes.weightTimes, traffic.readBus - inputBus, target);
  traffic.read(bytes.params, outputs.tiles * bytes.paramTimes);
  if (bytes.output > 0)
    traffic.write(bytes.output, pixelTiles * outputs.tiles,
                  resultRuns(s, outputs, horizontal).of(s.outputBytes));
  int64_t tailVector = 0;
  if (!s.tails.layers.empty())
    addTails(s.tails, resultsOf(s, cut, vertical, horizontal, t), target, traffic, tailVector);

  Estimate e;
  e.cost.dramReadBytes = traffic.reads;
  e.cost.dramWriteBytes = traffic.writes;
  e.cost.dramCycles = traffic.cycles() + excess;
  e.tiles = tiles;
  if (e.cost.dramCycles > limit) {
    e.cycles = e.cost.dramCycles;
    return e;
  }
  const MatrixLayout layout = layoutOf(s, t, cut, vertical, horizontal, target.sram.alignment);
  e.cost.sramBytes = layout.bytes;
  Work work = matrixWork(s, cut, vertical, horizontal, target);
  work.vector += tailVector;
  if (layout.ringRows > 0)
    work.array += seamWork(s, cut, layout.ringRows, horizontal, target);
  e.cost.computeCycles = std::max(work.array, work.vector);
  const int64_t level = bufferLevel(t);
  if (level < 2) {
    e.cycles = work.array + work.vector + e.cost.dramCycles;
    return e;
  }
  int64_t resident = 0;
  if (level < 4 && t.order == LoopOrder::InputResident)
    resident = inputCycles;
  if (level < 4 && byWeights)
    resident = weightCycles + excess;
  const int64_t compute = level >= 3 ? e.cost.computeCycles : work.array + work.vector;
  // Before the first overlap and after the last: the streamed share of one tile, and one block of
  // weights that are loaded once.
  const int64_t blocks = outputs.tiles * inputs.tiles;
  const int64_t once = !byWeights && haveBuffers(t, blocks)
                           ? std::min(weightCycles + excess, e.cost.dramCycles - resident)
                           : 0;
  const int64_t fill = (e.cost.dramCycles - resident - once) / e.tiles + once / blocks;
  e.cycles = std::max(compute, e.cost.dramCycles - resident) + resident + fill;
  return e;
}

Estimate estimate(const LayerShape &shape, const Tiling &tiling, const Target &target) {
  return std::visit(EstimateOf{tiling, target}, shape);
}

LayerCost tailCost(const LayerShape &group, size_t tail, const Tiling &t, const Target &target) {
  ResultTiles results;
  const TailShape *own = nullptr;
  LayerCost cost;
  if (const auto *s = std::get_if<MatrixShape>(&group)) {
    const WindowCut vertical(s->vertical, t.height), horizontal(s->horizontal, t.width);
    const ChannelCut cut(*s, t);
    results = resultsOf(*s, cut, vertical, horizontal, t);
    own = &s->tails.layers[tail];
    cost.sramBytes = layoutOf(*s, t, cut, vertical, horizontal, target.sram.alignment).bytes;
  } else {
    const auto &norm = std::get<GroupNormShape>(group);
    results = resultsOf(norm, t);
    own = &norm.tails.layers[tail];
    cost.sramBytes = layoutOf(norm, t, target.sram.alignment).bytes;
  }
  const TailBytes bytes(*own, results);
  cost.dramReadBytes = bytes.read();
  cost.dramWriteBytes = bytes.output;
  cost.computeCycles = own->passes * ceilDiv(results.elements, target.vector.lanes);
  cost.dramCycles = busCycles(cost.dramReadBytes + cost.dramWriteBytes, target);
  return cost;
}

} // namespace sdopt
