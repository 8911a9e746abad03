//===- NarrowWeights.h - codes of few bits and their groups -----*- C++ -*-===//
//
// The choice of codes, group scales and zero points for WeightCoding::Grouped (docs/spec.md,
// sd.quantize_weight): what a weight means stays int8 times the scale of its output channel, and a
// group's scale is an integer, so that a sum over groups is one sum of integers. The integer group
// scale under a channel's scale is that of "low power blockwise quantization" (Qualcomm AI Engine
// Direct and AIMET, LPBQ); clipping by the least squared error after W. Sung et al., "Resiliency of
// Deep Neural Networks under Quantization", arXiv 1511.06488, with the search made exact.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_NARROWWEIGHTS_H
#define SDOPT_COMPILER_QUANTIZATION_NARROWWEIGHTS_H

#include "compiler/kernels/WeightStream.h"
#include "compiler/quantization/WeightQuantization.h"

namespace sdopt {

/// Quantizes finite F32 weights [outputs][inputs][taps...] in a Grouped form. The scale S of a
/// channel is searched among p percent of that with which no group clips, the scale s and zero
/// point z of each group among those that keep (code - z) * s within int8; MSE takes what leaves
/// the least squared error, of equal ones the first, from large to small. MinMax clips nothing.
/// With `knownScales` (F32 [outputs], which an earlier call gave) only s and z are searched.
QuantizedWeights quantizeNarrowWeights(const Tensor &weights, const WeightForm &form, bool oneScale,
                                       RangeEstimator range, const Tensor *knownScales,
                                       const Tensor *means);

/// The scale, in those of its channel, that a group's widest step is meant for.
int32_t widestGroupScale(const WeightForm &form);

struct GroupCode {
  int32_t scale = 1, zero = 0;
};

/// The integer scale and zero point of one group, chosen as quantizeNarrowWeights() does under the
/// scale of its channel.
GroupCode chooseGroup(const WeightForm &form, std::span<const float> weights, float channelScale,
                      RangeEstimator range);

/// int8 weights of codes [outputs][inputs][taps...] (`inputsLast`: [outputs][taps...][inputs]).
/// Scales and zero points are I8 [outputs][groupTaps][groups] in any shape, null where the form has
/// none.
Tensor decodeWeightTensor(const WeightForm &form, const Tensor &codes, const Tensor *scales,
                          const Tensor *zeros, bool inputsLast);

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_NARROWWEIGHTS_H
