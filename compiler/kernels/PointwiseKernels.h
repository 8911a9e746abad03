//===- PointwiseKernels.h - pointwise operations, level by level *- C++ -*-===//
//
// Methods of IntegerKernels on one thread, only for parameters in their documented ranges. All
// levels give the same bits.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_POINTWISEKERNELS_H
#define SDOPT_COMPILER_KERNELS_POINTWISEKERNELS_H

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/NormFactor.h"

namespace sdopt {

/// Rows to be normalized, one factor for each group.
struct NormRows {
  Codes x;
  int64_t rows, channels, channelsPerGroup;
  std::span<const NormFactor> factors;
  /// [channels], or empty where channelsPerGroup is a multiple of 8 or not below channels.
  std::span<const int64_t> groupOf;
  const NormChannel *channelParams;
  int32_t shift;
};

struct PointwiseKernels {
  /// Scalings with multiplier >= 0 and 25 <= shift <= 62.
  void (*requantize)(const int64_t *acc, int64_t rows, int64_t channels,
                     const ChannelParams *params, CodeFormat format, void *y);
  /// b may be null; no broadcast. |zero points of a and b| <= 2^20, 1 <= shift <= 62.
  void (*combine)(Codes a, Codes b, int64_t count, const PairScaling &scaling, CodeFormat format,
                  void *y);
  /// I16 input.
  void (*table)(const int16_t *x, int64_t count, const int32_t *entries, CodeFormat format,
                void *y);
  /// A scaling as above, |zero point of x| <= 2^20.
  void (*geglu)(Codes x, int64_t rows, int64_t channels, const int32_t *entries, Scaling scaling,
                CodeFormat format, void *y);
  /// Sums of all codes.
  NormSums (*sums)(Codes x, int64_t count);
  /// Adds to the sums of each channel; at most 2^15 rows.
  void (*channelSums)(Codes x, int64_t rows, int64_t channels, NormSums *sums);
  /// |gamma| <= 2^24 and |beta| <= 2^61 for every channel.
  bool (*areModest)(const NormChannel *params, int64_t channels);
  /// Modest channels, |mean| <= 2^29, 1 <= shift <= 62 of every factor that is not 0, 1 <= shift <=
  /// 61.
  void (*normApply)(const NormRows &rows, CodeFormat format, void *y);
  /// One row of attentionFinish by doubles. False if a quotient is too near to a rounding edge or
  /// out of range; then y is to be computed anew. |zero point| <= 2^16. Null: nothing better than
  /// the naive kernel.
  bool (*finish)(int64_t headDim, int64_t rowSum, const int64_t *acc, Scaling output,
                 CodeFormat format, void *y);
};

const PointwiseKernels &portablePointwise();
/// Only for a machine with AVX-512.
const PointwiseKernels &avx512Pointwise();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_POINTWISEKERNELS_H
