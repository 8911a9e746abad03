//===- DotPanels.h - the inner loop of every exact matrix product -*- C++ -*-===//
//
// int16 x int16 products summed in int32 lanes and added to int64 accumulators. One side is rows of
// int16 (pixels, queries, exponentials), the other is packed into panels of 16 lanes, two
// consecutive depths side by side:
//
//   panel[pair][lane][2]:   pair 0: | l0d0 l0d1 | l1d0 l1d1 | ... | l15d0 l15d1 |
//                           pair 1: | l0d2 l0d3 | ...
//
// so that one multiply-add instruction does a pair of depths in every lane. All levels give the
// same bits as long as the sum of one call fits int32, which the callers see to.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_DOTPANELS_H
#define SDOPT_COMPILER_KERNELS_DOTPANELS_H

#include "compiler/kernels/ByteBlocks.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sdopt {

inline constexpr int64_t kPanelLanes = 16;
inline constexpr int64_t kDotRows = 8;
inline constexpr int64_t kDotLanes = 2 * kPanelLanes;

/// acc[r][lane] += sum over pairs of rows[r] x panel lane, for r < rows and lane < lanes.
/// `a` must have kDotRows readable rows; with lanes > 16 a second panel lies panelStride elements
/// further.
struct DotTile {
  const int16_t *a = nullptr;
  int64_t aStride = 0;
  const int16_t *panel = nullptr;
  int64_t panelStride = 0;
  int64_t pairs = 0;
  int64_t *acc = nullptr;
  int64_t accStride = 0;
  int64_t rows = kDotRows;
  int64_t lanes = kDotLanes;
};

/// E of AttentionParams for distances = rowMax - score, with {multiplier, shift} of the exponent.
struct ExponentRow {
  const int64_t *distances = nullptr;
  int64_t count = 0;
  int32_t multiplier = 0;
  int32_t shift = 0;
};

/// One implementation level; all levels compute the same bits.
struct DotKernels {
  const char *name;
  void (*dot)(const DotTile &tile);
  /// Sum over `depth` of a[i] * w[i]; |a * w| summed over any 16 lanes' share must fit int64 only.
  int64_t (*rowDot)(const int16_t *a, const int8_t *w, int64_t depth);
  /// out[i] = in[i] - zeroPoint
  void (*widen)(const int8_t *in, int64_t count, int32_t zeroPoint, int16_t *out);
  /// out[i] = E of distance i, 0..65535
  void (*exponentials)(const ExponentRow &row, uint16_t *out);
  /// avx512Pointwise() runs.
  bool avx512 = false;
  /// Products of bytes, or null.
  const ByteKernels *bytes = nullptr;
};

/// P[b] * Q[c] >> 29, indexed by 64 b + c. Dropping 29 bits first does not change
/// (P * Q + 2^(43+a)) >> (44+a), whose rounding term is a multiple of 2^29.
const std::array<uint32_t, 4096> &exponentProducts();

/// The best level of this machine.
const DotKernels &dotKernels();

/// All levels that this machine can run, the portable one first.
std::span<const DotKernels> dotKernelLevels();

/// Packs `lanes` <= 16 rows of int8 (row stride in elements) of `depth` elements; missing lanes and
/// an odd tail are zero.
void packPanel(const int8_t *rows, int64_t stride, int64_t lanes, int64_t depth, int16_t *panel);
/// The same for rows of int16.
void packPanel(const int16_t *rows, int64_t stride, int64_t lanes, int64_t depth, int16_t *panel);
/// The transposed case: lanes are columns, depth runs over rows.
void packPanelColumns(const int16_t *rows, int64_t stride, int64_t lanes, int64_t depth,
                      int16_t *panel);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_DOTPANELS_H
