//===- FloatPanels.cpp - the inner loop of every float product --------------===//

#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/InstructionSets.h"
#include "compiler/kernels/VectorLoop.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

namespace sdopt {

namespace {

// Ends a row of a tile: `sums` of its lanes from `first` on.
void finishLanes(const FloatTile &t, int64_t row, int64_t first, int64_t lanes, const float *sums) {
  float *out = t.out + row * t.outStride + first;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    float start = t.accumulate ? out[lane] : t.bias ? t.bias[first + lane] : 0.0f;
    out[lane] = start + sums[lane];
  }
}

void multiplyPortable(const FloatTile &t) {
  for (int64_t r = 0; r < t.rowCount; ++r) {
    float sums[kFloatLanes] = {};
    for (int64_t tap = 0; tap < t.taps; ++tap) {
      const float *row = t.rows[tap * kFloatRows + r] + t.offset;
      const float *panel = t.panel + tap * t.depth * kFloatLanes;
      for (int64_t d = 0; d < t.depth; ++d)
        for (int64_t lane = 0; lane < kFloatLanes; ++lane)
          sums[lane] = std::fma(row[d], panel[d * kFloatLanes + lane], sums[lane]);
    }
    finishLanes(t, r, 0, t.lanes, sums);
  }
}

void packRowsPortable(const float *rows, int64_t stride, int64_t lanes, int64_t depth, int64_t taps,
                      float *panel) {
  if (lanes < kFloatLanes)
    std::memset(panel, 0, static_cast<size_t>(taps * depth * kFloatLanes) * sizeof(float));
  // Bands keep the lines of the panel in the first-level cache while the lanes pass over them.
  constexpr int64_t kBand = 128;
  for (int64_t first = 0; first < depth; first += kBand) {
    int64_t last = std::min(depth, first + kBand);
    for (int64_t lane = 0; lane < lanes; ++lane)
      for (int64_t d = first; d < last; ++d)
        for (int64_t tap = 0; tap < taps; ++tap)
          panel[(tap * depth + d) * kFloatLanes + lane] = rows[lane * stride + d * taps + tap];
  }
}

void transposePortable(const uint32_t *from, int64_t fromStride, int64_t rows, int64_t columns,
                       uint32_t *to, int64_t toStride) {
  constexpr int64_t kSide = 16;
  for (int64_t row = 0; row < rows; row += kSide)
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = row; r < std::min(rows, row + kSide); ++r)
        to[c * toStride + r] = from[r * fromStride + c];
}

#if defined(__x86_64__)

// Bytes ahead of what is packed: rows are far apart, and no hardware follows so many of them.
constexpr int64_t kBytesAhead = 512;

#define SDOPT_FMA __attribute__((target("avx2,fma")))

// Rows first ... first + Rows of 16 lanes.
template <int Rows>
SDOPT_FMA void multiplyRowsAvx2(const FloatTile &t, int64_t first, int64_t firstLane) {
  __m256 sums[Rows][2];
  for (auto &row : sums)
    row[0] = row[1] = _mm256_setzero_ps();
  for (int64_t tap = 0; tap < t.taps; ++tap) {
    const float *const *rows = t.rows + tap * kFloatRows + first;
    const float *panel = t.panel + tap * t.depth * kFloatLanes + firstLane;
    for (int64_t d = 0; d < t.depth; ++d) {
      __m256 low = _mm256_loadu_ps(panel + d * kFloatLanes);
      __m256 high = _mm256_loadu_ps(panel + d * kFloatLanes + 8);
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r) {
        __m256 value = _mm256_broadcast_ss(rows[r] + t.offset + d);
        sums[r][0] = _mm256_fmadd_ps(value, low, sums[r][0]);
        sums[r][1] = _mm256_fmadd_ps(value, high, sums[r][1]);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    float lanes[16];
    _mm256_storeu_ps(lanes, sums[r][0]);
    _mm256_storeu_ps(lanes + 8, sums[r][1]);
    finishLanes(t, first + r, firstLane, std::min<int64_t>(16, t.lanes - firstLane), lanes);
  }
}

void multiplyAvx2(const FloatTile &t) {
  using Function = void (*)(const FloatTile &, int64_t, int64_t);
  static constexpr Function kFunctions[] = {multiplyRowsAvx2<1>, multiplyRowsAvx2<2>,
                                            multiplyRowsAvx2<3>, multiplyRowsAvx2<4>,
                                            multiplyRowsAvx2<5>, multiplyRowsAvx2<6>};
  for (int64_t lane = 0; lane < t.lanes; lane += 16)
    for (int64_t row = 0; row < t.rowCount; row += 6)
      kFunctions[std::min<int64_t>(6, t.rowCount - row) - 1](t, row, lane);
}

// One or two vectors of 16 lanes, two depths at a time: 24 sums, 4 panel vectors and a row's value
// stay in registers.
template <int Rows, int Vectors, int Depths>
SDOPT_AVX512 inline __attribute__((always_inline)) void
multiplyDepths(const float *const *rows, int64_t at, const float *panel,
               __m512 (&sums)[Rows][Vectors]) {
  __m512 columns[Depths][Vectors];
  for (int d = 0; d < Depths; ++d)
    for (int v = 0; v < Vectors; ++v)
      columns[d][v] = _mm512_loadu_ps(panel + d * kFloatLanes + v * 16);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const float *row = rows[r] + at;
#pragma GCC unroll 2
    for (int d = 0; d < Depths; ++d) {
      __m512 value = _mm512_set1_ps(row[d]);
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v)
        sums[r][v] = _mm512_fmadd_ps(value, columns[d][v], sums[r][v]);
    }
  }
}

template <int Rows, int Vectors> SDOPT_AVX512 void multiplyRowsAvx512(const FloatTile &t) {
  __m512 sums[Rows][Vectors];
  for (auto &row : sums)
    for (__m512 &sum : row)
      sum = _mm512_setzero_ps();
  for (int64_t tap = 0; tap < t.taps; ++tap) {
    const float *const *rows = t.rows + tap * kFloatRows;
    const float *panel = t.panel + tap * t.depth * kFloatLanes;
    int64_t d = 0;
    for (; d + 2 <= t.depth; d += 2)
      multiplyDepths<Rows, Vectors, 2>(rows, t.offset + d, panel + d * kFloatLanes, sums);
    if (d < t.depth)
      multiplyDepths<Rows, Vectors, 1>(rows, t.offset + d, panel + d * kFloatLanes, sums);
  }
  for (int v = 0; v < Vectors; ++v) {
    int64_t lanes = std::clamp<int64_t>(t.lanes - v * 16, 0, 16);
    __mmask16 mask = static_cast<__mmask16>((1u << lanes) - 1);
    __m512 start = t.bias ? _mm512_maskz_loadu_ps(mask, t.bias + v * 16) : _mm512_setzero_ps();
    for (int r = 0; r < Rows; ++r) {
      float *out = t.out + r * t.outStride + v * 16;
      if (t.accumulate)
        start = _mm512_maskz_loadu_ps(mask, out);
      _mm512_mask_storeu_ps(out, mask, _mm512_add_ps(start, sums[r][v]));
    }
  }
}

using TileFunction = void (*)(const FloatTile &);

template <int Vectors, size_t... Rows>
constexpr std::array<TileFunction, sizeof...(Rows)>
tileFunctions(std::index_sequence<Rows...> /*rows*/) {
  return {multiplyRowsAvx512<static_cast<int>(Rows) + 1, Vectors>...};
}

void multiplyAvx512(const FloatTile &t) {
  static constexpr auto kNarrow = tileFunctions<1>(std::make_index_sequence<kFloatRows>());
  static constexpr auto kWide = tileFunctions<2>(std::make_index_sequence<kFloatRows>());
  (t.lanes > 16 ? kWide : kNarrow)[t.rowCount - 1](t);
}

// 16 x 16 in four steps: step s exchanges blocks of s x s.
SDOPT_AVX512 inline void transpose16(__m512 (&rows)[16]) {
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#pragma GCC unroll 4
  for (int step = 1; step < 16; step *= 2) {
    __m512i odd = _mm512_and_epi32(lanes, _mm512_set1_epi32(step));
    __mmask16 upper = _mm512_test_epi32_mask(odd, odd);
    // Lane l of the new upper row comes from lane l - s of the old lower row, and vice versa.
    __m512i fromLow = _mm512_mask_add_epi32(
        lanes, upper, lanes, _mm512_set1_epi32(16 - step)); // [low lanes | high shifted]
    __m512i fromHigh = _mm512_mask_add_epi32(_mm512_add_epi32(lanes, _mm512_set1_epi32(step)),
                                             upper, lanes, _mm512_set1_epi32(16));
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) {
      if (r & step)
        continue;
      __m512 low = rows[r], high = rows[r + step];
      rows[r] = _mm512_permutex2var_ps(low, fromLow, high);
      rows[r + step] = _mm512_permutex2var_ps(low, fromHigh, high);
    }
  }
}

SDOPT_AVX512 void packRowsAvx512(const float *rows, int64_t stride, int64_t lanes, int64_t depth,
                                 int64_t taps, float *panel) {
  int64_t count = depth * taps;
  for (int64_t firstLane = 0; firstLane < kFloatLanes; firstLane += 16) {
    int64_t present = std::clamp<int64_t>(lanes - firstLane, 0, 16);
    int64_t d = 0, tap = 0;
    for (int64_t first = 0; first < count; first += 16) {
      int64_t width = std::min<int64_t>(16, count - first);
      __mmask16 mask = static_cast<__mmask16>((1u << width) - 1);
      __m512 block[16];
      for (int64_t lane = 0; lane < 16; ++lane) {
        block[lane] = _mm512_setzero_ps();
        if (lane >= present)
          continue;
        const float *row = rows + (firstLane + lane) * stride + first;
        _mm_prefetch(reinterpret_cast<const char *>(row) + kBytesAhead, _MM_HINT_T0);
        block[lane] = _mm512_maskz_loadu_ps(mask, row);
      }
      transpose16(block);
      for (int64_t i = 0; i < width; ++i) {
        _mm512_storeu_ps(panel + (tap * depth + d) * kFloatLanes + firstLane, block[i]);
        if (++tap == taps) {
          tap = 0;
          ++d;
        }
      }
    }
  }
}

SDOPT_AVX512 void transposeAvx512(const uint32_t *from, int64_t fromStride, int64_t rows,
                                  int64_t columns, uint32_t *to, int64_t toStride) {
  int64_t wholeRows = rows / 16 * 16, wholeColumns = columns / 16 * 16;
  for (int64_t c = 0; c < wholeColumns; c += 16)
    for (int64_t r = 0; r < wholeRows; r += 16) {
      __m512 block[16];
      for (int i = 0; i < 16; ++i)
        block[i] = _mm512_loadu_ps(from + (r + i) * fromStride + c);
      transpose16(block);
      for (int i = 0; i < 16; ++i)
        _mm512_storeu_ps(to + (c + i) * toStride + r, block[i]);
    }
  transposePortable(from + wholeColumns, fromStride, wholeRows, columns - wholeColumns,
                    to + wholeColumns * toStride, toStride);
  transposePortable(from + wholeRows * fromStride, fromStride, rows - wholeRows, columns,
                    to + wholeRows, toStride);
}

#endif

} // namespace

void transposeMatrix(const uint32_t *from, int64_t fromStride, int64_t rows, int64_t columns,
                     uint32_t *to, int64_t toStride) {
#if defined(__x86_64__)
  if (vectorLevel() == VectorLevel::Avx512)
    return transposeAvx512(from, fromStride, rows, columns, to, toStride);
#endif
  transposePortable(from, fromStride, rows, columns, to, toStride);
}

void multiplyTile(const FloatTile &tile) {
  switch (vectorLevel()) {
#if defined(__x86_64__)
  case VectorLevel::Avx512:
    return multiplyAvx512(tile);
  case VectorLevel::Avx2:
    return multiplyAvx2(tile);
#endif
  default:
    return multiplyPortable(tile);
  }
}

void packFloatRows(const float *rows, int64_t stride, int64_t lanes, int64_t depth, int64_t taps,
                   float *panel) {
#if defined(__x86_64__)
  if (vectorLevel() == VectorLevel::Avx512)
    return packRowsAvx512(rows, stride, lanes, depth, taps, panel);
#endif
  packRowsPortable(rows, stride, lanes, depth, taps, panel);
}

void packFloatColumns(const float *rows, int64_t stride, int64_t columns, int64_t depth,
                      float *panels) {
  constexpr int64_t kRowsAhead = 8;
  int64_t whole = columns / kFloatLanes, rest = columns % kFloatLanes;
  for (int64_t d = 0; d < depth; ++d) {
    const float *row = rows + d * stride;
    if (d + kRowsAhead < depth)
      for (int64_t c = 0; c < columns; c += 16)
        __builtin_prefetch(row + kRowsAhead * stride + c);
    float *panel = panels + d * kFloatLanes;
    for (int64_t p = 0; p < whole; ++p, row += kFloatLanes, panel += depth * kFloatLanes)
      std::memcpy(panel, row, kFloatLanes * sizeof(float));
    if (rest > 0) {
      std::memcpy(panel, row, static_cast<size_t>(rest) * sizeof(float));
      std::fill(panel + rest, panel + kFloatLanes, 0.0f);
    }
  }
}

} // namespace sdopt
