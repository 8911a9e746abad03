//===- Synchronize.h - semaphores from addresses ----------------*- C++ -*-===//
//
// Commands in program order carry addresses only; this step finds which of them must wait for which
// on another queue (read after write, write after read, write after write, in SRAM and in the DRAM
// arena) and turns each such pair into one token.
//
// Queues are in order, so the k-th token of a pair of queues comes from the k-th command that
// signals it and goes to the k-th that waits: a dependency on a command not later than one already
// waited for costs nothing.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SCHEDULE_SYNCHRONIZE_H
#define SDOPT_COMPILER_SCHEDULE_SYNCHRONIZE_H

#include "compiler/schedule/Command.h"

#include <span>
#include <vector>

namespace sdopt {

/// Bytes [begin, end) that a command reads or writes.
struct MemoryAccess {
  enum class Memory : uint8_t { Sram, Arena } memory = Memory::Sram;
  bool write = false;
  int64_t begin = 0, end = 0;
};

/// Everything a command touches; strided transfers as the range around them. Constants are never
/// written and do not appear.
std::vector<MemoryAccess> accesses(const Command &command);

/// Sets waits and signals of a phase.
void synchronize(std::span<Command> commands);

} // namespace sdopt

#endif // SDOPT_COMPILER_SCHEDULE_SYNCHRONIZE_H
