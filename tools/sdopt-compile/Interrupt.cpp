//===- Interrupt.cpp - nothing half-written after Ctrl-C ----------------------===//

#include "Interrupt.h"

#include <csignal>
#include <filesystem>
#include <pthread.h>
#include <set>
#include <thread>
#include <unistd.h>

namespace fs = std::filesystem;

namespace sdopt {

namespace {

/// Folders that outputs of a compilation go to.
std::set<fs::path> outputFolders(const CompileOptions &options) {
  std::set<fs::path> folders;
  for (const std::string &file : {options.output, options.depfile})
    if (!file.empty())
      folders.insert(fs::absolute(file).parent_path());
  for (const std::string &folder : {options.reportFolder, options.statisticsOut})
    if (!folder.empty())
      folders.insert(fs::absolute(folder));
  std::error_code error;
  if (!options.stageFolder.empty())
    for (const fs::directory_entry &module : fs::directory_iterator(options.stageFolder, error))
      if (module.is_directory(error))
        folders.insert(fs::absolute(module.path()));
  return folders;
}

/// AtomicFile and PackageWriter write "<name>.partial-<pid>".
void removePartialFiles(const CompileOptions &options) {
  const std::string ending = ".partial-" + std::to_string(::getpid());
  std::error_code error;
  for (const fs::path &folder : outputFolders(options)) {
    std::vector<fs::path> partial;
    for (const fs::directory_entry &entry : fs::directory_iterator(folder, error))
      if (entry.path().filename().string().ends_with(ending))
        partial.push_back(entry.path());
    for (const fs::path &file : partial)
      fs::remove(file, error);
  }
}

} // namespace

void removePartialFilesOnInterrupt(const CompileOptions &options) {
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
  std::thread([signals, options] {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0)
      return;
    removePartialFiles(options);
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    ::sigaction(signal, &action, nullptr);
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigaddset(&unblocked, signal);
    pthread_sigmask(SIG_UNBLOCK, &unblocked, nullptr);
    ::kill(::getpid(), signal);
  }).detach();
}

void reportFailedWrites() {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

} // namespace sdopt
