//===- AttentionVectors.cpp - maxima and exponentials of scores -------------===//
//
// A wide score is kept as two 32-bit halves, 65536 * high + low with low in [0, 65535], and so is a
// distance d = 65536 * h + l from the maximum. Its exponent needs no product of more than 64 bits:
//
//   (d * m + 2^(s-1)) >> s = (h * m + ((l * m + 2^(s-1)) >> 16)) >> (s - 16)
//
// Maxima that no score can have take 128 bits.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/AttentionVectors.h"
#include "compiler/kernels/ExponentLanes.h"

#include <algorithm>
#include <cstring>

namespace sdopt {

namespace {

int64_t difference(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

#if defined(__x86_64__)

constexpr int64_t kGroups = kKeyStep / kByteLanes;

SDOPT_AVX512 inline __m512i loadLanes(const int32_t *values) { return _mm512_load_si512(values); }

// Lanes of group g that belong to the first `count` keys of a step.
SDOPT_AVX512 inline __mmask16 visible(int64_t count, int64_t g) {
  int64_t lanes = std::clamp<int64_t>(count - g * kByteLanes, 0, kByteLanes);
  return static_cast<__mmask16>((1u << lanes) - 1);
}

struct Halves {
  __m512i high, low;
};

SDOPT_AVX512 inline Halves loadScores(const StepScores &scores, int64_t row, int64_t g) {
  const auto *low = reinterpret_cast<const __m256i *>(scores.low[row] + g * kByteLanes);
  return {loadLanes(scores.high[row] + g * kByteLanes),
          _mm512_cvtepu16_epi32(_mm256_load_si256(low))};
}

SDOPT_AVX512 void joinBytes(const StepProducts &products, StepScores &scores) {
  const __m512i byte = _mm512_set1_epi32(255);
  for (int64_t row = 0; row < kByteGroup; ++row)
    for (int64_t i = 0; i < kKeyStep; i += kByteLanes) {
      __m512i low = loadLanes(products.low[row] + i);
      __m512i middle =
          _mm512_add_epi32(loadLanes(products.middle[row] + i), _mm512_srli_epi32(low, 8));
      __m512i high =
          _mm512_add_epi32(loadLanes(products.high[row] + i), _mm512_srai_epi32(middle, 8));
      __m512i lowByte = _mm512_and_si512(low, byte), middleByte = _mm512_slli_epi32(middle, 8);
      _mm512_store_si512(scores.high[row] + i, high);
      _mm256_store_si256(reinterpret_cast<__m256i *>(scores.low[row] + i),
                         _mm512_cvtepi32_epi16(_mm512_or_si512(middleByte, lowByte)));
    }
}

SDOPT_AVX512 void addKeyTerms(const StepProducts &products, const int32_t *keyTerms,
                              StepScores &scores) {
  for (int64_t row = 0; row < kByteGroup; ++row)
    for (int64_t i = 0; i < kKeyStep; i += kByteLanes)
      _mm512_store_si512(scores.high[row] + i, _mm512_add_epi32(loadLanes(products.high[row] + i),
                                                                _mm512_loadu_si512(keyTerms + i)));
}

SDOPT_AVX512 void addWideMaxima(const StepScores &scores, int64_t row, int64_t count, int32_t *high,
                                int32_t *low) {
  Halves best{loadLanes(high), loadLanes(low)};
  for (int64_t g = 0; g < kGroups; ++g) {
    Halves s = loadScores(scores, row, g);
    __mmask16 mask = visible(count, g);
    __mmask16 greater = _mm512_mask_cmpgt_epi32_mask(mask, s.high, best.high);
    __mmask16 equal = _mm512_mask_cmpeq_epi32_mask(mask, s.high, best.high);
    best.low = _mm512_mask_max_epi32(best.low, equal, best.low, s.low);
    best.low = _mm512_mask_mov_epi32(best.low, greater, s.low);
    best.high = _mm512_mask_mov_epi32(best.high, greater, s.high);
  }
  _mm512_store_si512(high, best.high);
  _mm512_store_si512(low, best.low);
}

SDOPT_AVX512 void addNarrowMaxima(const int32_t *scores, int64_t count, int32_t *high) {
  __m512i best = loadLanes(high);
  for (int64_t g = 0; g < kGroups; ++g)
    best = _mm512_mask_max_epi32(best, visible(count, g), best, loadLanes(scores + g * kByteLanes));
  _mm512_store_si512(high, best);
}

// What is the same for all lanes.
struct ExponentVectors {
  __m512i multiplier, half;
  __m128i shift, highShift; ///< s, s - 16
  ExponentLanes exponentials;
  bool areWhole; ///< digits
};

SDOPT_AVX512 inline ExponentVectors exponentVectors(Scaling exponent, bool areWhole) {
  return {_mm512_set1_epi64(exponent.multiplier),
          _mm512_set1_epi64(int64_t(1) << (exponent.shift - 1)),
          _mm_cvtsi32_si128(exponent.shift),
          _mm_cvtsi32_si128(exponent.shift - 16),
          ExponentLanes(),
          areWhole};
}

// Sixteen exponents t from those of the even and of the odd lanes. From kZeroExponent on all are
// alike.
SDOPT_AVX512 inline __m512i joined(__m512i even, __m512i odd) {
  const __m512i zero = _mm512_set1_epi64(kZeroExponent);
  even = _mm512_min_epu64(even, zero);
  odd = _mm512_min_epu64(odd, zero);
  return _mm512_or_si512(even, _mm512_slli_epi64(odd, 32));
}

// t of eight distances below 2^31, in the even lanes.
SDOPT_AVX512 inline __m512i narrowExponents(__m512i distance, const ExponentVectors &v) {
  __m512i product = _mm512_mul_epu32(distance, v.multiplier);
  return _mm512_srl_epi64(_mm512_add_epi64(product, v.half), v.shift);
}

SDOPT_AVX512 inline __m512i wideExponents(__m512i high, __m512i low, const ExponentVectors &v) {
  __m512i product = _mm512_add_epi64(_mm512_mul_epu32(low, v.multiplier), v.half);
  product = _mm512_add_epi64(_mm512_mul_epu32(high, v.multiplier), _mm512_srli_epi64(product, 16));
  return _mm512_srl_epi64(product, v.highShift);
}

// Those of sixteen keys from `column` on.
SDOPT_AVX512 inline void storeDigits(__m512i e, int64_t row, int64_t column, bool areWhole,
                                     ExponentialDigits &digits) {
  _mm_store_si128(reinterpret_cast<__m128i *>(digits.low[row] + column), _mm512_cvtepi32_epi8(e));
  _mm_store_si128(reinterpret_cast<__m128i *>(digits.high[row] + column),
                  _mm512_cvtepi32_epi8(_mm512_srli_epi32(e, 8)));
  if (areWhole)
    _mm256_store_si256(reinterpret_cast<__m256i *>(digits.whole[row] + column),
                       _mm512_cvtepi32_epi16(_mm512_sub_epi32(e, _mm512_set1_epi32(32768))));
}

// Returns the sum of E.
SDOPT_AVX512 int64_t wideRow(const StepScores &scores, int64_t row, int64_t maximum, int64_t count,
                             const ExponentVectors &v, int64_t column, ExponentialDigits &digits) {
  const __m512i maxHigh = _mm512_set1_epi32(static_cast<int32_t>(maximum >> 16));
  const __m512i maxLow = _mm512_set1_epi32(static_cast<int32_t>(maximum & 65535));
  const __m512i zero = _mm512_setzero_si512(), ones = _mm512_set1_epi32(65535);
  __m512i sum = _mm512_setzero_si512();
  for (int64_t g = 0; g < kGroups; ++g) {
    Halves s = loadScores(scores, row, g);
    __m512i low = _mm512_sub_epi32(maxLow, s.low);
    __m512i high = _mm512_sub_epi32(maxHigh, s.high);
    high = _mm512_add_epi32(high, _mm512_srai_epi32(low, 31));
    // A score above the given maximum has distance 0.
    __mmask16 positive = _mm512_cmpge_epi32_mask(high, zero);
    high = _mm512_maskz_mov_epi32(positive, high);
    low = _mm512_maskz_and_epi32(positive, low, ones);
    __m512i t = joined(wideExponents(high, low, v),
                       wideExponents(_mm512_srli_epi64(high, 32), _mm512_srli_epi64(low, 32), v));
    __m512i e = _mm512_maskz_mov_epi32(visible(count, g), v.exponentials(t));
    sum = _mm512_add_epi32(sum, e);
    storeDigits(e, row, column + g * kByteLanes, v.areWhole, digits);
  }
  return _mm512_reduce_add_epi32(sum);
}

SDOPT_AVX512 int64_t narrowRow(const StepScores &scores, int64_t row, int32_t maximum,
                               int64_t count, const ExponentVectors &v, int64_t column,
                               ExponentialDigits &digits) {
  __m512i sum = _mm512_setzero_si512();
  for (int64_t g = 0; g < kGroups; ++g) {
    __m512i distance =
        _mm512_sub_epi32(_mm512_set1_epi32(maximum), loadLanes(scores.high[row] + g * kByteLanes));
    distance = _mm512_max_epi32(distance, _mm512_setzero_si512());
    __m512i t =
        joined(narrowExponents(distance, v), narrowExponents(_mm512_srli_epi64(distance, 32), v));
    __m512i e = _mm512_maskz_mov_epi32(visible(count, g), v.exponentials(t));
    sum = _mm512_add_epi32(sum, e);
    storeDigits(e, row, column + g * kByteLanes, v.areWhole, digits);
  }
  return _mm512_reduce_add_epi32(sum);
}

SDOPT_AVX512 void wideRows(const StepScores &scores, const Exponentials::Rows &rows, int64_t column,
                           Scaling exponent, bool areWhole, uint32_t fast,
                           ExponentialDigits &digits) {
  ExponentVectors v = exponentVectors(exponent, areWhole);
  for (int64_t r = 0; r < kByteGroup; ++r)
    if (fast >> r & 1)
      rows.sums[r] += wideRow(scores, r, rows.maxima[r], rows.counts[r], v, column, digits);
}

SDOPT_AVX512 void narrowRows(const StepScores &scores, const Exponentials::Rows &rows,
                             int64_t column, Scaling exponent, bool areWhole, uint32_t fast,
                             ExponentialDigits &digits) {
  ExponentVectors v = exponentVectors(exponent, areWhole);
  for (int64_t r = 0; r < kByteGroup; ++r)
    if (fast >> r & 1)
      rows.sums[r] += narrowRow(scores, r, static_cast<int32_t>(rows.maxima[r]), rows.counts[r], v,
                                column, digits);
}

#else

void addWideMaxima(const StepScores &, int64_t, int64_t, int32_t *, int32_t *) {}
void addNarrowMaxima(const int32_t *, int64_t, int32_t *) {}
void joinBytes(const StepProducts &, StepScores &) {}
void addKeyTerms(const StepProducts &, const int32_t *, StepScores &) {}
void wideRows(const StepScores &, const Exponentials::Rows &, int64_t, Scaling, bool, uint32_t,
              ExponentialDigits &) {}
void narrowRows(const StepScores &, const Exponentials::Rows &, int64_t, Scaling, bool, uint32_t,
                ExponentialDigits &) {}

#endif

// Rows with a maximum of at most 2^bits, one bit for each.
uint32_t rowsWithin(const int64_t *maxima, int bits) {
  uint32_t rows = 0;
  for (int64_t r = 0; r < kByteGroup; ++r)
    if (maxima[r] >= -(int64_t(1) << bits) && maxima[r] <= int64_t(1) << bits)
      rows |= 1u << r;
  return rows;
}

} // namespace

void wideScores(const StepProducts &products, StepScores &scores) { joinBytes(products, scores); }

void narrowScores(const StepProducts &products, const int32_t *keyTerms, StepScores &scores) {
  addKeyTerms(products, keyTerms, scores);
}

MaximumLanes::MaximumLanes() {
  std::fill_n(&high[0][0], kByteGroup * kByteLanes, INT32_MIN);
  std::fill_n(&low[0][0], kByteGroup * kByteLanes, 0);
}

void MaximumLanes::addWide(const StepScores &scores, const int64_t *counts) {
  for (int64_t r = 0; r < kByteGroup; ++r)
    addWideMaxima(scores, r, counts[r], high[r], low[r]);
}

void MaximumLanes::addNarrow(const StepScores &scores, const int64_t *counts) {
  for (int64_t r = 0; r < kByteGroup; ++r)
    addNarrowMaxima(scores.high[r], counts[r], high[r]);
}

bool MaximumLanes::wide(int64_t row, int64_t &maximum) const {
  maximum = INT64_MIN;
  for (int64_t lane = 0; lane < kByteLanes; ++lane)
    if (high[row][lane] != INT32_MIN)
      maximum = std::max(maximum, int64_t(high[row][lane]) * 65536 + low[row][lane]);
  return maximum != INT64_MIN;
}

bool MaximumLanes::narrow(int64_t row, int64_t &maximum) const {
  maximum = *std::max_element(high[row], high[row] + kByteLanes);
  return maximum != INT32_MIN;
}

Exponentials::Exponentials(const DotKernels &kernels, const AttentionParams &params, bool areWhole)
    : kernels(kernels), exponent(params.exponent),
      isRegular(exponent.multiplier >= 0 && exponent.shift >= 25 && exponent.shift <= 62),
      areWhole(areWhole) {}

void Exponentials::exactRow(const int64_t *distances, int64_t row, const Rows &rows, int64_t column,
                            ExponentialDigits &digits) const {
  uint16_t e[kKeyStep] = {};
  kernels.exponentials({distances, rows.counts[row], exponent.multiplier, exponent.shift}, e);
  for (int64_t i = 0; i < kKeyStep; ++i) {
    rows.sums[row] += e[i];
    digits.high[row][column + i] = static_cast<uint8_t>(e[i] >> 8);
    digits.low[row][column + i] = static_cast<uint8_t>(e[i]);
    digits.whole[row][column + i] = static_cast<int16_t>(e[i] - 32768);
  }
}

void Exponentials::wide(const StepScores &scores, const Rows &rows, int64_t column,
                        ExponentialDigits &digits) const {
  uint32_t fast = isRegular ? rowsWithin(rows.maxima, 45) : 0;
  wideRows(scores, rows, column, exponent, areWhole, fast, digits);
  for (int64_t r = 0; r < kByteGroup; ++r) {
    if (fast >> r & 1)
      continue;
    int64_t distances[kKeyStep];
    for (int64_t i = 0; i < kKeyStep; ++i)
      distances[i] =
          difference(rows.maxima[r], int64_t(scores.high[r][i]) * 65536 + scores.low[r][i]);
    exactRow(distances, r, rows, column, digits);
  }
}

void Exponentials::narrow(const StepScores &scores, const Rows &rows, int64_t column,
                          ExponentialDigits &digits) const {
  uint32_t fast = isRegular ? rowsWithin(rows.maxima, 29) : 0;
  narrowRows(scores, rows, column, exponent, areWhole, fast, digits);
  for (int64_t r = 0; r < kByteGroup; ++r) {
    if (fast >> r & 1)
      continue;
    int64_t distances[kKeyStep];
    for (int64_t i = 0; i < kKeyStep; ++i)
      distances[i] = difference(rows.maxima[r], scores.high[r][i]);
    exactRow(distances, r, rows, column, digits);
  }
}

} // namespace sdopt
