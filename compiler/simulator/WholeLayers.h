//===- WholeLayers.h - layers that amount to one product --------*- C++ -*-===//
//
// Tiles are for the memory of the NPU: a machine that simulates it computes a layer faster at once,
// from whole tensors to whole tensors, in the DRAM image or resident in SRAM. The commands of a
// layer are followed with symbols for values, from loads over sums to stores, and where they amount
// to a convolution of one whole tensor, that is what may be computed instead of them. Anything else
// about them (a tile that is missing or stored twice, a window that reads a pixel less, other bytes
// that another layer reads from SRAM later) leaves the layer as it is.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_WHOLELAYERS_H
#define SDOPT_COMPILER_SIMULATOR_WHOLELAYERS_H

#include "compiler/package/Package.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace sdopt {

/// Where a whole tensor lies: dense in the arena, or resident in SRAM in blocks of so many channels
/// (ResidentTensors.h).
struct WholePlace {
  int64_t offset = -1; ///< bytes
  int64_t block = 0;   ///< channels of one; 0: in the arena
};

/// What becomes of a whole result.
struct WholeResult {
  bool isStored = true; ///< at `offset` in the arena: its channels of rows of `rowChannels`
  int64_t offset = 0, rowChannels = 0, firstChannel = 0;
  WholePlace resident = {}; ///< where it stays in SRAM; block 0: nowhere
};

/// A block of weights with its stream in the constants.
struct WholeWeights {
  WeightBlock block; ///< its offset counts from the start of the constants
  WeightForm form;
};

/// What a layer that is joined to another makes of its whole result.
struct WholeTail {
  /// Its first command, of which only what does not depend on the tile counts.
  std::variant<CombineCommand, TableCommand, GegluCommand, NormApplyCommand> command;
  size_t carried = 0;   ///< which operand of a combine comes from the layer before
  WholePlace operand;   ///< the other one, if there is one
  int64_t constant = 0; ///< table, or parameters of the norm
  int64_t channels = 0; ///< of its result
  WholeResult result;
};

/// Commands [first, last) of a program are, for each picture p:
///   result[p] = requantize(conv(input[p], weights), params)
/// (or tapAccumulate() in place of the convolution) with tensors in the arena or resident and the
/// rest in the constants, all by byte offset; and what tails make of it, one after the other.
struct WholeLayer {
  size_t first = 0, last = 0;
  int64_t pictures = 1;
  ConvTile tile; ///< of one picture
  WholePlace input;
  int64_t params = 0;
  std::optional<TapShifts> taps; ///< of a layer by F(4x4, 3x3)
  CodeFormat inputFormat, outputFormat;
  WholeResult result;
  std::vector<WholeTail> tails;
  /// Cover all pairs of an output and an input channel once; by output, then by input.
  std::vector<WholeWeights> weights;

  /// Is there a result that never is in the arena?
  bool passesOn() const {
    return !result.isStored || std::any_of(tails.begin(), tails.end(), [](const WholeTail &tail) {
      return !tail.result.isStored;
    });
  }
};

/// In program order. The module is one that checkModule and checkCommands accept. Running the
/// commands in program order with whole layers in place of theirs leaves the same arena.
std::vector<WholeLayer> wholeLayers(const ModuleInfo &module);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_WHOLELAYERS_H
