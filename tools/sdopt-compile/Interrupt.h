//===- Interrupt.h - nothing half-written after Ctrl-C ----------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_COMPILE_INTERRUPT_H
#define SDOPT_TOOLS_SDOPT_COMPILE_INTERRUPT_H

#include "compiler/pipeline/Options.h"

namespace sdopt {

/// From now on SIGINT, SIGTERM and SIGHUP remove the files that are being written for `options`,
/// and then end the process as they would have without this. Call before any thread is started.
void removePartialFilesOnInterrupt(const CompileOptions &options);

/// A file larger than the limit (ulimit -f) and a closed pipe are errors of the write, not the end
/// of the process.
void reportFailedWrites();

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_COMPILE_INTERRUPT_H
