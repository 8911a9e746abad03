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
};

/// Packs [taps][channels rounded up to kByteChunk] with zeros for what does not exist, and writes
/// the sum of the weights of each lane.
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

/// Where the rows of a block of sums go.
struct ByteTargets {
  int64_t *rows[2 * kByteGroup] = {}; ///< null: nowhere
  int64_t count = 0;
  int64_t lanes = 0;
  const int64_t *corrections = nullptr; ///< [lanes], added to each row
};

/// target[r][lane] += sums[r][lane] + correction[lane]
void addByteSums(const int32_t *sums, const ByteTargets &targets);
/// target[r][lane] += 256 * sums[r][lane] + sums[16 + r][lane] + correction[lane]
void addWideByteSums(const int32_t *sums, const ByteTargets &targets);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BYTEVECTORS_H
