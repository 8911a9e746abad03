//===- NormAvx512.cpp - norms by vectors ------------------------------------===//

#include "compiler/kernels/NormAvx512.h"
#include "compiler/kernels/EightLanes.h"

#include <algorithm>

namespace sdopt::avx512 {

#if defined(__x86_64__)

namespace {

SDOPT_AVX512 inline __m512i loadSixteen(const int8_t *codes, __mmask16 mask) {
  return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, codes));
}

SDOPT_AVX512 inline __m512i loadSixteen(const int16_t *codes, __mmask16 mask) {
  return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, codes));
}

inline __mmask16 sixteenMask(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << count) - 1);
}

// Sums of sixteen streams of codes; at most 2^15 codes each.
struct SixteenSums {
  __m512i sum, evenSquares, oddSquares;

  SDOPT_AVX512 static SixteenSums zero() {
    return {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  }
  SDOPT_AVX512 void add(__m512i x) {
    __m512i odd = _mm512_srli_epi64(x, 32);
    sum = _mm512_add_epi32(sum, x);
    evenSquares = _mm512_add_epi64(evenSquares, _mm512_mul_epi32(x, x));
    oddSquares = _mm512_add_epi64(oddSquares, _mm512_mul_epi32(odd, odd));
  }
};

template <typename Input> SDOPT_AVX512 NormSums sumsOf(const Input *x, int64_t count) {
  constexpr int64_t kPart = 16 << 15;
  NormSums result;
  for (int64_t first = 0; first < count; first += kPart) {
    SixteenSums sums = SixteenSums::zero();
    int64_t last = std::min(count, first + kPart);
    for (int64_t i = first; i < last; i += 16)
      sums.add(loadSixteen(x + i, sixteenMask(last - i)));
    __m512i wide = _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums.sum)),
                                    _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums.sum, 1)));
    result.sum += _mm512_reduce_add_epi64(wide);
    result.squares += _mm512_reduce_add_epi64(_mm512_add_epi64(sums.evenSquares, sums.oddSquares));
  }
  return result;
}

template <typename Input>
SDOPT_AVX512 void channelSumsOf(const Input *x, int64_t rows, int64_t channels, NormSums *target) {
  for (int64_t c = 0; c < channels; c += 16) {
    int64_t count = std::min<int64_t>(16, channels - c);
    __mmask16 mask = sixteenMask(count);
    SixteenSums sums = SixteenSums::zero();
    for (int64_t r = 0; r < rows; ++r)
      sums.add(loadSixteen(x + r * channels + c, mask));
    alignas(64) int32_t sum[16];
    alignas(64) int64_t squares[2][8];
    _mm512_store_si512(sum, sums.sum);
    _mm512_store_si512(squares[0], sums.evenSquares);
    _mm512_store_si512(squares[1], sums.oddSquares);
    for (int64_t i = 0; i < count; ++i) {
      target[c + i].sum += sum[i];
      target[c + i].squares += squares[i % 2][i / 2];
    }
  }
}

// What eight channels need.
struct EightFactors {
  __m512i mean, mantissa, zHalf, zShift, gamma, offset;
};

SDOPT_AVX512 inline EightFactors factorsFor(const NormRows &n, int64_t channel) {
  alignas(64) int64_t mean[8], mantissa[8], shift[8];
  int64_t count = std::min<int64_t>(8, n.channels - channel);
  EightFactors f;
  if (n.groupOf.empty()) {
    const NormFactor &factor = n.factors[channel / n.channelsPerGroup];
    f.mean = _mm512_set1_epi64(factor.mean);
    f.mantissa = _mm512_set1_epi64(factor.mantissa);
    f.zShift = _mm512_set1_epi64(factor.mantissa ? factor.shift : 1);
  } else {
    for (int64_t i = 0; i < 8; ++i) {
      const NormFactor &factor = n.factors[n.groupOf[channel + std::min(i, count - 1)]];
      mean[i] = factor.mean;
      mantissa[i] = factor.mantissa;
      shift[i] = factor.mantissa ? factor.shift : 1;
    }
    f.mean = _mm512_load_si512(mean);
    f.mantissa = _mm512_load_si512(mantissa);
    f.zShift = _mm512_load_si512(shift);
  }
  __m512i one = _mm512_set1_epi64(1);
  f.zHalf = _mm512_sllv_epi64(one, _mm512_sub_epi64(f.zShift, one));
  LanePairs params = LanePairs::load(n.channelParams + channel, count);
  // gamma is the low half of the second word.
  f.gamma = _mm512_srai_epi64(_mm512_slli_epi64(params.second, 32), 32);
  f.offset = _mm512_add_epi64(params.first, _mm512_set1_epi64(int64_t(1) << (n.shift - 1)));
  return f;
}

// |code << 14 - mean| <= 2^30, so that its product with a 31-bit mantissa is below 2^61.
template <typename Input, typename Output>
SDOPT_AVX512 void normRows(const NormRows &n, const Input *x, CodeFormat format, Output *y) {
  LaneOutput output(format);
  const __m512i high = _mm512_set1_epi64((int64_t(1) << 38) - 1);
  const __m512i low = _mm512_set1_epi64(-(int64_t(1) << 38));
  __m128i shift = _mm_cvtsi32_si128(n.shift);
  for (int64_t c = 0; c < n.channels; c += 8) {
    __mmask8 mask = laneMask(n.channels - c);
    EightFactors f = factorsFor(n, c);
    for (int64_t i = c; i < n.rows * n.channels; i += n.channels) {
      __m512i centred = _mm512_sub_epi64(_mm512_slli_epi64(loadLanes(x + i, mask), 14), f.mean);
      __m512i z = _mm512_add_epi64(_mm512_mul_epi32(centred, f.mantissa), f.zHalf);
      z = _mm512_srav_epi64(z, f.zShift);
      z = _mm512_max_epi64(_mm512_min_epi64(z, high), low);
      __m512i sum = _mm512_add_epi64(_mm512_mullo_epi64(z, f.gamma), f.offset);
      output.store(_mm512_sra_epi64(sum, shift), mask, y + i);
    }
  }
}

template <typename Input>
void normFrom(const NormRows &n, const Input *x, CodeFormat format, void *y) {
  if (format.type == ElementType::I8)
    normRows(n, x, format, static_cast<int8_t *>(y));
  else
    normRows(n, x, format, static_cast<int16_t *>(y));
}

SDOPT_AVX512 bool modestChannels(const NormChannel *params, int64_t channels) {
  const __m512i maxGamma = _mm512_set1_epi64(1 << 24);
  const __m512i maxBeta = _mm512_set1_epi64(int64_t(1) << 61);
  __mmask8 large = 0;
  for (int64_t c = 0; c < channels; c += 8) {
    LanePairs p = LanePairs::load(params + c, channels - c);
    __m512i gamma = _mm512_srai_epi64(_mm512_slli_epi64(p.second, 32), 32);
    large |= _mm512_cmpgt_epu64_mask(_mm512_abs_epi64(gamma), maxGamma) |
             _mm512_cmpgt_epu64_mask(_mm512_abs_epi64(p.first), maxBeta);
  }
  return !large;
}

} // namespace

NormSums sums(Codes x, int64_t count) {
  return x.format.type == ElementType::I8 ? sumsOf(static_cast<const int8_t *>(x.data), count)
                                          : sumsOf(static_cast<const int16_t *>(x.data), count);
}

void channelSums(Codes x, int64_t rows, int64_t channels, NormSums *sums) {
  if (x.format.type == ElementType::I8)
    channelSumsOf(static_cast<const int8_t *>(x.data), rows, channels, sums);
  else
    channelSumsOf(static_cast<const int16_t *>(x.data), rows, channels, sums);
}

void normApply(const NormRows &rows, CodeFormat format, void *y) {
  if (rows.x.format.type == ElementType::I8)
    normFrom(rows, static_cast<const int8_t *>(rows.x.data), format, y);
  else
    normFrom(rows, static_cast<const int16_t *>(rows.x.data), format, y);
}

bool areModest(const NormChannel *params, int64_t channels) {
  return modestChannels(params, channels);
}

#else

NormSums sums(Codes, int64_t) { return {}; }
void channelSums(Codes, int64_t, int64_t, NormSums *) {}
void normApply(const NormRows &, CodeFormat, void *) {}
bool areModest(const NormChannel *, int64_t) { return false; }

#endif

} // namespace sdopt::avx512
