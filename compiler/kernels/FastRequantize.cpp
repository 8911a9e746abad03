//===- FastRequantize.cpp - accumulators to codes at speed ------------------===//
//
// A 64-bit accumulator times a 31-bit multiplier in two halves, exact for |acc| < 2^55:
//
//   (acc * m + 2^(s-1)) >> s = (high * m + 2^(s-25) + (low * m >> 24)) >> (s - 24)
//
// with high = acc >> 24 and low = acc mod 2^24. Runs with a larger accumulator take 128 bits.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FastRequantize.h"
#include "compiler/kernels/InstructionSets.h"

#include <algorithm>

namespace sdopt {

namespace {

template <typename Output>
void requantizeRun(const int64_t *acc, int64_t channels, const ChannelParams *params,
                   CodeFormat format, Output *y) {
  constexpr Int128 kLimit = static_cast<Int128>(1) << 40;
  for (int64_t c = 0; c < channels; ++c) {
    Int128 sum = static_cast<Int128>(acc[c]) + params[c].bias;
    Int128 half = static_cast<Int128>(1) << (params[c].shift - 1);
    Int128 value = (sum * params[c].multiplier + half) >> params[c].shift;
    int64_t code = static_cast<int64_t>(std::clamp(value, -kLimit, kLimit)) + format.zeroPoint;
    y[c] = static_cast<Output>(std::clamp<int64_t>(code, format.min(), format.max()));
  }
}

template <typename Output>
void requantizeRows(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                    CodeFormat format, Output *y) {
  for (int64_t r = 0; r < rows; ++r)
    requantizeRun(acc + r * channels, channels, params, format, y + r * channels);
}

#if defined(__x86_64__)

// Parameters of eight channels, one in each 64-bit lane.
struct EightChannels {
  __m512i bias, multiplier, half, shift;
};

SDOPT_AVX512 inline EightChannels loadChannels(const ChannelParams *params) {
  const __m512i kEven = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
  const __m512i kOdd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
  __m512i first = _mm512_loadu_si512(params), second = _mm512_loadu_si512(params + 4);
  __m512i factors = _mm512_permutex2var_epi64(first, kOdd, second);
  __m512i shift = _mm512_srli_epi64(factors, 32);
  __m512i one = _mm512_set1_epi64(1);
  return {_mm512_permutex2var_epi64(first, kEven, second),
          _mm512_and_si512(factors, _mm512_set1_epi64(0xffffffff)),
          _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, _mm512_set1_epi64(25))),
          _mm512_sub_epi64(shift, _mm512_set1_epi64(24))};
}

// Values without zero point; false if an accumulator is too large.
SDOPT_AVX512 inline bool scaleEight(__m512i acc, const EightChannels &channels, __m512i &values) {
  const __m512i kLimit = _mm512_set1_epi64(int64_t(1) << 54);
  __m512i sum = _mm512_add_epi64(acc, channels.bias);
  __mmask8 large = _mm512_cmpge_epi64_mask(_mm512_abs_epi64(acc), kLimit) |
                   _mm512_cmpge_epi64_mask(_mm512_abs_epi64(channels.bias), kLimit) |
                   _mm512_cmplt_epi64_mask(_mm512_abs_epi64(acc), _mm512_setzero_si512()) |
                   _mm512_cmplt_epi64_mask(_mm512_abs_epi64(channels.bias), _mm512_setzero_si512());
  if (large)
    return false;
  __m512i high = _mm512_srai_epi64(sum, 24);
  __m512i low = _mm512_and_si512(sum, _mm512_set1_epi64((1 << 24) - 1));
  __m512i product = _mm512_add_epi64(_mm512_mul_epi32(high, channels.multiplier), channels.half);
  product =
      _mm512_add_epi64(product, _mm512_srli_epi64(_mm512_mul_epu32(low, channels.multiplier), 24));
  values = _mm512_srav_epi64(product, channels.shift);
  return true;
}

SDOPT_AVX512 inline void storeEight(__m512i codes, int8_t *y) {
  _mm_storel_epi64(reinterpret_cast<__m128i *>(y), _mm512_cvtepi64_epi8(codes));
}

SDOPT_AVX512 inline void storeEight(__m512i codes, int16_t *y) {
  _mm_storeu_si128(reinterpret_cast<__m128i *>(y), _mm512_cvtepi64_epi16(codes));
}

template <typename Output>
SDOPT_AVX512 void requantizeRows512(const int64_t *acc, int64_t rows, int64_t channels,
                                    const ChannelParams *params, CodeFormat format, Output *y) {
  __m512i low = _mm512_set1_epi64(format.min()), high = _mm512_set1_epi64(format.max());
  __m512i zeroPoint = _mm512_set1_epi64(format.zeroPoint);
  int64_t whole = channels / 8 * 8;
  for (int64_t c = 0; c < whole; c += 8) {
    EightChannels eight = loadChannels(params + c);
    for (int64_t r = 0; r < rows; ++r) {
      int64_t i = r * channels + c;
      __m512i values;
      if (!scaleEight(_mm512_loadu_si512(acc + i), eight, values)) {
        requantizeRun(acc + i, 8, params + c, format, y + i);
        continue;
      }
      values = _mm512_add_epi64(values, zeroPoint);
      storeEight(_mm512_min_epi64(_mm512_max_epi64(values, low), high), y + i);
    }
  }
  for (int64_t r = 0; r < rows; ++r)
    requantizeRun(acc + r * channels + whole, channels - whole, params + whole, format,
                  y + r * channels + whole);
}

#endif

} // namespace

void portableRequantize(const int64_t *acc, int64_t rows, int64_t channels,
                        const ChannelParams *params, CodeFormat format, void *y) {
  if (format.type == ElementType::I8)
    requantizeRows(acc, rows, channels, params, format, static_cast<int8_t *>(y));
  else
    requantizeRows(acc, rows, channels, params, format, static_cast<int16_t *>(y));
}

void fastRequantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                    CodeFormat format, void *y) {
#if defined(__x86_64__)
  if (hasAvx512()) {
    if (format.type == ElementType::I8)
      requantizeRows512(acc, rows, channels, params, format, static_cast<int8_t *>(y));
    else
      requantizeRows512(acc, rows, channels, params, format, static_cast<int16_t *>(y));
    return;
  }
#endif
  portableRequantize(acc, rows, channels, params, format, y);
}

} // namespace sdopt
