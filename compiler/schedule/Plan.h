//===- Plan.h - how a network is cut and where its bytes lie ----*- C++ -*-===//
//
//   planNetwork:  Network x Target -> Plan            (search under the traffic model)
//   checkPlan:    independent validator of the above
//   expand:       Network x Plan x Target -> Program  (the only place where commands are made)
//   checkProgram: independent validator of the commands
//
// DRAM arena of one module: [0, arenaBytes), tensors at Plan::offsets; constants are a second
// region.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_PLAN_H
#define SDOPT_COMPILER_SCHEDULE_PLAN_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/schedule/Command.h"
#include "compiler/schedule/Network.h"
#include "compiler/target/Target.h"

#include <string>
#include <vector>

namespace sdopt {

/// Order of the two outer tile loops of a matrix layer.
enum class LoopOrder : uint8_t {
  InputResident = 0,   ///< A: spatial outer, output channels inner: an input tile is loaded once
  WeightResident = 1,  ///< B: output channels outer, spatial inner: a weight tile is loaded once
  OutputStationary = 2 ///< C: input channels innermost: partial sums stay on chip
};
const char *name(LoopOrder order);

/// Tile sizes of one layer. Matrix layers use all, a height of n pictures takes n at once;
/// attention: height = query rows, width = key rows; others: height (rows of the picture), width,
/// channels as their kind allows. Full size where not cut.
struct Tiling {
  LoopOrder order = LoopOrder::InputResident;
  int64_t height = 1;
  int64_t width = 1;
  int64_t outputChannels = 1;
  int64_t inputChannels = 1;
  int64_t buffers = 2; ///< 2 = streamed operands doubled; 1..4, 9..12: SramLayout.h
  friend bool operator==(const Tiling &, const Tiling &) = default;
};

/// What the traffic model predicts for a layer; expand() moves exactly these bytes (tested).
struct LayerCost {
  int64_t dramReadBytes = 0;
  int64_t dramWriteBytes = 0;
  int64_t sramBytes = 0;       ///< peak of this layer's buffers
  int64_t lowerBoundBytes = 0; ///< no schedule moves fewer
  int64_t computeCycles = 0;
  int64_t dramCycles = 0;
};

/// A result that lies in SRAM, all of it, from the layer that makes it to some of those that read
/// it (ResidentTensors.h): blocks of channels one after the other, each [pixels][channels] packed.
/// It goes to DRAM only if more than these layers read it.
struct SramPlace {
  int64_t offset = 0;   ///< bytes
  int64_t channels = 0; ///< of a block; 0: the result is not resident
  int64_t readers = 0;  ///< the first so many layers that read it take it from there
  friend bool operator==(const SramPlace &, const SramPlace &) = default;
};

struct LayerPlan {
  Tiling tiling; ///< of a joined layer that of its leader
  LayerCost cost;
  /// The layer takes each tile of the layer before it while that is in SRAM; what nothing else
  /// reads of the one before never goes to DRAM (JoinedLayers.h).
  bool joined = false;
  SramPlace resident = {}; ///< of its result
};

/// Offset of a tensor that never is in DRAM.
inline constexpr int64_t kNowhere = -1;

struct Plan {
  std::vector<LayerPlan> layers; ///< parallel to Network::layers
  /// Byte offset in the arena or kNowhere, parallel to Network::tensors (aliases share).
  std::vector<int64_t> offsets;
  int64_t arenaBytes = 0;
  int64_t arenaLowerBound = 0; ///< maximum of live bytes at any time
};

/// Searches tiles layer by layer (exhaustive over divisors and ceil(n/t) under the model; ties by
/// index) and places tensors. RESOURCE_EXHAUSTED names layer, tensor, bytes needed, bytes there and
/// the smallest SRAM or DRAM that would fit.
absl::StatusOr<Plan> planNetwork(const Network &network, const Target &target);

/// What the traffic model predicts for one layer by itself, cut as `tiling` says.
LayerCost layerCost(const Network &network, const Layer &layer, const Tiling &tiling,
                    const Target &target);
/// The same for all layers of a plan with tilings (for one read back from IR), joined ones with
/// their leaders.
void noteCosts(const Network &network, Plan &plan, const Target &target);

/// Recomputes lifetimes, overlaps, alignment, capacity and coverage of every output by brute force.
absl::Status checkPlan(const Network &network, const Plan &plan, const Target &target);

/// Block (outputs [co0,co1) x inputs [ci0,ci1)) order of a Weights constant in the package: for
/// each output channel tile, for each input channel tile: the stream of [co][kh][kw][ci] in the
/// constant's form, each padded to 16 bytes.
struct WeightBlock {
  int64_t firstOutput, firstInput;
  WeightExtent extent;
  int64_t offset, bytes; ///< of the stream, unpadded
};
std::vector<WeightBlock> weightBlocks(const Network &network, const Layer &layer,
                                      const Tiling &tiling);
/// Bytes of the packed constant (padding counted).
int64_t packedBytes(const Network &network, const Plan &plan, ConstantId constant);
/// A packed constant of weights.
struct PackedWeights {
  std::vector<std::byte> bytes;    ///< every block padded
  std::vector<int64_t> blockBytes; ///< of the streams, unpadded
};
/// The blocks of [co][kh][kw][ci] weights in the form of their constant.
PackedWeights packWeights(const Network &network, const Layer &layer, const Tiling &tiling,
                          const StoredWeights &weights);
/// Once the weights of a layer are packed, the network and the plan have the true sizes in place of
/// the expected ones.
void noteStreams(Network &network, Plan &plan, size_t layer, const PackedWeights &packed,
                 const Target &target);

/// Makes the commands. `constantOffsets[i]` is where constant i lies in the constants region.
absl::StatusOr<Program> expand(const Network &network, const Plan &plan, const Target &target,
                               const std::vector<int64_t> &constantOffsets, int64_t constantsBytes);

/// The commands of each phase, in order.
std::vector<CommandRange> phasesOf(const Program &program);
/// Program::phaseEnds of commands whose layers' phases do not decrease.
std::vector<size_t> phaseEnds(const Network &network, const std::vector<Command> &commands);

/// Brute force over a program, sharing no code with expand, for programs that may come from a file:
/// every field in range, every address inside its region and aligned, no read of unwritten SRAM,
/// sums only from commands that make them, every pair of conflicting accesses on different queues
/// ordered by semaphores and in program order, no deadlock.
absl::Status checkProgram(const Program &program, int64_t sramBytes);

/// The same for what a program moves between the tensors of its network: every layer reads only its
/// inputs, after their bytes were written, and its constants; writes only its output, no byte
/// twice; every byte of every output is written; phases hold the commands of their layers.
absl::Status checkDataflow(const Network &network, const Plan &plan, const Program &program,
                           const std::vector<int64_t> &constantOffsets);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_PLAN_H
