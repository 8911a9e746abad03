//===- ImposedFormats.cpp - codes that were decided elsewhere -----------------===//

#include "compiler/encodings/ImposedFormats.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

absl::StatusOr<ActivationCode> activationCode(const ImposedFormat &format) {
  if (format.bits != 8 && format.bits != 16)
    return absl::InvalidArgumentError(
        absl::StrCat(format.bits, "-bit activations; 8 and 16 bits are supported"));
  if (format.scales.size() != 1)
    return absl::InvalidArgumentError(
        absl::StrCat(format.scales.size(), " scales of one activation; it has one"));
  double scale = format.scales[0];
  int64_t zero = format.zeroPoints[0], limit = int64_t(1) << (format.bits - 1);
  if (zero < -limit || zero >= limit)
    return absl::InvalidArgumentError(
        absl::StrCat("zero point ", zero, " is not among the ", format.bits, "-bit codes"));
  if (format.bits == 16 && zero != 0) {
    auto largest = static_cast<double>(std::max(limit - 1 - zero, limit + zero));
    scale = scale * largest / static_cast<double>(limit - 1);
    zero = 0;
  }
  return ActivationCode{format.bits, scale, static_cast<int32_t>(zero)};
}

bool isSymmetricByte(const ImposedFormat &format) {
  return format.bits == 8 && std::all_of(format.zeroPoints.begin(), format.zeroPoints.end(),
                                         [](int64_t zero) { return zero == 0; });
}

absl::StatusOr<std::vector<float>> weightScales(const ImposedFormat &format, int64_t channels,
                                                int64_t axis, int64_t rank) {
  if (format.bits != 8)
    return absl::InvalidArgumentError(
        absl::StrCat(format.bits, "-bit weights; 8 bits are supported"));
  if (!isSymmetricByte(format))
    return absl::InvalidArgumentError("weights with zero points; symmetric ones are supported");
  auto count = static_cast<int64_t>(format.scales.size());
  if (count != 1 && count != channels)
    return absl::InvalidArgumentError(
        absl::StrCat(count, " scales for ", channels, " output channels"));
  if (count != 1 && format.axis && *format.axis != axis && *format.axis != axis - rank)
    return absl::InvalidArgumentError(
        absl::StrCat("scales along axis ", *format.axis, "; output channels are axis ", axis));
  std::vector<float> scales(channels);
  for (int64_t i = 0; i < channels; ++i)
    scales[i] = static_cast<float>(format.scales[count == 1 ? 0 : i]);
  return scales;
}

} // namespace sdopt
