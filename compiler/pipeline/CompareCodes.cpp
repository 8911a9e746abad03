//===- CompareCodes.cpp - the first code that differs -------------------------===//

#include "compiler/pipeline/CompareCodes.h"

#include <cstring>
#include <optional>

namespace sdopt {

namespace {

int64_t element(const Tensor &tensor, int64_t i) {
  return tensor.type() == ElementType::I8 ? tensor.values<int8_t>()[i]
                                          : tensor.values<int16_t>()[i];
}

std::string position(const Shape &shape, int64_t index) {
  std::string text;
  for (size_t i = shape.size(); i-- > 0; index /= shape[i])
    text = std::to_string(index % shape[i]) + (text.empty() ? "" : ", ") + text;
  return "[" + text + "]";
}

/// First element where the bytes differ, if any. Shapes may differ, element counts may not.
std::optional<int64_t> firstDifference(const Tensor &a, const Tensor &b) {
  if (std::memcmp(a.bytes(), b.bytes(), a.byteSize()) == 0)
    return std::nullopt;
  for (int64_t i = 0; i < a.size(); ++i)
    if (element(a, i) != element(b, i))
      return i;
  return std::nullopt;
}

} // namespace

absl::Status compareCodes(const std::string &name, const std::string &op, const Tensor &before,
                          const Tensor &after, const std::string &step, VerifyCounts &counts) {
  if (before.type() != after.type() || before.size() != after.size())
    return absl::DataLossError("verify: after '" + step + "' value '" + name + "' is " +
                               sdopt::name(after.type()) + " " + toString(after.shape()) +
                               " but was " + sdopt::name(before.type()) + " " +
                               toString(before.shape()));
  counts.values += 1;
  counts.elements += before.size();
  std::optional<int64_t> i = firstDifference(before, after);
  if (!i)
    return absl::OkStatus();
  return absl::DataLossError("verify: '" + step + "' changed value '" + name + "' (op '" + op +
                             "'): element " + position(after.shape(), *i) + " is " +
                             std::to_string(element(after, *i)) + " but was " +
                             std::to_string(element(before, *i)) + " before");
}

} // namespace sdopt
