//===- PartialStatistics.h - a calibration that was interrupted -*- C++ -*-===//
//
// What is known after the first calls of a calibration, in a file (statistics.proto) that is
// replaced as a whole as more becomes known. It states what it is of: another function, other
// samples or other buckets of timesteps are not gone on with. No reader of statistics takes it.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_PARTIALSTATISTICS_H
#define SDOPT_COMPILER_CALIBRATION_PARTIALSTATISTICS_H

#include "compiler/calibration/Statistics.h"

#include <optional>

namespace sdopt {

class PartialStatistics {
public:
  /// `calls`: of all samples. An empty path: there is no file, and nothing is kept.
  PartialStatistics(std::string path, int64_t calls) : path_(std::move(path)), calls_(calls) {}

  bool isKept() const { return !path_.empty(); }
  /// What was kept of the first calls() of the same calibration; `empty` is that before its first
  /// call: digests, values in their order, buckets. Nothing if there is no such file, or one of
  /// another calibration, which the next save() replaces.
  std::optional<Statistics> load(const Statistics &empty) const;
  /// After the first known.calls() calls.
  absl::Status save(const Statistics &known) const;

private:
  std::string path_;
  int64_t calls_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_PARTIALSTATISTICS_H
