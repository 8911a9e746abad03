//===- UnitRecount.h - what one command takes -------------------*- C++ -*-===//
//
// docs/isa.md, "Data in SRAM" and "Timing", written a second time from that text.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FIGURES_UNITRECOUNT_H
#define SDOPT_COMPILER_FIGURES_UNITRECOUNT_H

#include "compiler/figures/DramRecount.h"
#include "compiler/schedule/Command.h"

#include <optional>
#include <span>

namespace sdopt {

/// Bytes of SRAM, from the first to the last of an operand.
struct SramExtent {
  int64_t first = 0, bytes = 0;
};
std::vector<SramExtent> sramExtents(const CommandArgs &args);

/// What the arrays and the entropy decoder see of a stream of weights whose bytes depend on them.
struct StreamRecount {
  int64_t codes = 0; ///< entropy-coded
  bool tellsZeros = false;
  int64_t nonzeros = 0, rows = 0;
  std::vector<int64_t> tiles; ///< weight tiles by block of outputs
};
/// Nothing where time does not depend on the stream.
std::optional<StreamRecount> recountStream(const DmaWeights &stream,
                                           std::span<const std::byte> constants,
                                           const ArrayTarget &array);

struct CommandRecount {
  int64_t cycles = 0;  ///< of the unit or the bus
  int64_t decoder = 0; ///< at the same time
  int64_t macs = 0, skipped = 0, elements = 0, readBytes = 0, writeBytes = 0, activations = 0;
  double energy = 0; ///< J
};

/// Costs of commands in the order in which they start.
class UnitRecount {
public:
  UnitRecount(const Target &target, int64_t constantsBytes);

  void closeRows() { dram_.close(); }
  int64_t latency() const { return dram_.latency(); }
  /// `stream`: of the weights that the command decodes or multiplies with.
  CommandRecount cost(const Command &command, const StreamRecount *stream);
  /// Reading and writing what a phase leaves.
  CommandRecount copy(int64_t bytes);

private:
  struct Product {
    int64_t streamed, reduction, outputs, taps;
    bool wideA, wideB;
    WinogradForm winograd = WinogradForm::None;
  };
  void multiply(CommandRecount &cost, const Product &product, const StreamRecount *sparse) const;
  void convolve(CommandRecount &cost, const ConvCommand &conv, const StreamRecount *stream) const;
  void attend(CommandRecount &cost, const AttentionTile &tile, bool q, bool k) const;
  void compute(CommandRecount &cost, const CommandArgs &args) const;
  void move(CommandRecount &cost, const std::vector<DramRecount::Run> &runs, int64_t bytes,
            bool writes);
  std::vector<DramRecount::Run> runsOf(int64_t base, const DmaShape &shape) const;

  const Target &target_;
  DramRecount dram_;
  int64_t arena_; ///< physical address
};

} // namespace sdopt

#endif // SDOPT_COMPILER_FIGURES_UNITRECOUNT_H
