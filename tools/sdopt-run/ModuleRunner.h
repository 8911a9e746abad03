//===- ModuleRunner.h - records through one simulated module ----*- C++ -*-===//
//
// A module is compiled for one batch. Samples come as records of that shape or as plain rows:
//
//   logical shape 2x9x16x16   samples 80x2x9x16x16   80 records
//                             samples 160x9x16x16    80 records of two rows
//                             samples 5x9x16x16      3 records, the last filled up with its last
//                             row
//   logical shape 1x9x16x16   samples 80x2x9x16x16   80 calls of two records each
//   logical shape 1 (or none) samples 80             one value for each record; a single value is
//                                                    used for all records and all rows
//
// Outputs come back laid out like the first input that is not a single value.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_MODULERUNNER_H
#define SDOPT_TOOLS_SDOPT_RUN_MODULERUNNER_H

#include "tools/sdopt-run/PhaseRunner.h"

#include <functional>

namespace sdopt {

using TensorMap = std::map<std::string, Tensor>;

/// Sums over all runs of a module.
struct ModuleTotals {
  std::string name;
  int64_t runs = 0;
  RunStatistics sum; ///< layers: as last run
};

/// How a sample file's rows lie.
enum class RowLayout : uint8_t { Records, Rows };

/// One run of a module with inputs of exactly its logical shapes.
using RecordRunner = std::function<absl::StatusOr<TensorMap>(const TensorMap &record)>;

/// Cuts `inputs` into records for the module's inputs in `tensors`, runs each, and joins the
/// outputs. Errors name the input and both shapes. `observer` is called after each record with
/// their numbers.
absl::StatusOr<TensorMap>
runRecords(const std::vector<TensorInfo> &tensors, const TensorMap &inputs,
           const RecordRunner &runner,
           const std::function<void(int64_t done, int64_t records)> &observer = {});

class ModuleRunner {
public:
  ModuleRunner(const PackageModule &module, const Target &target)
      : module_(module), runner_(module, target) {
    totals_.name = module.info.network.name;
  }

  /// runRecords on the simulator; phases whose inputs were seen before do not run again. The trace,
  /// if asked for, is of the first record.
  absl::StatusOr<TensorMap>
  run(const TensorMap &inputs, std::vector<TraceEvent> *trace = nullptr,
      const std::function<void(int64_t done, int64_t records)> &observer = {});

  const PackageModule &module() const { return module_; }
  const ModuleTotals &totals() const { return totals_; }

private:
  const PackageModule &module_;
  PhaseRunner runner_;
  ModuleTotals totals_;
};

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_MODULERUNNER_H
