//===- Gptq.h - rounding that makes up for its own errors -------*- C++ -*-===//
//
// E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
// Transformers", arXiv 2210.17323, algorithm 1: the columns of a layer's weights are rounded in
// order, and what rounding one of them does to the layer's output is taken back by those that
// follow (equations 2 and 3), as far as the second moments of the inputs tell. A convolution is the
// product with what its kernel sees (im2col). Free of MLIR; the result does not depend on the
// number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_GPTQ_H
#define SDOPT_COMPILER_QUANTIZATION_GPTQ_H

#include "compiler/quantization/InputMoments.h"
#include "compiler/quantization/NarrowWeights.h"
#include "compiler/share/Palette.h"

#include <span>
#include <vector>

namespace sdopt {

/// The codes of one layer, block by block of its input channels.
class LayerRounding {
public:
  /// F32 weights [outputs][inputs][taps...] and their codes as quantizeWeights() (form Raw, axis
  /// 0), quantizeNarrowWeights() or shareWeights() gave them, whose channel scales and palettes
  /// stay. `corrected`: what codes take from the mean of an output will be added to it, so that
  /// only the rest counts as an error. `pruned`, if there are any: the weights that rounding begins
  /// with, whose zeros stay, and whose bias makes up for the mean that they lack already; errors
  /// are those of `weights`. Updates are linear: to sweep for zeros first and for codes then, with
  /// the zeros kept, is SparseGPT's joint sweep (section 3.5) for that mask, but scales of groups
  /// are chosen when the zeros are made up for. After least squares the two errors are orthogonal
  /// in H.
  LayerRounding(const Tensor &weights, const WeightForm &form, RangeEstimator range, bool corrected,
                QuantizedWeights nearest, const Tensor &pruned = {});

  /// Rounds the block's weights, each channel's only if that promises less error than its nearest
  /// codes. Blocks are disjoint; each begins at a group of input channels, and ends at the end of
  /// one or of the inputs. Group scales and zero points are chosen for the weights as they are when
  /// their turn comes.
  void round(const InputMoments &moments);

  /// After all blocks. `correction` follows from the means of the blocks.
  QuantizedWeights take();
  /// Per output element; before: with the nearest codes.
  const OutputPower &power() const { return power_; }

private:
  struct Group;
  struct Block;
  struct Scratch;

  Block blockOf(const InputMoments &moments) const;
  GroupCode codeOf(const Group &group, std::span<const float> weights, int64_t output,
                   QuantizedWeights &rounded) const;
  /// A weight's code, and the weight that it means.
  struct Coded {
    int8_t code = 0;
    double value = 0;
  };
  Coded coded(float weight, GroupCode group, int64_t output) const;
  int64_t paletteOf(int64_t output) const {
    return form_.paletteOutputs > 0 ? output / form_.paletteOutputs : 0;
  }
  void roundGroup(const Block &block, const Group &group, int64_t output, float *row, float *errors,
                  int64_t end, QuantizedWeights &rounded) const;
  void roundRows(const Block &block, int64_t first, int64_t count, Scratch &scratch,
                 QuantizedWeights &rounded) const;
  /// Weights without what their codes mean; `codes` null: the weights. [outputs][columns].
  Tensor errorsOf(const QuantizedWeights *codes, const InputMoments &moments) const;
  /// Weights without the pruned ones, [outputs][columns].
  Tensor pruningErrors(const InputMoments &moments) const;
  bool isZero(int64_t output, int64_t source) const;
  void keepBetter(const InputMoments &moments, const Block &block, const QuantizedWeights &rounded);

  Tensor weights_, pruned_;
  WeightForm form_;
  RangeEstimator range_;
  bool corrected_;
  int64_t outputs_, inputs_, taps_;
  QuantizedWeights result_;
  OutputPower power_;
  std::vector<double> outputMeans_, corrections_;
  std::vector<PaletteCodes> paletteCodes_; ///< of each palette
};

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_GPTQ_H
