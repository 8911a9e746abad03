//===- ByteBlocks.h - matrix products of bytes at speed ---------*- C++ -*-===//
//
// Unsigned bytes (pixels) times signed bytes (weights), summed in int32. Codes become unsigned
// bytes without loss:
//
//   I8:   x = u - 128
//   I16:  x = 256 * (h - 128) + l, one plane of h and one of l
//
// so that a sum of (x - zero point) * w is a sum of bytes plus a multiple of the sum of w.
//
// Weights lie in panels of 16 lanes (output channels), four consecutive depths side by side:
//
//   panel[depth / 4][lane][4]
//
// the order that both the dot products of VNNI and the tiles of AMX take.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_BYTEBLOCKS_H
#define SDOPT_COMPILER_KERNELS_BYTEBLOCKS_H

#include "compiler/kernels/IntegerKernels.h"

#include <cstdint>
#include <span>

namespace sdopt {

struct AttentionProducts;

inline constexpr int64_t kByteLanes = 16;       ///< of a panel
inline constexpr int64_t kByteGroup = 16;       ///< rows
inline constexpr int64_t kByteChunk = 64;       ///< depths are a multiple of it
inline constexpr int64_t kBlockLanes = 32;      ///< two panels
inline constexpr int64_t kMaxByteDepth = 65536; ///< 255 * 128 * 65536 < 2^31

/// sums[16 * group + r][lane] = sum over taps and k < tapDepth of rows[group][r * rowStride + tap +
/// k] * weight. All sixteen rows of a group are readable.
struct ByteBlock {
  const uint8_t *rows[2] = {}; ///< the second may be null
  int64_t rowStride = 0;
  std::span<const int64_t> taps; ///< offsets
  int64_t tapDepth = 0;
  const int8_t *panels[2] = {}; ///< the second may be null
  int32_t *sums = nullptr;      ///< [2 * kByteGroup][kBlockLanes]
};

/// One way to do it; all ways give the same bits.
struct ByteKernels {
  /// Around any number of calls of sums(), in the same thread.
  void (*begin)();
  void (*sums)(const ByteBlock &block);
  void (*end)();
  const AttentionProducts *attention; ///< AttentionProducts.h
};

/// Null where the machine has none.
const ByteKernels *vnniByteKernels();
const ByteKernels *amxByteKernels();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BYTEBLOCKS_H
