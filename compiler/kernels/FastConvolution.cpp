//===- FastConvolution.cpp - exact integer convolution at speed -------------===//
//
// A matrix product of gathered input patches [pixels][depth] and packed weights, depth = (kh, kw,
// ci), in blocks of depth: weights of a block are packed once, then every strip of pixels passes
// over them. Scratch memory is one block of weights and one strip of patches for each thread.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FastConvolution.h"
#include "compiler/kernels/ByteConvolution.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/WorkSharing.h"

#include <algorithm>
#include <cstring>

namespace sdopt {

namespace {

constexpr int64_t kBlockDepth = 1024;
constexpr int64_t kStripPixels = 48;
// |x - z| * |w| <= 2^22 for I16, so that 255 pairs stay below 2^31; I8 never reaches it in one
// block.
constexpr int64_t kMaxPairs16 = 255;

struct Problem {
  const DotKernels &kernels;
  const ConvTile &tile;
  Codes x;
  const int8_t *weights;
  int64_t *acc;

  int64_t depth() const { return tile.kernelHeight * tile.kernelWidth * tile.inputChannels; }
  int64_t pixels() const { return tile.outputHeight * tile.outputWidth; }
};

// Input codes minus zero point, widened.
void copyRun(const Problem &problem, int64_t from, int64_t count, int16_t *to) {
  if (problem.x.format.type == ElementType::I8)
    problem.kernels.widen(static_cast<const int8_t *>(problem.x.data) + from, count,
                          problem.x.format.zeroPoint, to);
  else
    std::memcpy(to, static_cast<const int16_t *>(problem.x.data) + from,
                static_cast<size_t>(count) * sizeof(int16_t));
}

// Depths [first, last) of the patch of one output pixel; runs of taps that are neighbours in memory
// are copied at once.
void gatherPatch(const Problem &problem, int64_t pixel, int64_t first, int64_t last,
                 int16_t *patch) {
  const ConvTile &t = problem.tile;
  int64_t top = pixel / t.outputWidth * t.strideH - t.padTop;
  int64_t left = pixel % t.outputWidth * t.strideW - t.padLeft;
  int64_t rowDepth = t.kernelWidth * t.inputChannels;
  for (int64_t k = first; k < last;) {
    int64_t kh = k / rowDepth, kw = k % rowDepth / t.inputChannels;
    int64_t ih = top + kh * t.dilationH, iw = left + kw * t.dilationW;
    int64_t channel = k % t.inputChannels;
    bool rowInside = ih >= 0 && ih < t.inputHeight;
    int64_t taps = 1;
    if (t.dilationW == 1 && iw >= 0)
      taps = std::max<int64_t>(1, std::min(t.kernelWidth - kw, t.inputWidth - iw));
    int64_t count = std::min(last - k, taps * t.inputChannels - channel);
    int16_t *target = patch + (k - first);
    if (rowInside && iw >= 0 && iw < t.inputWidth)
      copyRun(problem, (ih * t.inputWidth + iw) * t.inputChannels + channel, count, target);
    else
      std::memset(target, 0, static_cast<size_t>(count) * sizeof(int16_t));
    k += count;
  }
  if ((last - first) % 2)
    patch[last - first] = 0;
}

// One strip of pixels times one packed block of weights.
void multiplyStrip(const Problem &problem, const int16_t *patches, const int16_t *panels,
                   int64_t firstPixel, int64_t pixelCount, int64_t pairs) {
  int64_t channels = problem.tile.outputChannels;
  int64_t panelSize = pairs * 2 * kPanelLanes;
  int64_t parts =
      problem.x.format.type == ElementType::I8 ? 1 : (pairs + kMaxPairs16 - 1) / kMaxPairs16;
  int64_t partPairs = (pairs + parts - 1) / parts;
  for (int64_t lane = 0; lane < channels; lane += kDotLanes)
    for (int64_t p = 0; p < pairs; p += partPairs)
      for (int64_t row = 0; row < pixelCount; row += kDotRows) {
        DotTile dot;
        dot.a = patches + row * 2 * pairs + 2 * p;
        dot.aStride = 2 * pairs;
        dot.panel = panels + lane / kPanelLanes * panelSize + p * 2 * kPanelLanes;
        dot.panelStride = panelSize;
        dot.pairs = std::min(partPairs, pairs - p);
        dot.acc = problem.acc + (firstPixel + row) * channels + lane;
        dot.accStride = channels;
        dot.rows = std::min(kDotRows, pixelCount - row);
        dot.lanes = std::min(kDotLanes, channels - lane);
        problem.kernels.dot(dot);
      }
}

void packBlock(const Problem &problem, int64_t first, int64_t last, int16_t *panels) {
  int64_t channels = problem.tile.outputChannels, depth = problem.depth();
  int64_t panelSize = (last - first + 1) / 2 * 2 * kPanelLanes;
  int64_t panelCount = (channels + kPanelLanes - 1) / kPanelLanes;
  shareItems(panelCount, kernelThreads(), [&](int64_t i) {
    packPanel(problem.weights + i * kPanelLanes * depth + first, depth,
              std::min(kPanelLanes, channels - i * kPanelLanes), last - first,
              panels + i * panelSize);
  });
}

void convolveBlocks(const Problem &problem) {
  int64_t depth = problem.depth(), pixels = problem.pixels();
  // Blocks of equal depth, even so that pairs never straddle two of them.
  int64_t blocks = (depth + kBlockDepth - 1) / kBlockDepth;
  int64_t blockDepth = ((depth + blocks - 1) / blocks + 1) / 2 * 2;
  int64_t panelCount =
      (problem.tile.outputChannels + kDotLanes - 1) / kDotLanes * (kDotLanes / kPanelLanes);
  std::vector<int16_t> panels(panelCount * blockDepth * kPanelLanes);
  int64_t strips = (pixels + kStripPixels - 1) / kStripPixels;
  int threads = kernelThreads();
  for (int64_t first = 0; first < depth; first += blockDepth) {
    int64_t last = std::min(depth, first + blockDepth);
    int64_t pairs = (last - first + 1) / 2;
    packBlock(problem, first, last, panels.data());
    shareItems(strips, threads, [&](int64_t strip) {
      thread_local std::vector<int16_t> patches;
      patches.resize(kStripPixels * 2 * pairs);
      int64_t firstPixel = strip * kStripPixels;
      int64_t count = std::min(kStripPixels, pixels - firstPixel);
      for (int64_t i = 0; i < count; ++i)
        gatherPatch(problem, firstPixel + i, first, last, patches.data() + i * 2 * pairs);
      multiplyStrip(problem, patches.data(), panels.data(), firstPixel, count, pairs);
    });
  }
}

// Too few rows to repay packing: dot products along the weights as they lie.
void convolveRows(const Problem &problem) {
  int64_t depth = problem.depth(), pixels = problem.pixels();
  int64_t channels = problem.tile.outputChannels;
  int64_t stride = (depth + 1) / 2 * 2;
  std::vector<int16_t> patches(pixels * stride);
  for (int64_t i = 0; i < pixels; ++i)
    gatherPatch(problem, i, 0, depth, patches.data() + i * stride);
  int threads = kernelThreads();
  shareItems(channels, threads, [&](int64_t channel) {
    for (int64_t i = 0; i < pixels; ++i)
      problem.acc[i * channels + channel] += problem.kernels.rowDot(
          patches.data() + i * stride, problem.weights + channel * depth, depth);
  });
}

// One output pixel or a few: their dot products need no panels.
constexpr int64_t kFewPixels = 4;

bool useBytes(const DotKernels &kernels, const ConvTile &tile, CodeFormat format) {
  return kernels.bytes && tile.outputHeight * tile.outputWidth > kFewPixels &&
         fitsByteConvolution(tile, format);
}

bool isEmpty(const Problem &problem) {
  return problem.depth() == 0 || problem.pixels() == 0 || problem.tile.outputChannels == 0;
}

bool areScalings(const ChannelParams *params, int64_t channels) {
  constexpr int64_t kMaxBias = int64_t(1) << 52;
  return std::all_of(params, params + channels, [](const ChannelParams &c) {
    return c.multiplier >= 0 && c.shift >= 25 && c.shift <= 62 && c.bias > -kMaxBias &&
           c.bias < kMaxBias;
  });
}

} // namespace

void fastConvAccumulate(const DotKernels &kernels, const ConvTile &tile, Codes x,
                        const int8_t *weights, int64_t *acc) {
  const CodeFormat &format = x.format;
  bool fits = format.type == ElementType::I8
                  ? format.zeroPoint >= format.min() && format.zeroPoint <= format.max()
                  : format.zeroPoint == 0;
  if (!fits)
    return naiveKernels().convAccumulate(tile, x, weights, acc);
  Problem problem{kernels, tile, x, weights, acc};
  if (isEmpty(problem))
    return;
  if (useBytes(kernels, tile, format))
    return byteConvAccumulate(*kernels.bytes, tile, x, weights, acc);
  problem.pixels() <= kFewPixels ? convolveRows(problem) : convolveBlocks(problem);
}

bool fastConvolve(const DotKernels &kernels, const ConvTile &tile, Codes x,
                  std::span<const WeightTile> weights, const ChannelParams *params,
                  CodeFormat format, void *y) {
  if (isEmpty({kernels, tile, x, nullptr, nullptr}) || !useBytes(kernels, tile, x.format) ||
      !areScalings(params, tile.outputChannels))
    return false;
  byteConvolve(*kernels.bytes, tile, x, weights, params, format, y);
  return true;
}

} // namespace sdopt
