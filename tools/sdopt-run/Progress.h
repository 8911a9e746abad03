//===- Progress.h - how far, how fast, how long yet -------------*- C++ -*-===//
//
// On stderr: one line that is rewritten on a terminal; elsewhere a line at each tenth of the way.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_PROGRESS_H
#define SDOPT_TOOLS_SDOPT_RUN_PROGRESS_H

#include <chrono>
#include <cstdint>
#include <string>

namespace sdopt {

class Progress {
public:
  explicit Progress(std::string label);
  /// `done` of `all` `things`; `detail` stands before them.
  void show(int64_t done, int64_t all, const std::string &things, const std::string &detail = "");
  /// Ends the line.
  void finish();
  /// Since construction.
  double seconds() const;

private:
  std::string label_;
  std::chrono::steady_clock::time_point start_;
  double lastShown_ = -1;
  int64_t lastTenth_ = 0;
  bool terminal_, open_ = false;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_PROGRESS_H
