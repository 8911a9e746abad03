//===- Npz.cpp - reading .npz archives --------------------------------------===//
//
// Zip records are read by the layout of the APPNOTE: the end record points to the central
// directory, whose entries give sizes and the place of each local header. The local header is used
// only to find where the data starts: its own sizes may be left open by streaming writers.
//
//===----------------------------------------------------------------------===//

#include "compiler/weights/TensorFileReaders.h"
#include "compiler/weights/TensorViews.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <zlib.h>

namespace sdopt {

namespace {

constexpr uint64_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50,
                   kLocator64Signature = 0x07064b50, kCentralSignature = 0x02014b50,
                   kLocalSignature = 0x04034b50;
constexpr uint64_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20, kCentralBytes = 46,
                   kLocalBytes = 30;
constexpr uint64_t kStored = 0, kDeflated = 8;

uint64_t littleEndian(std::span<const std::byte> bytes, uint64_t offset, int width) {
  uint64_t value = 0;
  for (int i = 0; i < width; ++i)
    value |= std::to_integer<uint64_t>(bytes[offset + static_cast<uint64_t>(i)]) << (8 * i);
  return value;
}

/// One file of the archive.
struct Member {
  std::string name;
  uint64_t flags = 0, method = 0, crc = 0;
  uint64_t packedSize = 0, size = 0;
  uint64_t header = 0; ///< offset of the local header
  uint64_t data = 0;   ///< offset of the bytes
};

struct Directory {
  uint64_t entries = 0, size = 0, offset = 0;
};

class NpzReader {
public:
  explicit NpzReader(std::shared_ptr<const MappedFile> file)
      : file_(std::move(file)), bytes_(file_->bytes()) {}

  absl::StatusOr<TensorFileContents> read() {
    auto members = readMembers();
    if (!members.ok())
      return members.status();
    TensorFileContents contents;
    std::set<std::string> seen;
    for (const Member &member : *members) {
      std::string name = member.name;
      if (name.ends_with(".npy"))
        name.resize(name.size() - 4);
      if (!seen.insert(name).second)
        return error("it has the array '" + name + "' twice");
      auto tensor = readMember(member);
      if (!tensor.ok())
        return tensor.status();
      contents.tensors.emplace_back(std::move(name), *std::move(tensor));
    }
    return contents;
  }

private:
  absl::Status error(const std::string &message) const {
    return absl::InvalidArgumentError("'" + file_->path() + "' is no valid npz file: " + message);
  }

  bool has(uint64_t offset, uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  uint64_t at(uint64_t offset, int width) const { return littleEndian(bytes_, offset, width); }
  bool signedWith(uint64_t offset, uint64_t signature, uint64_t size) const {
    return has(offset, size) && at(offset, 4) == signature;
  }

  std::optional<uint64_t> findEnd() const {
    constexpr uint64_t kLargestComment = 65535;
    if (bytes_.size() < kEndBytes)
      return std::nullopt;
    uint64_t last = bytes_.size() - kEndBytes;
    for (uint64_t back = 0; back <= std::min(last, kLargestComment); ++back)
      if (at(last - back, 4) == kEndSignature && at(last - back + 20, 2) == back)
        return last - back;
    return std::nullopt;
  }

  absl::StatusOr<Directory> findDirectory() const {
    std::optional<uint64_t> end = findEnd();
    if (!end)
      return error("it has no zip end record; it may be cut off");
    Directory directory{
        .entries = at(*end + 10, 2), .size = at(*end + 12, 4), .offset = at(*end + 16, 4)};
    if (directory.entries == 0xffff || directory.size == 0xffffffff ||
        directory.offset == 0xffffffff) {
      if (*end < kLocator64Bytes ||
          !signedWith(*end - kLocator64Bytes, kLocator64Signature, kLocator64Bytes))
        return error("its zip64 locator is missing");
      uint64_t record = at(*end - kLocator64Bytes + 8, 8);
      if (!signedWith(record, kEnd64Signature, kEnd64Bytes))
        return error("its zip64 end record is missing");
      directory = {
          .entries = at(record + 32, 8), .size = at(record + 40, 8), .offset = at(record + 48, 8)};
    }
    if (!has(directory.offset, directory.size) ||
        directory.entries > directory.size / kCentralBytes)
      return error("its directory of " + std::to_string(directory.entries) + " entries and " +
                   std::to_string(directory.size) + " bytes at offset " +
                   std::to_string(directory.offset) + " lies outside of the file");
    return directory;
  }

  absl::StatusOr<std::vector<Member>> readMembers() const {
    auto directory = findDirectory();
    if (!directory.ok())
      return directory.status();
    std::vector<Member> members;
    uint64_t position = directory->offset, end = directory->offset + directory->size;
    for (uint64_t i = 0; i < directory->entries; ++i) {
      if (end - position < kCentralBytes || at(position, 4) != kCentralSignature)
        return error("directory entry " + std::to_string(i) + " is damaged");
      uint64_t nameBytes = at(position + 28, 2), extraBytes = at(position + 30, 2),
               commentBytes = at(position + 32, 2);
      uint64_t total = kCentralBytes + nameBytes + extraBytes + commentBytes;
      if (end - position < total)
        return error("directory entry " + std::to_string(i) + " is cut off");
      auto member = readCentral(position, nameBytes, extraBytes);
      if (!member.ok())
        return member.status();
      members.push_back(*std::move(member));
      position += total;
    }
    std::stable_sort(members.begin(), members.end(),
                     [](const Member &a, const Member &b) { return a.data < b.data; });
    for (size_t i = 1; i < members.size(); ++i)
      if (members[i].header < members[i - 1].data + members[i - 1].packedSize)
        return error("members '" + members[i - 1].name + "' and '" + members[i].name + "' overlap");
    return members;
  }

  absl::StatusOr<Member> readCentral(uint64_t position, uint64_t nameBytes,
                                     uint64_t extraBytes) const {
    Member member{.name = {},
                  .flags = at(position + 8, 2),
                  .method = at(position + 10, 2),
                  .crc = at(position + 16, 4),
                  .packedSize = at(position + 20, 4),
                  .size = at(position + 24, 4),
                  .header = at(position + 42, 4)};
    member.name.assign(reinterpret_cast<const char *>(bytes_.data()) + position + kCentralBytes,
                       nameBytes);
    if (!readZip64Extra(position + kCentralBytes + nameBytes, extraBytes, member))
      return error("member '" + member.name + "' has a damaged zip64 field");
    if (member.flags & 1)
      return error("member '" + member.name + "' is encrypted");
    if (!signedWith(member.header, kLocalSignature, kLocalBytes))
      return error("member '" + member.name + "' has no local header at offset " +
                   std::to_string(member.header));
    member.data =
        member.header + kLocalBytes + at(member.header + 26, 2) + at(member.header + 28, 2);
    if (!has(member.data, member.packedSize))
      return error("member '" + member.name + "' needs " + std::to_string(member.packedSize) +
                   " bytes at offset " + std::to_string(member.data) + ", the file has " +
                   std::to_string(bytes_.size()));
    return member;
  }

  // Sizes that do not fit 32 bits are all ones and follow, in this order, in extra field 1.
  bool readZip64Extra(uint64_t position, uint64_t extraBytes, Member &member) const {
    uint64_t *fields[] = {&member.size, &member.packedSize, &member.header};
    bool needed = std::any_of(std::begin(fields), std::end(fields),
                              [](const uint64_t *field) { return *field == 0xffffffff; });
    uint64_t end = position + extraBytes;
    while (needed && end - position >= 4) {
      uint64_t id = at(position, 2), size = at(position + 2, 2);
      position += 4;
      if (size > end - position)
        return false;
      if (id != 1) {
        position += size;
        continue;
      }
      for (uint64_t *field : fields) {
        if (*field != 0xffffffff)
          continue;
        if (size < 8)
          return false;
        *field = at(position, 8);
        position += 8;
        size -= 8;
      }
      return true;
    }
    return !needed;
  }

  absl::StatusOr<Tensor> readMember(const Member &member) const {
    std::string where = "array '" + member.name + "' of '" + file_->path() + "'";
    std::span<const std::byte> packed = bytes_.subspan(member.data, member.packedSize);
    if (member.method == kStored) {
      if (member.packedSize != member.size)
        return error("member '" + member.name + "' is stored but has two sizes");
      return readNpy(packed, file_, where);
    }
    if (member.method != kDeflated)
      return error("member '" + member.name + "' uses compression method " +
                   std::to_string(member.method) + "; supported are stored (0) and deflate (8)");
    auto unpacked = inflated(member, packed);
    if (!unpacked.ok())
      return unpacked.status();
    auto owner = std::make_shared<Tensor>(*std::move(unpacked));
    return readNpy({owner->bytes(), static_cast<size_t>(owner->byteSize())}, owner, where);
  }

  absl::StatusOr<Tensor> inflated(const Member &member, std::span<const std::byte> packed) const {
    // Deflate cannot do better than 258 bytes in two bits.
    constexpr uint64_t kBestRatio = 1032;
    if (member.size / kBestRatio > packed.size())
      return error("member '" + member.name + "' claims " + std::to_string(member.size) +
                   " bytes, too many for " + std::to_string(packed.size()) + " compressed ones");
    absl::Status damaged = error("member '" + member.name + "' does not decompress");
    Tensor result(ElementType::U8, {static_cast<int64_t>(member.size)});
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
      return damaged;
    uint64_t read = 0, written = 0;
    int code = Z_OK;
    while (code == Z_OK) {
      constexpr uint64_t kPiece = std::numeric_limits<uInt>::max() / 2;
      stream.next_in = reinterpret_cast<Bytef *>(const_cast<std::byte *>(packed.data() + read));
      stream.avail_in = static_cast<uInt>(std::min(kPiece, packed.size() - read));
      stream.next_out = reinterpret_cast<Bytef *>(result.mutableBytes() + written);
      stream.avail_out = static_cast<uInt>(std::min(kPiece, member.size - written));
      uInt inBefore = stream.avail_in, outBefore = stream.avail_out;
      code = inflate(&stream, Z_NO_FLUSH);
      read += inBefore - stream.avail_in;
      written += outBefore - stream.avail_out;
    }
    inflateEnd(&stream);
    if (code != Z_STREAM_END || written != member.size)
      return damaged;
    uint64_t crc = crc32_z(0, reinterpret_cast<const Bytef *>(result.bytes()), written);
    if (crc != member.crc)
      return error("member '" + member.name + "' has a wrong checksum");
    return result;
  }

  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
};

} // namespace

absl::StatusOr<TensorFileContents> readNpz(std::shared_ptr<const MappedFile> file) {
  return NpzReader(std::move(file)).read();
}

} // namespace sdopt
