//===- CheckCommand.h - one command, trusted in nothing ---------*- C++ -*-===//
//
// Part of checkProgram(): whether a command's fields are in range, and what it touches. Written
// apart from expand() and synchronize() on purpose, and for commands that come from a file: sizes
// are multiplied in 128 bits, after every factor has been bounded.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_CHECKCOMMAND_H
#define SDOPT_COMPILER_SCHEDULE_CHECKCOMMAND_H

#include "compiler/schedule/Command.h"

#include <string>
#include <vector>

namespace sdopt {

/// What the bytes of a range mean to the next command that uses them. Codes are any bytes; the
/// others must have been made by the commands that make them, since kernels rely on their range.
enum class Content : uint8_t { Bytes, Accumulators, RowMaxima, RowSums, WeightedSums, NormSums };

/// One range that a command reads or writes, inside its memory.
struct Footprint {
  bool sram = true; ///< otherwise the arena
  bool write = false;
  int64_t begin = 0, end = 0;
  Content content = Content::Bytes;
  /// Of a typed write: the largest magnitude it can add to an element (before, if it does not
  /// clear, to what is there).
  double growth = 0;
  bool clear = true;
};

/// Fills `footprints`; empty, or what is wrong with the command.
std::string commandProblem(const Command &command, const Program &program, int64_t sramBytes,
                           std::vector<Footprint> &footprints);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_CHECKCOMMAND_H
