// Runs a compiled package on the simulated NPU: one module on samples, or an infinite zoom.

#include "tools/sdopt-run/CommandLine.h"

#include <csignal>
#include <iostream>

int main(int argc, char **argv) {
  std::signal(SIGXFSZ, SIG_IGN); // a file over the limit is an error of the write
  absl::StatusOr<sdopt::RunCommand> command = sdopt::parseRunCommand(argc, argv);
  absl::Status status = command.ok() ? sdopt::run(*command) : command.status();
  if (status.ok() && std::cout.flush())
    return 0;
  if (status.ok())
    status = absl::DataLossError("cannot write to standard output");
  std::cerr << "sdopt-run: error: " << status.message() << "\n";
  return 1;
}
