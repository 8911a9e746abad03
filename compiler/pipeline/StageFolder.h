//===- StageFolder.h - snapshots between stages -----------------*- C++ -*-===//
//
// DIR/<module>/<stage>.mlir (text with names, to be read and edited), <stage>.report.json (what is
// known of the module so far, with its remarks), overlay.safetensors, statistics.pb and
// manifest.json (digests of the original files and of the snapshots as written). Restarting needs
// the model's own files too: weights are not copied.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_STAGEFOLDER_H
#define SDOPT_COMPILER_PIPELINE_STAGEFOLDER_H

#include "absl/status/statusor.h"
#include "compiler/pipeline/Options.h"
#include "compiler/report/report.pb.h"
#include "compiler/weights/WeightStore.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace sdopt {

/// What travels from stage to stage beside the IR.
struct StageState {
  Report partial;                             ///< one module, and its remarks
  std::map<std::string, std::string> digests; ///< of the files read
  std::string edited; ///< path of the snapshot, if it is not as it was written
};

class StageFolder {
public:
  /// The snapshots of one module under `folder`.
  StageFolder(const std::string &folder, const std::string &module);

  absl::Status save(Stage stage, mlir::ModuleOp module, const WeightStore &weights,
                    const StageState &state) const;

  /// Parses a snapshot. Errors name the file.
  absl::StatusOr<mlir::OwningOpRef<mlir::ModuleOp>> load(Stage stage, mlir::MLIRContext &context,
                                                         StageState &state) const;
  /// The original weights must be in the store already.
  absl::Status loadOverlay(WeightStore &weights) const;

  std::string statisticsPath() const;
  /// Paths of all files that a compilation may write here.
  std::vector<std::string> files() const;

private:
  std::string module_, folder_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_STAGEFOLDER_H
