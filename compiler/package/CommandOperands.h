//===- CommandOperands.h - which bytes a command touches --------*- C++ -*-===//
//
// The SRAM and DRAM extents of one command, by arithmetic of its own (compiler/schedule's validator
// shares none of it): the reader refuses a program by it, the simulator guards every access with
// it.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_COMMANDOPERANDS_H
#define SDOPT_COMPILER_PACKAGE_COMMANDOPERANDS_H

#include "absl/status/status.h"
#include "compiler/schedule/Command.h"

namespace sdopt {

/// One extent of SRAM. Extents with gaps (strided rows) are given from first to last byte.
struct SramOperand {
  const char *name = "";
  int64_t offset = 0;
  int64_t bytes = 0;
  int64_t alignment = 1; ///< of the offset, bytes
  bool written = false;
};

struct DramOperand {
  Region region = Region::Arena;
  int64_t offset = 0;
  int64_t bytes = 0; ///< from first to last
  int64_t moved = 0; ///< bytes that cross the bus
  bool written = false;
};

/// In the order of the command's fields. Sizes that do not fit int64 saturate, and so never fit
/// SRAM.
std::vector<SramOperand> sramOperands(const CommandArgs &args);

/// Empty for commands that stay on chip.
std::vector<DramOperand> dramOperands(const CommandArgs &args);

/// Fields that no kernel may be called with: sizes below 1, formats other than i8/i16, shifts and
/// multipliers outside docs/spec.md, a queue that does not take the command, channels that do not
/// divide into groups.
absl::Status checkCommand(const Command &command);

/// checkCommand and the bounds and alignment of every operand for the whole program, with the index
/// of the command in the error. `layers` is the number of layers of the module.
absl::Status checkCommands(const Program &program, int64_t layers);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_COMMANDOPERANDS_H
