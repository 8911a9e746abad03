//===- sdopt-compile.cpp - from ONNX to a package -----------------------------===//

#include "CommandLine.h"
#include "Terminal.h"
#include "tools/process/Process.h"

#include <cstdio>

int main(int argc, char **argv) {
  sdopt::reportFailedWrites();
  sdopt::removePartialFilesOnInterrupt("sdopt-compile");
  absl::StatusOr<sdopt::CommandLine> line = sdopt::parseCommandLine(argc, argv);
  absl::Status status = line.status();
  int code = 0;
  if (status.ok() && !line->finished) {
    const sdopt::CompileOptions &options = line->options;
    absl::StatusOr<sdopt::CompileResult> result =
        sdopt::compile(options, sdopt::terminalMessages(options.quiet),
                       [&](const auto &told) { return sdopt::printResult(options, told); });
    sdopt::finishProgress();
    status = result.status();
    if (result.ok())
      code = result->passed() ? 0 : 2;
  }
  if (status.ok())
    status = sdopt::flushStandardOutput(); // what --help says
  if (status.ok())
    return code;
  std::fprintf(stderr, "sdopt-compile: error: %s\n", std::string(status.message()).c_str());
  return 1;
}
