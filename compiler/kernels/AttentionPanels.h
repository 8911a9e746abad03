//===- AttentionPanels.h - queries, keys and values as bytes ----*- C++ -*-===//
//
// The operands of ByteAttention.cpp. Where both sides of a score have 8 bits, with u = q + 128,
//
//   sum (q - zq)(k - zk) = sum u * k - (128 + zq) * sum k - zk * sum (u - 128 - zq)
//
// is one product, a term of the key and a term of the query. Otherwise codes minus zero point are
// cut into x = 256 * high + low, high signed and low unsigned; or x itself stands beside its high
// byte, for those who multiply whole codes modulo 2^32 and tell by the high bytes what that lacks.
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

/// What plane 1 holds, beside high bytes in plane 0: low bytes, or whole codes, two of consecutive
/// depths side by side.
enum class WideForm { LowBytes, WholeCodes };

/// Depths whose sum is told by products of high bytes: |sum - 65536 * sum of those| <= 2^31.
inline constexpr int64_t kWholeDepths = 128;

/// One product (only plane 0) or two planes.
struct ScoreFormat {
  bool narrow;
  WideForm wide;
  int32_t queryZero, keyZero;
  ScoreFormat(Codes q, Codes k, WideForm wide)
      : narrow(q.format.type == ElementType::I8 && k.format.type == ElementType::I8), wide(wide),
        queryZero(q.format.zeroPoint), keyZero(k.format.zeroPoint) {}
  bool isWhole() const { return !narrow && wide == WideForm::WholeCodes; }
};

/// Rows x columns of codes, stride in elements.
struct CodeRows {
  Codes codes;
  int64_t rows = 0, columns = 0, stride = 0;
};

/// Keys in panels of 16, whole steps of them. Beside whole codes high bytes are unsigned, with 128
/// added.
class KeyPanels {
public:
  KeyPanels(const DotKernels &kernels, const CodeRows &keys, const ScoreFormat &format);
  int64_t chunks() const { return chunkCount; }
  /// Of 16 keys: chunks() tiles, of whole codes twice as many.
  const int8_t *panel(int64_t firstKey, int plane) const {
    return panels[plane] + firstKey / kByteLanes * panelBytes() * (plane == 1 ? lowBytes : 1);
  }
  /// Narrow only: the term of each key.
  const int32_t *terms() const { return keyTerms.data(); }

private:
  int64_t panelBytes() const { return chunkCount * kByteChunk * kByteLanes; }
  int64_t chunkCount, lowBytes; ///< of an element of plane 1
  int8_t *panels[2] = {};
  std::vector<int32_t> keyTerms;
};

/// Sixteen queries; missing ones are zero.
class QueryRows {
public:
  QueryRows(const DotKernels &kernels, const CodeRows &queries, const ScoreFormat &format);
  /// Of plane 0; whole codes are twice as far apart.
  int64_t stride() const { return rowBytes; }
  const uint8_t *plane(int index) const { return bytes.data() + index * kByteGroup * rowBytes; }
  /// Narrow only: the term of each query.
  const int64_t *terms() const { return queryTerms; }
  /// Beside whole codes: what the 128 of the keys add to products of high bytes, with the sign
  /// turned, of kWholeDepths from `depth` on.
  const int32_t *highTerms(int64_t depth) const {
    return wholeTerms.data() + depth / kWholeDepths * kByteGroup;
  }

private:
  int64_t rowBytes;
  std::vector<uint8_t> bytes;
  int64_t queryTerms[kByteGroup] = {};
  std::vector<int32_t> wholeTerms;
};

/// Values in panels of 16 dimensions, chunks of kKeyStep keys. 8-bit codes are one plane, with
/// their zero point.
class ValuePanels {
public:
  ValuePanels(const DotKernels &kernels, const CodeRows &values, WideForm form);
  bool isNarrow() const { return narrow; }
  bool isWhole() const { return lowBytes == 2; }
  const int8_t *panel(int64_t firstKey, int64_t firstDim, int plane) const {
    return panels[plane] +
           chunk(firstKey, firstDim) * kByteChunk * kByteLanes * (plane == 1 ? lowBytes : 1);
  }
  /// Whole codes: 32768 times the sum of each dimension of a chunk, modulo 2^32; chunk by chunk.
  const int32_t *terms(int64_t firstKey, int64_t firstDim) const {
    return wholeTerms.data() + chunk(firstKey, firstDim) * kByteLanes;
  }

private:
  int64_t chunk(int64_t firstKey, int64_t firstDim) const {
    return firstDim / kByteLanes * steps + firstKey / kKeyStep;
  }

  bool narrow;
  int64_t steps, lowBytes; ///< of an element of plane 1
  int8_t *panels[2] = {};
  std::vector<int32_t> wholeTerms;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ATTENTIONPANELS_H
