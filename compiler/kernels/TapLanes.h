//===- TapLanes.h - transforms of F(4x4, 3x3), many at a time ---*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_TAPLANES_H
#define SDOPT_COMPILER_KERNELS_TAPLANES_H

#include "compiler/kernels/TapWinograd.h"
#include "compiler/kernels/WinogradStrips.h"

namespace sdopt {

/// B' d B in place, d[6 * row + column][channel]. 16 bits hold 100 times a code of I8 minus its
/// zero point.
void transformTapCodes(WinogradLanes<int16_t> *d);
void transformTapCodes(WinogradLanes<int32_t> *d);

/// F w F' of taps w[3 * row + column][channel]: u[6 * row + column].
void transformTapWeights(const WinogradChunk *w, WinogradChunk *u);

/// Half up, saturated at so many bits, in place.
void roundTaps(const std::array<uint8_t, kTapProducts> &shifts, int64_t bits, WinogradChunk *v);
/// The same for wide codes, in two planes: 2048 v[position] + v[36 + position].
void roundWideTaps(const std::array<uint8_t, kTapProducts> &shifts, const WinogradLanes<int32_t> *d,
                   WinogradChunk *v);

/// A' m A of sums that are `step` apart and count 2^powers each: y[4 * row + column][lane].
void transformTapSums(const int64_t *sums, int64_t step,
                      const std::array<int, kTapProducts> &powers, int64_t (*y)[kDotLanes]);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_TAPLANES_H
