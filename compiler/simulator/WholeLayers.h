//===- WholeLayers.h - layers that amount to one product --------*- C++ -*-===//
//
// Tiles are for the memory of the NPU: a machine that simulates it computes a layer faster at once,
// from the DRAM image to the DRAM image. The commands of a layer are followed with symbols for
// values, from loads over sums to stores, and where they amount to a convolution of one whole
// tensor, that is what may be computed instead of them. Anything else about them (a tile that is
// missing or stored twice, a window that reads a pixel less, bytes that another layer reads from
// SRAM later) leaves the layer as it is.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_WHOLELAYERS_H
#define SDOPT_COMPILER_SIMULATOR_WHOLELAYERS_H

#include "compiler/package/Package.h"

#include <algorithm>
#include <vector>

namespace sdopt {

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
  int64_t operand = -1; ///< the other one, in the arena
  int64_t constant = 0; ///< table, or parameters of the norm
  int64_t channels = 0; ///< of its result
  bool isStored = true; ///< at `output` in the arena: its channels of rows of `outputChannels`
  int64_t output = 0, outputChannels = 0, firstChannel = 0;
};

/// Commands [first, last) of a program are, for each picture p:
///   output[p] = requantize(conv(input[p], weights), params)
/// with tensors in the arena and the rest in the constants, all by byte offset; and what tails make
/// of it, one after the other.
struct WholeLayer {
  size_t first = 0, last = 0;
  int64_t pictures = 1;
  ConvTile tile; ///< of one picture
  int64_t input = 0, output = 0, params = 0;
  CodeFormat inputFormat, outputFormat;
  bool isStored = true; ///< the output itself goes to the arena
  std::vector<WholeTail> tails;
  /// Cover all pairs of an output and an input channel once; by output, then by input.
  std::vector<WholeWeights> weights;

  /// Is there a result that stays in SRAM?
  bool passesOn() const {
    return !isStored || std::any_of(tails.begin(), tails.end(),
                                    [](const WholeTail &tail) { return !tail.isStored; });
  }
};

/// In program order. The module is one that checkModule and checkCommands accept. Running the
/// commands in program order with whole layers in place of theirs leaves the same arena.
std::vector<WholeLayer> wholeLayers(const ModuleInfo &module);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_WHOLELAYERS_H
