// Runs a compiled package on the simulated NPU: one module on samples, or an infinite zoom.

#include "tools/process/Process.h"
#include "tools/sdopt-run/CommandLine.h"

#include <iostream>

int main(int argc, char **argv) {
  sdopt::reportFailedWrites();
  sdopt::removePartialFilesOnInterrupt("sdopt-run");
  absl::StatusOr<sdopt::RunCommand> command = sdopt::parseRunCommand(argc, argv);
  absl::Status status = command.ok() ? sdopt::run(*command) : command.status();
  if (status.ok() && std::cout.flush())
    return 0;
  if (status.ok())
    status = absl::DataLossError("cannot write to standard output");
  std::cerr << "sdopt-run: error: " << status.message() << "\n";
  return 1;
}
