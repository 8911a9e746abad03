//===- EmbeddedText.h - text files compiled into the program ----*- C++ -*-===//
//
// EmbedText.cmake writes one function per folder, `std::span<const EmbeddedText> NAME()`, with the
// files sorted by name.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_TARGET_EMBEDDEDTEXT_H
#define SDOPT_COMPILER_TARGET_EMBEDDEDTEXT_H

#include <span>
#include <string_view>

namespace sdopt {

struct EmbeddedText {
  std::string_view name; ///< file name without folder and extension
  std::string_view text;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_TARGET_EMBEDDEDTEXT_H
