//===- SharedWeights.h - weights that share few values ----------*- C++ -*-===//
//
// Codes, palettes and scales for WeightCoding::Palette (docs/spec.md, sd.share_weight): a weight is
// an int8 entry of the palette of its output channel times the channel's scale. Entries minimize
// the squared error weighted by what reads the weights (compiler/share), which is the weight
// sharing of S. Han et al., "Deep Compression", ICLR 2016, section 3, with the optimum instead of
// iterations from a start, and the weighting of S. Kim et al., "SqueezeLLM", arXiv 2306.07629, with
// second moments of inputs in place of gradients. For codes that an entropy coder stores
// (codedBits): even steps, which at 3 bits are 0.14 dB from the best quantizer of a normal
// distribution with the same entropy, at 2 bits 0.5 (N. Farvardin, J. Modestino, "Optimum Quantizer
// Performance for a Class of Non-Gaussian Memoryless Sources", IEEE Trans. IT-30(3), 1984). Free of
// MLIR.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_SHAREDWEIGHTS_H
#define SDOPT_COMPILER_QUANTIZATION_SHAREDWEIGHTS_H

#include "compiler/kernels/WeightStream.h"
#include "compiler/quantization/WeightQuantization.h"

namespace sdopt {

struct SharingOptions {
  /// F32 [inputs], >= 0: what the squared error of a weight counts, by its input channel; null: all
  /// the same. A hundredth of the mean is added to each.
  const Tensor *importance = nullptr;
  const Tensor *means = nullptr; ///< F32 [inputs]: asks for the correction of quantizeWeights()
  bool withZero = false;         ///< 0 is an entry, and weights that are 0 mean it
  bool oneScale = false;         ///< of all output channels
  /// Entropy of the codes at most, bits: entries are multiples of a step as short as that allows.
  /// 0: entries of least error.
  double codedBits = 0;
  /// Both or none: from an earlier call with the same weights, form and options.
  const Tensor *knownScales = nullptr, *knownPalettes = nullptr;
};

/// Codes (the index of an entry, as an unsigned byte), scales and palettes of finite F32 weights
/// [outputs][inputs][taps...] in a Palette form. The same on every machine, with any number of
/// threads.
QuantizedWeights shareWeights(const Tensor &weights, const WeightForm &form,
                              const SharingOptions &options);

/// int8 weights of codes: entries of the palettes, I8 [palettes][2^bits].
Tensor decodeSharedWeights(const WeightForm &form, const Tensor &codes, const Tensor &palettes);

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_SHAREDWEIGHTS_H
