//===- Ranges.h - from statistics to codes ----------------------*- C++ -*-===//
//
// Estimators of the range [lo, hi] of a value, chosen by a recipe's `activation_range`. All know
// min and max, and the histogram of all elements (Histogram.h); a range includes zero and never
// exceeds the extremes. A value without a histogram, as one that scales were moved out of, keeps
// its extremes.
//
//   minmax          the extremes.
//   moving_average  the moving averages of the extremes of each call (MovingExtremes): Jacob et al.
//                   2018, section 3.1. One call with an outlier counts for a hundredth.
//   percentile p    of all elements, (100 - p) / 2 % at most lie below lo and as many above hi; for
//                   symmetric codes (100 - p) % of the magnitudes lie above hi. McKinstry et al.
//                   2018, "Discovering Low-Precision Networks Close to Full-Precision Networks for
//                   Efficient Embedded Inference", section 3.1 (there 99.99 %).
//   mse             of the extremes times 100, 95, ... 30 % each, the pair with the least expected
//                   squared error on the histogram: scale^2 / 12 for elements inside, the squared
//                   distance of the bin's middle to the range for those outside; of equal ones the
//                   widest. Banner et al. 2019, "Post training 4-bit quantization of convolutional
//                   networks for rapid-deployment", section 3, with the histogram as the density.
//   entropy         of the extremes times 100, 99, ... 20 %, the range with the least
//                   Kullback-Leibler divergence KL(P || Q) = sum P log(P / Q). P is the histogram
//                   inside the range with the elements outside added to the outermost bins that
//                   are not empty: what clipping makes of the values. Q is what the codes can tell
//                   apart: the histogram inside, its bins gathered in as many levels as there are
//                   codes, the count of a level spread evenly over its bins that are not empty.
//                   Narrow ranges make Q finer but move more of P to the ends. Migacz 2017, "8-bit
//                   Inference with TensorRT" (GTC), with both ends of an asymmetric range moved
//                   together.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_RANGES_H
#define SDOPT_COMPILER_CALIBRATION_RANGES_H

#include "compiler/calibration/Statistics.h"
#include "compiler/recipe/Recipe.h"

namespace sdopt {

/// A code: real value = scale * (code - zeroPoint). The scale is a float32 number.
struct CodeRange {
  double scale = 1.0;
  int32_t zeroPoint = 0;
};

/// Code for a value: 16 bits symmetric (scale = 2 * max|x| / 32767: room for values beyond the
/// samples), 8 bits with zero point (scale = (hi - lo) / 255, the range includes zero, zero point =
/// floor(-128 - lo / scale + 1/2) within [-128, 127]). An all-zero value has scale 1.
CodeRange chooseRange(const ValueStatistics &statistics, const ActivationRange &range, int bits);
CodeRange chooseRange(const ValueStatistics &statistics, const ActivationRange &range, int bits,
                      bool symmetric);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_RANGES_H
