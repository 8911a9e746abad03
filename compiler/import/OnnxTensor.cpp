//===- OnnxTensor.cpp - constants of an ONNX file ----------------------------===//

#include "compiler/import/OnnxTensor.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include <cstring>
#include <filesystem>

namespace sdopt {

namespace {

using onnx::TensorProto;

/// Type, shape and size of a tensor, checked.
struct Layout {
  ElementType type;
  Shape shape;
  int64_t count;
  int64_t bytes;
};

std::string shapeText(const TensorProto &tensor) {
  std::string text;
  for (int64_t dim : tensor.dims())
    absl::StrAppend(&text, text.empty() ? "" : "x", dim);
  return text.empty() ? "scalar" : text;
}

absl::StatusOr<Layout> layoutOf(const TensorProto &tensor, const std::string &what) {
  std::optional<ElementType> type = elementTypeOfOnnx(tensor.data_type());
  if (!TensorProto::DataType_IsValid(tensor.data_type()) && tensor.data_type() > 40)
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has the unknown data type ", tensor.data_type()));
  if (tensor.data_type() == TensorProto::UNDEFINED)
    return absl::InvalidArgumentError(absl::StrCat(what, " has no data type"));
  if (!type)
    return absl::UnimplementedError(
        absl::StrCat("elements of type ", nameOfOnnxType(tensor.data_type())));
  Shape shape(tensor.dims().begin(), tensor.dims().end());
  std::optional<int64_t> count = checkedElementCount(shape);
  if (!count)
    return absl::InvalidArgumentError(absl::StrCat(what, " has the impossible shape ",
                                                   shapeText(tensor),
                                                   "; dimensions must not be negative "
                                                   "and their product at most 2^40"));
  return Layout{*type, shape, *count, *count * byteWidth(*type)};
}

absl::Status wrongSize(const std::string &what, const Layout &layout, int64_t found,
                       const char *unit, int64_t needed) {
  return absl::InvalidArgumentError(absl::StrCat(what, " of shape ", toString(layout.shape),
                                                 " and type ", name(layout.type), " has ", found,
                                                 " ", unit, " but needs ", needed));
}

template <typename T, typename Values>
absl::StatusOr<Tensor> fromValues(const Layout &layout, const Values &values,
                                  const std::string &what) {
  if (values.size() != layout.count)
    return wrongSize(what, layout, values.size(), "values", layout.count);
  Tensor tensor(layout.type, layout.shape);
  T *out = reinterpret_cast<T *>(tensor.mutableBytes());
  for (int i = 0; i < values.size(); ++i)
    out[i] = static_cast<T>(values.Get(i));
  return tensor;
}

/// From float_data, int32_data, int64_data or double_data, whichever the type uses.
absl::StatusOr<Tensor> fromTypedFields(const TensorProto &tensor, const Layout &layout,
                                       const std::string &what) {
  switch (layout.type) {
  case ElementType::F32:
    return fromValues<float>(layout, tensor.float_data(), what);
  case ElementType::F64:
    return fromValues<double>(layout, tensor.double_data(), what);
  case ElementType::I64:
    return fromValues<int64_t>(layout, tensor.int64_data(), what);
  case ElementType::I32:
    return fromValues<int32_t>(layout, tensor.int32_data(), what);
  case ElementType::F16:
  case ElementType::BF16:
  case ElementType::I16:
  case ElementType::U16:
    return fromValues<uint16_t>(layout, tensor.int32_data(), what);
  case ElementType::I8:
  case ElementType::U8:
  case ElementType::Bool:
    return fromValues<uint8_t>(layout, tensor.int32_data(), what);
  }
  return absl::InternalError("unknown element type");
}

bool staysInFolder(const std::string &location) {
  std::filesystem::path path(location);
  if (location.empty() || path.is_absolute() || location.find('\0') != std::string::npos ||
      location.find('\\') != std::string::npos)
    return false;
  for (const std::filesystem::path &part : path)
    if (part == "..")
      return false;
  return true;
}

struct ExternalPlace {
  std::string location;
  int64_t offset = 0;
  int64_t length = -1; ///< -1: not given
};

absl::StatusOr<ExternalPlace> externalPlace(const TensorProto &tensor, const std::string &what) {
  ExternalPlace place;
  for (const onnx::StringStringEntryProto &entry : tensor.external_data()) {
    if (entry.key() == "location") {
      place.location = entry.value();
      continue;
    }
    if (entry.key() != "offset" && entry.key() != "length")
      continue; // checksum, basepath
    int64_t value = 0;
    if (!absl::SimpleAtoi(entry.value(), &value) || value < 0)
      return absl::InvalidArgumentError(absl::StrCat(what, " has the external ", entry.key(), " '",
                                                     entry.value(),
                                                     "'; it must be a non-negative number"));
    (entry.key() == "offset" ? place.offset : place.length) = value;
  }
  if (!staysInFolder(place.location))
    return absl::InvalidArgumentError(
        absl::StrCat(what, " lies in '", place.location,
                     "'; external data must be a relative path inside the model's folder"));
  return place;
}

} // namespace

std::optional<ElementType> elementTypeOfOnnx(int32_t dataType) {
  switch (dataType) {
  case TensorProto::FLOAT:
    return ElementType::F32;
  case TensorProto::FLOAT16:
    return ElementType::F16;
  case TensorProto::BFLOAT16:
    return ElementType::BF16;
  case TensorProto::DOUBLE:
    return ElementType::F64;
  case TensorProto::INT8:
    return ElementType::I8;
  case TensorProto::UINT8:
    return ElementType::U8;
  case TensorProto::INT16:
    return ElementType::I16;
  case TensorProto::UINT16:
    return ElementType::U16;
  case TensorProto::INT32:
    return ElementType::I32;
  case TensorProto::INT64:
    return ElementType::I64;
  case TensorProto::BOOL:
    return ElementType::Bool;
  default:
    return std::nullopt;
  }
}

std::string nameOfOnnxType(int32_t dataType) {
  if (TensorProto::DataType_IsValid(dataType))
    return TensorProto::DataType_Name(static_cast<TensorProto::DataType>(dataType));
  return absl::StrCat("type ", dataType);
}

std::optional<int64_t> checkedElementCount(const Shape &shape) {
  constexpr int64_t kMost = int64_t(1) << 40;
  int64_t count = 1;
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0 || dim > kMost)
      return std::nullopt;
    empty |= dim == 0;
    if (dim != 0 && count > kMost / dim)
      return std::nullopt;
    count *= std::max<int64_t>(dim, 1);
  }
  return empty ? 0 : count;
}

absl::StatusOr<ConstantData> ConstantReader::read(const Initializer &initializer) {
  const TensorProto &header = initializer.header;
  std::string what = absl::StrCat("'", file_.path, "': initializer '", header.name(), "'");
  absl::StatusOr<Layout> layout = layoutOf(header, what);
  if (!layout.ok())
    return layout.status();
  if (header.has_segment())
    return absl::UnimplementedError("tensors in segments");
  if (header.data_location() == TensorProto::EXTERNAL)
    return readExternal(header, Tensor(layout->type, layout->shape, nullptr, nullptr), what);
  if (initializer.rawOffset < 0) {
    absl::StatusOr<Tensor> value = fromTypedFields(header, *layout, what);
    return value.ok() ? absl::StatusOr<ConstantData>(ConstantData{.value = *value})
                      : value.status();
  }
  if (initializer.rawSize != layout->bytes)
    return wrongSize(what, *layout, initializer.rawSize, "bytes", layout->bytes);
  const std::byte *bytes = file_.mapping->bytes().data() + initializer.rawOffset;
  return ConstantData{.value = Tensor(layout->type, layout->shape, file_.mapping, bytes),
                      .file = file_.mapping,
                      .offset = initializer.rawOffset};
}

absl::StatusOr<Tensor> ConstantReader::read(const TensorProto &tensor, const std::string &what) {
  absl::StatusOr<Layout> layout = layoutOf(tensor, what);
  if (!layout.ok())
    return layout.status();
  const auto copied = [&](const void *bytes) {
    Tensor result(layout->type, layout->shape);
    if (layout->bytes > 0)
      std::memcpy(result.mutableBytes(), bytes, layout->bytes);
    return result;
  };
  if (tensor.data_location() == TensorProto::EXTERNAL) {
    absl::StatusOr<ConstantData> data =
        readExternal(tensor, Tensor(layout->type, layout->shape, nullptr, nullptr), what);
    return data.ok() ? absl::StatusOr<Tensor>(copied(data->value.bytes())) : data.status();
  }
  if (!tensor.has_raw_data())
    return fromTypedFields(tensor, *layout, what);
  int64_t size = static_cast<int64_t>(tensor.raw_data().size());
  if (size != layout->bytes)
    return wrongSize(what, *layout, size, "bytes", layout->bytes);
  return copied(tensor.raw_data().data());
}

absl::StatusOr<ConstantData> ConstantReader::readExternal(const TensorProto &header,
                                                          const Tensor &layout,
                                                          const std::string &what) {
  absl::StatusOr<ExternalPlace> place = externalPlace(header, what);
  if (!place.ok())
    return place.status();
  int64_t needed = layout.byteSize();
  if (place->length >= 0 && place->length != needed)
    return absl::InvalidArgumentError(absl::StrCat(
        what, " of shape ", toString(layout.shape()), " and type ", name(layout.type()), " has ",
        place->length, " bytes of external data but needs ", needed));
  absl::StatusOr<std::shared_ptr<const MappedFile>> file = externalFile(place->location, what);
  if (!file.ok())
    return file.status();
  int64_t present = static_cast<int64_t>((*file)->bytes().size());
  if (place->offset > present || needed > present - place->offset)
    return absl::InvalidArgumentError(
        absl::StrCat(what, " needs ", needed, " bytes at offset ", place->offset, " of '",
                     (*file)->path(), "', which has ", present, "; the file may be truncated"));
  return ConstantData{.value = Tensor(layout.type(), layout.shape(), *file,
                                      (*file)->bytes().data() + place->offset),
                      .file = *file,
                      .offset = place->offset};
}

absl::StatusOr<std::shared_ptr<const MappedFile>>
ConstantReader::externalFile(const std::string &location, const std::string &what) {
  std::string relative = std::filesystem::path(location).lexically_normal().string();
  if (auto found = externalFiles_.find(relative); found != externalFiles_.end())
    return found->second;
  std::string path = (std::filesystem::path(file_.folder) / relative).string();
  absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has external data that cannot be read: ", file.status().message()));
  externalFiles_.emplace(relative, *file);
  return *file;
}

} // namespace sdopt
