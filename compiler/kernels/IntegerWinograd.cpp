//===- IntegerWinograd.cpp - exact Winograd at some speed -------------------===//
//
// Three steps for a strip of tiles: all codes are transformed; for each block of output channels
// the weights, then the products of the 16 positions are matrix products of DotPanels.h, tiles by
// channels; their sums are transformed back. All in integers that are wide enough, so that no step
// depends on how the work is cut.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/IntegerWinograd.h"

#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/Scratch.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace sdopt {

namespace {

constexpr int64_t kSide = kWinogradInputs, kPositions = kWinogradProducts, kTaps = 9;
/// Channels whose 16 codes are transformed together.
constexpr int64_t kChunk = 64;
/// Transformed codes of a strip of tiles, and tiles whose sums are held between two steps.
constexpr int64_t kStripBytes = 16 << 20, kGroupTiles = 48;
/// Pairs of channels whose products of 10 and 12 bits fit sums of 32.
constexpr int64_t kMostPairs = kWinogradChannels / 2;

using Chunk = int16_t[kChunk];

/// B' d along one axis of four.
inline void transformCodes(Chunk &d0, Chunk &d1, Chunk &d2, Chunk &d3) {
  for (int64_t c = 0; c < kChunk; ++c) {
    const int16_t a = d0[c], b = d1[c], e = d2[c], f = d3[c];
    d0[c] = static_cast<int16_t>(e - a);
    d1[c] = static_cast<int16_t>(e + b);
    d2[c] = static_cast<int16_t>(e - b);
    d3[c] = static_cast<int16_t>(f - b);
  }
}

/// B' d B of codes d[4 * row + column][channel].
SDOPT_CLONES void transformTile(Chunk *d) {
  for (int64_t x = 0; x < kSide; ++x)
    transformCodes(d[x], d[4 + x], d[8 + x], d[12 + x]);
  for (int64_t y = 0; y < kSide; ++y)
    transformCodes(d[4 * y], d[4 * y + 1], d[4 * y + 2], d[4 * y + 3]);
}

SDOPT_CLONES void highBytes(const int16_t *from, int64_t count, int16_t *to) {
  for (int64_t c = 0; c < count; ++c)
    to[c] = static_cast<int16_t>(from[c] >> 8);
}
SDOPT_CLONES void lowBytes(const int16_t *from, int64_t count, int16_t *to) {
  for (int64_t c = 0; c < count; ++c)
    to[c] = static_cast<int16_t>((from[c] & 255) - 128);
}

/// 2 G w: three become four.
inline void transformTaps(const Chunk &first, const Chunk &second, const Chunk &third, Chunk *out) {
  for (int64_t c = 0; c < kChunk; ++c) {
    const int16_t ends = static_cast<int16_t>(first[c] + third[c]);
    out[0][c] = static_cast<int16_t>(-2 * first[c]);
    out[1][c] = static_cast<int16_t>(ends + second[c]);
    out[2][c] = static_cast<int16_t>(ends - second[c]);
    out[3][c] = static_cast<int16_t>(2 * third[c]);
  }
}

/// (2 G) w (2 G)' of taps w[3 * row + column][channel]: u[4 * row + column].
SDOPT_CLONES void transformFilter(const Chunk *w, Chunk *u) {
  Chunk columns[3][kSide];
  for (int64_t x = 0; x < 3; ++x)
    transformTaps(w[x], w[3 + x], w[6 + x], columns[x]);
  for (int64_t y = 0; y < kSide; ++y)
    transformTaps(columns[0][y], columns[1][y], columns[2][y], u + kSide * y);
}

/// A' m A of the sums of one tile, positions `step` apart: y[2 * row + column][lane].
SDOPT_CLONES void transformSums(const int64_t *sums, int64_t step, int64_t (*y)[kDotLanes]) {
  for (int64_t lane = 0; lane < kDotLanes; ++lane) {
    int64_t rows[2][kSide];
    for (int64_t x = 0; x < kSide; ++x) {
      const int64_t *m = sums + x * step + lane;
      const int64_t second = m[4 * step], third = m[8 * step];
      rows[0][x] = m[0] + second + third;
      rows[1][x] = second - third + m[12 * step];
    }
    for (int64_t row = 0; row < 2; ++row) {
      y[2 * row][lane] = rows[row][0] + rows[row][1] + rows[row][2];
      y[2 * row + 1][lane] = rows[row][1] - rows[row][2] + rows[row][3];
    }
  }
}

/// One convolution.
class Winograd {
public:
  Winograd(const DotKernels &kernels, const ConvTile &tile, Codes x, const int8_t *weights,
           int64_t *acc)
      : kernels_(kernels), t_(tile), x_(x), weights_(weights), acc_(acc),
        planes_(x.format.type == ElementType::I16 ? 2 : 1),
        depth_((tile.inputChannels + 1) / 2 * 2), columns_((tile.outputWidth + 1) / 2),
        rows_((tile.outputHeight + 1) / 2) {}

  void run() {
    const int64_t rowBytes = planes_ * kPositions * columns_ * depth_ * int64_t(sizeof(int16_t));
    const int64_t stripRows = std::clamp<int64_t>(kStripBytes / rowBytes, 1, rows_);
    // Products read whole groups of rows.
    tiles_ = stripRows * columns_ + kDotRows;
    thread_local Scratch scratch;
    codes_ = reinterpret_cast<int16_t *>(
        scratch.reserve(planes_ * kPositions * tiles_ * depth_ * int64_t(sizeof(int16_t))));
    const int64_t blocks = (t_.outputChannels + kDotLanes - 1) / kDotLanes;
    for (int64_t row = 0; row < rows_; row += stripRows) {
      const int64_t count = std::min(stripRows, rows_ - row);
      parallelFor(count, [&](int64_t i, int) { transformRow(row + i, i * columns_); });
      parallelFor(blocks, [&](int64_t block, int) { multiply(block, row, count * columns_); });
    }
  }

private:
  int16_t *codesAt(int64_t plane, int64_t position, int64_t tile) const {
    return codes_ + ((plane * kPositions + position) * tiles_ + tile) * depth_;
  }

  void transformRow(int64_t row, int64_t firstTile) const {
    for (int64_t column = 0; column < columns_; ++column)
      for (int64_t first = 0; first < depth_; first += kChunk) {
        const int64_t count = std::min(kChunk, depth_ - first);
        for (int64_t plane = 0; plane < planes_; ++plane) {
          alignas(64) Chunk d[kPositions];
          for (int64_t p = 0; p < kPositions; ++p)
            readCodes(plane, 2 * row - t_.padTop + p / kSide, 2 * column - t_.padLeft + p % kSide,
                      first, d[p]);
          transformTile(d);
          for (int64_t p = 0; p < kPositions; ++p)
            std::memcpy(codesAt(plane, p, firstTile + column) + first, d[p],
                        static_cast<size_t>(count) * sizeof(int16_t));
        }
      }
  }

  /// Channels from `first` on of one pixel; those that are none are 0.
  void readCodes(int64_t plane, int64_t row, int64_t column, int64_t first, Chunk &to) const {
    const int64_t count = std::min(kChunk, t_.inputChannels - first);
    std::fill(to + count, std::end(to), int16_t{0});
    if (row < 0 || row >= t_.inputHeight || column < 0 || column >= t_.inputWidth) {
      std::fill_n(to, count, static_cast<int16_t>(zeroPoint(plane)));
      return;
    }
    const int64_t index = (row * t_.inputWidth + column) * t_.inputChannels + first;
    if (planes_ == 1) {
      kernels_.widen(static_cast<const int8_t *>(x_.data) + index, count, 0, to);
      return;
    }
    const int16_t *from = static_cast<const int16_t *>(x_.data) + index;
    plane == 0 ? highBytes(from, count, to) : lowBytes(from, count, to);
  }

  /// High bytes come first, then low ones.
  int64_t zeroPoint(int64_t plane) const {
    return planes_ == 1 ? x_.format.zeroPoint : plane == 0 ? 0 : -128;
  }

  /// One block of output channels of all tiles of a strip.
  void multiply(int64_t block, int64_t firstRow, int64_t tiles) const {
    const int64_t lanes = std::min(kDotLanes, t_.outputChannels - block * kDotLanes);
    const int64_t panelSize = depth_ * kPanelLanes;
    thread_local Scratch scratch;
    auto *panels = reinterpret_cast<int16_t *>(
        scratch.reserve(kPositions * 2 * panelSize * int64_t(sizeof(int16_t))));
    std::array<int64_t, kDotLanes> corrections = {};
    packWeights(block * kDotLanes, lanes, panels);
    for (int64_t lane = 0; lane < lanes; ++lane)
      corrections[lane] = correction(block * kDotLanes + lane);
    constexpr int64_t kStep = kGroupTiles * kDotLanes;
    thread_local std::vector<int64_t> sums(kPositions * kStep);
    for (int64_t first = 0; first < tiles; first += kGroupTiles) {
      const int64_t count = std::min(kGroupTiles, tiles - first);
      for (int64_t p = 0; p < kPositions; ++p)
        multiplyPosition(p, first, count, panels + p * 2 * panelSize, lanes,
                         sums.data() + p * kStep);
      for (int64_t i = 0; i < count; ++i)
        finishTile(firstRow * columns_ + first + i, sums.data() + i * kDotLanes, kStep, lanes,
                   corrections.data(), acc_ + block * kDotLanes);
    }
  }

  /// sums[tile][lane] of one position, with all planes.
  void multiplyPosition(int64_t position, int64_t first, int64_t count, const int16_t *panels,
                        int64_t lanes, int64_t *sums) const {
    std::fill_n(sums, count * kDotLanes, 0);
    for (int64_t plane = 0; plane < planes_; ++plane) {
      if (plane == 1)
        for (int64_t i = 0; i < count * kDotLanes; ++i)
          sums[i] *= 256;
      for (int64_t pair = 0; pair < depth_ / 2; pair += kMostPairs)
        for (int64_t row = 0; row < count; row += kDotRows) {
          DotTile dot;
          dot.a = codesAt(plane, position, first + row) + 2 * pair;
          dot.aStride = depth_;
          dot.panel = panels + pair * 2 * kPanelLanes;
          dot.panelStride = depth_ * kPanelLanes;
          dot.pairs = std::min(kMostPairs, depth_ / 2 - pair);
          dot.acc = sums + row * kDotLanes;
          dot.accStride = kDotLanes;
          dot.rows = std::min(kDotRows, count - row);
          dot.lanes = lanes;
          kernels_.dot(dot);
        }
    }
  }

  /// Two panels of each position.
  void packWeights(int64_t firstOutput, int64_t lanes, int16_t *panels) const {
    const int64_t panelSize = depth_ * kPanelLanes;
    thread_local std::vector<int16_t> rows;
    rows.resize(static_cast<size_t>(kPositions * panelSize));
    for (int64_t panel = 0; panel * kPanelLanes < lanes; ++panel) {
      const int64_t count = std::min(kPanelLanes, lanes - panel * kPanelLanes);
      for (int64_t lane = 0; lane < count; ++lane)
        transformWeights(firstOutput + panel * kPanelLanes + lane, rows.data() + lane * depth_);
      for (int64_t p = 0; p < kPositions; ++p)
        packPanel(rows.data() + p * panelSize, depth_, count, depth_,
                  panels + (2 * p + panel) * panelSize);
    }
  }

  /// to[position * 16 * depth + channel].
  void transformWeights(int64_t output, int16_t *to) const {
    for (int64_t first = 0; first < depth_; first += kChunk) {
      const int64_t count = std::min(kChunk, t_.inputChannels - first);
      alignas(64) Chunk w[kTaps] = {}, u[kPositions];
      for (int64_t tap = 0; tap < kTaps; ++tap)
        std::copy_n(weights_ + (output * kTaps + tap) * t_.inputChannels + first, count, w[tap]);
      transformFilter(w, u);
      for (int64_t p = 0; p < kPositions; ++p)
        std::copy_n(u[p], std::min(kChunk, depth_ - first), to + p * kPanelLanes * depth_ + first);
    }
  }

  int64_t correction(int64_t output) const {
    const int8_t *from = weights_ + output * kTaps * t_.inputChannels;
    int64_t sum = 0, zeroPoints = 0;
    for (int64_t i = 0; i < kTaps * t_.inputChannels; ++i)
      sum += from[i];
    for (int64_t plane = 0; plane < planes_; ++plane)
      zeroPoints = 256 * zeroPoints + zeroPoint(plane);
    return -zeroPoints * sum;
  }

  /// `acc` begins at the first of the lanes.
  void finishTile(int64_t tile, const int64_t *sums, int64_t step, int64_t lanes,
                  const int64_t *corrections, int64_t *acc) const {
    int64_t y[4][kDotLanes];
    transformSums(sums, step, y);
    const int64_t oh = tile / columns_ * 2, ow = tile % columns_ * 2;
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t row = oh + i / 2, column = ow + i % 2;
      if (row >= t_.outputHeight || column >= t_.outputWidth)
        continue;
      int64_t *out = acc + (row * t_.outputWidth + column) * t_.outputChannels;
      for (int64_t lane = 0; lane < lanes; ++lane)
        out[lane] += (y[i][lane] >> 2) + corrections[lane];
    }
  }

  const DotKernels &kernels_;
  const ConvTile &t_;
  const Codes x_;
  const int8_t *weights_;
  int64_t *acc_;
  const int64_t planes_, depth_, columns_, rows_;
  int64_t tiles_ = 0; ///< of a strip, with room after them
  int16_t *codes_ = nullptr;
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
    Winograd(*level, tile, x, weights, acc).run();
  else
    kernels.convAccumulate(tile, x, weights, acc);
}

} // namespace sdopt
