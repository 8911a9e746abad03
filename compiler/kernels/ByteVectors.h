//===- ByteVectors.h - codes to bytes, weights to panels --------*- C++ -*-===//
//
// The steps before and after the products of ByteBlocks.h. Only for machines with VNNI.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_BYTEVECTORS_H
#define SDOPT_COMPILER_KERNELS_BYTEVECTORS_H

#include "compiler/kernels/ByteBlocks.h"

namespace sdopt {

/// One panel of weights: 16 rows of [taps][channels], of which `lanes` exist.
struct BytePanelSource {
  const int8_t *rows = nullptr;
  int64_t lanes = kByteLanes;
  int64_t taps = 1, channels = 0; ///< row stride is their product
  int64_t tapBytes = 0;           ///< of the panel, from one tap to the next
};

/// Packs, for each tap, [channels rounded up to kByteChunk] with zeros for what does not exist, and
/// writes the sum of the weights of each lane.
void packBytePanel(const BytePanelSource &source, int8_t *panel, int32_t *laneSums);

/// u = x + 128
void bytesOf(const int8_t *codes, int64_t count, uint8_t *bytes);
/// x = 256 * (high - 128) + low
void bytesOf(const int16_t *codes, int64_t count, uint8_t *high, uint8_t *low);
/// x = 256 * high + low
void signedBytesOf(const int16_t *codes, int64_t count, int8_t *high, uint8_t *low);

/// The transposed panel: lanes are columns, depth runs over `depth` <= kByteChunk rows of bytes
/// whose stride is a multiple of 16. Writes one chunk.
void packByteColumns(const int8_t *rows, int64_t stride, int64_t depth, int8_t *panel);
/// The same with pairs of 16-bit rows; their stride in elements is a multiple of 16, too.
void packPairColumns(const int16_t *rows, int64_t stride, int64_t depth, int8_t *panel);

/// Sums of a block: with `wide`, 256 * sums[r][lane] + sums[16 + r][lane], otherwise sums[r][lane].
struct ByteSums {
  const int32_t *sums = nullptr;
  bool wide = false;
  int64_t rows = 0, lanes = 0;
  /// Element of the output at which each row begins; negative: nowhere.
  int64_t offsets[2 * kByteGroup] = {};
};

/// acc[offset + lane] += sum + correction[lane]
void addByteSums(const ByteSums &sums, const int64_t *corrections, int64_t *acc);

/// requantize() of the sums themselves; biases below 2^53.
void requantizeByteSums(const ByteSums &sums, const ChannelParams *params, CodeFormat format,
                        void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BYTEVECTORS_H
