//===- OnnxFile.cpp - a .onnx file without its weights' bytes ----------------===//

#include "compiler/import/OnnxFile.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

#include <filesystem>
#include <limits>
#include <optional>

namespace sdopt {

namespace {

// Field numbers of onnx.proto.
constexpr uint32_t kModelGraph = 7;
constexpr uint32_t kGraphInitializer = 5;
constexpr uint32_t kTensorRawData = 9;

/// Bytes [begin, end) of the file.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};

struct Field {
  uint32_t number = 0;
  bool isMessage = false; ///< length-delimited: `payload` is what it holds
  Range whole;            ///< tag included
  Range payload;
};

/// Steps through the fields of one message.
class FieldReader {
public:
  FieldReader(std::span<const std::byte> file, Range message)
      : file_(file), position_(message.begin), end_(message.end) {}

  bool atEnd() const { return position_ == end_; }
  size_t position() const { return position_; }

  /// The next field; nothing if it is broken or reaches past the message.
  std::optional<Field> next() {
    Field field;
    field.whole.begin = position_;
    std::optional<uint64_t> tag = varint();
    if (!tag || (*tag >> 3) == 0 || (*tag >> 3) > std::numeric_limits<uint32_t>::max() >> 3)
      return std::nullopt;
    field.number = static_cast<uint32_t>(*tag >> 3);
    std::optional<uint64_t> size = payloadSize(*tag & 7);
    if (!size || *size > end_ - position_)
      return std::nullopt;
    field.isMessage = (*tag & 7) == 2;
    field.payload = {position_, position_ + static_cast<size_t>(*size)};
    position_ = field.payload.end;
    field.whole.end = position_;
    return field;
  }

private:
  std::optional<uint64_t> payloadSize(uint64_t wireType) {
    switch (wireType) {
    case 0: {
      size_t start = position_;
      bool complete = varint().has_value();
      size_t size = position_ - start;
      position_ = start;
      return complete ? std::optional<uint64_t>(size) : std::nullopt;
    }
    case 1:
      return 8;
    case 2:
      return varint();
    case 5:
      return 4;
    default:
      return std::nullopt; // groups do not occur in ONNX
    }
  }

  std::optional<uint64_t> varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && position_ < end_; shift += 7) {
      uint64_t byte = std::to_integer<uint64_t>(file_[position_++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80)
        return value;
    }
    return std::nullopt;
  }

  std::span<const std::byte> file_;
  size_t position_;
  size_t end_;
};

/// Builds the messages of one file.
class FileScanner {
public:
  explicit FileScanner(OnnxFile &file) : file_(file), bytes_(file.mapping->bytes()) {}

  absl::Status scanModel() {
    return scan({0, bytes_.size()}, "model", file_.model, [&](const Field &field, bool &taken) {
      taken = field.number == kModelGraph && field.isMessage;
      return taken ? scanGraph(field.payload) : absl::OkStatus();
    });
  }

private:
  absl::Status scanGraph(Range range) {
    return scan(range, "graph", *file_.model.mutable_graph(), [&](const Field &field, bool &taken) {
      taken = field.number == kGraphInitializer && field.isMessage;
      return taken ? scanInitializer(field.payload) : absl::OkStatus();
    });
  }

  absl::Status scanInitializer(Range range) {
    Initializer &initializer = file_.initializers.emplace_back();
    return scan(range, "initializer", initializer.header, [&](const Field &field, bool &taken) {
      taken = field.number == kTensorRawData && field.isMessage;
      if (taken) {
        initializer.rawOffset = static_cast<int64_t>(field.payload.begin);
        initializer.rawSize = static_cast<int64_t>(field.payload.end - field.payload.begin);
      }
      return absl::OkStatus();
    });
  }

  /// Merges into `message` all fields that `visit` does not take, in runs between them.
  template <typename Visit>
  absl::Status scan(Range range, const char *what, google::protobuf::Message &message,
                    const Visit &visit) {
    FieldReader reader(bytes_, range);
    Range run{range.begin, range.begin};
    while (!reader.atEnd()) {
      size_t start = reader.position();
      std::optional<Field> field = reader.next();
      if (!field)
        return broken(what, start);
      bool taken = false;
      if (absl::Status status = visit(*field, taken); !status.ok())
        return status;
      if (!taken) {
        run.end = field->whole.end;
        continue;
      }
      if (absl::Status status = merge(run, what, message); !status.ok())
        return status;
      run = {field->whole.end, field->whole.end};
    }
    return merge(run, what, message);
  }

  absl::Status merge(Range run, const char *what, google::protobuf::Message &message) {
    size_t size = run.end - run.begin;
    if (size == 0)
      return absl::OkStatus();
    if (size > static_cast<size_t>(std::numeric_limits<int>::max()))
      return absl::InvalidArgumentError(
          absl::StrCat("'", file_.path, "' has a ", what, " with ", size,
                       " bytes outside its initializers; protobuf reads at most 2147483647"));
    google::protobuf::io::ArrayInputStream array(bytes_.data() + run.begin, static_cast<int>(size));
    google::protobuf::io::CodedInputStream stream(&array);
    stream.SetTotalBytesLimit(std::numeric_limits<int>::max());
    if (!message.MergePartialFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
      return broken(what, run.begin + static_cast<size_t>(stream.CurrentPosition()));
    return absl::OkStatus();
  }

  absl::Status broken(const char *what, size_t offset) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", file_.path, "' is not a complete ONNX file: broken ", what, " at byte ",
                     offset, " of ", bytes_.size(), "; it may be truncated or not ONNX at all"));
  }

  OnnxFile &file_;
  std::span<const std::byte> bytes_;
};

} // namespace

absl::StatusOr<OnnxFile> readOnnxFile(const std::string &path) {
  absl::StatusOr<std::shared_ptr<const MappedFile>> mapping = MappedFile::open(path);
  if (!mapping.ok())
    return mapping.status();
  OnnxFile file;
  file.path = path;
  file.folder = std::filesystem::path(path).parent_path().string();
  if (file.folder.empty())
    file.folder = ".";
  file.name = std::filesystem::path(path).filename().string();
  file.mapping = *mapping;
  if (absl::Status status = FileScanner(file).scanModel(); !status.ok())
    return status;
  if (!file.model.has_graph())
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' holds no graph; it may be truncated or not ONNX at all"));
  return file;
}

} // namespace sdopt
