//===- ExtremeCodes.h - inputs that samples never reach ---------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_EXTREMECODES_H
#define SDOPT_COMPILER_PIPELINE_EXTREMECODES_H

#include "compiler/kernels/Tensor.h"

#include <array>

namespace sdopt {

enum class CodePattern : uint8_t { Minimum, Maximum, Alternating, Random };
inline constexpr std::array<CodePattern, 4> kCodePatterns = {
    CodePattern::Minimum, CodePattern::Maximum, CodePattern::Alternating, CodePattern::Random};
const char *name(CodePattern pattern);

/// Codes of type I8 or I16 at the ends of their range; I32 (token ids, timesteps) within [0,
/// limit). `seed` makes the random ones of different operands differ.
Tensor extremeCodes(ElementType type, const Shape &shape, CodePattern pattern, uint64_t seed,
                    int64_t limit);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_EXTREMECODES_H
