//===- ByteVectors.cpp - codes to bytes, weights to panels ------------------===//

#include "compiler/kernels/ByteVectors.h"
#include "compiler/kernels/EightLanes.h"

#include <algorithm>

namespace sdopt {

#if defined(__x86_64__)

namespace {

// Sixteen rows of sixteen 4-byte elements to sixteen columns.
SDOPT_VNNI inline void transpose(__m512i (&rows)[16]) {
  __m512i pairs[16], quads[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  // quads[4 g + c]: column c of every 128-bit part, of rows 4 g .. 4 g + 3.
  for (int g = 0; g < 16; g += 4) {
    quads[g] = _mm512_unpacklo_epi64(pairs[g], pairs[g + 2]);
    quads[g + 1] = _mm512_unpackhi_epi64(pairs[g], pairs[g + 2]);
    quads[g + 2] = _mm512_unpacklo_epi64(pairs[g + 1], pairs[g + 3]);
    quads[g + 3] = _mm512_unpackhi_epi64(pairs[g + 1], pairs[g + 3]);
  }
  for (int c = 0; c < 4; ++c) {
    __m512i a = _mm512_shuffle_i32x4(quads[c], quads[4 + c], 0x88);
    __m512i b = _mm512_shuffle_i32x4(quads[c], quads[4 + c], 0xdd);
    __m512i d = _mm512_shuffle_i32x4(quads[8 + c], quads[12 + c], 0x88);
    __m512i e = _mm512_shuffle_i32x4(quads[8 + c], quads[12 + c], 0xdd);
    rows[c] = _mm512_shuffle_i32x4(a, d, 0x88);
    rows[8 + c] = _mm512_shuffle_i32x4(a, d, 0xdd);
    rows[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
    rows[12 + c] = _mm512_shuffle_i32x4(b, e, 0xdd);
  }
}

// The rest of a sum: eight lanes of int64.
SDOPT_VNNI inline void addEight(__m512i sum, __mmask8 mask, int64_t *target) {
  __m512i old = _mm512_maskz_loadu_epi64(mask, target);
  _mm512_mask_storeu_epi64(target, mask, _mm512_add_epi64(old, sum));
}

SDOPT_VNNI inline __m512i widened(const int32_t *sums) {
  return _mm512_cvtepi32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(sums)));
}

SDOPT_VNNI inline __m512i eightSums(const ByteSums &s, int64_t row, int64_t lane) {
  const int32_t *at = s.sums + row * kBlockLanes + lane;
  __m512i sum = widened(at);
  if (!s.wide)
    return sum;
  return _mm512_add_epi64(_mm512_slli_epi64(sum, 8), widened(at + kByteGroup * kBlockLanes));
}

SDOPT_VNNI void addSums(const ByteSums &s, const int64_t *corrections, int64_t *acc) {
  for (int64_t r = 0; r < s.rows; ++r) {
    if (s.offsets[r] < 0)
      continue;
    for (int64_t lane = 0; lane < s.lanes; lane += 8) {
      __mmask8 mask = laneMask(s.lanes - lane);
      __m512i correction = _mm512_maskz_loadu_epi64(mask, corrections + lane);
      __m512i sum = _mm512_add_epi64(eightSums(s, r, lane), correction);
      addEight(sum, mask, acc + s.offsets[r] + lane);
    }
  }
}

template <typename Output>
SDOPT_VNNI void requantizeSums(const ByteSums &s, const ChannelParams *params, CodeFormat format,
                               Output *y) {
  LaneOutput output(format);
  for (int64_t lane = 0; lane < s.lanes; lane += 8) {
    __mmask8 mask = laneMask(s.lanes - lane);
    LanePairs pairs = LanePairs::load(params + lane, s.lanes - lane);
    LaneScaling scale = LaneScaling::of(pairs.second);
    for (int64_t r = 0; r < s.rows; ++r)
      if (s.offsets[r] >= 0)
        output.store(scale(_mm512_add_epi64(eightSums(s, r, lane), pairs.first)), mask,
                     y + s.offsets[r] + lane);
  }
}

SDOPT_VNNI void packPanel(const BytePanelSource &source, int8_t *panels, int32_t *laneSums) {
  int64_t depth = source.taps * source.channels;
  __m512i ones = _mm512_set1_epi8(1), sums = _mm512_setzero_si512();
  for (int64_t tap = 0; tap < source.taps; ++tap) {
    int8_t *panel = panels + tap * source.tapBytes;
    for (int64_t k = 0; k < source.channels; k += kByteChunk) {
      int64_t count = std::min(kByteChunk, source.channels - k);
      __mmask64 mask = ~uint64_t(0) >> (64 - count);
      __m512i rows[16];
      for (int64_t lane = 0; lane < kByteLanes; ++lane)
        rows[lane] = lane < source.lanes
                         ? _mm512_maskz_loadu_epi8(mask, source.rows + lane * depth +
                                                             tap * source.channels + k)
                         : _mm512_setzero_si512();
      transpose(rows);
      for (const __m512i &row : rows) {
        _mm512_storeu_si512(panel, row);
        sums = _mm512_dpbusd_epi32(sums, ones, row);
        panel += 4 * kByteLanes;
      }
    }
  }
  _mm512_storeu_si512(laneSums, sums);
}

SDOPT_VNNI void flipSigns(const int8_t *codes, int64_t count, uint8_t *bytes) {
  const __m512i sign = _mm512_set1_epi8(-128);
  int64_t i = 0;
  for (; i + 64 <= count; i += 64)
    _mm512_storeu_si512(bytes + i, _mm512_xor_si512(_mm512_loadu_si512(codes + i), sign));
  if (i < count) {
    __mmask64 mask = ~uint64_t(0) >> (64 - (count - i));
    __m512i rest = _mm512_maskz_loadu_epi8(mask, codes + i);
    _mm512_mask_storeu_epi8(bytes + i, mask, _mm512_xor_si512(rest, sign));
  }
}

// With the given bits flipped.
SDOPT_VNNI void splitCodes(const int16_t *codes, int64_t count, int16_t flipped, void *highBytes,
                           uint8_t *low) {
  auto *high = static_cast<uint8_t *>(highBytes);
  const __m512i sign = _mm512_set1_epi16(flipped);
  for (int64_t i = 0; i < count; i += 32) {
    int64_t rest = std::min<int64_t>(32, count - i);
    __mmask32 mask = ~uint32_t(0) >> (32 - rest);
    __m512i x = _mm512_xor_si512(_mm512_maskz_loadu_epi16(mask, codes + i), sign);
    _mm256_mask_storeu_epi8(low + i, mask, _mm512_cvtepi16_epi8(x));
    _mm256_mask_storeu_epi8(high + i, mask, _mm512_cvtepi16_epi8(_mm512_srli_epi16(x, 8)));
  }
}

} // namespace

void packBytePanel(const BytePanelSource &source, int8_t *panel, int32_t *laneSums) {
  packPanel(source, panel, laneSums);
}

void bytesOf(const int8_t *codes, int64_t count, uint8_t *bytes) { flipSigns(codes, count, bytes); }

void bytesOf(const int16_t *codes, int64_t count, uint8_t *high, uint8_t *low) {
  splitCodes(codes, count, INT16_MIN, high, low);
}

void signedBytesOf(const int16_t *codes, int64_t count, int8_t *high, uint8_t *low) {
  splitCodes(codes, count, 0, high, low);
}

void packByteColumns(const int8_t *rows, int64_t stride, int64_t depth, int8_t *panel) {
  for (int64_t k = 0; k < kByteChunk; k += 4, panel += 4 * kByteLanes) {
    __m128i row[4];
    for (int64_t i = 0; i < 4; ++i)
      row[i] = k + i < depth
                   ? _mm_loadu_si128(reinterpret_cast<const __m128i *>(rows + (k + i) * stride))
                   : _mm_setzero_si128();
    __m128i lowPairs[] = {_mm_unpacklo_epi8(row[0], row[1]), _mm_unpacklo_epi8(row[2], row[3])};
    __m128i highPairs[] = {_mm_unpackhi_epi8(row[0], row[1]), _mm_unpackhi_epi8(row[2], row[3])};
    auto *out = reinterpret_cast<__m128i *>(panel);
    _mm_storeu_si128(out, _mm_unpacklo_epi16(lowPairs[0], lowPairs[1]));
    _mm_storeu_si128(out + 1, _mm_unpackhi_epi16(lowPairs[0], lowPairs[1]));
    _mm_storeu_si128(out + 2, _mm_unpacklo_epi16(highPairs[0], highPairs[1]));
    _mm_storeu_si128(out + 3, _mm_unpackhi_epi16(highPairs[0], highPairs[1]));
  }
}

void packPairColumns(const int16_t *rows, int64_t stride, int64_t depth, int8_t *panel) {
  auto *out = reinterpret_cast<__m128i *>(panel);
  for (int64_t k = 0; k < kByteChunk; k += 2, out += 4)
    for (int64_t half = 0; half < 2; ++half) {
      __m128i row[2];
      for (int64_t i = 0; i < 2; ++i)
        row[i] = k + i < depth ? _mm_loadu_si128(reinterpret_cast<const __m128i *>(
                                     rows + (k + i) * stride + half * kByteLanes / 2))
                               : _mm_setzero_si128();
      _mm_storeu_si128(out + 2 * half, _mm_unpacklo_epi16(row[0], row[1]));
      _mm_storeu_si128(out + 2 * half + 1, _mm_unpackhi_epi16(row[0], row[1]));
    }
}

void addByteSums(const ByteSums &sums, const int64_t *corrections, int64_t *acc) {
  addSums(sums, corrections, acc);
}

void requantizeByteSums(const ByteSums &sums, const ChannelParams *params, CodeFormat format,
                        void *y) {
  if (format.type == ElementType::I8)
    requantizeSums(sums, params, format, static_cast<int8_t *>(y));
  else
    requantizeSums(sums, params, format, static_cast<int16_t *>(y));
}

#else

void packBytePanel(const BytePanelSource &, int8_t *, int32_t *) {}
void bytesOf(const int8_t *, int64_t, uint8_t *) {}
void bytesOf(const int16_t *, int64_t, uint8_t *, uint8_t *) {}
void signedBytesOf(const int16_t *, int64_t, int8_t *, uint8_t *) {}
void packByteColumns(const int8_t *, int64_t, int64_t, int8_t *) {}
void packPairColumns(const int16_t *, int64_t, int64_t, int8_t *) {}
void addByteSums(const ByteSums &, const int64_t *, int64_t *) {}
void requantizeByteSums(const ByteSums &, const ChannelParams *, CodeFormat, void *) {}

#endif

} // namespace sdopt
