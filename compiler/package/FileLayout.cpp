#include "compiler/package/FileLayout.h"

#include "absl/strings/str_cat.h"
#include "compiler/package/Crc32c.h"
#include "compiler/package/SaturatingArithmetic.h"

#include <algorithm>
#include <cstring>

namespace sdopt {
namespace {

constexpr unsigned char kMagic[8] = {0x89, 'S', 'D', 'N', 'P', 'U', '\r', '\n'};
constexpr unsigned char kTrailerMagic[8] = {'S', 'D', 'N', 'P', 'U', 'E', 'N', 'D'};
constexpr uint32_t kEndianTag = 0x0A0B0C0D;

template <typename Int> void put(std::string &out, Int value) {
  for (size_t i = 0; i < sizeof(Int); ++i)
    out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 255));
}

template <typename Int> Int get(std::span<const std::byte> bytes, int64_t offset) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(Int); ++i)
    value |= std::to_integer<uint64_t>(bytes[offset + i]) << (8 * i);
  return static_cast<Int>(value);
}

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Appends the checksum of all bytes so far.
std::string sealed(std::string record) {
  put(record, crc32c(bytesOf(record)));
  return record;
}

bool isSealed(std::span<const std::byte> record) {
  const size_t body = record.size() - 4;
  return crc32c(record.first(body)) == get<uint32_t>(record, static_cast<int64_t>(body));
}

bool allZero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

absl::Status corrupt(int64_t offset, const std::string &what) {
  return absl::DataLossError(absl::StrCat("offset ", offset, ": ", what));
}

std::string describe(const Section &section, size_t position) {
  return absl::StrCat("section ", position, " (", name(section.kind), " ", section.index, ")");
}

absl::Status readHeader(std::span<const std::byte> file, FileHeader &header) {
  const auto size = static_cast<int64_t>(file.size());
  if (size < kHeaderBytes || std::memcmp(file.data(), kMagic, sizeof(kMagic)) != 0)
    return absl::InvalidArgumentError("offset 0: not a .sdnpu package");
  if (!isSealed(file.first(kHeaderBytes)))
    return corrupt(0, "checksum of the header does not match");
  header.major = get<uint16_t>(file, 8);
  header.minor = get<uint16_t>(file, 10);
  if (header.major != kFormatMajor || header.minor > kFormatMinor)
    return absl::InvalidArgumentError(absl::StrCat(
        "offset 8: format version ", header.major, ".", header.minor, "; this reader knows ",
        kFormatMajor, ".0 to ", kFormatMajor, ".", kFormatMinor));
  if (get<uint32_t>(file, 12) != kEndianTag || get<uint32_t>(file, 16) != kHeaderBytes ||
      get<uint32_t>(file, 56) != 0)
    return corrupt(12, "byte order tag, header size or flags are not those of this format");
  header.sections = get<uint32_t>(file, 20);
  const auto fileBytes = get<uint64_t>(file, 24), tableOffset = get<uint64_t>(file, 32);
  if (fileBytes != static_cast<uint64_t>(size))
    return corrupt(24, absl::StrCat("file is ", size, " bytes; its header says ", fileBytes));
  const int64_t tail =
      saturatingSum(saturatingProduct({header.sections, kEntryBytes}), kTrailerBytes);
  if (tail > size - kHeaderBytes || tableOffset != static_cast<uint64_t>(size - tail))
    return corrupt(32, absl::StrCat("table of ", header.sections, " sections cannot be at ",
                                    tableOffset, " in ", size, " bytes"));
  header.fileBytes = size;
  header.tableOffset = static_cast<int64_t>(tableOffset);
  std::memcpy(header.targetDigest.data(), file.data() + 40, header.targetDigest.size());
  return absl::OkStatus();
}

absl::Status readTrailer(std::span<const std::byte> file, DigestBytes &digest) {
  const int64_t at = static_cast<int64_t>(file.size()) - kTrailerBytes;
  const std::span<const std::byte> trailer = file.subspan(at);
  if (std::memcmp(trailer.data(), kTrailerMagic, sizeof(kTrailerMagic)) != 0 ||
      !isSealed(trailer) || get<uint64_t>(trailer, 40) != file.size() ||
      !allZero(trailer.subspan(48, 12)))
    return corrupt(at, "trailer is damaged");
  std::memcpy(digest.data(), trailer.data() + 8, digest.size());
  return absl::OkStatus();
}

absl::Status readEntry(std::span<const std::byte> file, int64_t at, Section &section) {
  const std::span<const std::byte> entry = file.subspan(at, kEntryBytes);
  if (!isSealed(entry))
    return corrupt(at, "checksum of the section table entry does not match");
  const auto kind = get<uint32_t>(entry, 0);
  if (kind < static_cast<uint32_t>(SectionKind::Manifest) ||
      kind > static_cast<uint32_t>(SectionKind::Bucket))
    return corrupt(at, absl::StrCat("unknown section kind ", kind));
  if (!allZero(entry.subspan(28, 32)))
    return corrupt(at + 28, "reserved bytes of the section table entry are not zero");
  const auto offset = get<uint64_t>(entry, 8), size = get<uint64_t>(entry, 16);
  if (offset > file.size() || size > file.size() - offset)
    return corrupt(at + 8, absl::StrCat("section of ", size, " bytes at ", offset,
                                        " reaches outside the file of ", file.size(), " bytes"));
  section = {static_cast<SectionKind>(kind), get<uint32_t>(entry, 4), static_cast<int64_t>(offset),
             static_cast<int64_t>(size), get<uint32_t>(entry, 24)};
  return absl::OkStatus();
}

absl::Status checkPadding(std::span<const std::byte> file, int64_t begin, int64_t end) {
  if (allZero(file.subspan(begin, end - begin)))
    return absl::OkStatus();
  return corrupt(begin, "padding is not zero");
}

} // namespace

const char *name(SectionKind kind) {
  switch (kind) {
  case SectionKind::Manifest:
    return "manifest";
  case SectionKind::Commands:
    return "commands";
  case SectionKind::Constants:
    return "constants";
  case SectionKind::Asset:
    return "asset";
  case SectionKind::Schedule:
    return "schedule";
  case SectionKind::Bucket:
    return "bucket";
  }
  return "unknown";
}

std::string hexOf(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (uint8_t byte : bytes) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

std::string encodeHeader(const FileHeader &header) {
  std::string out(reinterpret_cast<const char *>(kMagic), sizeof(kMagic));
  put(out, header.major);
  put(out, header.minor);
  put(out, kEndianTag);
  put(out, static_cast<uint32_t>(kHeaderBytes));
  put(out, header.sections);
  put(out, static_cast<uint64_t>(header.fileBytes));
  put(out, static_cast<uint64_t>(header.tableOffset));
  for (uint8_t byte : header.targetDigest)
    put(out, byte);
  put(out, uint32_t{0}); // flags
  return sealed(std::move(out));
}

std::string encodeEntry(const Section &section) {
  std::string out;
  put(out, static_cast<uint32_t>(section.kind));
  put(out, section.index);
  put(out, static_cast<uint64_t>(section.offset));
  put(out, static_cast<uint64_t>(section.size));
  put(out, section.crc);
  out.resize(kEntryBytes - 4, '\0');
  return sealed(std::move(out));
}

std::string encodeTrailer(const DigestBytes &digest, int64_t fileBytes) {
  std::string out(reinterpret_cast<const char *>(kTrailerMagic), sizeof(kTrailerMagic));
  for (uint8_t byte : digest)
    put(out, byte);
  put(out, static_cast<uint64_t>(fileBytes));
  out.resize(kTrailerBytes - 4, '\0');
  return sealed(std::move(out));
}

absl::StatusOr<FileLayout> readLayout(std::span<const std::byte> file) {
  FileLayout layout;
  if (absl::Status status = readHeader(file, layout.header); !status.ok())
    return status;
  if (absl::Status status = readTrailer(file, layout.digest); !status.ok())
    return status;
  int64_t end = kHeaderBytes;
  for (uint32_t i = 0; i < layout.header.sections; ++i) {
    const int64_t at = layout.header.tableOffset + i * kEntryBytes;
    Section section;
    if (absl::Status status = readEntry(file, at, section); !status.ok())
      return status;
    if (section.offset != alignedToSection(end))
      return corrupt(at + 8,
                     absl::StrCat(describe(section, i), " starts at ", section.offset, "; needs ",
                                  alignedToSection(end), ", the next multiple of 4096"));
    if (absl::Status status = checkPadding(file, end, section.offset); !status.ok())
      return status;
    end = section.offset + section.size;
    layout.sections.push_back(section);
  }
  if (layout.header.tableOffset != alignedToSection(end))
    return corrupt(32, absl::StrCat("section table is at ", layout.header.tableOffset, "; needs ",
                                    alignedToSection(end)));
  if (absl::Status status = checkPadding(file, end, layout.header.tableOffset); !status.ok())
    return status;
  return layout;
}

} // namespace sdopt
