//===- EightLanes.h - codes in eight lanes of 64 bits -----------*- C++ -*-===//
//
// Inline pieces of the AVX-512 functions; include only where SDOPT_AVX512 functions call them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_EIGHTLANES_H
#define SDOPT_COMPILER_KERNELS_EIGHTLANES_H

#include "compiler/kernels/FixedPoint.h"
#include "compiler/kernels/InstructionSets.h"

#include <algorithm>

namespace sdopt {

#if defined(__x86_64__)

/// The first `count` >= 1 of eight lanes.
inline __mmask8 laneMask(int64_t count) {
  return static_cast<__mmask8>(count >= 8 ? 0xff : (1 << count) - 1);
}

SDOPT_AVX512 inline __m512i loadLanes(const int8_t *codes, __mmask8 mask) {
  return _mm512_cvtepi8_epi64(_mm_maskz_loadu_epi8(mask, codes));
}

SDOPT_AVX512 inline __m512i loadLanes(const int16_t *codes, __mmask8 mask) {
  return _mm512_cvtepi16_epi64(_mm_maskz_loadu_epi16(mask, codes));
}

/// saturate() of values that leave room for the zero point, and the store.
class LaneOutput {
public:
  SDOPT_AVX512 explicit LaneOutput(CodeFormat format)
      : zeroPoint(_mm512_set1_epi64(format.zeroPoint)), low(_mm512_set1_epi64(format.min())),
        high(_mm512_set1_epi64(format.max())) {}

  SDOPT_AVX512 void store(__m512i values, __mmask8 mask, int8_t *y) const {
    _mm512_mask_cvtepi64_storeu_epi8(y, mask, saturated(values));
  }
  SDOPT_AVX512 void store(__m512i values, __mmask8 mask, int16_t *y) const {
    _mm512_mask_cvtepi64_storeu_epi16(y, mask, saturated(values));
  }

private:
  SDOPT_AVX512 __m512i saturated(__m512i values) const {
    values = _mm512_add_epi64(values, zeroPoint);
    return _mm512_min_epi64(_mm512_max_epi64(values, low), high);
  }

  __m512i zeroPoint, low, high;
};

/// Factors m / 2^s in two halves, exact for |value| < 2^55 and s >= 25:
///
///   (v * m + 2^(s-1)) >> s = (high * m + 2^(s-25) + (low * m >> 24)) >> (s - 24)
///
/// with high = v >> 24 and low = v mod 2^24.
struct LaneScaling {
  __m512i multiplier, half, shift;

  SDOPT_AVX512 static LaneScaling of(__m512i multiplier, __m512i shift) {
    __m512i one = _mm512_set1_epi64(1);
    return {multiplier, _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, _mm512_set1_epi64(25))),
            _mm512_sub_epi64(shift, _mm512_set1_epi64(24))};
  }
  /// Of the second words of ChannelParams. Lanes without a channel hold nothing of use.
  SDOPT_AVX512 static LaneScaling of(__m512i words) {
    return of(_mm512_and_si512(words, _mm512_set1_epi64(0xffffffff)), _mm512_srli_epi64(words, 32));
  }

  SDOPT_AVX512 __m512i operator()(__m512i value) const {
    __m512i high = _mm512_srai_epi64(value, 24);
    __m512i low = _mm512_and_si512(value, _mm512_set1_epi64((1 << 24) - 1));
    __m512i product = _mm512_add_epi64(_mm512_mul_epi32(high, multiplier), half);
    product = _mm512_add_epi64(product, _mm512_srli_epi64(_mm512_mul_epu32(low, multiplier), 24));
    return _mm512_srav_epi64(product, shift);
  }
};

/// Eight structures of two 64-bit words: the words of each kind.
struct LanePairs {
  __m512i first, second;

  /// `count` <= 8 of them exist.
  SDOPT_AVX512 static LanePairs load(const void *structures, int64_t count) {
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    auto mask = static_cast<uint32_t>((1u << (2 * std::min<int64_t>(count, 8))) - 1);
    const auto *words = static_cast<const int64_t *>(structures);
    __m512i low = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask), words);
    __m512i high = _mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask >> 8), words + 8);
    return {_mm512_permutex2var_epi64(low, even, high), _mm512_permutex2var_epi64(low, odd, high)};
  }
};

#endif

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_EIGHTLANES_H
