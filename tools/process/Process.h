//===- Process.h - what every tool does with signals and streams -*- C++ -*-===//

#ifndef SDOPT_TOOLS_PROCESS_PROCESS_H
#define SDOPT_TOOLS_PROCESS_PROCESS_H

#include "absl/status/status.h"

namespace sdopt {

/// From now on SIGINT, SIGTERM and SIGHUP remove what is being written, say on standard error what
/// stays, and then end the process as they would have without this; a closed pipe is an error of
/// the write. Call before any thread is started.
void removePartialFilesOnInterrupt(const char *tool);

/// A file larger than the limit (ulimit -f) is an error of the write, not the end of the process,
/// and no file that is opened takes the place of a standard stream that is closed.
void reportFailedWrites();

/// What was printed must be out before any output gets its name: DATA_LOSS if the standard output
/// does not take it.
absl::Status flushStandardOutput();

} // namespace sdopt

#endif // SDOPT_TOOLS_PROCESS_PROCESS_H
