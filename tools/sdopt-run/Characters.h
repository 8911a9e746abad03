//===- Characters.h - the part of Unicode that prompts need -----*- C++ -*-===//
//
// Classes and lower case of code points in the ranges listed in Tokenizer.h, from the Unicode
// Character Database's categories: L* letter, N* number, White_Space, everything else other.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_CHARACTERS_H
#define SDOPT_TOOLS_SDOPT_RUN_CHARACTERS_H

#include "absl/status/statusor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sdopt {

enum class CharacterClass : uint8_t { Letter, Number, Space, Other, Unknown };

CharacterClass classify(char32_t character);

/// Lower case of a classified character (one to one: the dotted capital I, which is not, is
/// Unknown).
char32_t toLower(char32_t character);

/// Rejects overlong forms, surrogates and truncated sequences, naming the byte (from 0).
absl::StatusOr<std::vector<char32_t>> decodeUtf8(const std::string &text);
void appendUtf8(char32_t character, std::string &text);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_CHARACTERS_H
