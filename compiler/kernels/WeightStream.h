//===- WeightStream.h - weights as they are stored --------------*- C++ -*-===//
//
// The forms in which a package stores the int8 weights of a matrix layer, and the stream of one
// block of them. A form is a decoder to int8: nothing behind it knows how a weight was stored.
// docs/format.md, "Weight streams", is the text of this file.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_WEIGHTSTREAM_H
#define SDOPT_COMPILER_KERNELS_WEIGHTSTREAM_H

#include "compiler/kernels/FixedPoint.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace sdopt {

enum class WeightCoding : uint8_t {
  Raw = 0,    ///< the int8 weights themselves
  Grouped = 1 ///< codes of `bits` bits: weight = clamp((code - zero) * scale, -128, 127)
};

/// How the weights of one layer are stored. Fields that a coding does not use have their defaults.
struct WeightForm {
  WeightCoding coding = WeightCoding::Raw;
  int64_t bits = 8;        ///< of a code, 2 to 8; two's complement
  int64_t groupSize = 0;   ///< input channels with one scale, 16 to 256; 0: all of them
  bool symmetric = true;   ///< zero points are 0 and not stored
  bool sharedTaps = false; ///< a group's scale (and zero point) holds for all taps

  friend bool operator==(const WeightForm &, const WeightForm &) = default;

  /// Scales (and zero points) along the taps: 1 or `taps`.
  int64_t groupTaps(int64_t taps) const { return sharedTaps || groupSize == 0 ? 1 : taps; }
  /// Groups that `inputs` channels touch at one tap, the first of them `first` channels into one.
  int64_t groups(int64_t inputs, int64_t first = 0) const {
    return groupSize == 0 ? 1 : (first + inputs + groupSize - 1) / groupSize;
  }
  /// False if the scale of every group is 1.
  bool hasScales() const { return groupSize > 0 || !symmetric; }
  /// Zero points are multiples of this.
  int64_t zeroStep() const { return bits > 4 ? int64_t{1} << (bits - 4) : 1; }
};

/// Empty, or which field of a form is wrong, what it is and what it needs.
std::string formProblem(const WeightForm &form);
/// "int8", "4 bit, groups of 64", ...
std::string name(const WeightForm &form);

inline constexpr int32_t kLargestGroupScale = 16;
/// Largest scale of a group with which no code of `bits` bits leaves int8: 16, or 8, 4, 2, 1 at 5
/// to 8 bits.
int32_t largestGroupScale(int64_t bits);

/// The meaning of one code.
inline int8_t decodedWeight(int32_t code, int32_t zero, int32_t scale) {
  const int32_t value = (code - zero) * scale;
  return static_cast<int8_t>(value < -128 ? -128 : value > 127 ? 127 : value);
}

/// A block of weights [outputs][taps][inputs]; its first input channel is the `firstInGroup`-th of
/// its group.
struct WeightExtent {
  int64_t outputs = 1, taps = 1, inputs = 1;
  int64_t firstInGroup = 0;
  int64_t weights() const { return outputs * taps * inputs; }
};

/// Bytes of the stream of a block, unpadded; the block has fewer than 2^48 weights.
int64_t storedBytes(const WeightForm &form, const WeightExtent &block);

/// The weights of a layer before packing. Raw: `codes` are the weights. Scales and zero points are
/// [outputs][groupTaps][groups], empty where the form has none.
struct StoredWeights {
  std::span<const int8_t> codes; ///< [outputs][taps][inputs]
  std::span<const int8_t> scales, zeros;
};

/// Where a block lies in the weights of a layer.
struct WeightWindow {
  int64_t outputs = 1, taps = 1, inputs = 1; ///< of the layer
  int64_t firstOutput = 0, firstInput = 0;
};

/// Writes the stream of a block, storedBytes() of them.
void encodeWeights(const WeightForm &form, const StoredWeights &weights, const WeightWindow &window,
                   const WeightExtent &block, std::byte *out);

/// The weights of a block, int8 [outputs][taps][inputs]. Any bytes are a stream.
void decodeWeights(const WeightForm &form, const WeightExtent &block, const std::byte *stream,
                   int8_t *out);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_WEIGHTSTREAM_H
