//===- Npy.cpp - reading one .npy array -------------------------------------===//
//
// The header is a Python dictionary literal: {'descr': '<f4', 'fortran_order': False,
// 'shape': (2, 3), }.
//
//===----------------------------------------------------------------------===//

#include "compiler/weights/TensorFileReaders.h"
#include "compiler/weights/TensorViews.h"

#include <charconv>
#include <optional>

namespace sdopt {

namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);

struct DescrName {
  std::string_view text;
  ElementType type;
};
constexpr DescrName kDescrs[] = {
    {"<f4", ElementType::F32},  {"<f2", ElementType::F16}, {"<f8", ElementType::F64},
    {"|i1", ElementType::I8},   {"|u1", ElementType::U8},  {"<i2", ElementType::I16},
    {"<u2", ElementType::U16},  {"<i4", ElementType::I32}, {"<i8", ElementType::I64},
    {"|b1", ElementType::Bool},
};

struct NpyHeader {
  std::optional<std::string> descr;
  std::optional<bool> fortranOrder;
  std::optional<Shape> shape;
};

/// Reads the dictionary; every function returns false at text it does not know.
class HeaderParser {
public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  bool parse(NpyHeader &header) {
    if (!take('{'))
      return false;
    while (!take('}')) {
      std::string key;
      if (!string(key) || !take(':') || !field(key, header))
        return false;
      if (!take(',') && !(peek() == '}'))
        return false;
    }
    skipSpace();
    return text_.empty();
  }

private:
  void skipSpace() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t'))
      text_.remove_prefix(1);
  }
  char peek() {
    skipSpace();
    return text_.empty() ? '\0' : text_[0];
  }
  bool take(char c) {
    if (peek() != c || text_.empty())
      return false;
    text_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view expected) {
    skipSpace();
    if (!text_.starts_with(expected))
      return false;
    text_.remove_prefix(expected.size());
    return true;
  }
  bool string(std::string &value) {
    char quote = peek();
    if (quote != '\'' && quote != '"')
      return false;
    size_t end = text_.find(quote, 1);
    if (end == std::string_view::npos)
      return false;
    value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return value.find('\\') == std::string::npos;
  }
  bool integer(int64_t &value) {
    skipSpace();
    auto [end, failure] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (failure != std::errc() || value < 0)
      return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    return true;
  }
  bool tuple(Shape &shape) {
    if (!take('('))
      return false;
    while (!take(')')) {
      int64_t dim = 0;
      if (!integer(dim))
        return false;
      shape.push_back(dim);
      if (!take(',') && peek() != ')')
        return false;
    }
    return true;
  }
  bool field(const std::string &key, NpyHeader &header) {
    if (key == "descr" && !header.descr)
      return string(header.descr.emplace());
    if (key == "shape" && !header.shape)
      return tuple(header.shape.emplace());
    if (key == "fortran_order" && !header.fortranOrder) {
      bool isTrue = word("True");
      header.fortranOrder = isTrue;
      return isTrue || word("False");
    }
    return false;
  }

  std::string_view text_;
};

std::optional<ElementType> typeOf(const std::string &descr) {
  for (const DescrName &known : kDescrs)
    if (descr == known.text)
      return known.type;
  return std::nullopt;
}

struct NpyParts {
  std::string_view header;
  std::span<const std::byte> data;
};

absl::StatusOr<NpyParts> splitNpy(std::span<const std::byte> bytes, const std::string &where) {
  std::string_view text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic) || text.size() < kMagic.size() + 2)
    return absl::InvalidArgumentError(where + " is no npy array");
  auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(text[i])); };
  size_t major = byte(6);
  if (major < 1 || major > 3)
    return absl::InvalidArgumentError(where + " has npy version " + std::to_string(major) +
                                      "; supported are 1, 2 and 3");
  size_t start = major == 1 ? 10 : 12;
  if (text.size() < start)
    return absl::InvalidArgumentError(where + " is cut off in its npy header");
  size_t length = byte(8) | byte(9) << 8;
  if (major > 1)
    length |= byte(10) << 16 | byte(11) << 24;
  if (length > text.size() - start)
    return absl::InvalidArgumentError(where + " has an npy header of " + std::to_string(length) +
                                      " bytes, " + std::to_string(text.size() - start) +
                                      " are there");
  return NpyParts{.header = text.substr(start, length), .data = bytes.subspan(start + length)};
}

} // namespace

absl::StatusOr<Tensor> readNpy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                               const std::string &where) {
  auto parts = splitNpy(bytes, where);
  if (!parts.ok())
    return parts.status();
  NpyHeader header;
  if (!HeaderParser(parts->header).parse(header) || !header.descr || !header.fortranOrder ||
      !header.shape)
    return absl::InvalidArgumentError(
        where + " has an npy header that is not {'descr', 'fortran_order', 'shape'}");
  std::optional<ElementType> type = typeOf(*header.descr);
  if (!type)
    return absl::InvalidArgumentError(where + " has the unsupported element type '" +
                                      *header.descr +
                                      "'; supported are <f4, <f2, <f8, |i1, |u1, <i2, <u2, <i4, "
                                      "<i8 and |b1");
  if (*header.fortranOrder)
    return absl::InvalidArgumentError(where +
                                      " is in Fortran order; save it with numpy.ascontiguousarray");
  std::optional<int64_t> size = checkedByteSize(*type, *header.shape);
  if (!size || static_cast<uint64_t>(*size) != parts->data.size())
    return absl::InvalidArgumentError(
        where + " of type " + name(*type) + " and shape " + toString(*header.shape) +
        (size ? " needs " + std::to_string(*size) + " bytes, " : " has an impossible size, ") +
        std::to_string(parts->data.size()) + " are there");
  return Tensor(*type, *std::move(header.shape), std::move(owner), parts->data.data());
}

} // namespace sdopt
