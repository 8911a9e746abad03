#include "compiler/simulator/EventQueues.h"

#include "absl/strings/str_cat.h"

#include <optional>

namespace sdopt {
namespace {

struct QueueState {
  std::vector<int32_t> commands;
  size_t next = 0;            ///< head, not started
  std::optional<int64_t> end; ///< of the command under way
  int32_t running = -1;
  bool hasHead() const { return next < commands.size(); }
};

class Loop {
public:
  Loop(const Program &program, CommandRange phase, const EventHandlers &handlers)
      : program_(program), handlers_(handlers) {
    for (size_t i = phase.begin; i < phase.end; ++i)
      queues_[static_cast<size_t>(program.commands[i].queue)].commands.push_back(
          static_cast<int32_t>(i));
  }

  absl::Status run() {
    for (int64_t now = 0;;) {
      if (absl::Status status = startAll(now); !status.ok())
        return status;
      std::optional<int64_t> next;
      for (const QueueState &queue : queues_)
        if (queue.end && (!next || *queue.end < *next))
          next = queue.end;
      if (!next)
        return allDone() ? absl::OkStatus() : deadlock();
      now = *next;
      for (int q = 0; q < kQueues; ++q)
        if (queues_[q].end == now)
          finish(q, now);
    }
  }

private:
  const Command &head(int q) const {
    return program_.commands[queues_[q].commands[queues_[q].next]];
  }

  bool isReady(int q) const {
    if (queues_[q].end || !queues_[q].hasHead())
      return false;
    for (int from = 0; from < kQueues; ++from)
      if (semaphores_[from][q] < head(q).waits[from])
        return false;
    return true;
  }

  absl::Status startAll(int64_t now) {
    for (int q = 0; q < kQueues; ++q) {
      if (!isReady(q))
        continue;
      QueueState &queue = queues_[q];
      for (int from = 0; from < kQueues; ++from)
        semaphores_[from][q] -= head(q).waits[from];
      queue.running = queue.commands[queue.next++];
      absl::StatusOr<int64_t> end = handlers_.start(queue.running, now);
      if (!end.ok())
        return end.status();
      queue.end = *end;
    }
    return absl::OkStatus();
  }

  void finish(int q, int64_t now) {
    QueueState &queue = queues_[q];
    const Command &command = program_.commands[queue.running];
    for (int to = 0; to < kQueues; ++to)
      semaphores_[q][to] += command.signals[to];
    queue.end.reset();
    handlers_.finish(queue.running, now);
  }

  bool allDone() const {
    for (const QueueState &queue : queues_)
      if (queue.hasHead())
        return false;
    return true;
  }

  absl::Status deadlock() const {
    std::string message = "deadlock:";
    for (int q = 0; q < kQueues; ++q) {
      if (!queues_[q].hasHead())
        continue;
      const Command &command = head(q);
      absl::StrAppend(&message, " queue ", name(static_cast<Queue>(q)), " is stuck at command ",
                      queues_[q].commands[queues_[q].next], " (", mnemonic(command), ", layer ",
                      command.layer, ") which waits for");
      for (int from = 0; from < kQueues; ++from)
        if (semaphores_[from][q] < command.waits[from])
          absl::StrAppend(&message, " ", command.waits[from], " of ",
                          name(static_cast<Queue>(from)), " (has ", semaphores_[from][q], ")");
      message += ";";
    }
    message.pop_back();
    return absl::FailedPreconditionError(message);
  }

  const Program &program_;
  const EventHandlers &handlers_;
  std::array<QueueState, kQueues> queues_;
  std::array<std::array<int64_t, kQueues>, kQueues> semaphores_ = {};
};

} // namespace

absl::Status runQueues(const Program &program, CommandRange phase, const EventHandlers &handlers) {
  return Loop(program, phase, handlers).run();
}

} // namespace sdopt
