//===- Verify.h - one meaning, to the bit -----------------------*- C++ -*-===//
//
// Compares the integer program before and after each lossless step on the user's samples and, layer
// by layer, on extreme codes (all minimum, all maximum, alternating, random): evaluator on integer
// sd = evaluator on npu = simulator on the package. Values are matched by name; the first step and
// the first element that differ are reported.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_VERIFY_H
#define SDOPT_COMPILER_PIPELINE_VERIFY_H

#include "absl/status/statusor.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/simulator/Simulator.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace sdopt {

struct VerifyCounts {
  int64_t values = 0;     ///< named values compared
  int64_t elements = 0;   ///< codes compared
  int64_t layers = 0;     ///< layers run in isolation on extreme codes
  int64_t figures = 0;    ///< of the report, recomputed
  int64_t uncompared = 0; ///< values of the earlier form that the later one does not have
};

/// Sees a value of a run, in order of execution: its name, what made it ("npu.conv2d", or the
/// layer's kind) and its codes.
using CodeObserver =
    std::function<void(const std::string &name, const std::string &op, const Tensor &codes)>;

/// One form of a module on fixed inputs: shows the codes of all values to `observe`. Can be run
/// again.
using CodeRun = std::function<absl::Status(const CodeObserver &observe)>;

/// A quantized or npu function on real inputs (parallel to its arguments). Both must outlive the
/// run.
CodeRun functionRun(Evaluator &evaluator, const std::vector<Tensor> &inputs);

/// The simulator on a package; `inputs` by argument name, kept.
CodeRun simulatorRun(const PackageModule &module, const Target &target,
                     std::map<std::string, Tensor> inputs, const IntegerKernels *kernels = nullptr);

/// What a run gave, without its codes.
struct RunDigests {
  struct Value {
    std::string name;
    int64_t elements = 0;
    std::string digest; ///< of element type and codes
  };
  std::vector<Value> values; ///< in order of execution, each name once
};

absl::StatusOr<RunDigests> digestsOf(const CodeRun &run);

/// Runs `actual` and compares it with what `reference` gave. DATA_LOSS "verify: 'lower' changed
/// value 'x' (op 'npu.conv2d'): element [0, 3, 2, 1] is 17 but was 16 before" for the first value
/// in the reference's order that differs (`reference` is run again for its codes), or for one of
/// `results` that is missing. `step` names what lies between the two.
absl::Status compareRuns(const RunDigests &digests, const CodeRun &reference, const CodeRun &actual,
                         const std::vector<std::string> &results, const std::string &step,
                         VerifyCounts &counts);

/// Names of the values with codes that a function returns, as codes or through a conversion.
std::vector<std::string> resultNames(mlir::func::FuncOp function);

/// Told how many operations of all were run.
using VerifyProgress = std::function<void(double done, int64_t total)>;

/// Feeds every integer operation of `before` (quantized sd) and its npu twin extreme codes;
/// compares.
absl::Status verifyOpsInIsolation(Evaluator &before, Evaluator &after, VerifyCounts &counts,
                                  const VerifyProgress &progress = {});

/// Feeds every layer of the package, alone with its own tiling, extreme codes; compares the
/// simulator with the evaluator on the npu operation of the same name.
absl::Status verifyLayersInIsolation(Evaluator &npuFunction, const PackageModule &module,
                                     const Target &target, VerifyCounts &counts,
                                     const VerifyProgress &progress = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_VERIFY_H
