//===- Diagnostics.h - from MLIR's messages to a status ---------*- C++ -*-===//
//
// The one place where diagnostics become absl::Status, and where remarks are
// collected.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_DIAGNOSTICS_H
#define SDOPT_COMPILER_PIPELINE_DIAGNOSTICS_H

#include "absl/status/status.h"
#include "compiler/report/report.pb.h"

#include "mlir/IR/Diagnostics.h"

#include <string>
#include <vector>

namespace sdopt {

/// Collects errors (with their notes) of a context while it lives.
class ErrorCollector {
public:
  explicit ErrorCollector(mlir::MLIRContext *context);
  /// The messages so far, or `fallback` if there are none. Clears them.
  absl::Status take(const std::string &fallback);
  /// `status` after the messages so far; take(fallback) if it says nothing itself.
  absl::Status explain(const absl::Status &status, const std::string &fallback);

private:
  std::vector<std::string> messages_;
  mlir::ScopedDiagnosticHandler handler_;
};

/// "value 'x' (ONNX node n)" or "FILE:LINE:COLUMN", from a location; empty if it names nothing.
std::string describe(mlir::Location loc);

/// Makes the context send its remarks to `remarks`, with `module` as their module.
void collectRemarks(mlir::MLIRContext *context, const std::string &module,
                    std::vector<Remark> *remarks);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_DIAGNOSTICS_H
