//===- CommandExecution.h - what a command does to memory -------*- C++ -*-===//
//
// The values of a command: reads its operands from the SRAM and DRAM images, calls the kernel,
// writes the result. Commands must have passed checkCommands() for these memories.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_COMMANDEXECUTION_H
#define SDOPT_COMPILER_SIMULATOR_COMMANDEXECUTION_H

#include "absl/status/status.h"
#include "compiler/schedule/Command.h"

#include <span>

namespace sdopt {

/// The memories of one module. SRAM is 64-byte aligned.
struct MemoryImages {
  std::span<std::byte> sram;
  std::span<std::byte> arena;
  std::span<const std::byte> constants;
};

/// DATA_LOSS if the parameters that a command finds in SRAM are none (a shift outside 1..62).
absl::Status execute(const CommandArgs &args, const MemoryImages &memory,
                     const IntegerKernels &kernels);

/// Both in place of the second: sumsOf() the first.
void execute(const AttentionMaximaCommand &maxima, const AttentionAccumulateCommand &sums,
             const MemoryImages &memory, const IntegerKernels &kernels);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_COMMANDEXECUTION_H
