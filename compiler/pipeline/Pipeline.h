//===- Pipeline.h - from a model folder to a proven package -----*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_PIPELINE_H
#define SDOPT_COMPILER_PIPELINE_PIPELINE_H

#include "absl/status/statusor.h"
#include "compiler/pipeline/Options.h"
#include "compiler/report/Gates.h"
#include "compiler/report/report.pb.h"
#include "compiler/report/sweep.pb.h"

#include <functional>
#include <string>
#include <vector>

namespace sdopt {

struct CompileResult {
  Report report;
  std::vector<GateResult> gates;
  std::vector<Regression> regressions; ///< against the baseline
  std::vector<std::string> inputs;     ///< files read, as given by the user
  std::string explanation;             ///< what --explain asked for
  SweepReport sweep;                   ///< what --sweep asked for
  bool passed() const;                 ///< every gate holds and nothing regressed
};

/// Shows the result to whom it is for.
using Tell = std::function<absl::Status(const CompileResult &)>;

/// Takes a model folder to a package, module by module. Writes what the options ask for, each
/// file beside its place and, when `tell` was told the result, renamed; on an error, one of `tell`
/// too, nothing is left behind. The error names the thing and the place.
absl::StatusOr<CompileResult> compile(const CompileOptions &options, const Messages &messages,
                                      const Tell &tell = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_PIPELINE_H
