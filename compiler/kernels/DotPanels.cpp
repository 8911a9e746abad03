//===- DotPanels.cpp - the inner loop of every exact matrix product ---------===//

#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/ExponentLanes.h"
#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/TargetClones.h"
#include "compiler/kernels/VnniDots.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sdopt {

namespace {

void dotPortable(const DotTile &t) {
  for (int64_t r = 0; r < t.rows; ++r) {
    const int16_t *a = t.a + r * t.aStride;
    for (int64_t first = 0; first < t.lanes; first += kPanelLanes) {
      const int16_t *panel = t.panel + first / kPanelLanes * t.panelStride;
      int32_t sums[kPanelLanes] = {};
      for (int64_t p = 0; p < t.pairs; ++p, panel += 2 * kPanelLanes)
        for (int64_t lane = 0; lane < kPanelLanes; ++lane)
          sums[lane] += a[2 * p] * panel[2 * lane] + a[2 * p + 1] * panel[2 * lane + 1];
      int64_t lanes = std::min(kPanelLanes, t.lanes - first);
      for (int64_t lane = 0; lane < lanes; ++lane)
        t.acc[r * t.accStride + first + lane] += sums[lane];
    }
  }
}

int64_t rowDotPortable(const int16_t *a, const int8_t *w, int64_t depth) {
  int64_t sum = 0;
  for (int64_t i = 0; i < depth; ++i)
    sum += int32_t(a[i]) * w[i];
  return sum;
}

void widenPortable(const int8_t *in, int64_t count, int32_t zeroPoint, int16_t *out) {
  for (int64_t i = 0; i < count; ++i)
    out[i] = static_cast<int16_t>(in[i] - zeroPoint);
}

void exponentialsPortable(const ExponentRow &row, uint16_t *out) {
  const auto &products = exponentProducts();
  Scaling scaling{row.multiplier, row.shift};
  for (int64_t i = 0; i < row.count; ++i) {
    int64_t t = std::clamp<int64_t>(scaled(row.distances[i], scaling), 0, kZeroExponent);
    int64_t a = t >> 12;
    int64_t e = (int64_t(products[t & 4095]) + (int64_t(1) << (14 + a))) >> (15 + a);
    out[i] = a >= 17 ? 0 : static_cast<uint16_t>(std::min<int64_t>(e, 65535));
  }
}

#if defined(__x86_64__)

// Two depths of one row in every lane.
inline int32_t pairAt(const int16_t *a) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof(pair));
  return pair;
}

SDOPT_AVX2 void addLanes(const int32_t *sums, int64_t lanes, int64_t *acc) {
  int64_t lane = 0;
  for (; lane + 4 <= lanes; lane += 4) {
    auto *target = reinterpret_cast<__m256i *>(acc + lane);
    __m256i wide =
        _mm256_cvtepi32_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i *>(sums + lane)));
    _mm256_storeu_si256(target, _mm256_add_epi64(_mm256_loadu_si256(target), wide));
  }
  for (; lane < lanes; ++lane)
    acc[lane] += sums[lane];
}

// Four rows by one panel.
SDOPT_AVX2 void dotQuarterAvx2(const DotTile &t, int64_t firstRow, int64_t firstLane) {
  constexpr int kRows = 4;
  const int16_t *a = t.a + firstRow * t.aStride;
  const int16_t *panel = t.panel + firstLane / kPanelLanes * t.panelStride;
  __m256i sums[kRows][2];
  for (auto &row : sums)
    row[0] = row[1] = _mm256_setzero_si256();
  for (int64_t p = 0; p < t.pairs; ++p, panel += 2 * kPanelLanes) {
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(panel));
    __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(panel + 16));
    for (int r = 0; r < kRows; ++r) {
      __m256i pair = _mm256_set1_epi32(pairAt(a + r * t.aStride + 2 * p));
      sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_madd_epi16(pair, low));
      sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_madd_epi16(pair, high));
    }
  }
  int64_t lanes = std::min(kPanelLanes, t.lanes - firstLane);
  for (int64_t r = 0; r < std::min<int64_t>(kRows, t.rows - firstRow); ++r) {
    alignas(32) int32_t row[kPanelLanes];
    _mm256_store_si256(reinterpret_cast<__m256i *>(row), sums[r][0]);
    _mm256_store_si256(reinterpret_cast<__m256i *>(row + 8), sums[r][1]);
    addLanes(row, lanes, t.acc + (firstRow + r) * t.accStride + firstLane);
  }
}

SDOPT_AVX2 void dotAvx2(const DotTile &t) {
  for (int64_t lane = 0; lane < t.lanes; lane += kPanelLanes)
    for (int64_t row = 0; row < t.rows; row += 4)
      dotQuarterAvx2(t, row, lane);
}

SDOPT_AVX2 int64_t rowDotAvx2(const int16_t *a, const int8_t *w, int64_t depth) {
  // Each step adds at most 2^23 to a lane: 255 steps fit.
  constexpr int64_t kSteps = 255 * 16;
  int64_t total = 0, i = 0;
  while (i + 16 <= depth) {
    __m256i sum = _mm256_setzero_si256();
    int64_t end = std::min(depth - 15, i + kSteps);
    for (; i < end; i += 16) {
      __m256i wide =
          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(w + i)));
      __m256i row = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(a + i));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(row, wide));
    }
    alignas(32) int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i *>(lanes), sum);
    for (int32_t lane : lanes)
      total += lane;
  }
  return total + rowDotPortable(a + i, w + i, depth - i);
}

SDOPT_AVX2 void widenAvx2(const int8_t *in, int64_t count, int32_t zeroPoint, int16_t *out) {
  __m256i zero = _mm256_set1_epi16(static_cast<int16_t>(zeroPoint));
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(in + i)));
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + i), _mm256_sub_epi16(wide, zero));
  }
  widenPortable(in + i, count - i, zeroPoint, out + i);
}

SDOPT_AVX512 inline void addLanes512(__m512i sums, int64_t lanes, int64_t *acc) {
  __mmask16 mask = static_cast<__mmask16>(lanes >= 16 ? 0xffff : (1 << lanes) - 1);
  __mmask8 low = static_cast<__mmask8>(mask), high = static_cast<__mmask8>(mask >> 8);
  __m512i lowSums = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums));
  __m512i highSums = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1));
  _mm512_mask_storeu_epi64(acc, low, _mm512_add_epi64(lowSums, _mm512_maskz_loadu_epi64(low, acc)));
  if (high)
    _mm512_mask_storeu_epi64(acc + 8, high,
                             _mm512_add_epi64(highSums, _mm512_maskz_loadu_epi64(high, acc + 8)));
}

template <int Panels> SDOPT_AVX512 void dotPanels512(const DotTile &t) {
  const int16_t *panel = t.panel;
  __m512i sums[kDotRows][Panels];
  for (auto &row : sums)
    for (auto &sum : row)
      sum = _mm512_setzero_si512();
  for (int64_t p = 0; p < t.pairs; ++p, panel += 2 * kPanelLanes) {
    __m512i lanes[Panels];
    for (int i = 0; i < Panels; ++i)
      lanes[i] = _mm512_loadu_si512(panel + i * t.panelStride);
    for (int r = 0; r < kDotRows; ++r) {
      __m512i pair = _mm512_set1_epi32(pairAt(t.a + r * t.aStride + 2 * p));
      for (int i = 0; i < Panels; ++i)
        sums[r][i] = _mm512_add_epi32(sums[r][i], _mm512_madd_epi16(pair, lanes[i]));
    }
  }
  for (int64_t r = 0; r < kDotRows; ++r)
    if (r < t.rows)
      for (int i = 0; i < Panels; ++i)
        addLanes512(sums[r][i], t.lanes - i * kPanelLanes,
                    t.acc + r * t.accStride + i * kPanelLanes);
}

SDOPT_AVX512 void dotAvx512(const DotTile &t) {
  t.lanes > kPanelLanes ? dotPanels512<2>(t) : dotPanels512<1>(t);
}

template <int Panels> SDOPT_VNNI void dotPanelsVnni(const DotTile &t) {
  const int16_t *panel = t.panel;
  __m512i sums[kDotRows][Panels];
  for (auto &row : sums)
    for (auto &sum : row)
      sum = _mm512_setzero_si512();
  for (int64_t p = 0; p < t.pairs; ++p, panel += 2 * kPanelLanes) {
    __m512i lanes[Panels];
    for (int i = 0; i < Panels; ++i)
      lanes[i] = _mm512_loadu_si512(panel + i * t.panelStride);
    for (int r = 0; r < kDotRows; ++r) {
      __m512i pair = _mm512_set1_epi32(pairAt(t.a + r * t.aStride + 2 * p));
      for (int i = 0; i < Panels; ++i)
        sums[r][i] = addPairs(sums[r][i], pair, lanes[i]);
    }
  }
  for (int64_t r = 0; r < kDotRows; ++r)
    if (r < t.rows)
      for (int i = 0; i < Panels; ++i)
        addLanes512(sums[r][i], t.lanes - i * kPanelLanes,
                    t.acc + r * t.accStride + i * kPanelLanes);
}

SDOPT_VNNI void dotVnni(const DotTile &t) {
  t.lanes > kPanelLanes ? dotPanelsVnni<2>(t) : dotPanelsVnni<1>(t);
}

// Eight distances to E in the low 32 bits of eight 64-bit lanes, by the split product of scaled():
// (high * m + 2^(s-25) + (low * m >> 24)) >> (s - 24).
SDOPT_AVX512 inline __m256i exponents512(__m512i distance, __m512i multiplier, __m512i half,
                                         __m128i shift) {
  const __m512i kLimit = _mm512_set1_epi64((int64_t(1) << 55) - 1);
  distance = _mm512_max_epi64(_mm512_setzero_si512(), _mm512_min_epi64(distance, kLimit));
  __m512i high = _mm512_srli_epi64(distance, 24);
  __m512i low = _mm512_and_si512(distance, _mm512_set1_epi64((1 << 24) - 1));
  __m512i product = _mm512_add_epi64(_mm512_mul_epu32(high, multiplier), half);
  product = _mm512_add_epi64(product, _mm512_srli_epi64(_mm512_mul_epu32(low, multiplier), 24));
  __m512i t = _mm512_min_epi64(_mm512_srl_epi64(product, shift), _mm512_set1_epi64(kZeroExponent));
  return _mm512_cvtepi64_epi32(t);
}

SDOPT_AVX512 void exponentialsAvx512(const ExponentRow &row, uint16_t *out) {
  if (row.multiplier < 1 << 30 || row.shift < 25 || row.shift > 62)
    return exponentialsPortable(row, out);
  const __m512i multiplier = _mm512_set1_epi64(row.multiplier);
  const __m512i half = _mm512_set1_epi64(int64_t(1) << (row.shift - 25));
  const __m128i shift = _mm_cvtsi32_si128(row.shift - 24);
  const ExponentLanes exponentials;
  const auto exponents = [&](int64_t first) SDOPT_AVX512 {
    return exponents512(_mm512_loadu_si512(row.distances + first), multiplier, half, shift);
  };
  int64_t i = 0;
  for (; i + 16 <= row.count; i += 16) {
    const __m512i t = _mm512_inserti64x4(_mm512_castsi256_si512(exponents(i)), exponents(i + 8), 1);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + i),
                        _mm512_cvtepi32_epi16(exponentials(t)));
  }
  exponentialsPortable({row.distances + i, row.count - i, row.multiplier, row.shift}, out + i);
}

#endif

const std::vector<DotKernels> &levels() {
  static const std::vector<DotKernels> table = [] {
    std::vector<DotKernels> found = {
        {"portable", dotPortable, rowDotPortable, widenPortable, exponentialsPortable}};
#if defined(__x86_64__)
    if (hasAvx2())
      found.push_back({"avx2", dotAvx2, rowDotAvx2, widenAvx2, exponentialsPortable});
    if (hasAvx512())
      found.push_back({"avx512bw", dotAvx512, rowDotAvx2, widenAvx2, exponentialsAvx512, true});
    if (const ByteKernels *bytes = vnniByteKernels())
      found.push_back(
          {"avx512vnni", dotVnni, rowDotAvx2, widenAvx2, exponentialsAvx512, true, bytes});
    if (const ByteKernels *bytes = amxByteKernels())
      found.push_back({"amx", dotVnni, rowDotAvx2, widenAvx2, exponentialsAvx512, true, bytes});
#endif
    return found;
  }();
  return table;
}

using EightPairs = int32_t __attribute__((vector_size(32)));

/// Eight pairs of each of eight rows, which become lanes.
SDOPT_CLONES void packPairs(const int16_t *rows, int64_t stride, int16_t *panel) {
  EightPairs r[8], t[8];
  for (int64_t i = 0; i < 8; ++i)
    std::memcpy(&r[i], rows + i * stride, sizeof(r[i]));
  for (int64_t i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int64_t i = 0; i < 8; i += 4)
    for (int64_t k = 0; k < 2; ++k) {
      r[i + 2 * k] = __builtin_shufflevector(t[i + k], t[i + k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      r[i + 2 * k + 1] =
          __builtin_shufflevector(t[i + k], t[i + k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int64_t i = 0; i < 4; ++i) {
    t[i] = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    t[i + 4] = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
  for (int64_t i = 0; i < 8; ++i)
    std::memcpy(panel + i * 2 * kPanelLanes, &t[i], sizeof(t[i]));
}

template <typename T>
void packRows(const T *rows, int64_t stride, int64_t lanes, int64_t depth, int16_t *panel) {
  int64_t pairs = (depth + 1) / 2;
  if (lanes < kPanelLanes || depth % 2)
    std::memset(panel, 0, static_cast<size_t>(pairs * 2 * kPanelLanes) * sizeof(int16_t));
  // Bands keep the lines of the panel in the first-level cache while the lanes pass over them.
  constexpr int64_t kBand = 64;
  for (int64_t first = 0; first < depth; first += kBand) {
    int64_t last = std::min(depth, first + kBand);
    for (int64_t lane = 0; lane < lanes; ++lane) {
      const T *row = rows + lane * stride;
      int16_t *target = panel + first * kPanelLanes + 2 * lane;
      int64_t k = first;
      for (; k + 2 <= last; k += 2, target += 2 * kPanelLanes) {
        target[0] = row[k];
        target[1] = row[k + 1];
      }
      if (k < last)
        target[0] = row[k];
    }
  }
}

} // namespace

const std::array<uint32_t, 4096> &exponentProducts() {
  static const std::array<uint32_t, 4096> table = [] {
    std::array<uint32_t, 4096> products;
    for (int i = 0; i < 4096; ++i)
      products[i] = static_cast<uint32_t>(
          int64_t(exponentTableHigh()[i >> 6]) * exponentTableLow()[i & 63] >> 29);
    return products;
  }();
  return table;
}

const DotKernels &dotKernels() { return levels().back(); }

std::span<const DotKernels> dotKernelLevels() { return levels(); }

void packPanel(const int8_t *rows, int64_t stride, int64_t lanes, int64_t depth, int16_t *panel) {
  packRows(rows, stride, lanes, depth, panel);
}

void packPanel(const int16_t *rows, int64_t stride, int64_t lanes, int64_t depth, int16_t *panel) {
  const int64_t whole = lanes == kPanelLanes ? depth / 16 * 16 : 0;
  for (int64_t first = 0; first < whole; first += 16)
    for (int64_t lane = 0; lane < kPanelLanes; lane += 8)
      packPairs(rows + lane * stride + first, stride, panel + first * kPanelLanes + 2 * lane);
  packRows(rows + whole, stride, lanes, depth - whole, panel + whole * kPanelLanes);
}

void packPanelColumns(const int16_t *rows, int64_t stride, int64_t lanes, int64_t depth,
                      int16_t *panel) {
  for (int64_t p = 0; 2 * p < depth; ++p, panel += 2 * kPanelLanes) {
    const int16_t *even = rows + 2 * p * stride;
    const int16_t *odd = 2 * p + 1 < depth ? even + stride : nullptr;
    for (int64_t lane = 0; lane < kPanelLanes; ++lane) {
      panel[2 * lane] = lane < lanes ? even[lane] : 0;
      panel[2 * lane + 1] = lane < lanes && odd ? odd[lane] : 0;
    }
  }
}

} // namespace sdopt
