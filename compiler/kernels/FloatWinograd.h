//===- FloatWinograd.h - 3x3 convolutions with fewer products ---*- C++ -*-===//
//
// F(2x2, 3x3) of A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR
// 2016, section 4.1: 2x2 pixels of the result from 4x4 of the input with 16 products for each pair
// of channels instead of 36,
//
//   Y = A' [ (G g G') * (B' d B) ] A
//
// The sums over the input channels are products of matrices, one for each of the 16 positions, in
// panels of FloatPanels.h. All levels give the same bits, for any number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_FLOATWINOGRAD_H
#define SDOPT_COMPILER_KERNELS_FLOATWINOGRAD_H

#include <cstdint>

namespace sdopt {

/// A 3x3 convolution of stride 1 without dilation, or one group of it.
struct WinogradShape {
  int64_t batch = 1, inputHeight = 0, inputWidth = 0, outputHeight = 0, outputWidth = 0;
  int64_t padTop = 0, padLeft = 0;
  int64_t inputs = 0, outputs = 0; ///< channels of the group
  /// Floats from one pixel to the next.
  int64_t inputStride = 0, outputStride = 0;

  int64_t tileRows() const { return batch * ((outputHeight + 1) / 2); }
  int64_t tilesInRow() const { return (outputWidth + 1) / 2; }
  int64_t tiles() const { return tileRows() * tilesInRow(); }
};

/// False if the transforms would cost more than they save, or more than 64 MB.
bool winogradPays(const WinogradShape &shape);

/// output = input * weights [+ bias]; weights [outputs][inputs][3][3], bias [outputs] or null.
void convolveWinograd(const WinogradShape &shape, const float *input, const float *weights,
                      const float *bias, float *output);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FLOATWINOGRAD_H
