//===- PointwisePortable.cpp - pointwise operations as loops ----------------===//
//
// Specialized on the code types, in 64 bits where the naive kernels take 128.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/PointwiseKernels.h"

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

int64_t half(int32_t shift) { return int64_t(1) << (shift - 1); }

// T[i] * (64 - f) + T[i+1] * f
int64_t interpolated(const int32_t *entries, int32_t code) {
  int32_t unsignedCode = code + 32768;
  int64_t left = entries[unsignedCode >> 6], right = entries[(unsignedCode >> 6) + 1];
  return left * 64 + (right - left) * (unsignedCode & 63);
}

template <typename Output>
void requantizeRow(const int64_t *acc, int64_t channels, const ChannelParams *params,
                   CodeFormat format, Output *y) {
  constexpr Int128 kLimit = static_cast<Int128>(1) << 40;
  for (int64_t c = 0; c < channels; ++c) {
    Int128 sum = static_cast<Int128>(acc[c]) + params[c].bias;
    Int128 rounding = static_cast<Int128>(1) << (params[c].shift - 1);
    Int128 value = (sum * params[c].multiplier + rounding) >> params[c].shift;
    int64_t code = static_cast<int64_t>(std::clamp(value, -kLimit, kLimit)) + format.zeroPoint;
    y[c] = static_cast<Output>(std::clamp<int64_t>(code, format.min(), format.max()));
  }
}

void requantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                CodeFormat format, void *y) {
  withOutput(y, format, [&](auto *output) {
    for (int64_t r = 0; r < rows; ++r)
      requantizeRow(acc + r * channels, channels, params, format, output + r * channels);
  });
}

template <typename A, typename B, typename Output>
void combineRun(const A *a, int64_t aZero, const B *b, int64_t bZero, int64_t count,
                const PairScaling &scaling, CodeFormat format, Output *output) {
  Saturation saturation(format);
  for (int64_t i = 0; i < count; ++i) {
    int64_t sum = (a[i] - aZero) * scaling.multiplierA;
    if (b)
      sum += (b[i] - bZero) * scaling.multiplierB;
    output[i] = static_cast<Output>(saturation((sum + half(scaling.shift)) >> scaling.shift));
  }
}

void combine(Codes a, Codes b, int64_t count, const PairScaling &scaling, CodeFormat format,
             void *y) {
  withCodes(a, [&](auto *left) {
    withCodes(b, [&](auto *right) {
      withOutput(y, format, [&](auto *output) {
        combineRun(left, a.format.zeroPoint, right, b.format.zeroPoint, count, scaling, format,
                   output);
      });
    });
  });
}

void table(const int16_t *x, int64_t count, const int32_t *entries, CodeFormat format, void *y) {
  Saturation saturation(format);
  withOutput(y, format, [&](auto *output) {
    using Output = std::remove_pointer_t<decltype(output)>;
    for (int64_t i = 0; i < count; ++i)
      output[i] = static_cast<Output>(saturation((interpolated(entries, x[i]) + (1 << 13)) >> 14));
  });
}

void geglu(Codes x, int64_t rows, int64_t channels, const int32_t *entries, Scaling scaling,
           CodeFormat format, void *y) {
  withCodes(x, [&](auto *input) {
    withOutput(y, format, [&](auto *output) {
      using Output = std::remove_pointer_t<decltype(output)>;
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < channels; ++c) {
          int64_t left = input[r * 2 * channels + c] - x.format.zeroPoint;
          int32_t code = input[r * 2 * channels + channels + c];
          int64_t gelu =
              sizeof(*input) == 1 ? entries[code + 128] : (interpolated(entries, code) + 32) >> 6;
          output[r * channels + c] =
              static_cast<Output>(saturate(scaled(left * gelu, scaling), format));
        }
    });
  });
}

NormSums sums(Codes x, int64_t count) {
  NormSums result;
  withCodes(x, [&](auto *input) {
    for (int64_t i = 0; i < count; ++i) {
      int32_t code = input[i];
      result.sum += code;
      result.squares += code * code;
    }
  });
  return result;
}

void channelSums(Codes x, int64_t rows, int64_t channels, NormSums *target) {
  withCodes(x, [&](auto *input) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < channels; ++c) {
        int32_t code = input[r * channels + c];
        target[c].sum += code;
        target[c].squares += code * code;
      }
  });
}

bool areModest(const NormChannel *params, int64_t channels) {
  constexpr int64_t kMaxGamma = 1 << 24, kMaxBeta = int64_t(1) << 61;
  return std::all_of(params, params + channels, [](const NormChannel &c) {
    return c.gamma >= -kMaxGamma && c.gamma <= kMaxGamma && c.beta >= -kMaxBeta &&
           c.beta <= kMaxBeta;
  });
}

// |code << 14 - mean| <= 2^30, so that its product with a 31-bit mantissa is below 2^61.
template <typename Input, typename Output>
void normRun(const Input *input, int64_t count, const NormFactor &factor,
             const NormChannel *channels, int32_t shift, CodeFormat format, Output *output) {
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

void normApply(const NormRows &n, CodeFormat format, void *y) {
  withCodes(n.x, [&](auto *input) {
    withOutput(y, format, [&](auto *output) {
      for (int64_t r = 0; r < n.rows; ++r)
        for (int64_t first = 0; first < n.channels; first += n.channelsPerGroup)
          normRun(input + r * n.channels + first, std::min(n.channelsPerGroup, n.channels - first),
                  n.factors[first / n.channelsPerGroup], n.channelParams + first, n.shift, format,
                  output + r * n.channels + first);
    });
  });
}

} // namespace

const PointwiseKernels &portablePointwise() {
  static const PointwiseKernels kernels{requantize,  combine,   table,     geglu,  sums,
                                        channelSums, areModest, normApply, nullptr};
  return kernels;
}

} // namespace sdopt
