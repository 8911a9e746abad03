//===- IntegerWinograd.cpp - exact Winograd at some speed -------------------===//
//
// Codes are taken minus their zero point, and the lower bytes of 16-bit codes as they are: sums in
// 32 bits are cut short for it, and nothing is left to take off.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/IntegerWinograd.h"

#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/TargetClones.h"
#include "compiler/kernels/WinogradStrips.h"

namespace sdopt {

namespace {

using Chunk = WinogradChunk;

/// B' d along one axis of four.
inline void transformCodes(Chunk &d0, Chunk &d1, Chunk &d2, Chunk &d3) {
  for (int64_t c = 0; c < kWinogradChunk; ++c) {
    const int16_t a = d0[c], b = d1[c], e = d2[c], f = d3[c];
    d0[c] = static_cast<int16_t>(e - a);
    d1[c] = static_cast<int16_t>(e + b);
    d2[c] = static_cast<int16_t>(e - b);
    d3[c] = static_cast<int16_t>(f - b);
  }
}

/// B' d B of codes d[4 * row + column][channel].
SDOPT_CLONES void transformTile(Chunk *d) {
  for (int64_t x = 0; x < kWinogradInputs; ++x)
    transformCodes(d[x], d[4 + x], d[8 + x], d[12 + x]);
  for (int64_t y = 0; y < kWinogradInputs; ++y)
    transformCodes(d[4 * y], d[4 * y + 1], d[4 * y + 2], d[4 * y + 3]);
}

SDOPT_CLONES void highBytes(const int16_t *from, int64_t count, int16_t *to) {
  for (int64_t c = 0; c < count; ++c)
    to[c] = static_cast<int16_t>(from[c] >> 8);
}
SDOPT_CLONES void lowBytes(const int16_t *from, int64_t count, int16_t *to) {
  for (int64_t c = 0; c < count; ++c)
    to[c] = static_cast<int16_t>(from[c] & 255);
}

/// 2 G w: three become four.
inline void transformTaps(const Chunk &first, const Chunk &second, const Chunk &third, Chunk *out) {
  for (int64_t c = 0; c < kWinogradChunk; ++c) {
    const int16_t ends = static_cast<int16_t>(first[c] + third[c]);
    out[0][c] = static_cast<int16_t>(-2 * first[c]);
    out[1][c] = static_cast<int16_t>(ends + second[c]);
    out[2][c] = static_cast<int16_t>(ends - second[c]);
    out[3][c] = static_cast<int16_t>(2 * third[c]);
  }
}

/// (2 G) w (2 G)' of taps w[3 * row + column][channel]: u[4 * row + column].
SDOPT_CLONES void transformFilter(const Chunk *w, Chunk *u) {
  Chunk columns[3][kWinogradInputs];
  for (int64_t x = 0; x < 3; ++x)
    transformTaps(w[x], w[3 + x], w[6 + x], columns[x]);
  for (int64_t y = 0; y < kWinogradInputs; ++y)
    transformTaps(columns[0][y], columns[1][y], columns[2][y], u + kWinogradInputs * y);
}

/// A quarter of A' m A of the sums of one tile, positions `step` apart: y[2 * row + column][lane].
SDOPT_CLONES void transformSums(const int64_t *sums, int64_t step, int64_t (*y)[kDotLanes]) {
  for (int64_t lane = 0; lane < kDotLanes; ++lane) {
    int64_t rows[2][kWinogradInputs];
    for (int64_t x = 0; x < kWinogradInputs; ++x) {
      const int64_t *m = sums + x * step + lane;
      const int64_t second = m[4 * step], third = m[8 * step];
      rows[0][x] = m[0] + second + third;
      rows[1][x] = second - third + m[12 * step];
    }
    for (int64_t row = 0; row < 2; ++row) {
      y[2 * row][lane] = (rows[row][0] + rows[row][1] + rows[row][2]) >> 2;
      y[2 * row + 1][lane] = (rows[row][1] - rows[row][2] + rows[row][3]) >> 2;
    }
  }
}

/// F(2x2, 3x3) of WinogradStrips.h.
class ExactForm {
public:
  static constexpr int64_t kOutputs = kWinogradOutputs, kInputs = kWinogradInputs;
  /// Of sums of 4 codes of -255 to 255, and of 9 weights.
  static constexpr int64_t kMostPairs = INT32_MAX / (4 * 255 * 9 * 128) / 2;
  static constexpr int64_t kPlaneFactor = 256;

  ExactForm(const DotKernels &kernels, const ConvTile &tile, Codes x)
      : kernels_(kernels), t_(tile), x_(x) {}

  void codes(int64_t top, int64_t left, int64_t first, Chunk *v) const {
    if (x_.format.type == ElementType::I8)
      return plane<int8_t>(top, left, first, v, [&](const int8_t *from, int64_t count, Chunk &to) {
        kernels_.widen(from, count, x_.format.zeroPoint, to);
      });
    plane<int16_t>(top, left, first, v, highBytes);
    plane<int16_t>(top, left, first, v + kWinogradProducts, lowBytes);
  }

  void weights(const Chunk *w, Chunk *u) const { transformFilter(w, u); }
  void sums(const int64_t *m, int64_t step, int64_t (*y)[kDotLanes]) const {
    transformSums(m, step, y);
  }

private:
  template <typename T, typename Read>
  void plane(int64_t top, int64_t left, int64_t first, Chunk *v, Read read) const {
    readWinogradTile<T, int16_t>(t_, x_.data, kInputs, top, left, first, v, read);
    transformTile(v);
  }

  const DotKernels &kernels_;
  const ConvTile &t_;
  const Codes x_;
};

} // namespace

bool hasWinogradForm(const ConvTile &tile) {
  return tile.kernelHeight == 3 && tile.kernelWidth == 3 && tile.strideH == 1 &&
         tile.strideW == 1 && tile.dilationH == 1 && tile.dilationW == 1;
}

int64_t winogradTiles(const ConvTile &tile) {
  return (tile.outputHeight + 1) / 2 * ((tile.outputWidth + 1) / 2);
}

int64_t winogradMultiplications(const ConvTile &tile) {
  return kWinogradProducts * winogradTiles(tile) * tile.inputChannels * tile.outputChannels;
}

void winogradAccumulate(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                        const int8_t *weights, int64_t *acc) {
  const CodeFormat &format = x.format;
  const bool fits = format.type == ElementType::I8
                        ? format.zeroPoint >= format.min() && format.zeroPoint <= format.max()
                        : format.type == ElementType::I16 && format.zeroPoint == 0;
  if (!fits || !hasWinogradForm(tile))
    return kernels.convAccumulate(tile, x, weights, acc);
  if (winogradMultiplications(tile) == 0)
    return;
  if (&kernels == &naiveKernels())
    naiveWinogradAccumulate(tile, x, weights, acc);
  else if (const DotKernels *level = dotKernelsOf(kernels))
    WinogradStrips(*level, tile, ExactForm(*level, tile, x), format.type == ElementType::I16,
                   weights, acc)
        .run();
  else
    kernels.convAccumulate(tile, x, weights, acc);
}

} // namespace sdopt
