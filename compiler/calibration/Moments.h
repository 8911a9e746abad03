//===- Moments.h - how the inputs of layers depend on each other -*- C++ -*-===//
//
// Runs recorded inputs through a float function and adds up x x^T over all x that some matrix
// layers see: rows of a linear layer's input, and for a convolution what its kernel covers at each
// place (im2col). Evaluations follow one after the other and share their work among all threads, so
// that nothing depends on how many there are.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_MOMENTS_H
#define SDOPT_COMPILER_CALIBRATION_MOMENTS_H

#include "compiler/calibration/Samples.h"
#include "compiler/reference/Gptq.h"
#include "dialects/sd/EvaluationContext.h"

#include <functional>

namespace sdopt {

/// Some input channels of an sd.linear, or of an sd.conv2d in nhwc layout with one group.
struct MomentsRequest {
  mlir::Operation *layer = nullptr;
  int64_t firstChannel = 0, channels = 0;
};

/// Recorded inputs of the module at hand, for passes that look at what layers read.
struct RecordedInputs {
  std::function<absl::StatusOr<std::vector<SampleFile>>()> open;
  /// Bytes of moments that are collected at once. Those of one request always are.
  int64_t momentBytes = int64_t(256) << 20;
  /// As in CalibrationOptions, over all passes through the samples.
  std::function<void(double done, int64_t total)> progress = {};
  /// Told of each layer that was rounded with what they say, by the name of its value.
  std::function<void(const std::string &layer, const OutputPower &power)> rounded = {};
};

/// Bytes of the moments of a request.
int64_t momentBytes(const MomentsRequest &request);

/// The moments for each request, with the kernels' threads. Of what a layer reads in one evaluation
/// at most 1,024 rows count, evenly spread. `progress` is told of each evaluation. Errors: a sample
/// that does not fit, an evaluation that failed (its diagnostic has been emitted), an input that is
/// not finite.
absl::StatusOr<std::vector<InputMoments>>
collectMoments(mlir::func::FuncOp function, const EvaluationContext &context,
               const std::vector<SampleFile> &samples, const std::vector<MomentsRequest> &requests,
               const std::function<void(double done, int64_t total)> &progress);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_MOMENTS_H
