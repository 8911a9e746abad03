//===- Picture.h - RGB pictures in files and tensors ------------*- C++ -*-===//
//
// 8-bit RGB, rows from the top. Everything that makes pixels is integer arithmetic, so a picture is
// the same on every machine; conversion from float is one rounding.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_PICTURE_H
#define SDOPT_TOOLS_SDOPT_RUN_PICTURE_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/kernels/Tensor.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sdopt {

struct Picture {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> rgb; ///< [height][width][3]

  Picture() = default;
  /// Black.
  Picture(int64_t width, int64_t height)
      : width(width), height(height), rgb(static_cast<size_t>(width * height * 3)) {}
  uint8_t *at(int64_t x, int64_t y) { return rgb.data() + (y * width + x) * 3; }
  const uint8_t *at(int64_t x, int64_t y) const { return rgb.data() + (y * width + x) * 3; }
  friend bool operator==(const Picture &, const Picture &) = default;
};

/// Grey, palette, alpha (laid on white) and 16-bit pictures become RGB. A damaged file, or one of
/// more than 2^26 pixels, is INVALID_ARGUMENT that names `origin`.
absl::StatusOr<Picture> decodePng(std::string_view bytes, const std::string &origin);
absl::StatusOr<Picture> readPng(const std::string &path);
/// No time, no text: the same picture gives the same bytes.
absl::StatusOr<std::string> encodePng(const Picture &picture);
absl::Status writePng(const std::string &path, const Picture &picture);

/// Mean over the area of each new pixel where the picture shrinks, bicubic (Catmull-Rom) where it
/// grows, each direction on its own.
Picture resized(const Picture &picture, int64_t width, int64_t height);

/// The largest centred part with the proportions width : height, resized to it.
Picture fitted(const Picture &picture, int64_t width, int64_t height);

/// The centred part of `partX` x `partY` of the picture's sides, brought to the picture's own size
/// (bicubic). A part above 1 reaches beyond the picture: its edge pixels are repeated there.
Picture viewed(const Picture &picture, double partX, double partY);

/// F32 1x3xHxW with values in [-1, 1].
Tensor toTensor(const Picture &picture);
/// The reverse; values are clamped, not-a-number is black.
Picture toPicture(const Tensor &tensor);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_PICTURE_H
