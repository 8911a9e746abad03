//===- FixedPoint.h - the one rounding rule of every integer op -*- C++ -*-===//
//
// Every real factor of the integer program is a pair (multiplier m, shift s) with value m / 2^s,
// and every rounding is half up: `y = (acc * m + 2^(s-1)) >> s` (arithmetic shift). Both the
// reference evaluator and the simulator call these functions, and docs/spec.md defines them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_FIXEDPOINT_H
#define SDOPT_COMPILER_KERNELS_FIXEDPOINT_H

#include "compiler/kernels/Tensor.h"

#include <cstdint>

namespace sdopt {

using Int128 = __int128;

/// The real factor multiplier / 2^shift. For a single accumulator multiplier is in [2^30, 2^31) and
/// shift in [25, 62]; a factor below 2^-32 becomes {0, 25} and a factor of 64 or more saturates to
/// the largest pair.
struct Scaling {
  int32_t multiplier = 0;
  int32_t shift = 25;
  friend bool operator==(const Scaling &, const Scaling &) = default;
};

/// Nearest Scaling to a non-negative real `factor` (IEEE double + - * / only: the same on every
/// machine).
Scaling scalingFor(double factor);

/// Multipliers of a sum of two scales with one common shift: factorA ~ a / 2^shift, factorB ~ b /
/// 2^shift, the larger multiplier in [2^29, 2^30) and shift in [14, 61] (8-bit codes brought to 16
/// bits have factors of some hundreds). If both factors are below 2^-32, both multipliers are 0; a
/// factor of 2^16 or more saturates to the largest one at shift 14.
struct PairScaling {
  int32_t multiplierA = 0;
  int32_t multiplierB = 0;
  int32_t shift = 25;
  friend bool operator==(const PairScaling &, const PairScaling &) = default;
};
PairScaling pairScalingFor(double factorA, double factorB);

/// (acc * m + 2^(s-1)) >> s for 1 <= s <= 126; exact for |acc| < 2^55, saturated to int64 beyond.
int64_t scaled(int64_t acc, Scaling scaling);

/// How a stored code is to be read: real value = scale * (code - zeroPoint). I8 (asymmetric), I16
/// (zeroPoint 0); timesteps in fixed point are I32 (zeroPoint 0), which only time embeddings read.
struct CodeFormat {
  ElementType type = ElementType::I16;
  int32_t zeroPoint = 0;
  int32_t min() const { return -max() - 1; }
  int32_t max() const {
    return type == ElementType::I8 ? 127 : type == ElementType::I16 ? 32767 : INT32_MAX;
  }
  friend bool operator==(const CodeFormat &, const CodeFormat &) = default;
};

/// clamp(value + zeroPoint) into the format's code range.
int32_t saturate(int64_t value, CodeFormat format);

/// Per output channel of a matrix layer; 16 bytes, stored like this in the package.
struct ChannelParams {
  int64_t bias = 0;       ///< in units of inputScale * weightScale[channel]; |bias| < 2^47
  int32_t multiplier = 0; ///< Scaling of inputScale * weightScale[channel] / outputScale
  int32_t shift = 25;
  friend bool operator==(const ChannelParams &, const ChannelParams &) = default;
};
static_assert(sizeof(ChannelParams) == 16);

/// Per channel of a norm: gamma and beta as fixed point; 16 bytes, stored like this in the package.
struct NormChannel {
  int64_t beta = 0;  ///< round(beta / outputScale * 2^shift), shift as in NormParams
  int32_t gamma = 0; ///< round(gamma / outputScale * 2^(shift-24)), |gamma| < 2^24
  int32_t reserved = 0;
  friend bool operator==(const NormChannel &, const NormChannel &) = default;
};
static_assert(sizeof(NormChannel) == 16);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FIXEDPOINT_H
