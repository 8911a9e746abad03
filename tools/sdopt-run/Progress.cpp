//===- Progress.cpp - how far, how fast, how long yet ---------------------===//

#include "tools/sdopt-run/Progress.h"

#include "compiler/report/Numbers.h"

#include <iostream>
#include <unistd.h>

namespace sdopt {

Progress::Progress(std::string label)
    : label_(std::move(label)), start_(std::chrono::steady_clock::now()),
      terminal_(isatty(STDERR_FILENO) != 0) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::show(int64_t done, int64_t all, const std::string &things,
                    const std::string &detail) {
  double now = seconds();
  int64_t tenth = all > 0 ? done * 10 / all : 10;
  bool due = terminal_ ? now - lastShown_ >= 0.2 || done == all : tenth > lastTenth_;
  if (!due)
    return;
  lastShown_ = now;
  lastTenth_ = tenth;
  double rate = now > 0 ? static_cast<double>(done) / now : 0;
  std::string left = rate > 0 ? fixed(static_cast<double>(all - done) / rate, 0) : "?";
  std::cerr << (terminal_ ? "\r\033[K" : "") << label_ << ": " << detail << done << "/" << all
            << " " << things << ", " << significant(rate) << " a second, " << left << " s left"
            << (terminal_ ? "" : "\n") << std::flush;
  open_ = terminal_;
}

void Progress::finish() {
  if (open_)
    std::cerr << "\n";
  open_ = false;
}

} // namespace sdopt
