//===- FastIntegerKernels.cpp - the arithmetic of the NPU at speed ----------===//
//
// Matrix work goes to FastConvolution and FastAttention; the pointwise operations are loops
// specialized on the code types, in 64 bits where the naive kernels take 128. Parameters outside
// the documented ranges go to the naive kernels, which have room for them.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FastAttention.h"
#include "compiler/kernels/FastConvolution.h"
#include "compiler/kernels/FastRequantize.h"
#include "compiler/kernels/NormFactor.h"

#include <algorithm>

namespace sdopt {

namespace {

// Calls function(typed pointer) for the code type.
template <typename Function> void withCodes(Codes x, Function function) {
  if (x.format.type == ElementType::I8)
    function(static_cast<const int8_t *>(x.data));
  else
    function(static_cast<const int16_t *>(x.data));
}

template <typename Function> void withOutput(void *y, CodeFormat format, Function function) {
  if (format.type == ElementType::I8)
    function(static_cast<int8_t *>(y));
  else
    function(static_cast<int16_t *>(y));
}

// saturate() for values that leave room for the zero point.
class Saturation {
public:
  explicit Saturation(CodeFormat format)
      : zeroPoint(format.zeroPoint), low(format.min()), high(format.max()) {}
  int64_t operator()(int64_t value) const { return std::clamp(value + zeroPoint, low, high); }

private:
  int64_t zeroPoint, low, high;
};

bool isModest(int64_t value, int bits) {
  return value >= -(int64_t(1) << bits) && value <= int64_t(1) << bits;
}

bool isShift(int32_t shift) { return shift >= 1 && shift <= 62; }

int64_t half(int32_t shift) { return int64_t(1) << (shift - 1); }

// T[i] * (64 - f) + T[i+1] * f
int64_t interpolated(const int32_t *entries, int32_t code) {
  int32_t unsignedCode = code + 32768;
  int64_t left = entries[unsignedCode >> 6], right = entries[(unsignedCode >> 6) + 1];
  return left * 64 + (right - left) * (unsignedCode & 63);
}

class FastIntegerKernels final : public IntegerKernels {
public:
  void convAccumulate(const ConvTile &tile, Codes x, const int8_t *weights,
                      int64_t *acc) const override {
    fastConvAccumulate(dotKernels(), tile, x, weights, acc);
  }

  void requantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                  CodeFormat format, void *y) const override {
    for (int64_t c = 0; c < channels; ++c)
      if (params[c].multiplier < 0 || params[c].shift < 25 || params[c].shift > 62)
        return naiveKernels().requantize(acc, rows, channels, params, format, y);
    fastRequantize(acc, rows, channels, params, format, y);
  }

  void combine(Codes a, Codes b, int64_t rows, int64_t channels, const CombineParams &params,
               CodeFormat format, void *y) const override {
    if (!isShift(params.scaling.shift) || !isModest(a.format.zeroPoint, 20) ||
        !isModest(b.format.zeroPoint, 20))
      return naiveKernels().combine(a, b, rows, channels, params, format, y);
    withCodes(a, [&](auto *left) {
      withOutput(y, format, [&](auto *output) {
        if (b.data)
          withCodes(b, [&](auto *right) {
            for (int64_t r = 0; r < rows; ++r)
              combineRow(left + r * channels, a.format,
                         right + (params.broadcastRows ? 0 : r * channels), b.format, channels,
                         params.scaling, format, output + r * channels);
          });
        else
          combineRow(left, a.format, static_cast<const int8_t *>(nullptr), {}, rows * channels,
                     params.scaling, format, output);
      });
    });
  }

  void table(Codes x, int64_t count, std::span<const int32_t> entries, CodeFormat format,
             void *y) const override {
    Saturation saturation(format);
    const int32_t *values = entries.data();
    withCodes(x, [&](auto *input) {
      withOutput(y, format, [&](auto *output) {
        using Output = std::remove_pointer_t<decltype(output)>;
        for (int64_t i = 0; i < count; ++i) {
          int64_t value = sizeof(*input) == 1 ? (int64_t(values[input[i] + 128]) + 128) >> 8
                                              : (interpolated(values, input[i]) + (1 << 13)) >> 14;
          output[i] = static_cast<Output>(saturation(value));
        }
      });
    });
  }

  void geglu(Codes x, int64_t rows, int64_t channels, std::span<const int32_t> entries,
             const GegluParams &params, CodeFormat format, void *y) const override {
    if (!isShift(params.scaling.shift) || !isModest(x.format.zeroPoint, 20))
      return naiveKernels().geglu(x, rows, channels, entries, params, format, y);
    const int32_t *values = entries.data();
    withCodes(x, [&](auto *input) {
      withOutput(y, format, [&](auto *output) {
        using Output = std::remove_pointer_t<decltype(output)>;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t c = 0; c < channels; ++c) {
            int64_t left = input[r * 2 * channels + c] - x.format.zeroPoint;
            int32_t code = input[r * 2 * channels + channels + c];
            int64_t gelu =
                sizeof(*input) == 1 ? values[code + 128] : (interpolated(values, code) + 32) >> 6;
            output[r * channels + c] =
                static_cast<Output>(saturate(scaled(left * gelu, params.scaling), format));
          }
      });
    });
  }

  void normSums(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                std::span<NormSums> sums) const override {
    withCodes(x, [&](auto *input) {
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t first = 0; first < channels; first += channelsPerGroup) {
          int64_t sum = 0, squares = 0;
          int64_t last = std::min(channels, first + channelsPerGroup);
          for (int64_t c = first; c < last; ++c) {
            int32_t code = input[r * channels + c];
            sum += code;
            squares += code * code;
          }
          sums[first / channelsPerGroup].sum += sum;
          sums[first / channelsPerGroup].squares += squares;
        }
    });
  }

  void normApply(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                 std::span<const NormSums> sums, const NormParams &params,
                 const NormChannel *channelParams, CodeFormat format, void *y) const override {
    std::vector<NormFactor> factors;
    bool modest = isShift(params.shift) && params.shift <= 61;
    for (int64_t first = 0; first < channels; first += channelsPerGroup) {
      factors.push_back(normFactor(sums[first / channelsPerGroup], params));
      const NormFactor &factor = factors.back();
      modest &= isModest(factor.mean, 29) && (factor.mantissa == 0 || isShift(factor.shift));
    }
    for (int64_t c = 0; c < channels; ++c)
      modest &= isModest(channelParams[c].gamma, 24) && isModest(channelParams[c].beta, 61);
    if (!modest)
      return naiveKernels().normApply(x, rows, channels, channelsPerGroup, sums, params,
                                      channelParams, format, y);
    withCodes(x, [&](auto *input) {
      withOutput(y, format, [&](auto *output) {
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t first = 0; first < channels; first += channelsPerGroup)
            normRun(input + r * channels + first, std::min(channelsPerGroup, channels - first),
                    factors[first / channelsPerGroup], channelParams + first, params.shift, format,
                    output + r * channels + first);
      });
    });
  }

  void attentionMaxima(const AttentionTile &tile, Codes q, Codes k, const AttentionParams &params,
                       int64_t *rowMax) const override {
    fastAttentionMaxima(dotKernels(), tile, q, k, params, rowMax);
  }

  void attentionAccumulate(const AttentionTile &tile, Codes q, Codes k, Codes v,
                           const AttentionParams &params, const int64_t *rowMax, int64_t *rowSum,
                           int64_t *acc) const override {
    fastAttentionAccumulate(dotKernels(), tile, q, k, v, params, rowMax, rowSum, acc);
  }

  void attentionFinish(int64_t queries, int64_t headDim, const int64_t *rowSum, const int64_t *acc,
                       const AttentionParams &params, CodeFormat format, int64_t outputStride,
                       void *y) const override {
    naiveKernels().attentionFinish(queries, headDim, rowSum, acc, params, format, outputStride, y);
  }

  void timeEmbedding(int32_t timestep, std::span<const uint32_t> steps,
                     std::span<const int32_t> sine, const TimeEmbeddingParams &params,
                     CodeFormat format, void *y) const override {
    naiveKernels().timeEmbedding(timestep, steps, sine, params, format, y);
  }

  void embed(const int8_t *token, const int32_t *tokenMultiplier, const int8_t *position,
             const int32_t *positionMultiplier, int32_t shift, int64_t rows, int64_t channels,
             CodeFormat format, void *y) const override {
    if (!isShift(shift))
      return naiveKernels().embed(token, tokenMultiplier, position, positionMultiplier, shift, rows,
                                  channels, format, y);
    Saturation saturation(format);
    withOutput(y, format, [&](auto *output) {
      using Output = std::remove_pointer_t<decltype(output)>;
      for (int64_t i = 0; i < rows * channels; ++i) {
        int64_t r = i / channels;
        int64_t sum =
            int64_t(token[i]) * tokenMultiplier[r] + int64_t(position[i]) * positionMultiplier[r];
        output[i] = static_cast<Output>(saturation((sum + half(shift)) >> shift));
      }
    });
  }

private:
  template <typename A, typename B, typename Output>
  static void combineRow(const A *a, CodeFormat aFormat, const B *b, CodeFormat bFormat,
                         int64_t count, const PairScaling &scaling, CodeFormat format,
                         Output *output) {
    Saturation saturation(format);
    for (int64_t i = 0; i < count; ++i) {
      int64_t sum = (int64_t(a[i]) - aFormat.zeroPoint) * scaling.multiplierA;
      if (b)
        sum += (int64_t(b[i]) - bFormat.zeroPoint) * scaling.multiplierB;
      output[i] = static_cast<Output>(saturation((sum + half(scaling.shift)) >> scaling.shift));
    }
  }

  // |code << 14 - mean| <= 2^30, so that its product with a 31-bit mantissa is below 2^61.
  template <typename Input, typename Output>
  static void normRun(const Input *input, int64_t count, const NormFactor &factor,
                      const NormChannel *channels, int32_t shift, CodeFormat format,
                      Output *output) {
    constexpr int64_t kLimit = int64_t(1) << 38;
    Saturation saturation(format);
    int32_t zShift = factor.mantissa ? factor.shift : 1;
    for (int64_t c = 0; c < count; ++c) {
      int64_t centred = int64_t(input[c]) * (1 << 14) - factor.mean;
      int64_t z = (centred * factor.mantissa + half(zShift)) >> zShift;
      z = std::clamp(z, -kLimit, kLimit - 1);
      int64_t sum = z * channels[c].gamma + channels[c].beta + half(shift);
      output[c] = static_cast<Output>(saturation(sum >> shift));
    }
  }
};

} // namespace

const IntegerKernels &fastKernels() {
  static const FastIntegerKernels kernels;
  return kernels;
}

} // namespace sdopt
