//===- EventQueues.h - the order of commands --------------------*- C++ -*-===//
//
// Four in-order queues and their counting semaphores as a discrete-event loop, without memory,
// values or costs: the caller says what a command does and how long it takes.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_EVENTQUEUES_H
#define SDOPT_COMPILER_SIMULATOR_EVENTQUEUES_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/schedule/Command.h"

#include <functional>

namespace sdopt {

struct EventHandlers {
  /// A command starts at `now`; gives the time of its end (> now).
  std::function<absl::StatusOr<int64_t>(int32_t command, int64_t now)> start;
  /// A command has ended; its signals have been given.
  std::function<void(int32_t command, int64_t now)> finish;
};

/// Runs the commands of one phase. Of those that can start at one time, the lowest queue goes
/// first; all that end at one time end before any starts. FAILED_PRECONDITION names the head of
/// every queue that is stuck.
absl::Status runQueues(const Program &program, CommandRange phase, const EventHandlers &handlers);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_EVENTQUEUES_H
