//===- VerifyModule.cpp - one module, compared after each stage ---------------===//

#include "compiler/calibration/Calibration.h"
#include "compiler/figures/CheckFigures.h"
#include "compiler/pipeline/ModuleCompiler.h"
#include "compiler/pipeline/Verify.h"
#include "dialects/sd/BucketFunctions.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

/// Float-equivalent passes may change an output by this much of its largest magnitude.
constexpr double kFloatTolerance = 1e-5;

/// On the first sample.
absl::Status ModuleCompiler::verifySmoothed(func::FuncOp before, func::FuncOp after) {
  progress("verify smooth");
  absl::StatusOr<std::vector<std::vector<Tensor>>> inputs = verifyInputs(before, 1);
  if (!inputs.ok())
    return inputs.status();
  FailureOr<SmallVector<Tensor>> reference = Evaluator(before, evaluation_).run(inputs->front());
  FailureOr<SmallVector<Tensor>> smoothed = Evaluator(after, evaluation_).run(inputs->front());
  if (failed(reference) || failed(smoothed))
    return absl::InternalError("");
  for (auto [i, expected, found] : llvm::enumerate(*reference, *smoothed)) {
    if (expected.type() != ElementType::F32)
      continue;
    double largest = 0, error = 0;
    for (auto [x, y] : llvm::zip(expected.values<float>(), found.values<float>())) {
      largest = std::max(largest, std::fabs(static_cast<double>(x)));
      error = std::max(error, std::fabs(static_cast<double>(x) - y));
    }
    if (!(error <= kFloatTolerance * largest))
      return absl::InternalError("smooth changed result " + std::to_string(i) + " by " +
                                 std::to_string(error / largest) +
                                 " of its largest magnitude, more than 1e-5; report this");
  }
  return absl::OkStatus();
}

absl::Status ModuleCompiler::trustQuantized() {
  if (!trusted_.empty())
    return absl::OkStatus();
  absl::StatusOr<std::vector<std::vector<Tensor>>> inputs =
      verifyInputs(function(*quantized_), options_.verifySamples);
  if (!inputs.ok())
    return inputs.status();
  const SmallVector<func::FuncOp> functions = sd::bucketFunctions(function(*quantized_));
  for (func::FuncOp bucket : functions)
    trusted_.emplace_back(bucket, reference_);
  const int64_t timestep = timestepInput(functions.front());
  for (const std::vector<Tensor> &input : *inputs) {
    size_t bucket = 0;
    if (functions.size() > 1)
      bucket =
          sd::bucketOf(functions, input[timestep].converted(ElementType::F32).values<float>()[0]);
    absl::StatusOr<RunDigests> digests = digestsOf(functionRun(trusted_[bucket], input));
    if (!digests.ok())
      return digests.status();
    trustedRuns_.push_back({input, *std::move(digests), bucket});
  }
  return absl::OkStatus();
}

absl::Status ModuleCompiler::verifyLowered() {
  if (options_.verify == VerifyMode::Off)
    return absl::OkStatus();
  progress("verify lower");
  if (absl::Status status = trustQuantized(); !status.ok())
    return status;
  const SmallVector<func::FuncOp> functions = sd::bucketFunctions(function(*module_));
  for (size_t bucket = 0; bucket < functions.size(); ++bucket) {
    Evaluator &trusted = trusted_[bucket];
    Evaluator lowered(functions[bucket], evaluation_);
    for (const TrustedRun &run : trustedRuns_) {
      if (run.bucket != bucket)
        continue;
      absl::Status status = compareRuns(run.digests, functionRun(trusted, run.inputs),
                                        functionRun(lowered, run.inputs),
                                        resultNames(trusted.function()), "lower", counts_);
      if (!status.ok())
        return status;
    }
    absl::Status status = verifyOpsInIsolation(trusted, lowered, counts_, counter("verify lower"));
    if (!status.ok())
      return status;
  }
  return absl::OkStatus();
}

absl::Status ModuleCompiler::verifyPackage(const PackageModule &module) {
  progress("verify figures");
  if (absl::Status status =
          checkFigures(module, target_, state_.partial.modules(0), &counts_.figures);
      !status.ok())
    return status;
  progress("verify package");
  if (absl::Status status = trustQuantized(); !status.ok())
    return status;
  func::FuncOp reference = trusted_.front().function();
  // The package has no input that nothing reads.
  auto isInput = [&module](const std::string &name) {
    return llvm::any_of(module.info.network.tensors, [&](const TensorInfo &tensor) {
      return tensor.role == TensorRole::Input && tensor.name == name;
    });
  };
  for (const TrustedRun &run : trustedRuns_) {
    std::map<std::string, Tensor> named;
    for (auto [i, tensor] : llvm::enumerate(run.inputs))
      if (std::string name = sd::valueName(reference.getArgument(i)); isInput(name))
        named[name] = tensor;
    absl::Status status =
        compareRuns(run.digests, functionRun(trusted_[run.bucket], run.inputs),
                    simulatorRun(module, target_, named), resultNames(reference), "emit", counts_);
    if (!status.ok())
      return status;
  }
  trusted_.clear(); // its weights
  absl::Status status;
  const SmallVector<func::FuncOp> functions = sd::bucketFunctions(function(*module_));
  for (size_t bucket = 0; status.ok() && bucket < functions.size(); ++bucket) {
    Evaluator scheduled(functions[bucket], reference_);
    status = verifyLayersInIsolation(scheduled, bucketModule(module, bucket), target_, counts_);
  }
  if (status.ok() && messages_.line)
    messages_.line(model_.name + ": verified " + std::to_string(counts_.values) + " values (" +
                   std::to_string(counts_.elements) + " codes), " + std::to_string(counts_.layers) +
                   " layers in isolation, " + std::to_string(counts_.figures) +
                   " figures of the report");
  return status;
}

} // namespace sdopt
