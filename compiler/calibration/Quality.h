//===- Quality.h - how much quantization loses ------------------*- C++ -*-===//
//
// A float function and its quantized form on the same samples. PSNR = 20 log10(max|reference| /
// RMSE) over all elements of all samples; SQNR = 10 log10(sum reference^2 / sum error^2). Infinite
// if there is no error at all; 0 dB if the reference is all zero and the error is not.
//
// One number hides much in a diffusion model, so that its functions (those with a timestep) are
// also measured by timestep and by what guidance makes of their results (Guidance.h). PSNR of a
// part of the samples is taken with the largest reference over all of them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_QUALITY_H
#define SDOPT_COMPILER_CALIBRATION_QUALITY_H

#include "compiler/calibration/Samples.h"
#include "compiler/calibration/Timesteps.h"
#include "dialects/sd/EvaluationContext.h"

#include <functional>

namespace sdopt {

struct QualityOptions {
  int threads = 1;
  int64_t limit = 0;    ///< at most so many evaluations, spread evenly; 0: all
  bool perLayer = true; ///< compare every value that both functions name, not only the results
  int64_t isolated = 4; ///< evaluations, spread evenly, on which each layer runs alone too
  double guidance = 5;  ///< g of u + g (c - u)
  std::function<void(double done, int64_t total)> progress = {}; ///< as in CalibrationOptions
};

struct OutputQuality {
  std::string name;     ///< of the function's result
  double psnr = 0;      ///< dB, over all samples
  double worstPsnr = 0; ///< dB of the worst evaluation, with the largest reference over all samples
  int64_t worstCall = 0; ///< index of that evaluation
  /// Compared with recorded results; otherwise with those of the float function.
  bool againstRecorded = false;
};

struct LayerQuality {
  std::string name;        ///< of the value in both functions
  double sqnr = 0;         ///< dB, with all that the layers before it lost
  double cosine = 0;       ///< the same
  double isolatedSqnr = 0; ///< dB, on exact inputs (IsolatedErrors.h); 0 if it is not known
};

/// Of the pairs of an unconditional and a conditional row.
struct GuidanceQuality {
  int64_t pairs = 0; ///< 0: the samples hold none, and nothing is known
  double psnr = 0;   ///< dB, of u + g (c - u)
  double sqnr = 0;   ///< dB, of the signal c - u
  double cosine = 0; ///< between the signals of both functions
};

/// Of the calls of one timestep, or of an interval of them.
struct TimestepQuality {
  TimestepBuckets::Interval timesteps = {};
  int64_t calls = 0;
  double psnr = 0;      ///< dB, least of all outputs
  double worstPsnr = 0; ///< dB, of the worst call
  GuidanceQuality guidance = {};
};

struct QualityResult {
  std::vector<OutputQuality> outputs = {};
  /// Ascending, empty for a function without a timestep: 5 buckets, and at most 50 for a plot.
  std::vector<TimestepQuality> buckets = {}, timesteps = {};
  GuidanceQuality guidance = {};         ///< of the first result, over all pairs
  std::vector<LayerQuality> layers = {}; ///< in program order of the quantized function
  int64_t samples = 0;
};

/// The least PSNR of all outputs.
double psnr(const QualityResult &result);

/// Runs both functions on all samples; of a function with buckets of timesteps
/// (dialects/sd/BucketFunctions.h) the one for each sample's timestep. The reference of a result is
/// the recorded one where all sample files hold it, else that of `reference`. Per layer, codes are
/// compared as real values with the float function's value of the same name. The result does not
/// depend on the number of threads.
absl::StatusOr<QualityResult> measureQuality(mlir::func::FuncOp reference,
                                             mlir::func::FuncOp quantized,
                                             const EvaluationContext &context,
                                             const std::vector<SampleFile> &samples,
                                             const QualityOptions &options = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_QUALITY_H
