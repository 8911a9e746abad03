//===- UnsupportedParts.cpp - everything unsupported, at once ----------------===//

#include "compiler/import/UnsupportedParts.h"

#include "compiler/import/OperatorRules.h"

#include "absl/strings/str_cat.h"

namespace sdopt {

void UnsupportedParts::add(const std::string &part, const std::string &reason,
                           const std::string &node, const std::string &support) {
  Entry &entry = entries_[{part, reason}];
  entry.nodes.push_back(node);
  entry.support = support;
}

absl::Status UnsupportedParts::status(const std::string &path) const {
  if (entries_.empty())
    return absl::OkStatus();
  constexpr size_t kShown = 3;
  std::string text =
      absl::StrCat("'", path, "' uses ", entries_.size(),
                   entries_.size() == 1 ? " thing that is" : " things that are", " not supported:");
  bool hasUnknownOperator = false;
  for (const auto &[key, entry] : entries_) {
    const auto &[part, reason] = key;
    absl::StrAppend(&text, "\n  ", part, ": ", reason, "; ", entry.nodes.size(),
                    entry.nodes.size() == 1 ? " place (" : " places (");
    for (size_t i = 0; i < entry.nodes.size() && i < kShown; ++i)
      absl::StrAppend(&text, i == 0 ? "'" : ", '", entry.nodes[i], "'");
    absl::StrAppend(&text, entry.nodes.size() > kShown ? ", ...)" : ")");
    if (!entry.support.empty())
      absl::StrAppend(&text, "; supported: ", entry.support);
    hasUnknownOperator |= reason == kUnknownOperator;
  }
  if (hasUnknownOperator) {
    text += "\nsupported operators:";
    for (const OperatorRule &rule : operatorRules())
      absl::StrAppend(&text, " ", std::string(rule.name));
  }
  return absl::UnimplementedError(text);
}

} // namespace sdopt
