//===- CommandLine.h - what sdopt-run is asked for --------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_COMMANDLINE_H
#define SDOPT_TOOLS_SDOPT_RUN_COMMANDLINE_H

#include "absl/status/statusor.h"
#include "tools/sdopt-run/RunModule.h"
#include "tools/sdopt-run/RunZoom.h"

#include <variant>

namespace sdopt {

using RunCommand = std::variant<RunModuleOptions, RunZoomOptions>;

/// Prints help and ends the process for --help and --version; every mistake is one status.
absl::StatusOr<RunCommand> parseRunCommand(int argc, char **argv);

absl::Status run(const RunCommand &command);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_COMMANDLINE_H
