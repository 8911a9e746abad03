//===- Command.h - the instruction set as a type ----------------*- C++ -*-===//
//
// One NPU command. The emitter writes them, the simulator runs them, the validator checks them, the
// disassembler prints them; docs/isa.md is the text of this file. A command is self-contained: no
// hidden register state.
//
// Four in-order queues run concurrently and meet only through counting semaphores, one for each
// ordered pair of queues: a command starts when it is at the head of its queue and every semaphore
// (from q to its queue) holds at least waits[q] tokens, which it takes; when it ends it adds
// signals[q] tokens to the semaphore (its queue to q).
//
// Addresses: SRAM by byte offset; DRAM by region and byte offset. SRAM tiles are packed
// [n][h][w][c]. Accumulators are int64 in SRAM (48 bits used); statistics are NormSums[groups].
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_COMMAND_H
#define SDOPT_COMPILER_SCHEDULE_COMMAND_H

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/TapWinograd.h"
#include "compiler/kernels/WeightStream.h"

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace sdopt {

enum class Queue : uint8_t { DmaIn = 0, Array = 1, Vector = 2, DmaOut = 3 };
inline constexpr int kQueues = 4;
const char *name(Queue queue);

enum class Region : uint8_t { Constants = 0, Arena = 1 };

using SramOffset = int64_t;

/// Copy between DRAM and SRAM: three outer loops of counts[0..2], each with a byte stride on both
/// sides, around a contiguous run. Strides are not negative (zero repeats); unused loops have
/// count 1.
struct DmaShape {
  std::array<int64_t, 3> counts = {1, 1, 1};
  std::array<int64_t, 3> dramStrides = {0, 0, 0};
  std::array<int64_t, 3> sramStrides = {0, 0, 0};
  int64_t runBytes = 0;
  int64_t bytes() const { return counts[0] * counts[1] * counts[2] * runBytes; }
};

/// DRAM -> SRAM.
struct DmaLoad {
  Region region = Region::Arena;
  int64_t dram = 0;
  SramOffset sram = 0;
  DmaShape shape;
};

/// SRAM -> DRAM (arena only).
struct DmaStore {
  int64_t dram = 0;
  SramOffset sram = 0;
  DmaShape shape;
};

/// Row gather: for i < rows: rowBytes from constants + dram + ids[i] * rowBytes to sram + i *
/// rowBytes, with ids I32 in SRAM. An id outside [0, tableRows) reads row 0 of the table if
/// negative, the last one if too large.
struct DmaGather {
  int64_t dram = 0;
  SramOffset ids = 0;
  SramOffset sram = 0;
  int64_t rows = 0;
  int64_t rowBytes = 0;
  int64_t tableRows = 0;
};

/// Constants -> SRAM, decoded on the way: the stream of one block of weights in `form`, `bytes` =
/// storedBytes(form, block) of them, becomes int8 [outputs][taps][inputs].
struct DmaWeights {
  int64_t dram = 0;
  int64_t bytes = 0;
  SramOffset sram = 0;
  WeightForm form;
  WeightExtent block;
};

/// Array: acc (+)= conv(x, w). `clear` starts from zero. With a `winograd` form: a window of
/// winogradProblem(); F4x4 adds tapAccumulate() with `taps`, of a tile that begins at a multiple of
/// 4 rows and columns of the layer's result.
struct ConvCommand {
  ConvTile tile;
  CodeFormat inputFormat;
  SramOffset input = 0, weights = 0, accumulator = 0;
  bool clear = true;
  WinogradForm winograd = WinogradForm::None;
  TapShifts taps = {};
};

/// Vector: codes from accumulators [rows][channels].
struct RequantizeCommand {
  SramOffset accumulator = 0, params = 0, output = 0;
  int64_t rows = 0, channels = 0;
  CodeFormat outputFormat;
};

/// Vector: IntegerKernels::combine; b < 0: one input.
struct CombineCommand {
  SramOffset a = 0, b = -1, output = 0;
  int64_t rows = 0, channels = 0;
  CodeFormat aFormat, bFormat, outputFormat;
  CombineParams params;
};

/// Vector: IntegerKernels::table over `count` elements.
struct TableCommand {
  SramOffset input = 0, table = 0, output = 0;
  int64_t count = 0;
  CodeFormat inputFormat, outputFormat;
};

/// Vector.
struct GegluCommand {
  SramOffset input = 0, table = 0, output = 0;
  int64_t rows = 0, channels = 0; ///< channels of the output
  CodeFormat inputFormat, outputFormat;
  GegluParams params;
  /// [rows][channels] of the right half, `input` the same of the left one; negative: `input` has
  /// both, [rows][2 * channels].
  SramOffset gate = -1;
};

/// Vector: adds a tile to the sums of its groups. `clear` zeroes them first.
struct NormSumsCommand {
  SramOffset input = 0, sums = 0;
  int64_t rows = 0, channels = 0, channelsPerGroup = 0;
  CodeFormat inputFormat;
  bool clear = false;
};

/// Vector. perRow: sums are made from the row itself (layer norm) and `sums` is not read.
struct NormApplyCommand {
  SramOffset input = 0, sums = 0, channelParams = 0, output = 0;
  int64_t rows = 0, channels = 0, channelsPerGroup = 0;
  bool perRow = false;
  CodeFormat inputFormat, outputFormat;
  NormParams params;
};

/// Array: IntegerKernels::attentionMaxima. rowMax: int64[queries]; `clear` starts from INT64_MIN.
struct AttentionMaximaCommand {
  AttentionTile tile;
  SramOffset q = 0, k = 0, rowMax = 0;
  CodeFormat qFormat, kFormat;
  AttentionParams params;
  bool clear = true;
};

/// Array: IntegerKernels::attentionAccumulate; `clear` zeroes rowSum and accumulator first.
struct AttentionAccumulateCommand {
  AttentionTile tile;
  SramOffset q = 0, k = 0, v = 0, rowMax = 0, rowSum = 0, accumulator = 0;
  CodeFormat qFormat, kFormat, vFormat;
  AttentionParams params;
  bool clear = true;
};

/// Vector.
struct AttentionFinishCommand {
  int64_t queries = 0, headDim = 0, outputStride = 0;
  SramOffset rowSum = 0, accumulator = 0, output = 0;
  CodeFormat outputFormat;
  AttentionParams params;
};

/// Vector: timesteps I32 at `input`, `batch` rows of output; inputs: 1 value (shared) or `batch`
/// values.
struct TimeEmbeddingCommand {
  SramOffset input = 0, steps = 0, sine = 0, output = 0;
  int64_t batch = 1, inputs = 1;
  CodeFormat outputFormat;
  TimeEmbeddingParams params;
};

/// Vector.
struct EmbedCommand {
  SramOffset tokens = 0, tokenMultipliers = 0, positions = 0, positionMultipliers = 0, output = 0;
  int64_t rows = 0, channels = 0;
  int32_t shift = 25;
  CodeFormat outputFormat;
};

/// Vector: copies the row of hidden [tokens][rowBytes] at the first position where ids == token (0
/// if nowhere).
struct PoolTokenCommand {
  SramOffset hidden = 0, ids = 0, output = 0;
  int64_t tokens = 0, rowBytes = 0;
  int32_t token = 0;
};

/// Vector: IntegerKernels::modulate; scale and shift are one row; shift < 0: none.
struct ModulateCommand {
  SramOffset input = 0, scale = 0, shift = -1, output = 0;
  int64_t rows = 0, channels = 0;
  CodeFormat inputFormat, scaleFormat, shiftFormat, outputFormat;
  ModulateParams params;
};

using CommandArgs =
    std::variant<DmaLoad, DmaStore, DmaGather, ConvCommand, RequantizeCommand, CombineCommand,
                 TableCommand, GegluCommand, NormSumsCommand, NormApplyCommand,
                 AttentionMaximaCommand, AttentionAccumulateCommand, AttentionFinishCommand,
                 TimeEmbeddingCommand, EmbedCommand, PoolTokenCommand, ModulateCommand, DmaWeights>;

struct Command {
  Queue queue = Queue::DmaIn;
  int32_t layer = 0; ///< index into the module's layers, for reports and traces
  std::array<uint16_t, kQueues> waits = {0, 0, 0, 0};
  std::array<uint16_t, kQueues> signals = {0, 0, 0, 0};
  CommandArgs args;
};

/// Mnemonic: "dma.load", "conv", "requantize", ...
const char *mnemonic(const Command &command);

/// Commands [begin, end) of a program.
struct CommandRange {
  size_t begin = 0, end = 0;
};

/// One module's commands, with all that a validator needs.
struct Program {
  std::vector<Command>
      commands; ///< in an order in which running them one after the other is correct
  int64_t arenaBytes = 0;
  int64_t constantsBytes = 0;
  int64_t sramBytes = 0; ///< peak used
  /// One past the last command of each phase (Phase in Network.h); empty: all are of the last. A
  /// phase starts when the one before has ended: no token, and nothing in SRAM, passes from one
  /// to the next.
  std::vector<size_t> phaseEnds = {};
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_COMMAND_H
