//===- CommandTiming.h - cycles and energy of one command -------*- C++ -*-===//
//
// The model of docs/isa.md, "Timing": array commands by weight tiles of a systolic array, vector
// commands by elements and lanes, DMA by DramModel.h. Integers, rounded up.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_COMMANDTIMING_H
#define SDOPT_COMPILER_SIMULATOR_COMMANDTIMING_H

#include "compiler/schedule/Command.h"
#include "compiler/simulator/DramModel.h"
#include "compiler/simulator/StreamFacts.h"
#include "compiler/target/Target.h"

namespace sdopt {

struct CommandCost {
  int64_t cycles = 0; ///< busy time of the unit; for DMA bus time, without latency and queueing
  int64_t decoderCycles = 0; ///< of a DMA that decodes weights, at the same time
  int64_t multiplyAccumulates = 0;
  int64_t skippedMultiplies = 0; ///< with weights that their form tells are 0
  int64_t additions = 0;         ///< of Winograd's transforms
  int64_t vectorElements = 0;    ///< times passes
  int64_t dramReadBytes = 0, dramWriteBytes = 0;
  int64_t dramActivations = 0;
  double minimumCycles = 0; ///< multiplications / peak, elements / lanes or bytes / bandwidth
  double energy = 0;        ///< J
};

/// Ids of a gather that have been read, for the rows it touches.
using GatherIds = std::vector<int32_t>;

class CommandTiming {
public:
  /// Physical DRAM: the module's constants from 0, its arena from the page after them.
  CommandTiming(const Target &target, int64_t constantsBytes);

  void reset() { dram_.reset(); }
  /// `facts`: of the weights that the command decodes or multiplies with, or null.
  CommandCost cost(const Command &command, const GatherIds &ids = {},
                   const StreamFacts *facts = nullptr);
  /// A copy of `bytes` within the arena.
  CommandCost copyCost(int64_t bytes);
  /// Cycles between the issue of a DMA command and its first byte.
  int64_t dmaLatency() const { return dram_.latency(); }

private:
  /// One matrix product on the arrays: streamed x reduction x outputs, `taps` times.
  struct Product {
    int64_t streamed = 0, reduction = 0, outputs = 0, taps = 1;
    bool wideA = false, wideB = false;          ///< 16-bit operands
    WinogradForm winograd = WinogradForm::None; ///< whose adders are around it
  };
  void addProduct(CommandCost &cost, const Product &product,
                  const StreamFacts *sparse = nullptr) const;
  void addTransforms(CommandCost &cost, const ConvCommand &c) const;
  void addVector(CommandCost &cost, int64_t elements, int64_t passes) const;
  void addRuns(const DmaShape &shape, int64_t base);
  void addTransfer(CommandCost &cost, int64_t bytes, bool write);
  int64_t base(Region region) const { return region == Region::Arena ? arenaBase_ : 0; }

  void add(CommandCost &cost, const DmaLoad &c);
  void add(CommandCost &cost, const DmaStore &c);
  void add(CommandCost &cost, const DmaWeights &c, const StreamFacts *facts);
  void add(CommandCost &cost, const DmaGather &c, const GatherIds &ids);
  void add(CommandCost &cost, const ConvCommand &c, const StreamFacts *facts) const;
  void add(CommandCost &cost, const AttentionMaximaCommand &c) const;
  void add(CommandCost &cost, const AttentionAccumulateCommand &c) const;

  Target target_;
  int64_t arenaBase_ = 0;
  DramModel dram_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_COMMANDTIMING_H
