//===- AttentionPanels.h - queries, keys and values as bytes ----*- C++ -*-===//
//
// The operands of ByteAttention.cpp. Where both sides of a score have 8 bits, with u = q + 128,
//
//   sum (q - zq)(k - zk) = sum u * k - (128 + zq) * sum k - zk * sum (u - 128 - zq)
//
// is one product, a term of the key and a term of the query. Otherwise codes minus zero point are
// cut into x = 256 * high + low, high signed and low unsigned.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_ATTENTIONPANELS_H
#define SDOPT_COMPILER_KERNELS_ATTENTIONPANELS_H

#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/Scratch.h"

namespace sdopt {

/// Keys that are worked on at a time: one chunk of bytes of the exponentials.
inline constexpr int64_t kKeyStep = 64;
/// Sums of a product of halves stay below 2^31.
inline constexpr int64_t kMaxByteHeadDim = 8192;

/// One product (only plane 0) or two planes: 0 high, 1 low.
struct ScoreFormat {
  bool narrow;
  int32_t queryZero, keyZero;
  ScoreFormat(Codes q, Codes k)
      : narrow(q.format.type == ElementType::I8 && k.format.type == ElementType::I8),
        queryZero(q.format.zeroPoint), keyZero(k.format.zeroPoint) {}
};

/// Rows x columns of codes, stride in elements.
struct CodeRows {
  Codes codes;
  int64_t rows = 0, columns = 0, stride = 0;
};

/// Keys in panels of 16, whole steps of them.
class KeyPanels {
public:
  KeyPanels(const DotKernels &kernels, const CodeRows &keys, const ScoreFormat &format);
  int64_t chunks() const { return chunkCount; }
  /// Of 16 keys: chunks() tiles.
  const int8_t *panel(int64_t firstKey, int plane) const {
    return panels[plane] + firstKey / kByteLanes * panelBytes();
  }
  /// Narrow only: the term of each key.
  const int32_t *terms() const { return keyTerms.data(); }

private:
  int64_t panelBytes() const { return chunkCount * kByteChunk * kByteLanes; }
  int64_t chunkCount;
  int8_t *panels[2] = {};
  std::vector<int32_t> keyTerms;
};

/// Sixteen queries; missing ones are zero.
class QueryRows {
public:
  QueryRows(const DotKernels &kernels, const CodeRows &queries, const ScoreFormat &format);
  int64_t stride() const { return rowBytes; }
  const uint8_t *plane(int index) const { return bytes.data() + index * kByteGroup * rowBytes; }
  /// Narrow only: the term of each query.
  const int64_t *terms() const { return queryTerms; }

private:
  int64_t rowBytes;
  std::vector<uint8_t> bytes;
  int64_t queryTerms[kByteGroup] = {};
};

/// Values in panels of 16 dimensions, chunks of kKeyStep keys. 8-bit codes are one plane, with
/// their zero point.
class ValuePanels {
public:
  ValuePanels(const DotKernels &kernels, const CodeRows &values);
  bool isNarrow() const { return narrow; }
  const int8_t *panel(int64_t firstKey, int64_t firstDim, int plane) const {
    return panels[plane] +
           (firstDim / kByteLanes * steps + firstKey / kKeyStep) * kByteChunk * kByteLanes;
  }

private:
  bool narrow;
  int64_t steps;
  int8_t *panels[2] = {};
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ATTENTIONPANELS_H
