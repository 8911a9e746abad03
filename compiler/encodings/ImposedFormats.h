//===- ImposedFormats.h - codes that were decided elsewhere -----*- C++ -*-===//
//
// Code formats by ONNX tensor name: from an encodings file, or from the QuantizeLinear and
// DequantizeLinear of a model that another tool quantized. The quantization takes them as they are
// instead of statistics and searches; the recipe decides what is not here.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_ENCODINGS_IMPOSEDFORMATS_H
#define SDOPT_COMPILER_ENCODINGS_IMPOSEDFORMATS_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace sdopt {

/// Real value = scale * (code - zero point), codes being -2^(bits-1) ... 2^(bits-1) - 1.
struct ImposedFormat {
  int bits = 8;
  std::vector<double> scales;      ///< one, or one for each channel
  std::vector<int64_t> zeroPoints; ///< as many
  /// Of the channels, in the tensor that the name is of; not all files tell it.
  std::optional<int64_t> axis = {};
  bool exact = false; ///< of weights of a model that has them as codes: the nearest, ties to even
  friend bool operator==(const ImposedFormat &, const ImposedFormat &) = default;
};

/// Of one module.
struct ImposedFormats {
  std::map<std::string, ImposedFormat> tensors;
  std::string origin; ///< the file, for messages
  /// Of a quantized model: values with a second code, which is left out, and constants whose codes
  /// are not symmetric ones of 8 bits, so that they are no more than real numbers.
  std::set<std::string> codedTwice = {}, notKept = {};
  const ImposedFormat *find(const std::string &name) const {
    auto found = tensors.find(name);
    return found == tensors.end() ? nullptr : &found->second;
  }
};

/// An activation's code as this compiler has it.
struct ActivationCode {
  int bits = 16; ///< 8, or 16 with zero point 0
  double scale = 1;
  int32_t zeroPoint = 0;
};

/// 8 bits as they are; 16 bits with a zero point get the symmetric scale that holds their range.
/// INVALID_ARGUMENT for other widths, channels and zero points out of range.
absl::StatusOr<ActivationCode> activationCode(const ImposedFormat &format);

/// 8 bits without zero points.
bool isSymmetricByte(const ImposedFormat &format);

/// The scale of each of `channels` int8 channels, which lie along `axis` of `rank` dimensions.
/// INVALID_ARGUMENT for other widths, zero points, another number of channels or another axis.
absl::StatusOr<std::vector<float>> weightScales(const ImposedFormat &format, int64_t channels,
                                                int64_t axis, int64_t rank);

} // namespace sdopt

#endif // SDOPT_COMPILER_ENCODINGS_IMPOSEDFORMATS_H
