//===- Emitter.h - what expands a layer into commands -----------*- C++ -*-===//
//
// Each family of layers walks its tiles in the order of the traffic model (TrafficModel.h) and adds
// commands with absolute addresses; synchronize() adds the semaphores afterwards.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_EMITTER_H
#define SDOPT_COMPILER_SCHEDULE_EMITTER_H

#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
#include "compiler/schedule/ResidentTensors.h"
#include "compiler/schedule/SramLayout.h"

#include <array>
#include <vector>

namespace sdopt {

/// A block of a dense 4-D tensor in DRAM, packed in SRAM.
struct TensorBox {
  std::array<int64_t, 4> dims = {1, 1, 1, 1}; ///< of the tensor, or a view of it
  std::array<int64_t, 4> first = {0, 0, 0, 0};
  std::array<int64_t, 4> extent = {1, 1, 1, 1};
  int64_t elementBytes = 1;

  int64_t offset() const; ///< bytes from the tensor's start
  DmaShape shape() const;
};

/// Loops from outer to inner around a contiguous run; joins loops that continue each other. At most
/// three remain.
struct DmaLoop {
  int64_t count, dramStride, sramStride; ///< strides in bytes
};
DmaShape joinedShape(const std::vector<DmaLoop> &loops, int64_t runBytes);

/// One layer being expanded, with those that are joined to it.
class Emitter {
public:
  Emitter(const Network &network, const JoinedLayers &joined, const ResidentTensors &residents,
          const Plan &plan, const Target &target, const std::vector<int64_t> &constantOffsets,
          int32_t layerIndex, SramOffset base, std::vector<Command> &commands)
      : network(network), joined(joined), residents(residents), layer(network.layers[layerIndex]),
        tiling(plan.layers[layerIndex].tiling), target(target), plan(plan),
        constantOffsets(constantOffsets), layerIndex(layerIndex), current(layerIndex), base(base),
        commands(commands) {}

  /// Adds the commands of the group.
  void run();

private:
  void expand(const MatrixShape &shape);
  void expand(const RowsShape &shape);
  void expand(const GroupNormShape &shape);
  void expand(const AttentionShape &shape);
  void expand(const UpsampleShape &shape);
  void expand(const PermuteShape &shape);
  void expand(const EmbeddingShape &shape);
  void expand(const TimeEmbeddingShape &shape);
  void expand(const PoolShape &shape);

  /// The command of a row block.
  struct RowOperands {
    SramOffset a = 0, b = -1, c = -1; ///< of the layer's inputs; negative: none
    SramOffset constant = 0, output = 0;
    SramOffset gate = -1; ///< of gated results
  };
  void rowsCommand(const Layer &of, const RowOperands &operands, int64_t rows, int64_t channels);

  /// A part of one tile of results, all of whose rows are of one picture.
  struct ResultPart {
    TensorBox box; ///< in the layer's output; of gated results, one for each two channels
    SramOffset at = 0, gate = -1;
    int64_t tile = 0;   ///< counts all tiles
    int64_t before = 0; ///< elements of the box's tile that lie before it
  };
  /// What has been loaded for a joined layer.
  struct TailState {
    int64_t picture = -1, channel = -1; ///< of the newest row
    int64_t rows = 0;
    bool hasConstant = false;
  };
  /// Stores a part of the results, or what joined layers make of it.
  void finish(const ResultPart &part, const Tails &tails, const TailLayouts &layouts);
  /// Where its results are.
  SramOffset finishTail(size_t tail, const ResultPart &part, SramOffset carried,
                        const TailShape &shape, const TailLayout &layout);

  void add(CommandArgs args);
  void load(TensorId tensor, const TensorBox &box, SramOffset to);
  void store(TensorId tensor, const TensorBox &box, SramOffset from);
  void loadConstant(ConstantId constant, int64_t offset, int64_t bytes, SramOffset to);

  const TensorInfo &input(int i = 0) const { return network.tensors[layer.inputs[i]]; }
  const TensorInfo &output() const { return network.tensors[layer.output]; }
  const SramPlace *residentInput(size_t i = 0) const {
    return residents.ofInput(static_cast<size_t>(layerIndex), i);
  }
  const SramPlace *residentResult() const {
    return residents.ofResult(static_cast<size_t>(layerIndex));
  }
  /// Where a part of a resident tensor is, of whole rows and of channels of one block.
  static SramOffset residentAt(const SramPlace &place, const TensorBox &box);
  int64_t dramOf(TensorId id) const { return plan.offsets[id]; }
  SramOffset at(const Ring &ring, int64_t index) const { return base + ring.at(index); }

  const Network &network;
  const JoinedLayers &joined;
  const ResidentTensors &residents;
  const Layer &layer;
  const Tiling &tiling;
  const Target &target;
  const Plan &plan;
  const std::vector<int64_t> &constantOffsets;
  const int32_t layerIndex;
  int32_t current; ///< layer that commands are of
  std::array<TailState, kMostTails> tailStates;
  const SramOffset base;
  std::vector<Command> &commands;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_EMITTER_H
