//===- ExponentLanes.h - sixteen exponentials at a time ---------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_EXPONENTLANES_H
#define SDOPT_COMPILER_KERNELS_EXPONENTLANES_H

#include "compiler/kernels/InstructionSets.h"
#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// From this exponent on, octave 17, E is 0.
inline constexpr int64_t kZeroExponent = 17 * 4096;

#if defined(__x86_64__)

/// 64 entries in registers: a look-up by permutation takes a few cycles for all lanes, where
/// gathers take several for each.
struct LaneTable {
  __m512i parts[4];

  SDOPT_AVX512 explicit LaneTable(const std::array<int32_t, 64> &entries) {
    for (int i = 0; i < 4; ++i)
      parts[i] = _mm512_loadu_si512(entries.data() + 16 * i);
  }
  /// Entries by the low six bits.
  SDOPT_AVX512 __m512i at(__m512i index) const {
    const __m512i low = _mm512_permutex2var_epi32(parts[0], index, parts[1]);
    const __m512i high = _mm512_permutex2var_epi32(parts[2], index, parts[3]);
    return _mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(index, _mm512_set1_epi32(32)), high);
  }
};

/// E of exponents t <= kZeroExponent (docs/spec.md, attention).
class ExponentLanes {
public:
  SDOPT_AVX512 ExponentLanes() : high_(exponentTableHigh()), low_(exponentTableLow()) {}

  SDOPT_AVX512 __m512i operator()(__m512i t) const {
    const __m512i octave = _mm512_srli_epi32(t, 12);
    const __m512i p = high_.at(_mm512_srli_epi32(t, 6)), q = low_.at(t);
    // Dropping 29 bits of the product first does not change its rounding to 44 + octave of them.
    const __m512i even = _mm512_srli_epi64(_mm512_mul_epi32(p, q), 29);
    const __m512i odd = _mm512_slli_epi64(
        _mm512_srli_epi64(_mm512_mul_epi32(_mm512_srli_epi64(p, 32), _mm512_srli_epi64(q, 32)), 29),
        32);
    const __m512i product = _mm512_mask_mov_epi32(even, 0xaaaa, odd);
    const __m512i rounding = _mm512_sllv_epi32(_mm512_set1_epi32(1 << 14), octave);
    // At octave 17 the count is 32, which gives 0.
    const __m512i e = _mm512_srlv_epi32(_mm512_add_epi32(product, rounding),
                                        _mm512_add_epi32(octave, _mm512_set1_epi32(15)));
    return _mm512_min_epu32(e, _mm512_set1_epi32(65535));
  }

private:
  LaneTable high_, low_;
};

#endif

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_EXPONENTLANES_H
