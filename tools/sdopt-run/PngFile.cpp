//===- PngFile.cpp - PNG files by libpng ------------------------------------===//
//
// libpng reports errors by a callback that must not return: it jumps back into readPixels or
// writePixels, whose locals are all trivial; everything with a destructor belongs to the callers.
//
//===----------------------------------------------------------------------===//

#include "absl/strings/str_cat.h"
#include "compiler/files/WholeFile.h"
#include "tools/sdopt-run/Picture.h"

#include <png.h>

#include <csetjmp>
#include <cstring>

namespace sdopt {

namespace {

constexpr int64_t kMostPixels = int64_t{1} << 26;

/// What the callbacks share with the caller. `message` is a plain array: a longjmp runs no
/// destructors.
struct PngState {
  const char *input = nullptr;
  size_t left = 0;
  std::string *output = nullptr;
  char message[128] = {};
};

[[noreturn]] void onError(png_structp png, png_const_charp message) {
  auto *state = static_cast<PngState *>(png_get_error_ptr(png));
  std::strncpy(state->message, message, sizeof(state->message) - 1);
  png_longjmp(png, 1);
}

/// Warnings of a reader are damage too (a wrong checksum of an ancillary chunk): strict means none
/// is passed over. While writing there are none.
void onWarning(png_structp png, png_const_charp message) { onError(png, message); }

void onRead(png_structp png, png_bytep data, size_t size) {
  auto *state = static_cast<PngState *>(png_get_io_ptr(png));
  if (size > state->left)
    png_error(png, "file ends early");
  std::memcpy(data, state->input, size);
  state->input += size;
  state->left -= size;
}

void onWrite(png_structp png, png_bytep data, size_t size) {
  static_cast<PngState *>(png_get_io_ptr(png))
      ->output->append(reinterpret_cast<const char *>(data), size);
}

void onFlush(png_structp) {}

/// Asks for 8-bit RGB, or RGBA if the picture has transparency.
void askForRgb(png_structp png, png_infop info) {
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

/// Reads header and pixels. `pixels` lives outside, since a longjmp may leave this function at any
/// call.
bool readPixels(png_structp png, png_infop info, Picture &picture, int &channels,
                std::vector<uint8_t> &pixels, std::vector<png_bytep> &rows) {
  if (setjmp(png_jmpbuf(png)))
    return false;
  png_read_info(png, info);
  picture.width = png_get_image_width(png, info);
  picture.height = png_get_image_height(png, info);
  if (picture.width * picture.height > kMostPixels)
    png_error(png, "more than 2^26 pixels");
  askForRgb(png, info);
  channels = png_get_channels(png, info);
  size_t rowBytes = png_get_rowbytes(png, info);
  if ((channels != 3 && channels != 4) || rowBytes != static_cast<size_t>(picture.width * channels))
    png_error(png, "unknown kind of pixels");
  pixels.resize(rowBytes * static_cast<size_t>(picture.height));
  rows.resize(static_cast<size_t>(picture.height));
  for (size_t y = 0; y < rows.size(); ++y)
    rows[y] = pixels.data() + y * rowBytes;
  png_read_image(png, rows.data());
  png_read_end(png, nullptr);
  return true;
}

void layOnWhite(const std::vector<uint8_t> &pixels, int channels, Picture &picture) {
  size_t count = static_cast<size_t>(picture.width * picture.height);
  picture.rgb.resize(count * 3);
  for (size_t i = 0; i < count; ++i)
    for (size_t c = 0; c < 3; ++c) {
      int level = pixels[i * channels + c], alpha = channels == 4 ? pixels[i * channels + 3] : 255;
      picture.rgb[i * 3 + c] =
          static_cast<uint8_t>((level * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

bool writePixels(png_structp png, png_infop info, const Picture &picture,
                 std::vector<png_bytep> &rows) {
  if (setjmp(png_jmpbuf(png)))
    return false;
  png_set_compression_level(png, 6);
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.width),
               static_cast<png_uint_32>(picture.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, rows.data());
  png_write_end(png, nullptr);
  return true;
}

} // namespace

absl::StatusOr<Picture> decodePng(std::string_view bytes, const std::string &origin) {
  PngState state{.input = bytes.data(), .left = bytes.size()};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, onError, onWarning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    return absl::ResourceExhaustedError(origin + ": no memory for a PNG reader");
  }
  png_set_read_fn(png, &state, onRead);
  Picture picture;
  int channels = 0;
  std::vector<uint8_t> pixels;
  std::vector<png_bytep> rows;
  bool read = readPixels(png, info, picture, channels, pixels, rows);
  png_destroy_read_struct(&png, &info, nullptr);
  if (!read)
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": not a readable PNG picture: ", state.message));
  layOnWhite(pixels, channels, picture);
  return picture;
}

absl::StatusOr<Picture> readPng(const std::string &path) {
  absl::StatusOr<std::string> bytes = readFile(path);
  if (!bytes.ok())
    return bytes.status();
  return decodePng(*bytes, path);
}

absl::StatusOr<std::string> encodePng(const Picture &picture) {
  std::string bytes;
  PngState state{.output = &bytes};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, onError, onWarning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info) {
    png_destroy_write_struct(&png, nullptr);
    return absl::ResourceExhaustedError("no memory for a PNG writer");
  }
  png_set_write_fn(png, &state, onWrite, onFlush);
  std::vector<png_bytep> rows(static_cast<size_t>(picture.height));
  for (size_t y = 0; y < rows.size(); ++y)
    rows[y] = const_cast<png_bytep>(picture.at(0, static_cast<int64_t>(y)));
  bool written = writePixels(png, info, picture, rows);
  png_destroy_write_struct(&png, &info);
  if (!written)
    return absl::InternalError(absl::StrCat("a picture of ", picture.width, "x", picture.height,
                                            " cannot be written as PNG: ", state.message));
  return bytes;
}

absl::Status writePng(const std::string &path, const Picture &picture) {
  absl::StatusOr<std::string> bytes = encodePng(picture);
  return bytes.ok() ? writeFileAtomically(path, *bytes) : bytes.status();
}

} // namespace sdopt
