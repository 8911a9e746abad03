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
#include "compiler/quantization/InputMoments.h"
#include "dialects/sd/EvaluationContext.h"

#include <functional>
#include <memory>

namespace sdopt {

struct KernelWindow; // compiler/prune/InputPower.h

/// Where the kernel of an sd.linear or sd.conv2d stands on its input.
KernelWindow windowOf(mlir::Operation *layer);

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
  /// The same of each layer whose input channels AWQ divided; after: with the codes of the scaled
  /// weights.
  std::function<void(const std::string &layer, const OutputPower &power)> scaled = {};
  /// Told of each layer that is made by F(4x4, 3x3), with the SQNR of its sums, dB.
  std::function<void(const std::string &layer, double sqnr)> winograd = {};
  /// Bytes of activations between two blocks of layers that pruning may keep: as many evaluations
  /// as fit, evenly spread.
  int64_t stateBytes = int64_t(3) << 30;
};

/// Bytes of the moments of a request.
int64_t momentBytes(const MomentsRequest &request);

/// Requests [first, last) whose moments are collected in one pass through the samples, at most
/// `limit` bytes of them unless it is one request.
std::vector<std::pair<size_t, size_t>> cutIntoPasses(const std::vector<MomentsRequest> &requests,
                                                     int64_t limit);

/// The moments of one request while they are added up. Of what a layer reads in one evaluation at
/// most 1,024 rows count, evenly spread.
class MomentsSum {
public:
  explicit MomentsSum(const MomentsRequest &request);
  ~MomentsSum();
  MomentsSum(MomentsSum &&) noexcept;

  /// What the layer reads in one evaluation, which counts `weight` times. Of dimension 0 only the
  /// first `rows` of `batch` are new, if it is the batch. False if the sums are not finite.
  bool add(const Tensor &input, int64_t rows, int64_t batch, double weight = 1);
  InputMoments take();

private:
  class Accumulation;
  std::unique_ptr<Accumulation> sum_;
};

/// Rows of dimension 0 of a sample, valid or not.
int64_t batchOf(const Sample &sample);

/// The moments for each request, with the kernels' threads. `progress` is told of each evaluation.
/// Errors: a sample that does not fit, an evaluation that failed (its diagnostic has been emitted),
/// an input that is not finite.
absl::StatusOr<std::vector<InputMoments>>
collectMoments(mlir::func::FuncOp function, const EvaluationContext &context,
               const std::vector<SampleFile> &samples, const std::vector<MomentsRequest> &requests,
               const std::function<void(double done, int64_t total)> &progress);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_MOMENTS_H
