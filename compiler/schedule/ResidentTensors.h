//===- ResidentTensors.h - results that stay in SRAM ------------*- C++ -*-===//
//
// A result that is resident lies in SRAM from the layer that makes it to some of those that read
// it. Its channels are cut into blocks that follow each other, each [pixels][channels] packed, so
// that a tile of whole rows (of any pixels of tokens, which have one) and of the channels of a
// block is one run of bytes: the layer that makes it cuts its output channels into these blocks,
// and layers that read it cut theirs alike (adaptive scheduling: a map that is split in N parts
// feeds a map that is split in N parts, or goes to DRAM). No command differs from those of tiles.
//
//   1x8x6x4, blocks of 2 channels    0        96       192
//                                    | c0 c1  | c2 c3  |    a pixel of a block: 2 bytes
//
// Layers between have what is left of SRAM: the largest gap between resident results. If more
// layers read it than take it from SRAM, the result is stored too, and the others load it.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_RESIDENTTENSORS_H
#define SDOPT_COMPILER_SCHEDULE_RESIDENTTENSORS_H

#include "compiler/schedule/JoinedLayers.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

#include <array>
#include <string>
#include <vector>

namespace sdopt {

/// Who makes and reads the results of a network.
class TensorUses {
public:
  explicit TensorUses(const Network &network);

  struct Reader {
    size_t layer, input;
  };
  /// Of the owner of a tensor's bytes, in order of layers.
  const std::vector<Reader> &readers(TensorId id) const { return all[rootOf(network, id)].readers; }
  /// Must its bytes be in DRAM, whoever reads them? Inputs, outputs and what later phases read.
  bool isKept(TensorId id) const { return all[rootOf(network, id)].isKept; }

  /// Why the result of a layer cannot be resident in blocks of so many channels; "" if it can.
  std::string makerProblem(size_t layer, int64_t blockChannels) const;
  /// Why a reader cannot take it so from SRAM; "" if it can.
  std::string readerProblem(size_t maker, const Reader &reader, int64_t blockChannels) const;

private:
  struct Use {
    std::vector<Reader> readers;
    int makers = 0;
    bool isKept = false;
  };
  const Network &network;
  std::vector<Use> all; ///< by tensor
};

/// What of a group of layers is resident: channels of a block of each input of its leader, which
/// operands of those that follow, and which results, the leader's first.
struct GroupResidence {
  std::array<int64_t, 3> inputs = {0, 0, 0};
  std::array<bool, kMostTails> operands = {};
  std::array<bool, kMostTails + 1> results = {};
  std::array<bool, kMostTails + 1> isStored = {true, true, true, true};
  /// Tiles of output channels that blocks allow; none: all.
  std::vector<int64_t> channelTiles = {};
};
/// Notes it in the shape of a group.
void setResidence(LayerShape &shape, const GroupResidence &residence);

/// Bytes [begin, end) of SRAM.
struct SramSpan {
  int64_t begin = 0, end = 0;
  int64_t bytes() const { return end - begin; }
};
/// The largest part of [0, sramBytes) that none of the spans takes; the lowest of equal ones.
SramSpan largestGap(std::vector<SramSpan> taken, int64_t sramBytes);

/// The resident results of a plan.
class ResidentTensors {
public:
  /// Network and plan must outlive this and fit together.
  ResidentTensors(const Network &network, const Plan &plan);

  bool any() const { return !lives.empty(); }
  /// Where input number `input` of a layer lies in SRAM; nullptr: it comes from DRAM, or is carried
  /// from the layer before.
  const SramPlace *ofInput(size_t layer, size_t input) const;
  /// The same of its result.
  const SramPlace *ofResult(size_t layer) const;
  /// The layer whose result a resident tensor is, or a view of it.
  size_t makerOf(TensorId id) const { return static_cast<size_t>(makers[rootOf(network, id)]); }
  /// Does its result go to DRAM?
  bool isStored(size_t layer) const { return stored[layer]; }
  /// Is any byte of it ever in DRAM?
  bool isInDram(TensorId id) const { return inDram[rootOf(network, id)]; }

  const JoinedLayers &joinedLayers() const { return joined; }
  /// Shape of the group of a leader.
  LayerShape shape(size_t lead) const;
  /// What the group has of SRAM for its tiles, which begin at multiples of `alignment`.
  SramSpan gap(size_t lead, int64_t sramBytes, int64_t alignment) const;

  /// What is wrong with the residence of some layer, with its name; "" if nothing is.
  std::string problem(int64_t sramBytes) const;

private:
  struct Life {
    size_t maker;
    size_t first, last; ///< leaders of the first and of the last group in which it lies there
    SramSpan span;
  };
  std::string layerProblem(const Life &life, int64_t sramBytes) const;

  const Network &network;
  const Plan &plan;
  const TensorUses uses;
  const JoinedLayers joined;
  std::vector<Life> lives;
  std::vector<int32_t> makers; ///< by tensor: of its resident result, or -1
  std::vector<bool> stored, inDram;
};

/// noteCosts() of one group.
void noteGroupCosts(const Network &network, const ResidentTensors &residents, Plan &plan,
                    size_t lead, const Target &target);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_RESIDENTTENSORS_H
