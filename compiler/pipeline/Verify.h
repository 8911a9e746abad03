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

#include "absl/status/status.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/simulator/Simulator.h"

#include <map>
#include <string>
#include <vector>

namespace sdopt {

/// One form of a module that must compute the same codes.
struct VerifyCounts {
  int64_t values = 0;   ///< named values compared
  int64_t elements = 0; ///< codes compared
  int64_t layers = 0;   ///< layers run in isolation on extreme codes
};

/// A value of one run and what made it ("npu.conv2d", or the layer's kind).
struct NamedCode {
  Tensor codes;
  std::string op;
};
using NamedCodes = std::map<std::string, NamedCode>;

/// Runs a quantized or npu function on real inputs (parallel to its arguments) and keeps the codes
/// of all values.
absl::StatusOr<NamedCodes> evaluateNamed(mlir::func::FuncOp function,
                                         const EvaluationContext &context,
                                         const std::vector<Tensor> &inputs);

/// The same of the simulator; `inputs` by argument name.
absl::StatusOr<NamedCodes> simulateNamed(const PackageModule &module, const Target &target,
                                         const std::map<std::string, Tensor> &inputs,
                                         const IntegerKernels *kernels = nullptr);

/// DATA_LOSS "after 'lower': value 'x' (op 'npu.conv2d'): element [0, 3, 2, 1] is 17 but was 16
/// before" for the first difference in order of `reference`'s names. `step` names the later one.
absl::Status compareNamed(const NamedCodes &reference, const NamedCodes &actual,
                          const std::vector<std::string> &order, const std::string &step,
                          VerifyCounts &counts);

/// Names of the activations of a function, in order of execution.
std::vector<std::string> valueOrder(mlir::func::FuncOp function);

/// Feeds every integer operation of `before` (quantized sd) and its npu twin extreme codes;
/// compares.
absl::Status verifyOpsInIsolation(mlir::func::FuncOp before, mlir::func::FuncOp after,
                                  const EvaluationContext &referenceContext,
                                  const EvaluationContext &context, VerifyCounts &counts);

/// Feeds every layer of the package, alone with its own tiling, extreme codes; compares the
/// simulator with the evaluator on the npu operation of the same name.
absl::Status verifyLayersInIsolation(mlir::func::FuncOp npuFunction, const PackageModule &module,
                                     const Target &target, const EvaluationContext &context,
                                     VerifyCounts &counts);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_VERIFY_H
