//===- CommandLine.h - flags of sdopt-compile -------------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_COMPILE_COMMANDLINE_H
#define SDOPT_TOOLS_SDOPT_COMPILE_COMMANDLINE_H

#include "absl/status/statusor.h"
#include "compiler/pipeline/Options.h"

namespace sdopt {

/// Reads the command line; --help and --version end the program.
absl::StatusOr<CompileOptions> parseCommandLine(int argc, char **argv);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_COMPILE_COMMANDLINE_H
