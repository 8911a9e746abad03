//===- TapMatrices.h - the constants of F(4x4, 3x3) -------------*- C++ -*-===//
//
// Of the points 0, 1, -1, 2, -2; tapTransforms() of compiler/winograd derives them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_TAPMATRICES_H
#define SDOPT_COMPILER_KERNELS_TAPMATRICES_H

#include "compiler/kernels/TapWinograd.h"

namespace sdopt {

inline constexpr int64_t kTapWindow = 3;

/// B', F and A'.
inline constexpr int64_t kTapInput[kTapInputs][kTapInputs] = {
    {4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
    {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
inline constexpr int64_t kTapFilter[kTapInputs][kTapWindow] = {{3, 0, 0}, {-1, -1, -1}, {-1, 1, -1},
                                                               {1, 2, 4}, {1, -2, 4},   {0, 0, 3}};
inline constexpr int64_t kTapOutput[kTapOutputs][kTapInputs] = {
    {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
/// Row j of the filter side counts 2^kTapExponents[j] times.
inline constexpr int64_t kTapExponents[kTapInputs] = {1, 2, 2, 0, 0, 3};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_TAPMATRICES_H
