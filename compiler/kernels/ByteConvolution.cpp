//===- ByteConvolution.cpp - convolution by products of bytes ---------------===//
//
// Weights are packed once. Bands of the picture become bytes; the products of a band are cut into
// items of some rows and as many output channels as keep their weights in the second-level cache.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/ByteConvolution.h"
#include "compiler/kernels/BytePicture.h"
#include "compiler/kernels/ByteVectors.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/Scratch.h"
#include "compiler/kernels/WorkSharing.h"

#include <algorithm>

namespace sdopt {

namespace {

constexpr int64_t kBandBytes = 8 << 20;
constexpr int64_t kItemWeightBytes = 512 << 10;
constexpr int64_t kItemRows = 256;
constexpr int64_t kFewProducts = 32 << 20;

int64_t quotientUp(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }

// A 1x1 layer is the same for any cut of its pixels into rows.
ConvTile simplified(ConvTile t) {
  bool pointwise = t.kernelHeight == 1 && t.kernelWidth == 1 && t.strideH == 1 && t.strideW == 1 &&
                   t.padTop == 0 && t.padLeft == 0 && t.inputWidth == t.outputWidth &&
                   t.inputHeight >= t.outputHeight;
  if (pointwise) {
    t.inputHeight = t.outputHeight = t.outputHeight * t.outputWidth;
    t.inputWidth = t.outputWidth = 1;
  }
  return t;
}

// Accumulators to add to, or codes.
struct ByteOutput {
  int64_t *acc = nullptr;
  const ChannelParams *params = nullptr;
  CodeFormat format;
  void *y = nullptr;
};

class ByteConvolution {
public:
  ByteConvolution(const ByteKernels &kernels, const ConvTile &tile, Codes x,
                  std::span<const WeightTile> weights, const ByteOutput &output)
      : kernels(kernels), tile(tile), picture(tile, x), weights(weights), output(output),
        offset(x.format.type == ElementType::I8 ? 128 + x.format.zeroPoint : 256 * 128),
        panelCount(quotientUp(tile.outputChannels, kByteLanes)),
        panelBytes(static_cast<int64_t>(picture.taps().size()) * picture.tapDepth() * kByteLanes) {}

  void run() {
    int64_t rowBytes = picture.planes() * picture.width() * picture.rowStride();
    bandRows = std::clamp<int64_t>(kBandBytes / rowBytes, 1, tile.outputHeight);
    planeBytes = picture.planeBytes(bandRows);
    panels = reinterpret_cast<int8_t *>(panelScratch().reserve(panelCount * panelBytes));
    planes = reinterpret_cast<uint8_t *>(pictureScratch().reserve(picture.planes() * planeBytes));
    corrections.resize(panelCount * kByteLanes);
    if (output.params)
      channels.assign(output.params, output.params + tile.outputChannels);
    int64_t products = tile.outputHeight * tile.outputWidth * panelCount * panelBytes;
    int threads = products < kFewProducts ? 1 : kernelThreads();
    shareItems(panelCount, threads, [&](int64_t panel) { pack(panel); });
    for (int64_t first = 0; first < tile.outputHeight; first += bandRows)
      multiplyBand(first, std::min(bandRows, tile.outputHeight - first), threads);
  }

private:
  // Rows x lanes of the matrix product of a band.
  struct Item {
    int64_t firstRow, lastRow, firstLane, lastLane;
  };

  static Scratch &panelScratch() {
    thread_local Scratch scratch;
    return scratch;
  }
  static Scratch &pictureScratch() {
    thread_local Scratch scratch;
    return scratch;
  }

  void pack(int64_t panel) {
    int64_t lane = panel * kByteLanes, lanes = std::min(kByteLanes, tile.outputChannels - lane);
    int8_t *target = panels + panel * panelBytes;
    int32_t sums[kByteLanes] = {};
    if (fitsTiles(lane, lanes)) {
      packTiles(lane, lanes, target, sums);
    } else {
      BytePanelSource source = wholeRows(lanes);
      source.rows = gather(lane, lanes);
      packBytePanel(source, target, sums);
    }
    for (int64_t i = 0; i < lanes; ++i) {
      corrections[lane + i] = -offset * sums[i];
      if (output.params)
        channels[lane + i].bias += corrections[lane + i];
    }
  }

  BytePanelSource wholeRows(int64_t lanes) const {
    BytePanelSource source;
    source.lanes = lanes;
    source.taps = picture.weightTaps();
    source.channels = picture.weightChannels();
    source.tapBytes = picture.tapDepth() * kByteLanes;
    return source;
  }

  static bool meets(const WeightTile &t, int64_t lane, int64_t lanes) {
    return t.firstOutput < lane + lanes && lane < t.firstOutput + t.outputs;
  }

  // Do the tiles cut neither the lanes nor a chunk of depths?
  bool fitsTiles(int64_t lane, int64_t lanes) const {
    bool tapByTap = picture.weightChannels() == tile.inputChannels;
    return std::ranges::all_of(weights, [&](const WeightTile &t) {
      if (!meets(t, lane, lanes))
        return true;
      bool allLanes = t.firstOutput <= lane && lane + lanes <= t.firstOutput + t.outputs;
      return allLanes &&
             (t.inputs == tile.inputChannels || (tapByTap && t.firstInput % kByteChunk == 0));
    });
  }

  void packTiles(int64_t lane, int64_t lanes, int8_t *panel, int32_t *sums) const {
    for (const WeightTile &t : weights) {
      if (!meets(t, lane, lanes))
        continue;
      BytePanelSource source = wholeRows(lanes);
      if (t.inputs != tile.inputChannels)
        source.channels = t.inputs;
      source.rows = t.weights + (lane - t.firstOutput) * source.taps * source.channels;
      int32_t tileSums[kByteLanes];
      packBytePanel(source, panel + t.firstInput * kByteLanes, tileSums);
      for (int64_t i = 0; i < kByteLanes; ++i)
        sums[i] += tileSums[i];
    }
  }

  // Rows [taps][inputs] of weights, as if there were one tile.
  const int8_t *gather(int64_t lane, int64_t lanes) const {
    thread_local Scratch scratch;
    int64_t taps = tile.kernelHeight * tile.kernelWidth, inputs = tile.inputChannels;
    auto *rows = reinterpret_cast<int8_t *>(scratch.reserve(lanes * taps * inputs));
    for (const WeightTile &t : weights)
      for (int64_t i = 0; i < lanes; ++i) {
        int64_t row = lane + i - t.firstOutput;
        if (row < 0 || row >= t.outputs)
          continue;
        for (int64_t tap = 0; tap < taps; ++tap)
          std::copy_n(t.weights + (row * taps + tap) * t.inputs, t.inputs,
                      rows + (i * taps + tap) * inputs + t.firstInput);
      }
    return rows;
  }

  void multiplyBand(int64_t firstOutputRow, int64_t outputRows, int threads) {
    int64_t pieces = picture.pieces(outputRows);
    shareItems(pieces, threads, [&](int64_t piece) {
      picture.fill(firstOutputRow, piece, planes, planes + (picture.planes() - 1) * planeBytes);
    });
    int64_t rows = outputRows * picture.width();
    int64_t strip = stripRows();
    int64_t itemRows = std::min(kItemRows, quotientUp(quotientUp(rows, threads), strip) * strip);
    int64_t itemLanes = std::max<int64_t>(1, kItemWeightBytes / (panelBytes * 2)) * kBlockLanes;
    int64_t rowItems = quotientUp(rows, itemRows);
    int64_t laneItems = quotientUp(tile.outputChannels, itemLanes);
    shareItems(rowItems * laneItems, threads, [&](int64_t i) {
      int64_t row = i % rowItems * itemRows, lane = i / rowItems * itemLanes;
      multiply({row, std::min(rows, row + itemRows), lane,
                std::min(tile.outputChannels, lane + itemLanes)},
               firstOutputRow);
    });
  }

  // Both planes of 16 rows, or 32 rows.
  int64_t stripRows() const { return picture.planes() == 2 ? kByteGroup : 2 * kByteGroup; }

  void multiply(const Item &item, int64_t firstOutputRow) const {
    alignas(64) int32_t sums[2 * kByteGroup * kBlockLanes];
    kernels.begin();
    for (int64_t row = item.firstRow; row < item.lastRow; row += stripRows()) {
      ByteSums result = resultOf(row, item.lastRow, firstOutputRow);
      result.sums = sums;
      ByteBlock block;
      block.rows[0] = planes + row * picture.rowStride();
      if (picture.planes() == 2)
        block.rows[1] = block.rows[0] + planeBytes;
      else if (result.rows > kByteGroup)
        block.rows[1] = block.rows[0] + kByteGroup * picture.rowStride();
      block.rowStride = picture.rowStride();
      block.taps = picture.taps();
      block.tapDepth = picture.tapDepth();
      block.sums = sums;
      for (int64_t lane = item.firstLane; lane < item.lastLane; lane += kBlockLanes) {
        result.lanes = std::min(kBlockLanes, item.lastLane - lane);
        block.panels[0] = panels + lane / kByteLanes * panelBytes;
        block.panels[1] = result.lanes > kByteLanes ? block.panels[0] + panelBytes : nullptr;
        kernels.sums(block);
        give(result, lane);
      }
    }
    kernels.end();
  }

  void give(const ByteSums &result, int64_t lane) const {
    if (output.params) {
      auto *y = static_cast<std::byte *>(output.y) + lane * byteWidth(output.format.type);
      requantizeByteSums(result, channels.data() + lane, output.format, y);
    } else {
      addByteSums(result, corrections.data() + lane, output.acc + lane);
    }
  }

  // Where the sums of a strip go; rows beyond the right edge of the picture go nowhere.
  ByteSums resultOf(int64_t row, int64_t lastRow, int64_t firstOutputRow) const {
    ByteSums result;
    result.wide = picture.planes() == 2;
    result.rows = std::min(stripRows(), lastRow - row);
    int64_t oh = firstOutputRow + row / picture.width(), ow = row % picture.width();
    for (int64_t r = 0; r < result.rows; ++r) {
      result.offsets[r] =
          ow < tile.outputWidth ? (oh * tile.outputWidth + ow) * tile.outputChannels : -1;
      if (++ow == picture.width()) {
        ow = 0;
        ++oh;
      }
    }
    return result;
  }

  const ByteKernels &kernels;
  const ConvTile tile;
  const BytePicture picture;
  const std::span<const WeightTile> weights;
  const ByteOutput output;
  int64_t offset; ///< of the bytes from the values
  int64_t panelCount, panelBytes;
  int64_t bandRows = 0, planeBytes = 0;
  int8_t *panels = nullptr;
  uint8_t *planes = nullptr;
  std::vector<int64_t> corrections;
  std::vector<ChannelParams> channels; ///< with the corrections
};

} // namespace

bool fitsByteConvolution(const ConvTile &tile, CodeFormat format) {
  bool inRange = format.type == ElementType::I8
                     ? format.zeroPoint >= format.min() && format.zeroPoint <= format.max()
                     : format.zeroPoint == 0;
  return inRange &&
         tile.kernelHeight * tile.kernelWidth * (tile.inputChannels + kByteChunk) <= kMaxByteDepth;
}

void byteConvAccumulate(const ByteKernels &kernels, const ConvTile &tile, Codes x,
                        const int8_t *weights, int64_t *acc) {
  ByteOutput output;
  output.acc = acc;
  const WeightTile whole{0, tile.outputChannels, 0, tile.inputChannels, weights};
  ByteConvolution(kernels, simplified(tile), x, {&whole, 1}, output).run();
}

void byteConvolve(const ByteKernels &kernels, const ConvTile &tile, Codes x,
                  std::span<const WeightTile> weights, const ChannelParams *params,
                  CodeFormat format, void *y) {
  ByteConvolution(kernels, simplified(tile), x, weights, {nullptr, params, format, y}).run();
}

} // namespace sdopt
