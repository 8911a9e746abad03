//===- ScaleSearch.h - channel scales for the codes of weights --*- C++ -*-===//
//
// J. Lin et al., "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration",
// arXiv 2306.00978, section 3.2: a linear layer's weights are multiplied by s for each input
// channel before they become codes and its input is divided by s, s = E|x|^a (equations 4 and 5).
// What codes lose of channels that carry much is s times smaller then. The exponent a is searched;
// the layer's error follows exactly from the second moments of its input. Free of MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_SCALESEARCH_H
#define SDOPT_COMPILER_QUANTIZATION_SCALESEARCH_H

#include "compiler/quantization/InputMoments.h"
#include "compiler/quantization/NarrowWeights.h"

#include <span>
#include <vector>

namespace sdopt {

/// Exponents are counted in sixteenths, so that square roots suffice: the same on every machine.
constexpr int kExponentSteps = 16;
/// x^(sixteenths / 16) for x >= 0, 0 <= sixteenths <= 16.
double sixteenthPower(double x, int sixteenths);

/// Weights of a linear layer and how they become codes.
struct CodedLayer {
  Tensor weights; ///< F32 [outputs][inputs]
  WeightForm form = {};
  bool oneScale = false; ///< for all outputs
  RangeEstimator range = RangeEstimator::MSE;
  bool corrected = true; ///< what codes take from the mean of an output is added to it
};

/// s = max(E|x|, 1e-4 of the largest)^(sixteenths / 16) for each input channel; all 1 if no channel
/// carries anything.
std::vector<float> awqScales(const InputMoments &moments, int sixteenths);

/// The power of what is wrong with the outputs, E[(d x)^2] added up over them, where row d of an
/// output is its weights w without code(w * s) / s, the nearest codes with the scales, group scales
/// and zero points that the scaled weights get. For corrected layers the variance of d x.
/// `moments` is of all input channels; `scales`: one for each, or none for 1.
double codeError(const CodedLayer &layer, const InputMoments &moments,
                 std::span<const float> scales);

/// E[(w x)^2], added up over the outputs.
double outputPower(const CodedLayer &layer, const InputMoments &moments);

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_SCALESEARCH_H
