//===- FastIntegerKernels.cpp - the arithmetic of the NPU at speed ----------===//
//
// Matrix work goes to FastConvolution and FastAttention, pointwise work in blocks of rows to
// PointwiseKernels. Parameters outside the documented ranges go to the naive kernels, which have
// room for them.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FastAttention.h"
#include "compiler/kernels/FastConvolution.h"
#include "compiler/kernels/PointwiseKernels.h"
#include "compiler/kernels/RowBlocks.h"

#include <algorithm>
#include <memory>
#include <mutex>

namespace sdopt {

namespace {

bool isModest(int64_t value, int bits) {
  return value >= -(int64_t(1) << bits) && value <= int64_t(1) << bits;
}

bool isShift(int32_t shift) { return shift >= 1 && shift <= 62; }

bool isScaling(int32_t multiplier, int32_t shift) {
  return multiplier >= 0 && shift >= 25 && shift <= 62;
}

Codes from(Codes codes, int64_t element) {
  const auto *bytes = static_cast<const std::byte *>(codes.data);
  return {bytes + element * byteWidth(codes.format.type), codes.format};
}

void *from(void *y, CodeFormat format, int64_t element) {
  return static_cast<std::byte *>(y) + element * byteWidth(format.type);
}

// y of every code of I8.
template <typename Output>
void tableBytes(const int8_t *x, int64_t count, const int32_t *entries, CodeFormat format,
                Output *y) {
  Output outputs[kTableEntries8];
  for (int64_t i = 0; i < kTableEntries8; ++i)
    outputs[i] = static_cast<Output>(saturate((int64_t(entries[i]) + 128) >> 8, format));
  for (int64_t i = 0; i < count; ++i)
    y[i] = outputs[x[i] + 128];
}

void tableOfBytes(const int8_t *x, int64_t count, const int32_t *entries, CodeFormat format,
                  void *y) {
  if (format.type == ElementType::I8)
    tableBytes(x, count, entries, format, static_cast<int8_t *>(y));
  else
    tableBytes(x, count, entries, format, static_cast<int16_t *>(y));
}

template <typename Input, typename Output>
void modulateRow(const Input *x, int64_t channels, int64_t zeroPoint, const int64_t *gains,
                 const int64_t *offsets, int32_t shift, CodeFormat format, Output *y) {
  const int64_t low = format.min(), high = format.max(), zero = format.zeroPoint;
  for (int64_t c = 0; c < channels; ++c) {
    int64_t value = ((x[c] - zeroPoint) * gains[c] + offsets[c]) >> shift;
    y[c] = static_cast<Output>(std::clamp(value + zero, low, high));
  }
}

void modulateRows(Codes x, int64_t rows, int64_t channels, const int64_t *gains,
                  const int64_t *offsets, int32_t shift, CodeFormat format, void *y) {
  auto each = [&](auto *input, auto *output) {
    for (int64_t r = 0; r < rows; ++r)
      modulateRow(input + r * channels, channels, x.format.zeroPoint, gains, offsets, shift, format,
                  output + r * channels);
  };
  auto withInput = [&](auto *input) {
    if (format.type == ElementType::I8)
      each(input, static_cast<int8_t *>(y));
    else
      each(input, static_cast<int16_t *>(y));
  };
  if (x.format.type == ElementType::I8)
    withInput(static_cast<const int8_t *>(x.data));
  else
    withInput(static_cast<const int16_t *>(x.data));
}

class FastIntegerKernels final : public IntegerKernels {
public:
  explicit FastIntegerKernels(const DotKernels &level)
      : level(level), pointwise(level.avx512 ? avx512Pointwise() : portablePointwise()) {}

  void convAccumulate(const ConvTile &tile, Codes x, const int8_t *weights,
                      int64_t *acc) const override {
    fastConvAccumulate(level, tile, x, weights, acc);
  }

  void requantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                  CodeFormat format, void *y) const override {
    for (int64_t c = 0; c < channels; ++c)
      if (!isScaling(params[c].multiplier, params[c].shift))
        return naiveKernels().requantize(acc, rows, channels, params, format, y);
    forRowBlocks(rows, channels, [&](int64_t first, int64_t count) {
      pointwise.requantize(acc + first * channels, count, channels, params, format,
                           from(y, format, first * channels));
    });
  }

  void combine(Codes a, Codes b, int64_t rows, int64_t channels, const CombineParams &params,
               CodeFormat format, void *y) const override {
    if (!isShift(params.scaling.shift) || !isModest(a.format.zeroPoint, 20) ||
        !isModest(b.format.zeroPoint, 20))
      return naiveKernels().combine(a, b, rows, channels, params, format, y);
    bool broadcast = b.data && params.broadcastRows;
    forRowBlocks(rows, channels, [&](int64_t first, int64_t count) {
      int64_t runs = broadcast ? count : 1, length = count * channels / runs;
      for (int64_t i = 0; i < runs; ++i) {
        int64_t at = first * channels + i * length;
        pointwise.combine(from(a, at), b.data && !broadcast ? from(b, at) : b, length,
                          params.scaling, format, from(y, format, at));
      }
    });
  }

  void table(Codes x, int64_t count, std::span<const int32_t> entries, CodeFormat format,
             void *y) const override {
    forRowBlocks(count, 1, [&](int64_t first, int64_t length) {
      Codes part = from(x, first);
      void *output = from(y, format, first);
      if (x.format.type == ElementType::I8)
        tableOfBytes(static_cast<const int8_t *>(part.data), length, entries.data(), format,
                     output);
      else
        pointwise.table(static_cast<const int16_t *>(part.data), length, entries.data(), format,
                        output);
    });
  }

  void geglu(Codes x, int64_t rows, int64_t channels, std::span<const int32_t> entries,
             const GegluParams &params, CodeFormat format, void *y) const override {
    if (!isScaling(params.scaling.multiplier, params.scaling.shift) ||
        !isModest(x.format.zeroPoint, 20))
      return naiveKernels().geglu(x, rows, channels, entries, params, format, y);
    forRowBlocks(rows, channels, [&](int64_t first, int64_t count) {
      pointwise.geglu(from(x, first * 2 * channels), count, channels, entries.data(),
                      params.scaling, format, from(y, format, first * channels));
    });
  }

  void modulate(Codes x, Codes scale, Codes shift, int64_t rows, int64_t channels,
                const ModulateParams &params, CodeFormat format, void *y) const override {
    auto within = [](int64_t value, int64_t limit) { return value >= 0 && value <= limit; };
    bool modest = within(params.scaleMultiplier, kLargestScaleMultiplier) &&
                  within(params.unit, kLargestModulation) &&
                  within(params.shiftMultiplier, kLargestModulation) && params.shift >= 1 &&
                  params.shift <= kLargestModulateShift;
    for (CodeFormat operand : {x.format, scale.format, shift.format})
      modest &=
          operand.type == ElementType::I8 ? isModest(operand.zeroPoint, 7) : operand.zeroPoint == 0;
    if (!modest)
      return naiveKernels().modulate(x, scale, shift, rows, channels, params, format, y);
    // What all rows share: gain, and offset with the rounding.
    std::vector<int64_t> gains(channels), offsets(channels);
    auto valueAt = [](Codes codes, int64_t i) {
      return (codes.format.type == ElementType::I8 ? static_cast<const int8_t *>(codes.data)[i]
                                                   : static_cast<const int16_t *>(codes.data)[i]) -
             codes.format.zeroPoint;
    };
    for (int64_t c = 0; c < channels; ++c) {
      gains[c] = valueAt(scale, c) * params.scaleMultiplier + params.unit;
      offsets[c] = (shift.data ? valueAt(shift, c) * params.shiftMultiplier : 0) +
                   (int64_t(1) << (params.shift - 1));
    }
    forRowBlocks(rows, channels, [&](int64_t first, int64_t count) {
      modulateRows(from(x, first * channels), count, channels, gains.data(), offsets.data(),
                   params.shift, format, from(y, format, first * channels));
    });
  }

  void normSums(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                std::span<NormSums> sums) const override {
    // As many rows as the sums of a channel may have.
    constexpr int64_t kElements = 1 << 15;
    bool single = channelsPerGroup >= channels;
    std::mutex lock;
    auto addBlock = [&](int64_t first, int64_t count) {
      Codes part = from(x, first * channels);
      std::vector<NormSums> parts(single ? 1 : channels);
      if (single)
        parts[0] = pointwise.sums(part, count * channels);
      else
        pointwise.channelSums(part, count, channels, parts.data());
      std::lock_guard guard(lock);
      for (size_t i = 0; i < parts.size(); ++i) {
        NormSums &target = sums[static_cast<int64_t>(i) / channelsPerGroup];
        target.sum += parts[i].sum;
        target.squares += parts[i].squares;
      }
    };
    if (channels > 0)
      forRowBlocks(rows, channels, addBlock, kElements);
  }

  void normApply(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                 std::span<const NormSums> sums, const NormParams &params,
                 const NormChannel *channelParams, CodeFormat format, void *y) const override {
    std::vector<NormFactor> factors;
    bool modest =
        isShift(params.shift) && params.shift <= 61 && pointwise.areModest(channelParams, channels);
    for (int64_t first = 0; first < channels; first += channelsPerGroup) {
      factors.push_back(normFactor(sums[first / channelsPerGroup], params, x.format.zeroPoint));
      const NormFactor &factor = factors.back();
      modest &= isModest(factor.mean, 29) && (factor.mantissa == 0 || isShift(factor.shift));
    }
    if (!modest)
      return naiveKernels().normApply(x, rows, channels, channelsPerGroup, sums, params,
                                      channelParams, format, y);
    std::vector<int64_t> groupOf;
    if (channelsPerGroup % 8 && channelsPerGroup < channels)
      for (int64_t c = 0; c < channels; ++c)
        groupOf.push_back(c / channelsPerGroup);
    forRowBlocks(rows, channels, [&](int64_t first, int64_t count) {
      pointwise.normApply({from(x, first * channels), count, channels, channelsPerGroup, factors,
                           groupOf, channelParams, params.shift},
                          format, from(y, format, first * channels));
    });
  }

  void attentionMaxima(const AttentionTile &tile, Codes q, Codes k, const AttentionParams &params,
                       int64_t *rowMax) const override {
    fastAttentionMaxima(level, tile, q, k, params, rowMax);
  }

  void attentionAccumulate(const AttentionTile &tile, Codes q, Codes k, Codes v,
                           const AttentionParams &params, const int64_t *rowMax, int64_t *rowSum,
                           int64_t *acc) const override {
    fastAttentionAccumulate(level, tile, q, k, v, params, rowMax, rowSum, acc);
  }

  void attention(const AttentionTile &tile, Codes q, Codes k, Codes v,
                 const AttentionParams &params, int64_t *rowMax, int64_t *rowSum,
                 int64_t *acc) const override {
    fastAttention(level, tile, q, k, v, params, rowMax, rowSum, acc);
  }

  void attentionFinish(int64_t queries, int64_t headDim, const int64_t *rowSum, const int64_t *acc,
                       const AttentionParams &params, CodeFormat format, int64_t outputStride,
                       void *y) const override {
    bool quick = pointwise.finish && isModest(format.zeroPoint, 16);
    forRowBlocks(queries, headDim, [&](int64_t first, int64_t count) {
      for (int64_t r = first; r < first + count; ++r) {
        const int64_t *row = acc + r * headDim;
        void *output = from(y, format, r * outputStride);
        if (!quick || !pointwise.finish(headDim, rowSum[r], row, params.output, format, output))
          naiveKernels().attentionFinish(1, headDim, rowSum + r, row, params, format, outputStride,
                                         output);
      }
    });
  }

  void timeEmbedding(int32_t timestep, std::span<const uint32_t> steps,
                     std::span<const int32_t> sine, const TimeEmbeddingParams &params,
                     CodeFormat format, void *y) const override {
    naiveKernels().timeEmbedding(timestep, steps, sine, params, format, y);
  }

  void embed(const int8_t *token, const int32_t *tokenMultiplier, const int8_t *position,
             const int32_t *positionMultiplier, int32_t shift, int64_t rows, int64_t channels,
             CodeFormat format, void *y) const override {
    naiveKernels().embed(token, tokenMultiplier, position, positionMultiplier, shift, rows,
                         channels, format, y);
  }

private:
  const DotKernels &level;
  const PointwiseKernels &pointwise;
};

const std::vector<std::unique_ptr<FastIntegerKernels>> &allLevels() {
  static const auto levels = [] {
    std::vector<std::unique_ptr<FastIntegerKernels>> made;
    for (const DotKernels &level : dotKernelLevels())
      made.push_back(std::make_unique<FastIntegerKernels>(level));
    return made;
  }();
  return levels;
}

} // namespace

const IntegerKernels &fastKernels() { return *allLevels().back(); }

std::span<const IntegerKernels *const> fastKernelLevels() {
  static const auto pointers = [] {
    std::vector<const IntegerKernels *> all;
    for (const auto &level : allLevels())
      all.push_back(level.get());
    return all;
  }();
  return pointers;
}

const DotKernels *dotKernelsOf(const IntegerKernels &kernels) {
  std::span<const IntegerKernels *const> levels = fastKernelLevels();
  for (size_t i = 0; i < levels.size(); ++i)
    if (levels[i] == &kernels)
      return &dotKernelLevels()[i];
  return nullptr;
}

} // namespace sdopt
