//===- Noise.h - seeded Gaussian noise, the same bytes everywhere -*- C++ -*-===//
//
// Philox4x32-10 (J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011, section
// 3.3) in counter mode: key = seed, counter = (block, stream). Box and Muller's transform (1958)
// turns each pair of 32-bit words into two normal values with our own logarithm and sine.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_NOISE_H
#define SDOPT_TOOLS_SDOPT_RUN_NOISE_H

#include "compiler/kernels/Tensor.h"

#include <array>
#include <cstdint>

namespace sdopt {

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Standard normal F32 values; `stream` separates the draws of one seed (frames).
Tensor gaussianNoise(const Shape &shape, uint64_t seed, uint64_t stream);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_NOISE_H
