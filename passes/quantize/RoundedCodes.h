//===- RoundedCodes.h - codes that are known before quantization *- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_ROUNDEDCODES_H
#define SDOPT_PASSES_QUANTIZE_ROUNDEDCODES_H

#include "llvm/ADT/StringRef.h"

namespace sdopt {

/// Attribute of a layer whose codes are known: the weight store's keys of what sd.quantize_weight
/// would give, by these names.
constexpr llvm::StringLiteral kRoundedAttribute = "sdopt.rounded";
constexpr const char *kCodes = "codes", *kScales = "scales", *kGroupScales = "groups",
                     *kZeroPoints = "zeros", *kPalettes = "palettes", *kCorrection = "correction";
/// Of codes whose form is another than the recipe's: bits of the indices of palettes, and the
/// output channels that share one.
constexpr const char *kFormBits = "bits", *kFormOutputs = "palette_outputs";

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_ROUNDEDCODES_H
