//===- sdopt-compile.cpp - from ONNX to a package -----------------------------===//

#include "CommandLine.h"
#include "Terminal.h"

#include <cstdio>

int main(int argc, char **argv) {
  absl::StatusOr<sdopt::CommandLine> line = sdopt::parseCommandLine(argc, argv);
  absl::Status status = line.status();
  if (status.ok() && line->finished)
    return 0;
  if (status.ok()) {
    const sdopt::CompileOptions &options = line->options;
    absl::StatusOr<sdopt::CompileResult> result =
        sdopt::compile(options, sdopt::terminalMessages(options.quiet));
    sdopt::finishProgress();
    if (result.ok()) {
      sdopt::printResult(options, *result);
      return result->passed() ? 0 : 2;
    }
    status = result.status();
  }
  std::fprintf(stderr, "sdopt-compile: error: %s\n", std::string(status.message()).c_str());
  return 1;
}
