//===- Terminal.h - what a person sees --------------------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_COMPILE_TERMINAL_H
#define SDOPT_TOOLS_SDOPT_COMPILE_TERMINAL_H

#include "compiler/pipeline/Pipeline.h"

namespace sdopt {

/// Progress on stderr: one line that is replaced on a terminal, whole lines elsewhere (each new
/// text once).
Messages terminalMessages(bool quiet);
void finishProgress();

/// The result in a few lines on stdout, which must take them.
absl::Status printResult(const CompileOptions &options, const CompileResult &result);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_COMPILE_TERMINAL_H
