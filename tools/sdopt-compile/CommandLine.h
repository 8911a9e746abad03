//===- CommandLine.h - flags of sdopt-compile -------------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_COMPILE_COMMANDLINE_H
#define SDOPT_TOOLS_SDOPT_COMPILE_COMMANDLINE_H

#include "absl/status/statusor.h"
#include "compiler/pipeline/Options.h"

namespace sdopt {

struct CommandLine {
  CompileOptions options;
  bool finished = false; ///< --help or --version was all that was asked
};

/// Reads the command line. (CLI11 instead of LLVM's parser: libLLVM registers flags of its own,
/// --stop-after among them.)
absl::StatusOr<CommandLine> parseCommandLine(int argc, char **argv);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_COMPILE_COMMANDLINE_H
