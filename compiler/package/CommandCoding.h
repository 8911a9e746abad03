//===- CommandCoding.h - what can be stored ---------------------*- C++ -*-===//
//
// encodeCommands, decodeCommands and disassemble are declared in Package.h; this is the writer's
// check before it encodes.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_COMMANDCODING_H
#define SDOPT_COMPILER_PACKAGE_COMMANDCODING_H

#include "absl/status/status.h"
#include "compiler/schedule/Command.h"

namespace sdopt {

/// INVALID_ARGUMENT names the command and the field whose value the encoding cannot hold.
absl::Status checkEncodable(const std::vector<Command> &commands);

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_COMMANDCODING_H
