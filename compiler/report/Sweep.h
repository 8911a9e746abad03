//===- Sweep.h - cost against budget, for people ----------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_REPORT_SWEEP_H
#define SDOPT_COMPILER_REPORT_SWEEP_H

#include "absl/status/status.h"
#include "compiler/files/AtomicFile.h"
#include "compiler/report/sweep.pb.h"

#include <memory>
#include <string>
#include <vector>

namespace sdopt {

/// A table in plain text, a line for each value and module; why something does not fit below it.
std::string sweepTable(const SweepReport &sweep);

/// A picture of its own: time, DRAM bytes and energy of each module against the values.
std::string sweepSvg(const SweepReport &sweep);

/// Writes `folder`/sweep.json and `folder`/sweep.svg; they appear when `files` are committed.
absl::Status writeSweep(const SweepReport &sweep, const std::string &folder,
                        std::vector<std::unique_ptr<AtomicFile>> &files);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_SWEEP_H
