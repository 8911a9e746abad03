//===- Windows.h - convolutions that Winograd takes -------------*- C++ -*-===//

#ifndef SDOPT_TESTS_KERNELS_WINDOWS_H
#define SDOPT_TESTS_KERNELS_WINDOWS_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt::testing {

/// 3x3, stride and dilation 1.
constexpr ConvTile window(int64_t height, int64_t width, int64_t inputs, int64_t outputs,
                          int64_t padTop = 1, int64_t padLeft = 1, int64_t padBottom = 1,
                          int64_t padRight = 1) {
  return {.inputHeight = height,
          .inputWidth = width,
          .inputChannels = inputs,
          .outputHeight = height + padTop + padBottom - 2,
          .outputWidth = width + padLeft + padRight - 2,
          .outputChannels = outputs,
          .kernelHeight = 3,
          .kernelWidth = 3,
          .padTop = padTop,
          .padLeft = padLeft};
}

} // namespace sdopt::testing

#endif // SDOPT_TESTS_KERNELS_WINDOWS_H
