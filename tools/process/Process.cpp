//===- Process.cpp - what every tool does with signals and streams ------------===//

#include "tools/process/Process.h"

#include "compiler/files/PartialFiles.h"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <iostream>
#include <pthread.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace sdopt {

namespace {

/// "nothing was written", or what was.
std::string described(const std::vector<std::string> &files) {
  if (files.empty())
    return "nothing was written";
  std::string text = "'" + files.front() + "'";
  if (files.size() > 1)
    text += " and " + std::to_string(files.size() - 1) + " more";
  return text + (files.size() > 1 ? " are finished and stay" : " is finished and stays");
}

void endBy(int signal) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
  sigset_t unblocked;
  sigemptyset(&unblocked);
  sigaddset(&unblocked, signal);
  pthread_sigmask(SIG_UNBLOCK, &unblocked, nullptr);
  ::kill(::getpid(), signal);
}

} // namespace

void removePartialFilesOnInterrupt(const char *tool) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action;
    // One that was ignored from the start (nohup) stays ignored.
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN)
      sigaddset(&signals, signal);
  }
  // Threads inherit the mask: the signal waits for the one thread that takes it, which may do
  // anything, unlike a signal handler.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, tool] {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0)
      return;
    const std::string files = described(abandonPartialFiles());
    // A progress line may be open.
    std::fprintf(stderr, "%s%s: interrupted; %s\n", ::isatty(STDERR_FILENO) ? "\r\033[K" : "", tool,
                 files.c_str());
    endBy(signal);
  }).detach();
}

void reportFailedWrites() {
  std::signal(SIGXFSZ, SIG_IGN);
  // Opened the wrong way round: reading and writing fail as with a closed one.
  for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0)
      (void)::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

absl::Status flushStandardOutput() {
  std::cout.flush();
  return std::cout && std::fflush(stdout) == 0 && !std::ferror(stdout)
             ? absl::OkStatus()
             : absl::DataLossError("cannot write to standard output");
}

} // namespace sdopt
