//===- NaiveIntegerKernels.cpp - the arithmetic of the NPU as plain loops ---===//
//
// Written to be read beside docs/spec.md: every sum in the order of its formula, every intermediate
// wide enough not to need an argument.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/NormFactor.h"

#include <algorithm>

namespace sdopt {

namespace {

int64_t rawCode(Codes codes, int64_t index) {
  if (codes.format.type == ElementType::I8)
    return static_cast<const int8_t *>(codes.data)[index];
  return static_cast<const int16_t *>(codes.data)[index];
}

// The integer that takes part.
int64_t valueAt(Codes codes, int64_t index) {
  return rawCode(codes, index) - codes.format.zeroPoint;
}

void storeCode(void *y, int64_t index, Int128 value, CodeFormat format) {
  constexpr Int128 kLimit = static_cast<Int128>(1) << 40;
  int32_t code = saturate(static_cast<int64_t>(std::clamp(value, -kLimit, kLimit)), format);
  if (format.type == ElementType::I8)
    static_cast<int8_t *>(y)[index] = static_cast<int8_t>(code);
  else
    static_cast<int16_t *>(y)[index] = static_cast<int16_t>(code);
}

// floor(value / 2^shift + 1/2)
Int128 roundedShift(Int128 value, int64_t shift) {
  if (shift <= 0)
    return value * (static_cast<Int128>(1) << -shift);
  return (value + (static_cast<Int128>(1) << (shift - 1))) >> shift;
}

// floor(numerator / denominator + 1/2), denominator > 0
Int128 roundedQuotient(Int128 numerator, Int128 denominator) {
  Int128 doubled = 2 * numerator + denominator;
  Int128 divisor = 2 * denominator;
  Int128 quotient = doubled / divisor;
  return quotient - (doubled % divisor < 0);
}

// Table value with `fraction` bits between two knots, scaled by 2^fraction.
int64_t interpolated(std::span<const int32_t> entries, int64_t segment, int64_t position,
                     int64_t fraction) {
  int64_t full = int64_t(1) << fraction;
  return entries[segment] * (full - position) + entries[segment + 1] * position;
}

// E of AttentionParams, for distance = rowMax - acc.
int64_t exponential(int64_t distance, const AttentionParams &params) {
  int64_t t = std::clamp<int64_t>(scaled(distance, params.exponent), 0, 17 * 4096);
  int64_t a = t >> 12, b = t >> 6 & 63, c = t & 63;
  if (a >= 17)
    return 0;
  int64_t product = int64_t(exponentTableHigh()[b]) * exponentTableLow()[c];
  return std::min<int64_t>(65535, (product + (int64_t(1) << (43 + a))) >> (44 + a));
}

int64_t score(const AttentionTile &tile, Codes q, Codes k, int64_t query, int64_t key) {
  int64_t sum = 0;
  for (int64_t d = 0; d < tile.headDim; ++d)
    sum += valueAt(q, query * tile.queryStride + d) * valueAt(k, key * tile.keyStride + d);
  return sum;
}

bool isVisible(const AttentionTile &tile, const AttentionParams &params, int64_t query,
               int64_t key) {
  return !params.causal || tile.firstKey + key <= tile.firstQuery + query;
}

int64_t difference(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

class NaiveIntegerKernels final : public IntegerKernels {
public:
  void convAccumulate(const ConvTile &t, Codes x, const int8_t *weights,
                      int64_t *acc) const override {
    for (int64_t oh = 0; oh < t.outputHeight; ++oh)
      for (int64_t ow = 0; ow < t.outputWidth; ++ow)
        for (int64_t co = 0; co < t.outputChannels; ++co)
          acc[(oh * t.outputWidth + ow) * t.outputChannels + co] +=
              convolutionSum(t, x, weights, oh, ow, co);
  }

  void requantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                  CodeFormat format, void *y) const override {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        Int128 sum = static_cast<Int128>(acc[r * channels + c]) + params[c].bias;
        storeCode(y, r * channels + c, roundedShift(sum * params[c].multiplier, params[c].shift),
                  format);
      }
  }

  void combine(Codes a, Codes b, int64_t rows, int64_t channels, const CombineParams &params,
               CodeFormat format, void *y) const override {
    const PairScaling &scaling = params.scaling;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        int64_t i = r * channels + c;
        Int128 sum = static_cast<Int128>(valueAt(a, i)) * scaling.multiplierA;
        if (b.data)
          sum +=
              static_cast<Int128>(valueAt(b, params.broadcastRows ? c : i)) * scaling.multiplierB;
        storeCode(y, i, roundedShift(sum, scaling.shift), format);
      }
  }

  void table(Codes x, int64_t count, std::span<const int32_t> entries, CodeFormat format,
             void *y) const override {
    for (int64_t i = 0; i < count; ++i) {
      int64_t code = rawCode(x, i);
      if (x.format.type == ElementType::I8)
        storeCode(y, i, roundedShift(entries[code + 128], 8), format);
      else
        storeCode(
            y, i,
            roundedShift(interpolated(entries, (code + 32768) >> 6, (code + 32768) & 63, 6), 14),
            format);
    }
  }

  void geglu(Codes x, int64_t rows, int64_t channels, std::span<const int32_t> entries,
             const GegluParams &params, CodeFormat format, void *y) const override {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        int64_t left = valueAt(x, r * 2 * channels + c);
        int64_t code = rawCode(x, r * 2 * channels + channels + c);
        int64_t gelu =
            x.format.type == ElementType::I8
                ? entries[code + 128]
                : static_cast<int64_t>(roundedShift(
                      interpolated(entries, (code + 32768) >> 6, (code + 32768) & 63, 6), 6));
        storeCode(y, r * channels + c, scaled(left * gelu, params.scaling), format);
      }
  }

  void modulate(Codes x, Codes scale, Codes shift, int64_t rows, int64_t channels,
                const ModulateParams &params, CodeFormat format, void *y) const override {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        Int128 gain = static_cast<Int128>(valueAt(scale, c)) * params.scaleMultiplier + params.unit;
        Int128 sum = valueAt(x, r * channels + c) * gain;
        if (shift.data)
          sum += static_cast<Int128>(valueAt(shift, c)) * params.shiftMultiplier;
        storeCode(y, r * channels + c, roundedShift(sum, params.shift), format);
      }
  }

  void normSums(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                std::span<NormSums> sums) const override {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        int64_t code = rawCode(x, r * channels + c);
        sums[c / channelsPerGroup].sum += code;
        sums[c / channelsPerGroup].squares += code * code;
      }
  }

  void normApply(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                 std::span<const NormSums> sums, const NormParams &params,
                 const NormChannel *channelParams, CodeFormat format, void *y) const override {
    constexpr Int128 kLimit = static_cast<Int128>(1) << 38; // z has 39 bits
    for (int64_t c = 0; c < channels; ++c) {
      NormFactor factor = normFactor(sums[c / channelsPerGroup], params, x.format.zeroPoint);
      for (int64_t r = 0; r < rows; ++r) {
        int64_t i = r * channels + c;
        Int128 centred = static_cast<Int128>(rawCode(x, i)) * 16384 - factor.mean;
        Int128 z = roundedShift(centred * factor.mantissa, factor.shift);
        z = std::clamp(z, -kLimit, kLimit - 1);
        Int128 sum = z * channelParams[c].gamma + channelParams[c].beta;
        storeCode(y, i, roundedShift(sum, params.shift), format);
      }
    }
  }

  void attentionMaxima(const AttentionTile &tile, Codes q, Codes k, const AttentionParams &params,
                       int64_t *rowMax) const override {
    for (int64_t i = 0; i < tile.queries; ++i)
      for (int64_t j = 0; j < tile.keys; ++j)
        if (isVisible(tile, params, i, j))
          rowMax[i] = std::max(rowMax[i], score(tile, q, k, i, j));
  }

  void attentionAccumulate(const AttentionTile &tile, Codes q, Codes k, Codes v,
                           const AttentionParams &params, const int64_t *rowMax, int64_t *rowSum,
                           int64_t *acc) const override {
    for (int64_t i = 0; i < tile.queries; ++i)
      for (int64_t j = 0; j < tile.keys; ++j) {
        if (!isVisible(tile, params, i, j))
          continue;
        int64_t e = exponential(difference(rowMax[i], score(tile, q, k, i, j)), params);
        rowSum[i] += e;
        for (int64_t d = 0; d < tile.headDim; ++d)
          acc[i * tile.headDim + d] += e * valueAt(v, j * tile.keyStride + d);
      }
  }

  void attentionFinish(int64_t queries, int64_t headDim, const int64_t *rowSum, const int64_t *acc,
                       const AttentionParams &params, CodeFormat format, int64_t outputStride,
                       void *y) const override {
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t d = 0; d < headDim; ++d) {
        Int128 numerator = static_cast<Int128>(acc[i * headDim + d]) * params.output.multiplier;
        Int128 denominator = static_cast<Int128>(rowSum[i]) << params.output.shift;
        Int128 value = rowSum[i] > 0 ? roundedQuotient(numerator, denominator) : 0;
        storeCode(y, i * outputStride + d, value, format);
      }
  }

  void timeEmbedding(int32_t timestep, std::span<const uint32_t> steps,
                     std::span<const int32_t> sine, const TimeEmbeddingParams &params,
                     CodeFormat format, void *y) const override {
    for (int64_t i = 0; i < params.halfDim; ++i) {
      Int128 product = static_cast<Int128>(timestep) * steps[i];
      auto phase = static_cast<uint32_t>(roundedShift(product, params.fractionBits));
      storeSine(sine, phase, format, y, i + (params.cosFirst ? params.halfDim : 0));
      storeSine(sine, phase + (1u << 30), format, y, i + (params.cosFirst ? 0 : params.halfDim));
    }
  }

  void embed(const int8_t *token, const int32_t *tokenMultiplier, const int8_t *position,
             const int32_t *positionMultiplier, int32_t shift, int64_t rows, int64_t channels,
             CodeFormat format, void *y) const override {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        int64_t i = r * channels + c;
        Int128 sum = static_cast<Int128>(token[i]) * tokenMultiplier[r] +
                     static_cast<Int128>(position[i]) * positionMultiplier[r];
        storeCode(y, i, roundedShift(sum, shift), format);
      }
  }

private:
  static int64_t convolutionSum(const ConvTile &t, Codes x, const int8_t *weights, int64_t oh,
                                int64_t ow, int64_t co) {
    int64_t sum = 0;
    for (int64_t kh = 0; kh < t.kernelHeight; ++kh)
      for (int64_t kw = 0; kw < t.kernelWidth; ++kw) {
        int64_t ih = oh * t.strideH + kh * t.dilationH - t.padTop;
        int64_t iw = ow * t.strideW + kw * t.dilationW - t.padLeft;
        if (ih < 0 || ih >= t.inputHeight || iw < 0 || iw >= t.inputWidth)
          continue;
        const int8_t *w =
            weights + ((co * t.kernelHeight + kh) * t.kernelWidth + kw) * t.inputChannels;
        for (int64_t ci = 0; ci < t.inputChannels; ++ci)
          sum += valueAt(x, (ih * t.inputWidth + iw) * t.inputChannels + ci) * w[ci];
      }
    return sum;
  }

  static void storeSine(std::span<const int32_t> sine, uint32_t phase, CodeFormat format, void *y,
                        int64_t index) {
    int64_t value = interpolated(sine, phase >> 22, phase >> 10 & 4095, 12);
    storeCode(y, index, roundedShift(value, 20), format);
  }
};

} // namespace

const IntegerKernels &naiveKernels() {
  static const NaiveIntegerKernels kernels;
  return kernels;
}

} // namespace sdopt
