//===- WeightStream.h - weights as they are stored --------------*- C++ -*-===//
//
// The forms in which a package stores the int8 weights of a matrix layer, and the stream of one
// block of them. A form is a decoder to int8: nothing behind it knows how a weight was stored. It
// has three parts that go together in any way: what a code means, which codes are left out because
// their weights are 0, and whether those that are left are entropy-coded.
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
  Raw = 0,     ///< the int8 weights themselves
  Grouped = 1, ///< codes of `bits` bits: weight = clamp((code - zero) * scale, -128, 127)
  Palette = 2  ///< indices of `bits` bits: weight = palette[index]
};

/// Which codes of a block are stored. Weights whose codes are not are 0.
enum class ZeroLayout : uint8_t {
  Dense = 0,      ///< all of them
  Bitmap = 1,     ///< those of weights other than 0, which a bit for each weight tells
  Structured = 2, ///< `kept` of each `run` input channels of an output and tap
  Runs = 3        ///< those of weights other than 0, with the number of zeros before each
};

/// How the weights of one layer are stored. Fields that a coding does not use have their defaults.
struct WeightForm {
  WeightCoding coding = WeightCoding::Raw;
  int64_t bits = 8;           ///< of a code, 2 to 8, in two's complement; of an index, 1 to 8
  int64_t groupSize = 0;      ///< input channels with one scale, 16 to 256; 0: all of them
  bool symmetric = true;      ///< zero points are 0 and not stored
  bool sharedTaps = false;    ///< a group's scale (and zero point) holds for all taps
  int64_t paletteOutputs = 0; ///< output channels with one palette; 0: all of them
  ZeroLayout zeros = ZeroLayout::Dense;
  int64_t kept = 0, run = 0; ///< of Structured: 1 <= kept < run <= 16
  int64_t lanes = 0;         ///< of the entropy coder (EntropyCoder.h), to 256; 0: not coded

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
  /// Palettes that `outputs` channels touch, the first of them `first` channels into one's.
  int64_t palettes(int64_t outputs, int64_t first = 0) const {
    return paletteOutputs == 0 ? 1 : (first + outputs + paletteOutputs - 1) / paletteOutputs;
  }
  int64_t paletteEntries() const { return int64_t{1} << bits; }
  /// True if the bytes of a block depend on its weights.
  bool varies() const { return lanes > 0 || zeros != ZeroLayout::Dense; }
  /// True if dma.load takes the weights to SRAM as they are.
  bool isPlainInt8() const { return *this == WeightForm(); }
  /// True if the array can know which weights are 0 without looking at them.
  bool tellsZeros() const { return zeros == ZeroLayout::Bitmap || zeros == ZeroLayout::Structured; }
  /// The same codes, all stored as they are.
  WeightForm plain() const;
};

/// Empty, or which field of a form is wrong, what it is and what it needs.
std::string formProblem(const WeightForm &form);
/// "int8", "4 bit, groups of 64", "4 bit palette, bitmap, entropy-coded", ...
std::string name(const WeightForm &form);

inline constexpr int32_t kLargestGroupScale = 16;
inline constexpr int64_t kLargestRun = 16, kMostLanes = 256;
/// Largest scale of a group with which no code of `bits` bits leaves int8: 16, or 8, 4, 2, 1 at 5
/// to 8 bits.
int32_t largestGroupScale(int64_t bits);

/// The meaning of one code.
inline int8_t decodedWeight(int32_t code, int32_t zero, int32_t scale) {
  const int32_t value = (code - zero) * scale;
  return static_cast<int8_t>(value < -128 ? -128 : value > 127 ? 127 : value);
}

/// A block of weights [outputs][taps][inputs]; its first input channel is the `firstInGroup`-th of
/// its group and the `firstInRun`-th of its run, its first output the `firstInPalette`-th of those
/// with its palette; 0 where the form has no such.
struct WeightExtent {
  int64_t outputs = 1, taps = 1, inputs = 1;
  int64_t firstInGroup = 0, firstInRun = 0, firstInPalette = 0;
  int64_t weights() const { return outputs * taps * inputs; }
  friend bool operator==(const WeightExtent &, const WeightExtent &) = default;
};

/// The block of a layer whose first channels are these.
WeightExtent blockAt(const WeightForm &form, int64_t firstOutput, int64_t firstInput,
                     int64_t outputs, int64_t taps, int64_t inputs);

/// Bytes of the stream of a block, unpadded; the most of them if form.varies(), which is what
/// form.plain() takes. The block has fewer than 2^48 weights.
int64_t storedBytes(const WeightForm &form, const WeightExtent &block);

/// The weights of a layer before packing. Raw: `codes` are the weights. Scales and zero points are
/// [outputs][groupTaps][groups], palettes [palettes][2^bits], empty where the form has none.
struct StoredWeights {
  std::span<const int8_t> codes; ///< [outputs][taps][inputs]; indices as unsigned bytes
  std::span<const int8_t> scales, zeros, palettes = {};
};

/// Where a block lies in the weights of a layer.
struct WeightWindow {
  int64_t outputs = 1, taps = 1, inputs = 1; ///< of the layer
  int64_t firstOutput = 0, firstInput = 0;
};

/// Writes the stream of a block and returns its bytes; `out` has storedBytes(). A block that the
/// form would not make smaller, or that has more weights in a run than the form keeps, is stored as
/// form.plain() says.
int64_t encodeWeights(const WeightForm &form, const StoredWeights &weights,
                      const WeightWindow &window, const WeightExtent &block, std::byte *out);

/// The weights of a block, int8 [outputs][taps][inputs]. False, with unspecified weights, if the
/// bytes are no stream of that block; any storedBytes() of them are one.
[[nodiscard]] bool decodeWeights(const WeightForm &form, const WeightExtent &block,
                                 std::span<const std::byte> stream, int8_t *out);

/// Codes in a stream that decodes: what an entropy decoder is busy with. 0 if it is stored plain.
int64_t codedCodes(const WeightForm &form, const WeightExtent &block,
                   std::span<const std::byte> stream);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_WEIGHTSTREAM_H
