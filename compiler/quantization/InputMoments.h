//===- InputMoments.h - what a layer reads, to second order -----*- C++ -*-===//
//
// What rounding, pruning and the search for scales know of a layer's input: compiler/calibration
// collects it, and the error that any change of the weights makes in the output follows from it. A
// convolution is the product with what its kernel sees (im2col). Free of MLIR; nothing depends on
// the number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_INPUTMOMENTS_H
#define SDOPT_COMPILER_QUANTIZATION_INPUTMOMENTS_H

#include "compiler/kernels/Tensor.h"

#include <span>
#include <vector>

namespace sdopt {

/// Of some of a layer's input channels at all taps, over all rows that the layer was seen to read.
/// Column tap * channels + i is channel firstChannel + i.
struct InputMoments {
  int64_t firstChannel = 0, channels = 0, taps = 1;
  std::vector<double> mean = {};      ///< [columns]
  std::vector<double> magnitude = {}; ///< [columns]: E|x|
  std::vector<float> covariance = {}; ///< [columns][columns], symmetric: E[x x^T] - mean mean^T

  int64_t columns() const { return channels * taps; }
};

/// Rows of the upper triangle U with H^-1 = U^T U, [n][n], for the n x n moments H in the given
/// order of columns, on whose diagonal 1 % of its mean is added first; more, if they are singular
/// nonetheless. The identity if all are 0. `secondMoments`: of E[x x^T], not the covariance.
std::vector<float> inverseFactor(const InputMoments &moments, std::span<const int64_t> order,
                                 bool secondMoments);

/// F32 rows [count][columns] times the covariance.
Tensor timesCovariance(const Tensor &rows, const InputMoments &moments);

/// The output w x of one row w of weights: its variance, at least 0, and its mean.
struct RowPower {
  double variance = 0, mean = 0;
};
/// Of each of F32 rows [count][columns].
std::vector<RowPower> rowPowers(const Tensor &rows, const InputMoments &moments);

/// Expected power of a layer's output, and of what is wrong with it: as the weights came, and as
/// something was made of them that makes up for it.
struct OutputPower {
  double signal = 0, before = 0, after = 0;

  double sqnrBefore() const; ///< dB
  double sqnrAfter() const;
};

/// row[i] -= scale * other[i]: the weights of the columns behind, after one column's error.
void subtractScaled(float *__restrict row, const float *__restrict other, float scale,
                    int64_t count);

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_INPUTMOMENTS_H
