//===- Safetensors.cpp - reading and writing .safetensors -------------------===//

#include "compiler/weights/Safetensors.h"

#include "compiler/files/AtomicFile.h"
#include "compiler/weights/TensorFileReaders.h"
#include "compiler/weights/TensorViews.h"
#include "nlohmann/json.hpp"

#include <optional>
#include <set>

namespace sdopt {

namespace {

using nlohmann::json;

constexpr uint64_t kLargestHeader = 100'000'000;
constexpr size_t kLengthBytes = 8;
constexpr const char *kMetadataKey = "__metadata__";

struct DtypeName {
  const char *text;
  ElementType type;
};
constexpr DtypeName kDtypes[] = {
    {"F32", ElementType::F32}, {"F16", ElementType::F16},   {"BF16", ElementType::BF16},
    {"F64", ElementType::F64}, {"I8", ElementType::I8},     {"U8", ElementType::U8},
    {"I16", ElementType::I16}, {"U16", ElementType::U16},   {"I32", ElementType::I32},
    {"I64", ElementType::I64}, {"BOOL", ElementType::Bool},
};

std::optional<ElementType> dtypeNamed(const std::string &text) {
  for (const DtypeName &dtype : kDtypes)
    if (text == dtype.text)
      return dtype.type;
  return std::nullopt;
}

const char *dtypeText(ElementType type) {
  for (const DtypeName &dtype : kDtypes)
    if (type == dtype.type)
      return dtype.text;
  return "";
}

uint64_t readLittleEndian64(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i)
    value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

/// One tensor as the header declares it.
struct Declared {
  std::string name;
  ElementType type = ElementType::F32;
  Shape shape;
  int64_t begin = 0, end = 0; ///< relative to the data part
};

class SafetensorsReader {
public:
  explicit SafetensorsReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}

  absl::StatusOr<TensorFileContents> read() {
    if (absl::Status status = findHeader(); !status.ok())
      return status;
    auto header = parseHeader();
    if (!header.ok())
      return header.status();
    TensorFileContents contents;
    std::vector<Declared> declared;
    for (auto &[key, value] : header->items()) {
      absl::Status status = key == kMetadataKey ? readMetadata(value, contents.metadata)
                                                : readEntry(key, value, declared);
      if (!status.ok())
        return status;
    }
    std::stable_sort(declared.begin(), declared.end(), [](const Declared &a, const Declared &b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    if (absl::Status status = checkLayout(declared); !status.ok())
      return status;
    for (Declared &entry : declared)
      contents.tensors.emplace_back(entry.name, Tensor(entry.type, std::move(entry.shape), file_,
                                                       data_.data() + entry.begin));
    return contents;
  }

private:
  absl::Status error(const std::string &message) const {
    return absl::InvalidArgumentError("'" + file_->path() +
                                      "' is no valid safetensors file: " + message);
  }
  absl::Status tensorError(const std::string &name, const std::string &message) const {
    return error("tensor '" + name + "' " + message);
  }

  absl::Status findHeader() {
    std::span<const std::byte> bytes = file_->bytes();
    if (bytes.size() < kLengthBytes)
      return error("it has " + std::to_string(bytes.size()) +
                   " bytes, the header length alone takes 8");
    uint64_t length = readLittleEndian64(bytes);
    if (length > kLargestHeader)
      return error("the header length " + std::to_string(length) + " is above the limit of " +
                   std::to_string(kLargestHeader));
    if (length > bytes.size() - kLengthBytes)
      return error("the header needs " + std::to_string(length) + " bytes, the file has " +
                   std::to_string(bytes.size() - kLengthBytes) + " after the length");
    header_ = {reinterpret_cast<const char *>(bytes.data()) + kLengthBytes,
               static_cast<size_t>(length)};
    data_ = bytes.subspan(kLengthBytes + static_cast<size_t>(length));
    return absl::OkStatus();
  }

  // The header nests three deep; a million brackets would cost gigabytes in the JSON parser.
  bool isShallow() const {
    int depth = 0;
    bool inString = false;
    for (size_t i = 0; i < header_.size(); ++i) {
      char c = header_[i];
      if (inString) {
        if (c == '\\')
          ++i;
        else if (c == '"')
          inString = false;
      } else if (c == '"') {
        inString = true;
      } else if (c == '{' || c == '[') {
        if (++depth > 3)
          return false;
      } else if (c == '}' || c == ']') {
        --depth;
      }
    }
    return true;
  }

  absl::StatusOr<json> parseHeader() const {
    if (header_.empty() || header_[0] != '{')
      return error("the header does not start with '{'");
    if (!isShallow())
      return error("the header is nested too deeply");
    std::vector<std::set<std::string>> open;
    std::string duplicate;
    auto watch = [&](int, json::parse_event_t event, json &parsed) {
      if (event == json::parse_event_t::object_start)
        open.emplace_back();
      else if (event == json::parse_event_t::object_end)
        open.pop_back();
      else if (event == json::parse_event_t::key &&
               !open.back().insert(parsed.get<std::string>()).second && duplicate.empty())
        duplicate = parsed.get<std::string>();
      return true;
    };
    try {
      json header = json::parse(header_, watch);
      if (!duplicate.empty())
        return error("the header has the key '" + duplicate + "' twice");
      return header;
    } catch (const json::parse_error &failure) {
      return error("the header is not JSON (byte " + std::to_string(failure.byte) + ")");
    } catch (const json::exception &) {
      return error("the header is not JSON that can be read");
    }
  }

  absl::Status readMetadata(const json &value, std::map<std::string, std::string> &metadata) const {
    if (!value.is_object())
      return error("'__metadata__' is not an object of strings");
    for (auto &[key, text] : value.items()) {
      if (!text.is_string())
        return error("'__metadata__' entry '" + key + "' is not a string");
      metadata[key] = text.get<std::string>();
    }
    return absl::OkStatus();
  }

  absl::Status readEntry(const std::string &name, const json &value,
                         std::vector<Declared> &declared) const {
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets"))
      return tensorError(name, "needs exactly the keys dtype, shape and data_offsets");
    Declared entry;
    entry.name = name;
    if (absl::Status status = readType(value, entry); !status.ok())
      return status;
    if (absl::Status status = readOffsets(value, entry); !status.ok())
      return status;
    declared.push_back(std::move(entry));
    return absl::OkStatus();
  }

  absl::Status readType(const json &value, Declared &entry) const {
    const json &dtype = value["dtype"];
    if (!dtype.is_string())
      return tensorError(entry.name, "has a dtype that is not a string");
    std::optional<ElementType> type = dtypeNamed(dtype.get<std::string>());
    if (!type)
      return tensorError(entry.name, "has the unsupported dtype '" + dtype.get<std::string>() +
                                         "'; supported are F32, F16, BF16, F64, I8, U8, I16, U16, "
                                         "I32, I64 and BOOL");
    entry.type = *type;
    const json &shape = value["shape"];
    if (!shape.is_array())
      return tensorError(entry.name, "has a shape that is not a list");
    for (const json &dim : shape) {
      if (!dim.is_number_unsigned() || dim.get<uint64_t>() > INT64_MAX)
        return tensorError(entry.name, "has a dimension that is no size: " + dim.dump());
      entry.shape.push_back(dim.get<int64_t>());
    }
    return absl::OkStatus();
  }

  absl::Status readOffsets(const json &value, Declared &entry) const {
    const json &offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      return tensorError(entry.name, "needs data_offsets [begin, end]");
    uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
    std::string range = "[" + std::to_string(begin) + ", " + std::to_string(end) + ")";
    if (begin > end || end > data_.size())
      return tensorError(entry.name, "lies at " + range + " of a data part of " +
                                         std::to_string(data_.size()) + " bytes");
    std::optional<int64_t> size = checkedByteSize(entry.type, entry.shape);
    if (!size)
      return tensorError(entry.name, "has the impossible shape " + toString(entry.shape));
    if (static_cast<uint64_t>(*size) != end - begin)
      return tensorError(entry.name, "of type " + std::string(sdopt::name(entry.type)) +
                                         " and shape " + toString(entry.shape) + " needs " +
                                         std::to_string(*size) + " bytes, its offsets " + range +
                                         " hold " + std::to_string(end - begin));
    entry.begin = static_cast<int64_t>(begin);
    entry.end = static_cast<int64_t>(end);
    return absl::OkStatus();
  }

  // `declared` is sorted by offset.
  absl::Status checkLayout(const std::vector<Declared> &declared) const {
    int64_t end = 0;
    const Declared *previous = nullptr;
    for (const Declared &entry : declared) {
      if (entry.begin < end)
        return tensorError(entry.name, "overlaps tensor '" + previous->name + "' at offset " +
                                           std::to_string(entry.begin));
      if (entry.begin > end)
        return tensorError(entry.name, "starts at offset " + std::to_string(entry.begin) +
                                           " and leaves the " + std::to_string(entry.begin - end) +
                                           " bytes before it to no tensor");
      end = entry.end;
      previous = &entry;
    }
    if (static_cast<uint64_t>(end) != data_.size())
      return error("the tensors end at offset " + std::to_string(end) + " of a data part of " +
                   std::to_string(data_.size()) + " bytes");
    return absl::OkStatus();
  }

  std::shared_ptr<const MappedFile> file_;
  std::string_view header_;
  std::span<const std::byte> data_;
};

// JSON text of a string; bytes that are not UTF-8 have no JSON form.
absl::StatusOr<std::string> quoted(const std::string &text) {
  try {
    return json(text).dump();
  } catch (const json::exception &) {
    return absl::InvalidArgumentError("name '" + text + "' is not UTF-8");
  }
}

absl::StatusOr<std::string> metadataText(const std::map<std::string, std::string> &metadata) {
  std::string text;
  for (const auto &[key, value] : metadata) {
    auto quotedKey = quoted(key), quotedValue = quoted(value);
    if (!quotedKey.ok() || !quotedValue.ok())
      return quotedKey.ok() ? quotedValue.status() : quotedKey.status();
    text += (text.empty() ? "" : ",") + *quotedKey + ":" + *quotedValue;
  }
  return "\"" + std::string(kMetadataKey) + "\":{" + text + "}";
}

std::string entryText(const Tensor &tensor, int64_t begin) {
  std::string dims;
  for (int64_t dim : tensor.shape())
    dims += (dims.empty() ? "" : ",") + std::to_string(dim);
  return std::string("{\"dtype\":\"") + dtypeText(tensor.type()) + "\",\"shape\":[" + dims +
         "],\"data_offsets\":[" + std::to_string(begin) + "," +
         std::to_string(begin + tensor.byteSize()) + "]}";
}

absl::StatusOr<std::string> headerText(const std::vector<std::pair<std::string, Tensor>> &tensors,
                                       const std::map<std::string, std::string> &metadata) {
  std::vector<std::string> fields;
  if (!metadata.empty()) {
    auto text = metadataText(metadata);
    if (!text.ok())
      return text.status();
    fields.push_back(*std::move(text));
  }
  std::set<std::string> seen = {kMetadataKey};
  int64_t offset = 0;
  for (const auto &[name, tensor] : tensors) {
    if (!seen.insert(name).second)
      return absl::InvalidArgumentError("tensor name '" + name +
                                        "' is used twice or reserved in a safetensors file");
    auto key = quoted(name);
    if (!key.ok())
      return key.status();
    fields.push_back(*key + ":" + entryText(tensor, offset));
    offset += tensor.byteSize();
  }
  std::string header = "{";
  for (size_t i = 0; i < fields.size(); ++i)
    header += (i ? "," : "") + fields[i];
  header += "}";
  // The format wants the data part at a multiple of 8.
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

std::string littleEndian64(uint64_t value) {
  std::string bytes(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i)
    bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

} // namespace

absl::StatusOr<TensorFileContents> readSafetensors(std::shared_ptr<const MappedFile> file) {
  return SafetensorsReader(std::move(file)).read();
}

absl::StatusOr<std::unique_ptr<AtomicFile>>
prepareSafetensors(const std::string &path,
                   const std::vector<std::pair<std::string, Tensor>> &tensors,
                   const std::map<std::string, std::string> &metadata) {
  auto header = headerText(tensors, metadata);
  if (!header.ok())
    return absl::Status(header.status().code(),
                        "cannot write '" + path + "': " + std::string(header.status().message()));
  if (header->size() > kLargestHeader)
    return absl::InvalidArgumentError(
        "cannot write '" + path + "': its header has " + std::to_string(header->size()) +
        " bytes, the format allows " + std::to_string(kLargestHeader));
  auto file = AtomicFile::create(path);
  if (!file.ok())
    return file.status();
  absl::Status status = (*file)->write(littleEndian64(header->size()));
  if (status.ok())
    status = (*file)->write(*header);
  for (const auto &[name, tensor] : tensors) {
    if (!status.ok())
      return status;
    status = (*file)->write(
        std::span<const std::byte>(tensor.bytes(), static_cast<size_t>(tensor.byteSize())));
  }
  return status.ok() ? std::move(file) : status;
}

absl::Status writeSafetensors(const std::string &path,
                              const std::vector<std::pair<std::string, Tensor>> &tensors,
                              const std::map<std::string, std::string> &metadata) {
  auto file = prepareSafetensors(path, tensors, metadata);
  return file.ok() ? (*file)->commit() : file.status();
}

} // namespace sdopt
