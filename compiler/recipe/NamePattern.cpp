//===- NamePattern.cpp - globs and regular expressions over layer names -----===//

#include "compiler/recipe/NamePattern.h"

#include <algorithm>
#include <locale>
#include <regex>

namespace sdopt {

namespace {

constexpr std::string_view kRegexPrefix = "re:";
constexpr size_t kLongestPattern = 1000;

std::regex compiled(std::string_view expression) {
  std::regex regex;
  regex.imbue(std::locale::classic());
  regex.assign(expression.begin(), expression.end(), std::regex::ECMAScript);
  return regex;
}

// A pattern that the library gives up on fits nothing.
bool fitsRegex(const std::regex &regex, const std::string &name) {
  try {
    return std::regex_match(name, regex);
  } catch (const std::regex_error &) {
    return false;
  }
}

} // namespace

bool fitsGlob(std::string_view glob, std::string_view name) {
  size_t g = 0, n = 0;
  // Where to go on if the text after the last '*' turns out not to fit.
  size_t star = std::string_view::npos, afterStar = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      afterStar = n;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == name[n])) {
      ++g;
      ++n;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      n = ++afterStar;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', g) == std::string_view::npos;
}

absl::Status checkNamePattern(const std::string &pattern) {
  if (pattern.size() > kLongestPattern)
    return absl::InvalidArgumentError("the pattern has " + std::to_string(pattern.size()) +
                                      " characters, at most " + std::to_string(kLongestPattern) +
                                      " are allowed");
  if (pattern.empty() || pattern == kRegexPrefix)
    return absl::InvalidArgumentError("the pattern is empty");
  if (!pattern.starts_with(kRegexPrefix))
    return absl::OkStatus();
  try {
    compiled(std::string_view(pattern).substr(kRegexPrefix.size()));
  } catch (const std::regex_error &) {
    return absl::InvalidArgumentError("'" + pattern.substr(kRegexPrefix.size()) +
                                      "' is no regular expression (ECMAScript syntax)");
  }
  return absl::OkStatus();
}

void addModulePaths(std::vector<std::string> &names) {
  std::vector<std::string> paths;
  for (const std::string &name : names) {
    std::string path = name;
    if (path.starts_with('/')) {
      path = path.substr(1, std::max<size_t>(path.rfind('/'), 1) - 1);
      std::ranges::replace(path, '/', '.');
    } else {
      path.erase(0, path.find('/') + 1);
      size_t end = path.rfind('.');
      if (end == std::string::npos ||
          (path.substr(end) != ".weight" && path.substr(end) != ".bias"))
        continue;
      path.erase(end);
    }
    paths.push_back(path);
    paths.push_back(path.substr(path.find('.') + 1));
  }
  for (std::string &path : paths)
    if (!path.empty() && std::ranges::find(names, path) == names.end())
      names.push_back(std::move(path));
}

bool fitsAny(const std::string &pattern, const std::vector<std::string> &names) {
  if (pattern.starts_with(kRegexPrefix)) {
    if (!checkNamePattern(pattern).ok())
      return false;
    std::regex regex = compiled(std::string_view(pattern).substr(kRegexPrefix.size()));
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string &name) { return fitsRegex(regex, name); });
  }
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string &name) { return fitsGlob(pattern, name); });
}

} // namespace sdopt
