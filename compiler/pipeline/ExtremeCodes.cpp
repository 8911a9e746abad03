//===- ExtremeCodes.cpp - inputs that samples never reach ---------------------===//

#include "compiler/pipeline/ExtremeCodes.h"

namespace sdopt {

namespace {

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
uint64_t next(uint64_t &state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

template <typename T>
void fill(Tensor &tensor, CodePattern pattern, uint64_t seed, int64_t low, int64_t high) {
  std::span<T> values = tensor.mutableValues<T>();
  for (size_t i = 0; i < values.size(); ++i)
    switch (pattern) {
    case CodePattern::Minimum:
      values[i] = static_cast<T>(low);
      break;
    case CodePattern::Maximum:
      values[i] = static_cast<T>(high);
      break;
    case CodePattern::Alternating:
      values[i] = static_cast<T>(i % 2 == 0 ? low : high);
      break;
    case CodePattern::Random:
      values[i] = static_cast<T>(
          low + static_cast<int64_t>(next(seed) % static_cast<uint64_t>(high - low + 1)));
      break;
    }
}

} // namespace

const char *name(CodePattern pattern) {
  switch (pattern) {
  case CodePattern::Minimum:
    return "all minimum";
  case CodePattern::Maximum:
    return "all maximum";
  case CodePattern::Alternating:
    return "alternating";
  case CodePattern::Random:
    return "random";
  }
  return "";
}

Tensor extremeCodes(ElementType type, const Shape &shape, CodePattern pattern, uint64_t seed,
                    int64_t limit) {
  Tensor tensor(type, shape);
  if (type == ElementType::I8)
    fill<int8_t>(tensor, pattern, seed, -128, 127);
  else if (type == ElementType::I16)
    fill<int16_t>(tensor, pattern, seed, -32768, 32767);
  else if (type == ElementType::I32)
    fill<int32_t>(tensor, pattern, seed, 0, limit - 1);
  else
    fill<int64_t>(tensor, pattern, seed, 0, limit - 1);
  return tensor;
}

} // namespace sdopt
