//===- PointwiseAvx512.cpp - pointwise operations by vectors ----------------===//

#include "compiler/kernels/EightLanes.h"
#include "compiler/kernels/NormAvx512.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

#if defined(__x86_64__)

namespace {

// A product of LaneScaling would not hold it.
SDOPT_AVX512 inline __mmask8 tooLarge(__m512i values) {
  return _mm512_cmpge_epu64_mask(_mm512_abs_epi64(values), _mm512_set1_epi64(int64_t(1) << 54));
}

template <typename Output>
SDOPT_AVX512 void requantizeRows(const int64_t *acc, int64_t rows, int64_t channels,
                                 const ChannelParams *params, CodeFormat format, Output *y) {
  LaneOutput output(format);
  for (int64_t c = 0; c < channels; c += 8) {
    int64_t count = std::min<int64_t>(8, channels - c);
    __mmask8 mask = laneMask(count);
    LanePairs pairs = LanePairs::load(params + c, count);
    __m512i bias = pairs.first;
    LaneScaling scale = LaneScaling::of(pairs.second);
    bool largeBias = tooLarge(bias);
    for (int64_t i = c; i < rows * channels; i += channels) {
      __m512i sum = _mm512_maskz_loadu_epi64(mask, acc + i);
      if (largeBias || tooLarge(sum))
        portablePointwise().requantize(acc + i, 1, count, params + c, format, y + i);
      else
        output.store(scale(_mm512_add_epi64(sum, bias)), mask, y + i);
    }
  }
}

template <typename A, typename B, typename Output>
SDOPT_AVX512 void combineRun(const A *a, int32_t aZero, const B *b, int32_t bZero, int64_t count,
                             const PairScaling &scaling, CodeFormat format, Output *y) {
  LaneOutput output(format);
  __m512i zeroA = _mm512_set1_epi64(aZero), zeroB = _mm512_set1_epi64(bZero);
  __m512i factorA = _mm512_set1_epi64(scaling.multiplierA);
  __m512i factorB = _mm512_set1_epi64(scaling.multiplierB);
  __m512i half = _mm512_set1_epi64(int64_t(1) << (scaling.shift - 1));
  __m128i shift = _mm_cvtsi32_si128(scaling.shift);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = laneMask(count - i);
    __m512i left = _mm512_sub_epi64(loadLanes(a + i, mask), zeroA);
    __m512i sum = _mm512_add_epi64(_mm512_mul_epi32(left, factorA), half);
    if (b) {
      __m512i right = _mm512_sub_epi64(loadLanes(b + i, mask), zeroB);
      sum = _mm512_add_epi64(sum, _mm512_mul_epi32(right, factorB));
    }
    output.store(_mm512_sra_epi64(sum, shift), mask, y + i);
  }
}

template <typename A, typename Output>
void combineFrom(const A *a, int32_t aZero, Codes b, int64_t count, const PairScaling &scaling,
                 CodeFormat format, Output *y) {
  if (b.format.type == ElementType::I8)
    combineRun(a, aZero, static_cast<const int8_t *>(b.data), b.format.zeroPoint, count, scaling,
               format, y);
  else
    combineRun(a, aZero, static_cast<const int16_t *>(b.data), b.format.zeroPoint, count, scaling,
               format, y);
}

template <typename Output>
void combineTo(Codes a, Codes b, int64_t count, const PairScaling &scaling, CodeFormat format,
               Output *y) {
  if (a.format.type == ElementType::I8)
    combineFrom(static_cast<const int8_t *>(a.data), a.format.zeroPoint, b, count, scaling, format,
                y);
  else
    combineFrom(static_cast<const int16_t *>(a.data), a.format.zeroPoint, b, count, scaling, format,
                y);
}

// T[i] * (64 - f) + T[i+1] * f of eight I16 codes; both knots come by one gather.
SDOPT_AVX512 inline __m512i interpolated(__m512i codes, const int32_t *entries) {
  __m512i u = _mm512_add_epi64(codes, _mm512_set1_epi64(32768));
  __m512i f = _mm512_and_si512(u, _mm512_set1_epi64(63));
  __m512i knots = _mm512_i64gather_epi64(_mm512_srli_epi64(u, 6), entries, 4);
  __m512i left = _mm512_mul_epi32(knots, _mm512_sub_epi64(_mm512_set1_epi64(64), f));
  return _mm512_add_epi64(left, _mm512_mul_epi32(_mm512_srli_epi64(knots, 32), f));
}

template <typename Output>
SDOPT_AVX512 void tableRun(const int16_t *x, int64_t count, const int32_t *entries,
                           CodeFormat format, Output *y) {
  LaneOutput output(format);
  const __m512i half = _mm512_set1_epi64(1 << 13);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = laneMask(count - i);
    __m512i value = interpolated(loadLanes(x + i, mask), entries);
    output.store(_mm512_srai_epi64(_mm512_add_epi64(value, half), 14), mask, y + i);
  }
}

SDOPT_AVX512 inline __m512i gelu(const int16_t *x, __mmask8 mask, const int32_t *entries) {
  __m512i value = interpolated(loadLanes(x, mask), entries);
  return _mm512_srai_epi64(_mm512_add_epi64(value, _mm512_set1_epi64(32)), 6);
}

SDOPT_AVX512 inline __m512i gelu(const int8_t *x, __mmask8 mask, const int32_t *entries) {
  __m512i index = _mm512_add_epi64(loadLanes(x, mask), _mm512_set1_epi64(128));
  return _mm512_cvtepi32_epi64(_mm512_i64gather_epi32(index, entries, 4));
}

template <typename Input, typename Output>
SDOPT_AVX512 void gegluRun(const Input *x, int32_t zeroPoint, int64_t count, const int32_t *entries,
                           Scaling scaling, CodeFormat format, Output *y) {
  LaneOutput output(format);
  LaneScaling scale =
      LaneScaling::of(_mm512_set1_epi64(scaling.multiplier), _mm512_set1_epi64(scaling.shift));
  __m512i zero = _mm512_set1_epi64(zeroPoint);
  for (int64_t i = 0; i < count; i += 8) {
    __mmask8 mask = laneMask(count - i);
    __m512i left = _mm512_sub_epi64(loadLanes(x + i, mask), zero);
    __m512i product = _mm512_mul_epi32(left, gelu(x + count + i, mask, entries));
    output.store(scale(product), mask, y + i);
  }
}

template <typename Input, typename Output>
void gegluRows(const Input *x, int32_t zeroPoint, int64_t rows, int64_t channels,
               const int32_t *entries, Scaling scaling, CodeFormat format, Output *y) {
  for (int64_t r = 0; r < rows; ++r)
    gegluRun(x + r * 2 * channels, zeroPoint, channels, entries, scaling, format, y + r * channels);
}

template <typename Input>
void gegluFrom(const Input *x, int32_t zeroPoint, int64_t rows, int64_t channels,
               const int32_t *entries, Scaling scaling, CodeFormat format, void *y) {
  if (format.type == ElementType::I8)
    gegluRows(x, zeroPoint, rows, channels, entries, scaling, format, static_cast<int8_t *>(y));
  else
    gegluRows(x, zeroPoint, rows, channels, entries, scaling, format, static_cast<int16_t *>(y));
}

// The quotient as a double is off by less than 2^-30 for a result of up to 2^17, so that its floor
// is exact unless it is that close to an integer; beyond that the result saturates.
template <typename Output>
SDOPT_AVX512 bool finishRun(int64_t headDim, double factor, const int64_t *acc, CodeFormat format,
                            Output *y) {
  LaneOutput output(format);
  const __m512d margin = _mm512_set1_pd(0x1p-28), half = _mm512_set1_pd(0.5);
  const __m512d high = _mm512_set1_pd(0x1p18 + 0.5), low = _mm512_set1_pd(-0x1p18 - 0.5);
  const __m512i exact = _mm512_set1_epi64(int64_t(1) << 52);
  __m512d scale = _mm512_set1_pd(factor);
  __mmask8 doubtful = 0;
  for (int64_t i = 0; i < headDim; i += 8) {
    __mmask8 mask = laneMask(headDim - i);
    __m512i sum = _mm512_maskz_loadu_epi64(mask, acc + i);
    __m512d value = _mm512_add_pd(_mm512_mul_pd(_mm512_cvtepi64_pd(sum), scale), half);
    value = _mm512_max_pd(_mm512_min_pd(value, high), low);
    __m512d floor = _mm512_roundscale_pd(value, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512d below = _mm512_sub_pd(_mm512_add_pd(value, margin), floor);
    __m512d above = _mm512_sub_pd(value, floor);
    doubtful |= _mm512_cmpge_epu64_mask(_mm512_abs_epi64(sum), exact);
    doubtful |= _mm512_mask_cmp_pd_mask(mask, below, _mm512_set1_pd(1), _CMP_GE_OQ);
    doubtful |= _mm512_mask_cmp_pd_mask(mask, above, margin, _CMP_LT_OQ);
    output.store(_mm512_cvtpd_epi64(floor), mask, y + i);
  }
  return !doubtful;
}

void requantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                CodeFormat format, void *y) {
  if (format.type == ElementType::I8)
    requantizeRows(acc, rows, channels, params, format, static_cast<int8_t *>(y));
  else
    requantizeRows(acc, rows, channels, params, format, static_cast<int16_t *>(y));
}

void combine(Codes a, Codes b, int64_t count, const PairScaling &scaling, CodeFormat format,
             void *y) {
  if (format.type == ElementType::I8)
    combineTo(a, b, count, scaling, format, static_cast<int8_t *>(y));
  else
    combineTo(a, b, count, scaling, format, static_cast<int16_t *>(y));
}

void table(const int16_t *x, int64_t count, const int32_t *entries, CodeFormat format, void *y) {
  if (format.type == ElementType::I8)
    tableRun(x, count, entries, format, static_cast<int8_t *>(y));
  else
    tableRun(x, count, entries, format, static_cast<int16_t *>(y));
}

void geglu(Codes x, int64_t rows, int64_t channels, const int32_t *entries, Scaling scaling,
           CodeFormat format, void *y) {
  if (x.format.type == ElementType::I8)
    gegluFrom(static_cast<const int8_t *>(x.data), x.format.zeroPoint, rows, channels, entries,
              scaling, format, y);
  else
    gegluFrom(static_cast<const int16_t *>(x.data), x.format.zeroPoint, rows, channels, entries,
              scaling, format, y);
}

bool finish(int64_t headDim, int64_t rowSum, const int64_t *acc, Scaling output, CodeFormat format,
            void *y) {
  if (rowSum <= 0 || output.shift < 0 || output.shift > 126)
    return false;
  double factor = std::ldexp(static_cast<double>(output.multiplier), -output.shift) /
                  static_cast<double>(rowSum);
  return format.type == ElementType::I8
             ? finishRun(headDim, factor, acc, format, static_cast<int8_t *>(y))
             : finishRun(headDim, factor, acc, format, static_cast<int16_t *>(y));
}

} // namespace

const PointwiseKernels &avx512Pointwise() {
  static const PointwiseKernels kernels{
      requantize,        combine,           table, geglu, avx512::sums, avx512::channelSums,
      avx512::areModest, avx512::normApply, finish};
  return kernels;
}

#else

const PointwiseKernels &avx512Pointwise() { return portablePointwise(); }

#endif

} // namespace sdopt
