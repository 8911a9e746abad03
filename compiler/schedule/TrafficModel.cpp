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

  /// Bytes that the bus moves in the time of `bytes`, moved by `commands` in runs of `run` that
  /// begin `stride` apart; 0: one run begins where another ends. Of a part of the rows of a picture
  /// each has `rowRuns` of them, and rows begin `rowStride` apart.
  int64_t busBytes(int64_t bytes, int64_t commands, int64_t run, int64_t stride, int64_t rowRuns,
                   int64_t rowStride) const {
    const int64_t all = ceilDiv(bytes, commands);
    const bool follows = stride == 0 || run >= stride;
    const int64_t bursts = ceilDiv(follows ? all : run, burst);
    const double opening = opened(bursts) * waiting(bursts);
    // Nothing hides that a command's first rows open.
    const double first = static_cast<double>(commands) * (waits() - waiting(bursts));
    if (follows)
      return bytes + static_cast<int64_t>(first + static_cast<double>(commands) * opening);
    // Channels that no run begins in wait for those that all begin in.
    const int64_t step = stride % burst == 0 ? std::gcd(stride / burst, channels) : 1;
    const auto pages = static_cast<double>(dram.pageBytes * channels * groups);
    double stripes = static_cast<double>(stride) / pages;
    if (rowRuns > 0)
      stripes = std::min(static_cast<double>(rowStride) / static_cast<double>(rowRuns) / pages,
                         stripes + 1.0 / static_cast<double>(rowRuns));
    const double onBus = static_cast<double>(ceilDiv(bursts, step) * step * burst) +
                         std::min(static_cast<double>(groups) * stripes * waiting(bursts), opening);
    return static_cast<int64_t>(first +
                                static_cast<double>(bytes) / static_cast<double>(run) * onBus);
  }

private:
  /// Rows of one channel that a run opens.
  double opened(int64_t bursts) const {
    return static_cast<double>(std::min(groups, ceilDiv(bursts, channels)));
  }
  /// Bytes that could move while a row opens, without and with those of the row before.
  double waits() const { return (dram.conflictLatency - dram.hitLatency) * dram.bandwidth; }
  double waiting(int64_t bursts) const {
    const int64_t before = std::max<int64_t>(bursts / (channels * groups), 1);
    return std::max(waits() - static_cast<double>(before * burst * channels), 0.0);
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

  void read(int64_t bytes, int64_t commands, int64_t run, int64_t stride = 0, int64_t rowRuns = 0,
            int64_t rowStride = 0) {
    reads += bytes;
    loads += commands;
    readBus += runs.busBytes(bytes, commands, run, stride, rowRuns, rowStride);
  }
  void write(int64_t bytes, int64_t commands, int64_t run, int64_t stride = 0, int64_t rowRuns = 0,
             int64_t rowStride = 0) {
    writes += bytes;
    stores += commands;
    writeBus += runs.busBytes(bytes, commands, run, stride, rowRuns, rowStride);
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

/// Stored bytes of the blocks into which weights are cut.
int64_t blockBytes(const MatrixShape &s, const AxisCut &outputs, const AxisCut &inputs) {
  if (s.weights.isPlainInt8())
    return s.weightCount();
  if (s.packedBytes > 0)
    return s.packedBytes;
  const auto block = [&](int64_t o, int64_t i) {
    return s.expectedBytes(blockAt(s.weights, outputs.first(o), inputs.first(i), outputs.extent(o),
                                   s.taps(), inputs.extent(i)));
  };
  // Blocks of a row differ by where groups and runs begin.
  const auto cutsNone = [&](int64_t size) { return size == 0 || inputs.tile % size == 0; };
  const bool alike = cutsNone(s.weights.groupSize) && cutsNone(s.weights.run);
  const auto row = [&](int64_t o) {
    if (alike)
      return (inputs.tiles - 1) * block(o, 0) + block(o, inputs.tiles - 1);
    int64_t bytes = 0;
    for (int64_t i = 0; i < inputs.tiles; ++i)
      bytes += block(o, i);
    return bytes;
  };
  const int64_t same = s.weights.paletteOutputs; // rows of blocks differ by where palettes begin
  if (same == 0 || outputs.tile % same == 0)
    return (outputs.tiles - 1) * row(0) + row(outputs.tiles - 1);
  int64_t bytes = 0;
  for (int64_t o = 0; o < outputs.tiles; ++o)
    bytes += row(o);
  return bytes;
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
  int64_t run = 0, pitch = 0; ///< elements that follow each other in DRAM, from one run to the next
  int64_t rowRuns = 0, rowPitch = 0; ///< of a part of the rows of a picture; 0: whole rows
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

ResultTiles resultsOf(const MatrixShape &s, const ChannelCut &cut, const WindowCut &vertical,
                      const WindowCut &horizontal, const Tiling &t) {
  const int64_t gates = s.tails.isGated() ? 2 : 1;
  const int64_t channels = s.outputChannels / gates, channelTiles = cut.outputs.tiles / gates;
  const int64_t pixelTiles = s.batch * vertical.cut.tiles * horizontal.cut.tiles;
  const bool isWhole = channelTiles == 1 && gates == 1;
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
  results.run = isWhole ? channels * horizontal.cut.tile : cut.outputs.tile;
  results.pitch = isWhole ? channels * s.horizontal.output : channels;
  if (!isWhole && horizontal.cut.tiles > 1) {
    results.rowRuns = horizontal.cut.tile;
    results.rowPitch = channels * s.horizontal.output;
  }
  return results;
}

ResultTiles resultsOf(const GroupNormShape &s, const Tiling &t) {
  const AxisCut rows(s.rows, t.height), channels(s.channels, t.outputChannels);
  ResultTiles results;
  results.elements = s.pictures * s.rows * s.channels;
  results.channels = s.channels;
  results.tiles = s.pictures * rows.tiles * channels.tiles;
  results.rowLoads = s.pictures;
  results.run = channels.tiles == 1 ? rows.tile * s.channels : channels.tile;
  results.pitch = channels.tiles == 1 ? results.run : s.channels;
  return results;
}

/// Adds what joined layers move, and what they compute.
void addTails(const Tails &tails, const ResultTiles &results, const Target &target,
              Traffic &traffic, int64_t &vector) {
  for (const TailShape &tail : tails.layers) {
    const TailBytes bytes(tail, results);
    if (bytes.operand > 0)
      traffic.read(bytes.operand, results.tiles, results.run * tail.operandBytes,
                   results.pitch * tail.operandBytes, results.rowRuns,
                   results.rowPitch * tail.operandBytes);
    if (bytes.rows > 0)
      traffic.read(bytes.rows, results.tiles, bytes.rows / results.rowLoads);
    if (bytes.constant > 0)
      traffic.read(bytes.constant, 1, bytes.constant);
    if (bytes.output > 0)
      traffic.write(bytes.output, results.tiles, results.run * tail.outputBytes,
                    results.pitch * tail.outputBytes, results.rowRuns,
                    results.rowPitch * tail.outputBytes);
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
    const int64_t run = channels.tiles == 1 ? rows.tile * s.channels : channels.tile;
    const int64_t pitch = channels.tiles == 1 ? run : s.channels;
    const int64_t tiles = s.pictures * rows.tiles * channels.tiles;
    Traffic traffic{target};
    for (int i = 0; i < 2; ++i)
      if (const int64_t width = s.isInputResident[i] ? 0 : s.inputBytes[i]; width > 0)
        traffic.read(elements * width, tiles, run * width, pitch * width);
    for (int64_t width : s.broadcastBytes)
      if (width > 0)
        traffic.read(s.pictures * s.channels * width, s.pictures * channels.tiles,
                     channels.tile * width);
    if (s.constantBytes > 0)
      traffic.read(s.constantBytes, 1, s.constantBytes);
    if (s.isStored)
      traffic.write(elements * s.outputBytes, tiles, run * s.outputBytes, pitch * s.outputBytes);
    return streamEstimate(traffic, s.passes * ceilDiv(elements, target.vector.lanes), tiles,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const GroupNormShape &s) const {
    const AxisCut rows(s.rows, t.height), channels(s.channels, t.outputChannels);
    const int64_t elements = s.pictures * s.rows * s.channels;
    const int64_t run = channels.tiles == 1 ? rows.tile * s.channels : channels.tile;
    const int64_t pitch = channels.tiles == 1 ? run : s.channels;
    const int64_t passes = t.order == LoopOrder::InputResident ? 1 : 2;
    const int64_t tiles = s.pictures * rows.tiles * channels.tiles;
    Traffic traffic{target};
    if (!s.isInputResident)
      traffic.read(passes * elements * s.inputBytes, passes * tiles, run * s.inputBytes,
                   pitch * s.inputBytes);
    traffic.read(s.channels * kRecord, channels.tiles, channels.tile * kRecord);
    if (s.tails.isLeadStored)
      traffic.write(elements * s.outputBytes, tiles, run * s.outputBytes, pitch * s.outputBytes);
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
      traffic.read(bytes, tiles, columns.tile * s.pixelBytes,
                   columns.tiles == 1 ? 0 : s.width * s.pixelBytes);
    traffic.write(bytes * copies, tiles * copies, s.pixelBytes, s.factorW * s.pixelBytes);
    return streamEstimate(traffic, 0, tiles, layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const PermuteShape &s) const {
    const AxisCut a(s.dims[1], t.height), b(s.dims[2], t.width), c(s.dims[3], t.outputChannels);
    const int64_t bytes = s.dims[0] * s.dims[1] * s.dims[2] * s.dims[3] * s.elementBytes;
    const int64_t run = c.tile * s.elementBytes;
    const int64_t tiles = s.dims[0] * a.tiles * b.tiles * c.tiles;
    Traffic traffic{target};
    traffic.read(bytes, tiles, s.inputStrides[3] == 1 ? run : s.elementBytes);
    traffic.write(bytes, tiles, c.tiles == 1 ? run * b.tile : run);
    return streamEstimate(traffic, 0, tiles, layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const EmbeddingShape &s) const {
    const AxisCut tokens(s.tokens, t.width);
    const int64_t rows = s.batch * s.tokens;
    const int64_t tiles = s.batch * tokens.tiles;
    Traffic traffic{target};
    traffic.read(rows * kWord, tiles, tokens.tile * kWord);
    traffic.read(rows * s.channels, tiles, s.channels);
    traffic.read(rows * kWord, tiles, kWord);
    traffic.read(s.tokens * s.channels, tokens.tiles, tokens.tile * s.channels);
    traffic.read(s.tokens * kWord, tokens.tiles, tokens.tile * kWord);
    traffic.write(rows * s.channels * s.outputBytes, tiles,
                  tokens.tile * s.channels * s.outputBytes);
    return streamEstimate(traffic, 2 * ceilDiv(rows * s.channels, target.vector.lanes), tiles,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const TimeEmbeddingShape &s) const {
    const int64_t output = s.batch * 2 * s.halfDim;
    Traffic traffic{target};
    traffic.read(s.inputs * kWord, 1, s.inputs * kWord);
    traffic.read(s.halfDim * kWord, 1, s.halfDim * kWord);
    traffic.read(kTableKnots16 * kWord, 1, kTableKnots16 * kWord);
    traffic.write(output * s.outputBytes, 1, output * s.outputBytes);
    return streamEstimate(traffic, ceilDiv(output, target.vector.lanes), 1,
                          layoutOf(s, t, target.sram.alignment).bytes, t);
  }

  Estimate operator()(const PoolShape &s) const {
    const AxisCut channels(s.channels, t.outputChannels);
    const int64_t row = s.channels * s.elementBytes, run = channels.tile * s.elementBytes;
    const int64_t tiles = s.batch * channels.tiles;
    Traffic traffic{target};
    traffic.read(s.batch * s.tokens * row, tiles, channels.tiles == 1 ? s.tokens * row : run);
    traffic.read(s.batch * s.tokens * kWord, s.batch, s.tokens * kWord);
    traffic.write(s.batch * row, tiles, run);
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
  const int64_t pitch = s.heads * s.headDim;
  const int64_t blocks = groups * queries.tiles;
  if (!s.isInputResident[0])
    traffic.read(groups * s.queries * row * s.qBytes, blocks, row * s.qBytes, pitch * s.qBytes);
  if (kBytes > 0)
    traffic.read(kBytes, groups * keys.tiles * kTimes, row * s.kBytes, pitch * s.kBytes);
  if (vBytes > 0)
    traffic.read(vBytes, groups * keys.tiles * vTimes, row * s.vBytes, pitch * s.vBytes);
  if (s.isStored) {
    const int64_t stored = s.isResident ? s.headDim : row;
    traffic.write(heads * s.queries * s.headDim * s.outputBytes, blocks * (row / stored),
                  stored * s.outputBytes, pitch * s.outputBytes);
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
  int64_t blocks = 0;
  forSizes(cut.outputs,
           [&](int64_t size, int64_t times) { blocks += times * ceilDiv(size, array.columns); });
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
  if (array.weightTiles > 1)
    return {all, cut.outputs.tiles * cut.inputs.tiles * fill};
  return {all, static_cast<int64_t>(products * static_cast<double>(fill))};
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

Estimate estimateMatrix(const MatrixShape &s, const MatrixCut &cut, const WindowCut &vertical,
                        const WindowCut &horizontal, const Tiling &t, const Target &target,
                        int64_t limit) {
  const AxisCut &outputs = cut.outputs, &inputs = cut.inputs;
  const int64_t tiles = PictureCut(s, t).tiles * vertical.cut.tiles * horizontal.cut.tiles *
                        outputs.tiles * inputs.tiles;
  const bool byWeights = t.order == LoopOrder::WeightResident;
  const MatrixBytes bytes = bytesOf(s, cut, vertical, horizontal, t);
  // Runs of channels of a pixel, or of whole pixels of a row; pitch from one to the next.
  int64_t inputRun = inputs.tile * s.inputBytes, outputRun = outputs.tile * s.outputBytes;
  int64_t inputPitch = s.inputChannels * s.inputBytes;
  int64_t outputPitch = s.outputChannels * s.outputBytes;
  const bool hasParts = horizontal.cut.tiles > 1;
  const int64_t inputRuns = hasParts && inputs.tiles > 1 ? horizontal.maxSpan : 0;
  const int64_t outputRuns = hasParts && outputs.tiles > 1 ? horizontal.cut.tile : 0;
  if (inputs.tiles == 1) {
    inputRun *= horizontal.maxSpan;
    inputPitch *= s.horizontal.input;
  }
  if (outputs.tiles == 1) {
    outputRun *= horizontal.cut.tile;
    outputPitch *= s.horizontal.output;
  }

  const int64_t pixelTiles = s.batch * vertical.cut.tiles * horizontal.cut.tiles;
  Traffic traffic{target};
  if (bytes.input > 0)
    traffic.read(bytes.input, pixelTiles * inputs.tiles * bytes.inputTimes, inputRun, inputPitch,
                 inputRuns, inputPitch * s.horizontal.input);
  const int64_t inputCycles = traffic.readCycles(), inputBus = traffic.readBus;
  traffic.read(bytes.weights, outputs.tiles * inputs.tiles * bytes.weightTimes,
               s.expectedBytes({outputs.tile, s.taps(), inputs.tile}));
  const int64_t weightCycles = traffic.readCycles() - inputCycles;
  const int64_t excess = decoderExcess(s, bytes.weightTimes, traffic.readBus - inputBus, target);
  traffic.read(bytes.params, outputs.tiles * bytes.paramTimes, outputs.tile * kRecord);
  if (bytes.output > 0)
    traffic.write(bytes.output, pixelTiles * outputs.tiles, outputRun, outputPitch, outputRuns,
                  outputPitch * s.horizontal.output);
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
