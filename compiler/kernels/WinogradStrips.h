//===- WinogradStrips.h - integer Winograd at some speed --------*- C++ -*-===//
//
// Three steps for a strip of tiles: all codes are transformed; for each block of output channels
// the weights, then the products of each position are matrix products of DotPanels.h, tiles by
// channels; their sums are transformed back. All in integers that are wide enough, so that no step
// depends on how the work is cut.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_WINOGRADSTRIPS_H
#define SDOPT_COMPILER_KERNELS_WINOGRADSTRIPS_H

#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/Scratch.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace sdopt {

/// Channels that are transformed together.
inline constexpr int64_t kWinogradChunk = 64;
template <typename Lane> using WinogradLanes = Lane[kWinogradChunk];
using WinogradChunk = WinogradLanes<int16_t>;

/// Codes of a tile's pixels. `read(data, count, to)` takes them from memory, without the zero
/// point; to[row * side + column] are 0 outside the picture and beyond the last channel.
template <typename T, typename Lane, typename Read>
void readWinogradTile(const ConvTile &t, const void *codes, int64_t side, int64_t top, int64_t left,
                      int64_t first, WinogradLanes<Lane> *to, Read read) {
  const int64_t count = std::min(kWinogradChunk, t.inputChannels - first);
  for (int64_t p = 0; p < side * side; ++p) {
    const int64_t row = top + p / side, column = left + p % side;
    if (row < 0 || row >= t.inputHeight || column < 0 || column >= t.inputWidth) {
      std::fill(std::begin(to[p]), std::end(to[p]), Lane{0});
      continue;
    }
    read(static_cast<const T *>(codes) + (row * t.inputWidth + column) * t.inputChannels + first,
         count, to[p]);
    std::fill(to[p] + count, std::end(to[p]), Lane{0});
  }
}

/// One convolution. A form has
///
///   kOutputs, kInputs       of a tile in one dimension
///   kMostPairs              pairs of channels whose sums of products fit 32 bits
///   kPlaneFactor            what the first plane of wide codes counts, the second one counting 1
///   codes(top, left, first, v)     transformed codes of all planes, v[plane][position]
///   weights(w, u)                  transformed weights u[position] of taps w[9]
///   sums(m, step, y)               y[output][lane] of m[position * step + lane]
template <typename Form> class WinogradStrips {
public:
  WinogradStrips(const DotKernels &kernels, const ConvTile &tile, const Form &form, bool isWide,
                 const int8_t *weights, int64_t *acc)
      : kernels_(kernels), t_(tile), form_(form), weights_(weights), acc_(acc),
        planes_(isWide ? 2 : 1), depth_((tile.inputChannels + 1) / 2 * 2),
        columns_((tile.outputWidth + kOutputs - 1) / kOutputs),
        rows_((tile.outputHeight + kOutputs - 1) / kOutputs) {}

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
  static constexpr int64_t kOutputs = Form::kOutputs, kInputs = Form::kInputs,
                           kPositions = kInputs * kInputs, kTaps = 9;
  /// Transformed codes of a strip of tiles, and tiles whose sums are held between two steps.
  static constexpr int64_t kStripBytes = 16 << 20, kGroupTiles = 48;

  int16_t *codesAt(int64_t plane, int64_t position, int64_t tile) const {
    return codes_ + ((plane * kPositions + position) * tiles_ + tile) * depth_;
  }

  void transformRow(int64_t row, int64_t firstTile) const {
    for (int64_t column = 0; column < columns_; ++column)
      for (int64_t first = 0; first < depth_; first += kWinogradChunk) {
        alignas(64) WinogradChunk v[2 * kPositions];
        form_.codes(kOutputs * row - t_.padTop, kOutputs * column - t_.padLeft, first, v);
        const int64_t count = std::min(kWinogradChunk, depth_ - first);
        for (int64_t i = 0; i < planes_ * kPositions; ++i)
          std::memcpy(codesAt(i / kPositions, i % kPositions, firstTile + column) + first, v[i],
                      static_cast<size_t>(count) * sizeof(int16_t));
      }
  }

  /// One block of output channels of all tiles of a strip.
  void multiply(int64_t block, int64_t firstRow, int64_t tiles) const {
    const int64_t lanes = std::min(kDotLanes, t_.outputChannels - block * kDotLanes);
    const int64_t panelSize = depth_ * kPanelLanes;
    thread_local Scratch scratch;
    auto *panels = reinterpret_cast<int16_t *>(
        scratch.reserve(kPositions * 2 * panelSize * int64_t(sizeof(int16_t))));
    packWeights(block * kDotLanes, lanes, panels);
    constexpr int64_t kStep = kGroupTiles * kDotLanes;
    thread_local std::vector<int64_t> sums(kPositions * kStep);
    for (int64_t first = 0; first < tiles; first += kGroupTiles) {
      const int64_t count = std::min(kGroupTiles, tiles - first);
      for (int64_t p = 0; p < kPositions; ++p)
        multiplyPosition(p, first, count, panels + p * 2 * panelSize, lanes,
                         sums.data() + p * kStep);
      for (int64_t i = 0; i < count; ++i)
        finishTile(firstRow * columns_ + first + i, sums.data() + i * kDotLanes, kStep, lanes,
                   acc_ + block * kDotLanes);
    }
  }

  /// sums[tile][lane] of one position, with all planes.
  void multiplyPosition(int64_t position, int64_t first, int64_t count, const int16_t *panels,
                        int64_t lanes, int64_t *sums) const {
    std::fill_n(sums, count * kDotLanes, 0);
    for (int64_t plane = 0; plane < planes_; ++plane) {
      if (plane == 1)
        for (int64_t i = 0; i < count * kDotLanes; ++i)
          sums[i] *= Form::kPlaneFactor;
      for (int64_t pair = 0; pair < depth_ / 2; pair += Form::kMostPairs)
        for (int64_t row = 0; row < count; row += kDotRows) {
          DotTile dot;
          dot.a = codesAt(plane, position, first + row) + 2 * pair;
          dot.aStride = depth_;
          dot.panel = panels + pair * 2 * kPanelLanes;
          dot.panelStride = depth_ * kPanelLanes;
          dot.pairs = std::min(Form::kMostPairs, depth_ / 2 - pair);
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
    for (int64_t first = 0; first < depth_; first += kWinogradChunk) {
      const int64_t count = std::min(kWinogradChunk, t_.inputChannels - first);
      alignas(64) WinogradChunk w[kTaps] = {}, u[kPositions];
      for (int64_t tap = 0; tap < kTaps; ++tap)
        std::copy_n(weights_ + (output * kTaps + tap) * t_.inputChannels + first, count, w[tap]);
      form_.weights(w, u);
      for (int64_t p = 0; p < kPositions; ++p)
        std::copy_n(u[p], std::min(kWinogradChunk, depth_ - first),
                    to + p * kPanelLanes * depth_ + first);
    }
  }

  /// `acc` begins at the first of the lanes.
  void finishTile(int64_t tile, const int64_t *sums, int64_t step, int64_t lanes,
                  int64_t *acc) const {
    int64_t y[kOutputs * kOutputs][kDotLanes];
    form_.sums(sums, step, y);
    const int64_t oh = tile / columns_ * kOutputs, ow = tile % columns_ * kOutputs;
    for (int64_t i = 0; i < kOutputs * kOutputs; ++i) {
      const int64_t row = oh + i / kOutputs, column = ow + i % kOutputs;
      if (row >= t_.outputHeight || column >= t_.outputWidth)
        continue;
      int64_t *out = acc + (row * t_.outputWidth + column) * t_.outputChannels;
      for (int64_t lane = 0; lane < lanes; ++lane)
        out[lane] += y[i][lane];
    }
  }

  const DotKernels &kernels_;
  const ConvTile &t_;
  const Form &form_;
  const int8_t *weights_;
  int64_t *acc_;
  const int64_t planes_, depth_, columns_, rows_;
  int64_t tiles_ = 0; ///< of a strip, with room after them
  int16_t *codes_ = nullptr;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_WINOGRADSTRIPS_H
