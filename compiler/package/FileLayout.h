//===- FileLayout.h - header, section table, trailer ------------*- C++ -*-===//
//
// The bytes of a .sdnpu file around its sections (docs/format.md):
//
//   0        header, 64 bytes; zeros to 4096
//   4096     section 0; zeros to the next multiple of 4096; section 1; ...
//   T        section table, 64 bytes each, T = end of the last section rounded up to 4096
//   T + 64n  trailer, 64 bytes: digest of everything before it
//
// Every byte outside the sections' contents is determined by the sections' sizes.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_FILELAYOUT_H
#define SDOPT_COMPILER_PACKAGE_FILELAYOUT_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sdopt {

inline constexpr int64_t kHeaderBytes = 64;
inline constexpr int64_t kEntryBytes = 64;
inline constexpr int64_t kTrailerBytes = 64;
inline constexpr int64_t kSectionAlignment = 4096;
inline constexpr uint16_t kFormatMajor = 4;
inline constexpr uint16_t kFormatMinor = 2;

inline int64_t alignedToSection(int64_t offset) {
  return (offset + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

enum class SectionKind : uint32_t {
  Manifest = 1,
  Commands = 2,
  Constants = 3,
  Asset = 4,
  Schedule = 5,
  Bucket = 6 ///< commands of a bucket of timesteps
};
/// "manifest", "commands", "constants", "asset", "schedule", "bucket".
const char *name(SectionKind kind);

struct Section {
  SectionKind kind = SectionKind::Manifest;
  /// Of the module or asset; 8 times that of the module plus the bucket's, 1 to 7; 0 for the
  /// manifest.
  uint32_t index = 0;
  int64_t offset = 0;
  int64_t size = 0;
  uint32_t crc = 0; ///< CRC-32C of the content
};

struct FileHeader {
  uint16_t major = kFormatMajor;
  /// 1: with sections of buckets of timesteps; 2: with layers by F(4x4, 3x3), and perhaps those.
  uint16_t minor = 0;
  uint32_t sections = 0;
  int64_t fileBytes = 0;
  int64_t tableOffset = 0;
  std::array<uint8_t, 16> targetDigest = {}; ///< first half of the target's BLAKE3
};

using DigestBytes = std::array<uint8_t, 32>;

std::string encodeHeader(const FileHeader &header);
std::string encodeEntry(const Section &section);
std::string encodeTrailer(const DigestBytes &digest, int64_t fileBytes);

/// What open() knows of a file before it looks into a section.
struct FileLayout {
  FileHeader header;
  std::vector<Section> sections;
  DigestBytes digest = {};
};

/// Checks magic, versions, checksums of header, table and trailer, that the sections tile the file
/// exactly and that all padding is zero. Section contents are not read.
absl::StatusOr<FileLayout> readLayout(std::span<const std::byte> file);

/// Hex text to bytes; a text of another length or alphabet gives zeros.
template <size_t N> std::array<uint8_t, N> bytesOfHex(const std::string &hex) {
  std::array<uint8_t, N> bytes = {};
  if (hex.size() < 2 * N || hex.find_first_not_of("0123456789abcdef") != std::string::npos)
    return bytes;
  auto digit = [&](size_t i) { return hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10; };
  for (size_t i = 0; i < N; ++i)
    bytes[i] = static_cast<uint8_t>(digit(2 * i) << 4 | digit(2 * i + 1));
  return bytes;
}

/// Lower-case hex of bytes.
std::string hexOf(std::span<const uint8_t> bytes);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_FILELAYOUT_H
