// Runs a compiled package on the simulated NPU: one module on samples, or an infinite zoom.

#include "tools/process/Process.h"
#include "tools/sdopt-run/CommandLine.h"

#include <iostream>

int main(int argc, char **argv) {
  sdopt::reportFailedWrites();
  sdopt::removePartialFilesOnInterrupt("sdopt-run");
  absl::StatusOr<sdopt::RunCommand> command = sdopt::parseRunCommand(argc, argv);
  absl::Status status = command.ok() ? sdopt::run(*command) : command.status();
  if (status.ok())
    status = sdopt::flushStandardOutput();
  if (status.ok())
    return 0;
  std::cerr << "sdopt-run: error: " << status.message() << "\n";
  return 1;
}
