//===- StrictYaml.cpp - YAML that people write, read strictly ---------------===//

#include "compiler/target/StrictYaml.h"

#include "yaml-cpp/eventhandler.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>
#include <stdexcept>

namespace sdopt {

void YamlErrors::add(const YAML::Mark &mark, const std::string &message) {
  errors_.push_back({mark.line + 1, mark.column + 1, message});
}

absl::Status YamlErrors::status() const {
  std::vector<Error> sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Error &a, const Error &b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  std::string text;
  for (const Error &error : sorted)
    text += (text.empty() ? "" : "\n") + origin_ + ":" + std::to_string(error.line) + ":" +
            std::to_string(error.column) + ": " + error.message;
  return sorted.empty() ? absl::OkStatus() : absl::InvalidArgumentError(text);
}

namespace {

/// Refuses what a settings file has no use for, before a tree is built of it.
class PlainDocument : public YAML::EventHandler {
public:
  void OnDocumentStart(const YAML::Mark &mark) override { start_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark &, YAML::anchor_t anchor) override { check(start_, anchor); }
  void OnAlias(const YAML::Mark &mark, YAML::anchor_t) override {
    throw YAML::Exception(mark, "aliases are not supported");
  }
  void OnScalar(const YAML::Mark &mark, const std::string &, YAML::anchor_t anchor,
                const std::string &) override {
    check(mark, anchor);
  }
  void OnSequenceStart(const YAML::Mark &mark, const std::string &, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    enter(mark, anchor);
  }
  void OnSequenceEnd() override { --depth_; }
  void OnMapStart(const YAML::Mark &mark, const std::string &, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    enter(mark, anchor);
  }
  void OnMapEnd() override { --depth_; }

  const YAML::Mark &start() const { return start_; }

private:
  void check(const YAML::Mark &mark, YAML::anchor_t anchor) const {
    if (anchor != 0)
      throw YAML::Exception(mark, "anchors are not supported");
  }
  void enter(const YAML::Mark &mark, YAML::anchor_t anchor) {
    constexpr int kDeepest = 32;
    check(mark, anchor);
    if (++depth_ > kDeepest)
      throw YAML::Exception(mark, "it is nested too deeply");
  }

  YAML::Mark start_;
  int depth_ = 0;
};

// YAML::LoadAll is not used: after some malformed texts it finds empty documents without end.
std::optional<YAML::Node> loadOneDocument(const std::string &text, const YAML::Mark &start,
                                          YamlErrors &errors) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  PlainDocument first, second;
  bool isThere = parser.HandleNextDocument(first);
  if (isThere && parser.HandleNextDocument(second)) {
    errors.add(second.start(), "the YAML document ends before this; a file holds one document");
    return std::nullopt;
  }
  YAML::Node node = isThere ? YAML::Load(text) : YAML::Node();
  if (!node.IsNull())
    return node;
  errors.add(start, "the file is empty");
  return std::nullopt;
}

} // namespace

std::optional<YAML::Node> parseYaml(const std::string &text, YamlErrors &errors) {
  constexpr size_t kLargestFile = 1 << 20;
  YAML::Mark start;
  start.pos = start.line = start.column = 0;
  if (text.size() > kLargestFile) {
    errors.add(start, "the file has " + std::to_string(text.size()) +
                          " bytes; a settings file has at most " + std::to_string(kLargestFile));
    return std::nullopt;
  }
  try {
    return loadOneDocument(text, start, errors);
  } catch (const YAML::Exception &failure) {
    errors.add(failure.mark.is_null() ? start : failure.mark,
               "this is not YAML that can be read: " + failure.msg);
  } catch (const std::exception &failure) {
    errors.add(start, std::string("this is not YAML that can be read: ") + failure.what());
  }
  return std::nullopt;
}

YamlMap::YamlMap(const YAML::Node &node, std::string what, YamlErrors &errors)
    : what_(std::move(what)), errors_(errors), mark_(node.Mark()) {
  if (!node.IsMap()) {
    errors_.add(mark_, what_ + " must be a mapping of keys to values");
    return;
  }
  valid_ = true;
  std::set<std::string> seen;
  for (const auto &item : node) {
    if (!item.first.IsScalar()) {
      errors_.add(item.first.Mark(), "a key of " + what_ + " is not plain text");
      continue;
    }
    std::string key = item.first.Scalar();
    if (!seen.insert(key).second) {
      errors_.add(item.first.Mark(), "key '" + key + "' of " + what_ + " is given twice");
      continue;
    }
    items_.push_back({key, item.first.Mark(), item.second});
  }
  taken_.resize(items_.size());
}

std::optional<YAML::Node> YamlMap::takeOptional(const std::string &key) {
  known_.push_back(key);
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].key != key)
      continue;
    taken_[i] = true;
    return items_[i].value;
  }
  return std::nullopt;
}

std::optional<YAML::Node> YamlMap::take(const std::string &key) {
  std::optional<YAML::Node> value = takeOptional(key);
  if (!value && valid_)
    errors_.add(mark_, what_ + " lacks the key '" + key + "'");
  return value;
}

std::vector<YamlMap::Item> YamlMap::takeRest() {
  std::vector<Item> rest;
  for (size_t i = 0; i < items_.size(); ++i)
    if (!taken_[i])
      rest.push_back(items_[i]);
  taken_.assign(items_.size(), true);
  return rest;
}

void YamlMap::finish() {
  std::string known;
  for (const std::string &key : known_)
    known += (known.empty() ? "" : ", ") + key;
  for (const Item &item : takeRest())
    errors_.add(item.mark, "unknown key '" + item.key + "' in " + what_ + "; known are " + known);
}

namespace {

bool isPlain(const YAML::Node &node) { return node.IsScalar() && node.Tag() == "?"; }

bool isDigit(char c) { return c >= '0' && c <= '9'; }

size_t digitsFrom(std::string_view text, size_t position) {
  while (position < text.size() && isDigit(text[position]))
    ++position;
  return position;
}

/// digits [ '.' digits ] [ 'e' [sign] digits ], split before the exponent.
struct Decimal {
  std::string mantissa;
  int64_t exponent = 0;
};

std::optional<Decimal> splitDecimal(std::string_view text) {
  if (text.size() > 64)
    return std::nullopt;
  size_t start = text.starts_with('-') ? 1 : 0;
  size_t end = digitsFrom(text, start);
  if (end == start)
    return std::nullopt;
  if (end < text.size() && text[end] == '.') {
    size_t fraction = digitsFrom(text, end + 1);
    if (fraction == end + 1)
      return std::nullopt;
    end = fraction;
  }
  Decimal decimal{std::string(text.substr(0, end)), 0};
  if (end == text.size())
    return decimal;
  if (text[end] != 'e' && text[end] != 'E')
    return std::nullopt;
  std::string_view exponent = text.substr(end + 1);
  if (exponent.starts_with('+'))
    exponent.remove_prefix(1);
  auto [stop, failure] =
      std::from_chars(exponent.data(), exponent.data() + exponent.size(), decimal.exponent);
  bool whole = !exponent.empty() && stop == exponent.data() + exponent.size();
  if (failure != std::errc() || !whole || std::abs(decimal.exponent) > 400)
    return std::nullopt;
  return decimal;
}

} // namespace

std::optional<std::string> yamlText(const YAML::Node &node, const std::string &what,
                                    YamlErrors &errors) {
  if (node.IsScalar() && !node.Scalar().empty())
    return node.Scalar();
  errors.add(node.Mark(), what + " must be a text");
  return std::nullopt;
}

std::optional<std::string> yamlName(const YAML::Node &node, const std::string &what,
                                    YamlErrors &errors) {
  std::string text = node.IsScalar() ? node.Scalar() : std::string();
  bool good =
      !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
               c == '_' || c == '-';
      });
  if (good)
    return text;
  errors.add(node.Mark(), what + " must be 1 to 64 letters, digits, '.', '_' or '-'");
  return std::nullopt;
}

std::optional<double> yamlNumber(const YAML::Node &node, const std::string &what, int exponent10,
                                 int exponent2, YamlErrors &errors) {
  std::optional<Decimal> decimal;
  if (isPlain(node))
    decimal = splitDecimal(node.Scalar());
  if (!decimal) {
    errors.add(node.Mark(), what + " must be a decimal number" +
                                (node.IsScalar() ? ", found '" + node.Scalar() + "'" : ""));
    return std::nullopt;
  }
  std::string text = decimal->mantissa + "e" + std::to_string(decimal->exponent + exponent10);
  double value = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  value = std::ldexp(value, exponent2);
  if (failure != std::errc() || !std::isfinite(value)) {
    errors.add(node.Mark(), what + " is out of range: '" + node.Scalar() + "'");
    return std::nullopt;
  }
  return value;
}

std::optional<int64_t> yamlInteger(const YAML::Node &node, const std::string &what,
                                   YamlErrors &errors) {
  int64_t value = 0;
  if (isPlain(node)) {
    const std::string &text = node.Scalar();
    auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!text.empty() && failure == std::errc() && end == text.data() + text.size() &&
        isDigit(text[0]))
      return value;
  }
  errors.add(node.Mark(), what + " must be a whole number" +
                              (node.IsScalar() ? ", found '" + node.Scalar() + "'" : ""));
  return std::nullopt;
}

std::string numberText(double value) {
  char text[64];
  auto [end, failure] = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, end);
}

std::string quoteYaml(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += "\\x";
      quoted += kHex[byte >> 4];
      quoted += kHex[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

} // namespace sdopt
