//===- Masks.h - which weights become zero ----------------------*- C++ -*-===//
//
// Scores of weights, and the masks that follow from them. Weights are F32 [outputs][inputs] or
// [outputs][inputs][kh][kw]; a mask has one byte for each in the same order, 1 where the weight
// stays. Scores are compared in float64; of equal ones the weight that comes first goes first.
//
// What is compared with each other:
//
//   one output channel   its `inputs * taps` weights; the lowest floor(f * count) go
//   one layer            all its weights; for Wanda also by a search: thresholdSearchMask()
//   a pattern N:M        each run of M input channels at one tap, of one output channel. At most N
//                        stay. Runs begin at every M-th channel; the last may be shorter.
//
// Runs go along the input channels because that is the order in which weight blocks are stored and
// decoded, [output][tap][input] (compiler/kernels/WeightStream.h): a run is M neighbours of the
// stream at every kernel size and tiling whose slices are multiples of M.
//
// S. Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NIPS 2015
// (magnitude); M. Sun et al., "A Simple and Effective Pruning Approach for Large Language Models",
// ICLR 2024 (Wanda). Free of MLIR; nothing depends on the number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PRUNE_MASKS_H
#define SDOPT_COMPILER_PRUNE_MASKS_H

#include "compiler/kernels/Tensor.h"
#include "compiler/recipe/Recipe.h"

#include <array>
#include <span>
#include <vector>

namespace sdopt {

using Mask = std::vector<uint8_t>;

/// Zeros that a fraction asks for of `count` weights: floor(fraction * count), in double.
int64_t zeroCount(double fraction, int64_t count);

/// Marks the `zeros` lowest scores with 0, the others with 1.
void markLowest(std::span<const double> scores, int64_t zeros, std::span<uint8_t> kept);

/// Wanda, section 3: score |w| * ||x||, the lowest of each output channel or run of a pattern.
/// `power` is ||x||^2 of each input channel at each tap, [tap][input] (InputPower.h); any positive
/// factor that is the same for all changes no mask.
Mask wandaMask(const Tensor &weights, std::span<const double> power, const Sparsity &sparsity);

/// The same scores, the lowest of the whole layer.
Mask wandaLayerMask(const Tensor &weights, std::span<const double> power, double fraction);

/// Wanda's variant by a threshold search: each output channel loses its lowest scores while their
/// sum is at most the share a of the channel's sum; a is the same for all channels and is halved
/// in until the layer's share of zeros is within 0.001 of the fraction. For a fraction only.
Mask thresholdSearchMask(const Tensor &weights, std::span<const double> power, double fraction);

/// The smallest magnitudes of each output channel or run of a pattern.
Mask magnitudeMask(const Tensor &weights, const Sparsity &sparsity);

/// The smallest magnitudes of one or more layers together, without holding more than one of them:
/// add() all, then refine() all, then mask() all, in the same order. Of equal magnitudes those of
/// the first layer go first.
class MagnitudeThreshold {
public:
  /// As many zeros as the fraction asks for of these weights.
  void add(const Tensor &weights, double fraction);
  void refine(const Tensor &weights);
  Mask mask(const Tensor &weights);

private:
  int64_t zeros_ = 0;
  std::vector<int64_t> high_ = std::vector<int64_t>(1 << 15), low_ = {};
  uint32_t threshold_ = 0; ///< bits of the magnitude of which only the first `equal_` go
  int64_t equal_ = 0;
  bool complete_ = false;
};

/// One bit for each weight, I8 [(count + 7) / 8], as sd.prune_weight reads it.
Tensor packMask(const Mask &kept);
/// `count` weights.
Mask unpackMask(const Tensor &packed, int64_t count);
/// The weights where the packed mask is 1, +0 elsewhere.
Tensor prunedWeights(const Tensor &weights, const Tensor &packed);
/// 1 for each weight that is not 0.
Mask nonZeros(const Tensor &weights);
int64_t zerosOf(const Mask &kept);

} // namespace sdopt

#endif // SDOPT_COMPILER_PRUNE_MASKS_H
