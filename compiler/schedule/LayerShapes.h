//===- LayerShapes.h - the numbers that tiling a layer needs ----*- C++ -*-===//
//
// One small struct for each family of layers: sizes in elements, element widths in bytes. Layers
// with equal shapes have equal tilings.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_LAYERSHAPES_H
#define SDOPT_COMPILER_SCHEDULE_LAYERSHAPES_H

#include "absl/status/status.h"
#include "compiler/schedule/Network.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace sdopt {

inline int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// An axis cut into tiles of one size; the last may be shorter.
struct AxisCut {
  int64_t size = 1, tile = 1, tiles = 1, last = 1;
  AxisCut(int64_t size, int64_t tile)
      : size(size), tile(std::clamp<int64_t>(tile, 1, size)), tiles(ceilDiv(size, this->tile)),
        last(size - (tiles - 1) * this->tile) {}
  int64_t first(int64_t index) const { return index * tile; }
  int64_t extent(int64_t index) const { return index == tiles - 1 ? last : tile; }
};

/// Input positions [first, first + count) that outputs need along one axis; `padding` of the window
/// lies before them.
struct InputSpan {
  int64_t first = 0, count = 0, padding = 0;
};

/// One axis of a convolution window.
struct WindowAxis {
  int64_t input = 1, output = 1;
  int64_t kernel = 1, stride = 1, dilation = 1, padBefore = 0;
  InputSpan span(int64_t firstOutput, int64_t outputs) const;
};

inline constexpr size_t kMostTails = 3;

/// A layer that is joined to another: bytes for each element, or channel, of its result.
struct TailShape {
  int64_t operandBytes = 0;  ///< of an operand of the same size that comes from DRAM
  int64_t rowBytes = 0;      ///< per channel, of an operand with one row for each picture
  int64_t constantBytes = 0; ///< loaded once
  int64_t outputBytes = 1;
  int64_t passes = 1;
  bool isStored = true;   ///< in DRAM
  bool isGated = false;   ///< makes one channel of two that lie half of all channels apart
  bool takesRows = false; ///< needs all channels of a row
  bool isOperandResident = false, isResident = false; ///< the operand, the result
};

/// What follows in the tiles of a layer.
struct Tails {
  bool isLeadStored = true;      ///< in DRAM
  bool isLeadResident = false;   ///< the result of the layer itself
  std::vector<TailShape> layers; ///< at most kMostTails
  bool isGated() const { return !layers.empty() && layers.front().isGated; }
};

/// Convolution or linear layer.
struct MatrixShape {
  int64_t batch = 1;
  WindowAxis vertical, horizontal;
  int64_t inputChannels = 1, outputChannels = 1;
  int64_t inputBytes = 1, outputBytes = 1; ///< of one element
  bool wideInput = false;
  WinogradForm winograd = WinogradForm::None;
  WeightForm weights;
  int64_t weightShare = kShareUnit; ///< ConstantInfo::share
  int64_t packedBytes = 0;          ///< of all streams, once they are known; 0: not yet
  int64_t zeroWeights = 0;          ///< ConstantInfo::zeros
  Tails tails = {};
  int64_t inputBlock = 0; ///< channels of a block of a resident input; 0: from DRAM
  /// Tiles of output channels that the blocks of resident results and operands allow; none: all.
  std::vector<int64_t> channelTiles = {};

  int64_t taps() const { return vertical.kernel * horizontal.kernel; }
  /// Of pixels, as in a sequence of tokens.
  bool hasOneRow() const { return vertical.input == 1 && vertical.output == 1; }
  int64_t weightCount() const { return outputChannels * taps() * inputChannels; }
  /// Bytes that are expected of the stream of a block.
  int64_t expectedBytes(const WeightExtent &block) const {
    const int64_t plain = storedBytes(weights, block);
    return weights.varies()
               ? static_cast<int64_t>((static_cast<Int128>(plain) * weightShare + kShareUnit - 1) /
                                      kShareUnit)
               : plain;
  }
  /// Stored bytes of all weights: as they are packed, or in one block, than which no cut has fewer.
  int64_t leastWeightBytes() const {
    return packedBytes > 0 ? packedBytes : expectedBytes({outputChannels, taps(), inputChannels});
  }
};

/// Rows of channels through the vector unit: combine, modulate, table, geglu, layer norm.
struct RowsShape {
  int64_t pictures = 1, rows = 1, channels = 1; ///< rows of one picture; channels of the output
  std::array<int64_t, 2> inputBytes = {0, 0};   ///< of each streamed input, per row and channel
  /// Per channel of operands with one row per picture.
  std::array<int64_t, 2> broadcastBytes = {0, 0};
  int64_t outputBytes = 1;   ///< per row and channel
  int64_t constantBytes = 0; ///< loaded once
  int64_t passes = 1;
  bool cutChannels = true;
  std::array<bool, 2> isInputResident = {false, false};
  bool isStored = true, isResident = false; ///< the result: in DRAM, in SRAM
  std::vector<int64_t> channelTiles = {};   ///< as in MatrixShape
};

struct GroupNormShape {
  int64_t pictures = 1, rows = 1, channels = 1, channelsPerGroup = 1;
  int64_t inputBytes = 1, outputBytes = 1;
  Tails tails = {};
  bool isInputResident = false;
  std::vector<int64_t> channelTiles = {}; ///< as in MatrixShape
};

struct AttentionShape {
  int64_t batch = 1, heads = 1, queries = 1, keys = 1, headDim = 1;
  int64_t qBytes = 1, kBytes = 1, vBytes = 1, outputBytes = 1;
  std::array<bool, 3> isInputResident = {false, false, false};
  bool isStored = true, isResident = false; ///< the result: in DRAM, in SRAM
};

struct UpsampleShape {
  int64_t pictures = 1, height = 1, width = 1;
  int64_t pixelBytes = 1;
  int64_t factorH = 1, factorW = 1;
  bool isInputResident = false;
};

/// A rearrangement of elements, or of a part of them.
struct PermuteShape {
  std::array<int64_t, 4> dims = {1, 1, 1, 1};         ///< of the output
  std::array<int64_t, 4> inputStrides = {1, 1, 1, 1}; ///< elements, along the output's axes
  int64_t first = 0;                                  ///< input element of the output's first
  int64_t elementBytes = 1;
};

struct EmbeddingShape {
  int64_t batch = 1, tokens = 1, channels = 1, outputBytes = 1;
};

struct TimeEmbeddingShape {
  int64_t batch = 1, inputs = 1, halfDim = 1, outputBytes = 1;
};

struct PoolShape {
  int64_t batch = 1, tokens = 1, channels = 1, elementBytes = 1;
};

using LayerShape =
    std::variant<MatrixShape, RowsShape, GroupNormShape, AttentionShape, UpsampleShape,
                 PermuteShape, EmbeddingShape, TimeEmbeddingShape, PoolShape>;

/// The layer must have passed checkNetwork().
LayerShape shapeOf(const Network &network, const Layer &layer);

/// All numbers of a shape, led by its family: equal for layers that can share a tiling.
std::vector<int64_t> signature(const LayerShape &shape);

/// INVALID_ARGUMENT names the layer or tensor whose ids, sizes or parameters do not fit together.
absl::Status checkNetwork(const Network &network);

/// The tensor that owns the bytes of `id`.
TensorId rootOf(const Network &network, TensorId id);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_LAYERSHAPES_H
