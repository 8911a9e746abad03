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
        sdopt::compile(options, sdopt::terminalMessages(options.quiet));
    sdopt::finishProgress();
    status = result.status();
    if (result.ok()) {
      if (options.explain.empty())
        sdopt::printResult(options, *result);
      else
        std::printf("%s", result->explanation.c_str());
      code = result->passed() ? 0 : 2;
    }
  }
  if (status.ok() && std::fflush(stdout) == 0 && !std::ferror(stdout))
    return code;
  std::fprintf(stderr, "sdopt-compile: error: %s\n",
               status.ok() ? "cannot write to standard output"
                           : std::string(status.message()).c_str());
  return 1;
}
