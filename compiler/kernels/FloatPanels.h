//===- FloatPanels.h - the inner loop of every float product ----*- C++ -*-===//
//
// The right side of a product is packed into panels of 32 columns, one depth after another:
//
//   panel[tap][depth][32]
//
// and the left side is read through one pointer per row and tap, so that one loop serves matrices
// (one tap) and convolutions (a tap for each kernel position; padding points at zeros). Each sum is
// one chain of fused multiply-adds over tap and depth: all levels give the same bits, however the
// work is cut into tiles.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_FLOATPANELS_H
#define SDOPT_COMPILER_KERNELS_FLOATPANELS_H

#include <cstdint>

namespace sdopt {

inline constexpr int64_t kFloatRows = 12;
inline constexpr int64_t kFloatLanes = 32;

/// out[r][lane] = (bias[lane] or, if accumulate, out[r][lane]) + sum over tap and d of
/// rows[tap * kFloatRows + r][offset + d] * panel[tap][d][lane], for r < rowCount, lane < lanes.
struct FloatTile {
  const float *const *rows = nullptr;
  int64_t offset = 0, taps = 1, depth = 0;
  int64_t rowCount = kFloatRows, lanes = kFloatLanes;
  const float *panel = nullptr;
  float *out = nullptr;
  int64_t outStride = 0;
  const float *bias = nullptr; ///< or null
  bool accumulate = false;
};

void multiplyTile(const FloatTile &tile);

/// Packs `lanes` rows: panel[tap][d][lane] = rows[lane * stride + d * taps + tap]; lanes up to 32
/// become 0.
void packFloatRows(const float *rows, int64_t stride, int64_t lanes, int64_t depth, int64_t taps,
                   float *panel);

/// Packs `columns` columns into as many panels as they need, one after another:
/// panels[p][d][lane] = rows[d * stride + 32 p + lane]; the last panel's lanes up to 32 become 0.
void packFloatColumns(const float *rows, int64_t stride, int64_t columns, int64_t depth,
                      float *panels);

/// to[c * toStride + r] = from[r * fromStride + c] for r < rows, c < columns; bits are moved as
/// they are.
void transposeMatrix(const uint32_t *from, int64_t fromStride, int64_t rows, int64_t columns,
                     uint32_t *to, int64_t toStride);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FLOATPANELS_H
