//===- StrictYaml.h - YAML that people write, read strictly -----*- C++ -*-===//
//
// Readers of recipes and targets collect every mistake of a file, each as
// "origin:line:column: message", instead of stopping at the first. Nothing is converted silently: a
// quoted number is text, an unknown or repeated key is an error, and so is a second document.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_TARGET_STRICTYAML_H
#define SDOPT_COMPILER_TARGET_STRICTYAML_H

#include "absl/status/status.h"
#include "yaml-cpp/yaml.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sdopt {

/// Mistakes found in one file.
class YamlErrors {
public:
  explicit YamlErrors(std::string origin) : origin_(std::move(origin)) {}
  void add(const YAML::Mark &mark, const std::string &message);
  bool empty() const { return errors_.empty(); }
  /// INVALID_ARGUMENT with one line per mistake, in the order of the file.
  absl::Status status() const;

private:
  struct Error {
    int line, column;
    std::string message;
  };
  std::string origin_;
  std::vector<Error> errors_;
};

/// The one document of `text`; nothing (and an error) if it is no YAML or too large.
std::optional<YAML::Node> parseYaml(const std::string &text, YamlErrors &errors);

/// A mapping whose keys are taken one by one; finish() reports those that nobody took.
class YamlMap {
public:
  /// `what` names the mapping in errors ("'dram'").
  YamlMap(const YAML::Node &node, std::string what, YamlErrors &errors);

  /// False if the node was no mapping (already reported).
  bool valid() const { return valid_; }
  const YAML::Mark &mark() const { return mark_; }
  /// The value of a key that must be there.
  std::optional<YAML::Node> take(const std::string &key);
  std::optional<YAML::Node> takeOptional(const std::string &key);
  /// Keys not taken yet, in file order, with their values; they count as taken.
  struct Item {
    std::string key;
    YAML::Mark mark;
    YAML::Node value;
  };
  std::vector<Item> takeRest();
  /// Reports unknown keys, listing the ones that were asked for.
  void finish();

private:
  std::string what_;
  YamlErrors &errors_;
  YAML::Mark mark_;
  std::vector<Item> items_;
  std::vector<bool> taken_;
  std::vector<std::string> known_;
  bool valid_ = false;
};

/// Text of a plain or quoted scalar.
std::optional<std::string> yamlText(const YAML::Node &node, const std::string &what,
                                    YamlErrors &errors);
/// A name: 1 to 64 letters, digits, '.', '_' or '-'.
std::optional<std::string> yamlName(const YAML::Node &node, const std::string &what,
                                    YamlErrors &errors);
/// A plain decimal number times 10^exponent10 * 2^exponent2, rounded once: "23.8" nanoseconds and
/// "2.38e-8" seconds are the same double.
std::optional<double> yamlNumber(const YAML::Node &node, const std::string &what, int exponent10,
                                 int exponent2, YamlErrors &errors);
/// A plain non-negative integer.
std::optional<int64_t> yamlInteger(const YAML::Node &node, const std::string &what,
                                   YamlErrors &errors);

/// The shortest text that reads as the number, in any locale.
std::string numberText(double value);
/// Double-quoted YAML of any text.
std::string quoteYaml(std::string_view text);

} // namespace sdopt

#endif // SDOPT_COMPILER_TARGET_STRICTYAML_H
