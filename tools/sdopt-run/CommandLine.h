//===- CommandLine.h - what sdopt-run is asked for --------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_COMMANDLINE_H
#define SDOPT_TOOLS_SDOPT_RUN_COMMANDLINE_H

#include "absl/status/statusor.h"
#include "tools/sdopt-run/RunModule.h"
#include "tools/sdopt-run/RunZoom.h"

#include <variant>

namespace sdopt {

/// Nothing (help was shown), one module, or a zoom.
using RunCommand = std::variant<std::monostate, RunModuleOptions, RunZoomOptions>;

/// Prints help for --help and --version; every mistake is one line.
absl::StatusOr<RunCommand> parseRunCommand(int argc, char **argv);

absl::Status run(const RunCommand &command);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_COMMANDLINE_H
