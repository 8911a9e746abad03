//===- Quality.h - how much quantization loses ------------------*- C++ -*-===//
//
// A float function and its quantized form on the same samples. PSNR = 20 log10(max|reference| /
// RMSE) over all elements of all samples; SQNR = 10 log10(sum reference^2 / sum error^2). Infinite
// if there is no error at all; 0 dB if the reference is all zero and the error is not.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_QUALITY_H
#define SDOPT_COMPILER_CALIBRATION_QUALITY_H

#include "compiler/calibration/Samples.h"
#include "dialects/sd/EvaluationContext.h"

#include <functional>

namespace sdopt {

struct QualityOptions {
  int threads = 1;
  int64_t limit = 0;    ///< at most so many evaluations, spread evenly; 0: all
  bool perLayer = true; ///< compare every value that both functions name, not only the results
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
  std::string name; ///< of the value in both functions
  double sqnr = 0;  ///< dB
};

struct QualityResult {
  std::vector<OutputQuality> outputs = {};
  std::vector<LayerQuality> layers = {}; ///< in program order of the quantized function
  int64_t samples = 0;
};

/// The least PSNR of all outputs.
double psnr(const QualityResult &result);

/// Runs both functions on all samples. The reference of a result is the recorded one where all
/// sample files hold it, else that of `reference`. Per layer, codes are compared as real values
/// with the float function's value of the same name. The result does not depend on the number of
/// threads.
absl::StatusOr<QualityResult> measureQuality(mlir::func::FuncOp reference,
                                             mlir::func::FuncOp quantized,
                                             const EvaluationContext &context,
                                             const std::vector<SampleFile> &samples,
                                             const QualityOptions &options = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_QUALITY_H
