//===- FloatWinograd.cpp - 3x3 convolutions with fewer products --------------===//

#include "compiler/kernels/FloatWinograd.h"

#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/RecycledTensor.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace sdopt {

namespace {

constexpr int64_t kSide = 4, kPositions = kSide * kSide, kTaps = 9;
/// Tiles whose products one thread holds between the two transforms.
constexpr int64_t kRangeTiles = 4 * kFloatRows;
/// Depths of the weights that are transposed at a time.
constexpr int64_t kPackedDepth = 32;

/// Sixteen floats: operators work on all of them, on any machine.
constexpr int64_t kLanes = 16;
using Lanes [[gnu::vector_size(kLanes * sizeof(float))]] = float;

inline Lanes load(const float *from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

inline Lanes load(const float *from, int64_t count) {
  if (count >= kLanes)
    return load(from);
  Lanes lanes = {};
  std::memcpy(&lanes, from, static_cast<size_t>(count) * sizeof(float));
  return lanes;
}

inline void store(float *to, Lanes lanes, int64_t count = kLanes) {
  if (count >= kLanes)
    std::memcpy(to, &lanes, sizeof(lanes));
  else
    std::memcpy(to, &lanes, static_cast<size_t>(count) * sizeof(float));
}

/// B' d.
inline void transformInput(Lanes &d0, Lanes &d1, Lanes &d2, Lanes &d3) {
  const Lanes second = d1;
  d0 = d0 - d2;
  d1 = second + d2;
  d2 = d2 - second;
  d3 = second - d3;
}

/// to[position * step + c] for c < count: the transform of 4x4 pixels.
SDOPT_CLONES void transformPixels(const float *const *pixels, int64_t count, float *to,
                                  int64_t step) {
  for (int64_t c = 0; c < count; c += kLanes) {
    Lanes d[kPositions];
    for (int64_t i = 0; i < kPositions; ++i)
      d[i] = load(pixels[i] + c, count - c);
    for (int64_t x = 0; x < kSide; ++x)
      transformInput(d[x], d[4 + x], d[8 + x], d[12 + x]);
    for (int64_t y = 0; y < kSide; ++y)
      transformInput(d[4 * y], d[4 * y + 1], d[4 * y + 2], d[4 * y + 3]);
    for (int64_t i = 0; i < kPositions; ++i)
      store(to + i * step + c, d[i], count - c);
  }
}

/// G g: three values become four.
inline void transformWeights(Lanes first, Lanes second, Lanes third, Lanes *out) {
  const Lanes ends = first + third;
  out[0] = first;
  out[1] = 0.5f * (ends + second);
  out[2] = 0.5f * (ends - second);
  out[3] = third;
}

/// G g G' of `depth` depths of a panel: from [9][depth][32] to [16][toDepth][32].
SDOPT_CLONES void transformPanel(const float *from, int64_t depth, float *to, int64_t toDepth) {
  const int64_t fromStep = depth * kFloatLanes, toStep = toDepth * kFloatLanes;
  for (int64_t at = 0; at < fromStep; at += kLanes) {
    Lanes columns[3][kSide], row[kSide];
    for (int64_t x = 0; x < 3; ++x)
      transformWeights(load(from + x * fromStep + at), load(from + (3 + x) * fromStep + at),
                       load(from + (6 + x) * fromStep + at), columns[x]);
    for (int64_t y = 0; y < kSide; ++y) {
      transformWeights(columns[0][y], columns[1][y], columns[2][y], row);
      for (int64_t x = 0; x < kSide; ++x)
        store(to + (kSide * y + x) * toStep + at, row[x]);
    }
  }
}

/// A' m A of the products of one tile, positions `step` apart: y[2 * row + column][lane].
SDOPT_CLONES void transformProducts(const float *products, int64_t step, float (*y)[kFloatLanes]) {
  for (int64_t lane = 0; lane < kFloatLanes; lane += kLanes) {
    Lanes rows[2][kSide];
    for (int64_t x = 0; x < kSide; ++x) {
      const float *m = products + x * step + lane;
      const Lanes second = load(m + 4 * step), third = load(m + 8 * step);
      rows[0][x] = load(m) + second + third;
      rows[1][x] = second - third - load(m + 12 * step);
    }
    for (int64_t row = 0; row < 2; ++row) {
      store(y[2 * row] + lane, rows[row][0] + rows[row][1] + rows[row][2]);
      store(y[2 * row + 1] + lane, rows[row][1] - rows[row][2] - rows[row][3]);
    }
  }
}

/// One convolution.
class Winograd {
public:
  Winograd(const WinogradShape &shape, const float *input, const float *weights, const float *bias,
           float *output)
      : s_(shape), input_(input), weights_(weights), bias_(bias), output_(output),
        zeros_(static_cast<size_t>(shape.inputs), 0.0f) {}

  void run() {
    Tensor transformed = recycledTensor(ElementType::F32, {kPositions, s_.tiles(), s_.inputs});
    transformed_ = transformed.mutableValues<float>().data();
    std::vector<Tensor> scratch(kernelThreads());
    for (Tensor &tensor : scratch)
      tensor = recycledTensor(ElementType::F32, {kPositions * s_.inputs * kFloatLanes});
    parallelFor(s_.tileRows(), [this](int64_t row, int) { transformRow(row); });
    const int64_t panels = (s_.outputs + kFloatLanes - 1) / kFloatLanes;
    parallelFor(panels, [&](int64_t panel, int thread) {
      float *packed = scratch[thread].mutableValues<float>().data();
      packPanel(panel, packed);
      for (int64_t tile = 0; tile < s_.tiles(); tile += kRangeTiles)
        multiplyRange(panel, packed, tile, std::min(kRangeTiles, s_.tiles() - tile));
    });
  }

private:
  int64_t rowsInPicture() const { return (s_.outputHeight + 1) / 2; }

  void transformRow(int64_t row) {
    const int64_t picture = row / rowsInPicture();
    const int64_t top = row % rowsInPicture() * 2 - s_.padTop;
    const float *from = input_ + picture * s_.inputHeight * s_.inputWidth * s_.inputStride;
    for (int64_t tile = 0; tile < s_.tilesInRow(); ++tile) {
      std::array<const float *, kPositions> pixels;
      for (int64_t y = 0; y < kSide; ++y)
        for (int64_t x = 0; x < kSide; ++x) {
          const int64_t h = top + y, w = tile * 2 - s_.padLeft + x;
          const bool inside = h >= 0 && h < s_.inputHeight && w >= 0 && w < s_.inputWidth;
          pixels[kSide * y + x] =
              inside ? from + (h * s_.inputWidth + w) * s_.inputStride : zeros_.data();
        }
      transformPixels(pixels.data(), s_.inputs,
                      transformed_ + (row * s_.tilesInRow() + tile) * s_.inputs,
                      s_.tiles() * s_.inputs);
    }
  }

  /// packed[position][d][32].
  void packPanel(int64_t panel, float *packed) const {
    const float *from = weights_ + panel * kFloatLanes * s_.inputs * kTaps;
    std::array<float, kTaps * kPackedDepth * kFloatLanes> taps;
    for (int64_t d = 0; d < s_.inputs; d += kPackedDepth) {
      const int64_t depth = std::min(kPackedDepth, s_.inputs - d);
      packFloatRows(from + d * kTaps, s_.inputs * kTaps, lanesOf(panel), depth, kTaps, taps.data());
      transformPanel(taps.data(), depth, packed + d * kFloatLanes, s_.inputs);
    }
  }

  int64_t lanesOf(int64_t panel) const {
    return std::min(kFloatLanes, s_.outputs - panel * kFloatLanes);
  }

  void multiplyRange(int64_t panel, const float *packed, int64_t first, int64_t count) const {
    thread_local std::array<float, kPositions * kRangeTiles * kFloatLanes> products;
    constexpr int64_t kStep = kRangeTiles * kFloatLanes;
    std::array<const float *, kFloatRows> rows;
    FloatTile tile{.rows = rows.data(), .depth = s_.inputs, .outStride = kFloatLanes};
    for (int64_t position = 0; position < kPositions; ++position) {
      tile.panel = packed + position * s_.inputs * kFloatLanes;
      const float *from = transformed_ + (position * s_.tiles() + first) * s_.inputs;
      for (int64_t t = 0; t < count; t += kFloatRows) {
        tile.rowCount = std::min(kFloatRows, count - t);
        for (int64_t r = 0; r < tile.rowCount; ++r)
          rows[r] = from + (t + r) * s_.inputs;
        tile.out = products.data() + position * kStep + t * kFloatLanes;
        multiplyTile(tile);
      }
    }
    for (int64_t t = 0; t < count; ++t)
      finishTile(panel, first + t, products.data() + t * kFloatLanes, kStep);
  }

  void finishTile(int64_t panel, int64_t tile, const float *products, int64_t step) const {
    const int64_t row = tile / s_.tilesInRow();
    const int64_t picture = row / rowsInPicture();
    const int64_t h = row % rowsInPicture() * 2, w = tile % s_.tilesInRow() * 2;
    const int64_t lanes = lanesOf(panel), column = panel * kFloatLanes;
    float y[4][kFloatLanes];
    transformProducts(products, step, y);
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t oh = h + i / 2, ow = w + i % 2;
      if (oh >= s_.outputHeight || ow >= s_.outputWidth)
        continue;
      float *out = output_ +
                   ((picture * s_.outputHeight + oh) * s_.outputWidth + ow) * s_.outputStride +
                   column;
      for (int64_t lane = 0; lane < lanes; ++lane)
        out[lane] = bias_ ? bias_[column + lane] + y[i][lane] : y[i][lane];
    }
  }

  WinogradShape s_;
  const float *input_, *weights_, *bias_;
  float *output_;
  std::vector<float> zeros_;
  float *transformed_ = nullptr;
};

} // namespace

bool winogradPays(const WinogradShape &shape) {
  constexpr int64_t kFewestChannels = 16, kFewestTiles = 32;
  // Every panel of weights reads the transformed input: beyond this from too far away.
  constexpr int64_t kMostFloats = int64_t{1} << 24;
  return shape.inputs >= kFewestChannels && shape.outputs >= kFewestChannels &&
         shape.tiles() >= kFewestTiles &&
         shape.tiles() <= kMostFloats / (kPositions * shape.inputs);
}

void convolveWinograd(const WinogradShape &shape, const float *input, const float *weights,
                      const float *bias, float *output) {
  Winograd(shape, input, weights, bias, output).run();
}

} // namespace sdopt
