//===- WholeAttention.h - maxima and sums by one pass -----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SIMULATOR_WHOLEATTENTION_H
#define SDOPT_COMPILER_SIMULATOR_WHOLEATTENTION_H

#include "compiler/schedule/Command.h"

#include <optional>
#include <span>

namespace sdopt {

/// The command that adds up what commands[maxima] finds the maxima of, if both may be executed in
/// its place, by one pass over the scores: all between them load other bytes.
std::optional<size_t> sumsOf(std::span<const Command> commands, size_t maxima);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_WHOLEATTENTION_H
