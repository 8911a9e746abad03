//===- FloatElementwise.cpp - element by element operations ------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatMath.h"
#include "compiler/kernels/RecycledTensor.h"
#include "compiler/kernels/StridedLoop.h"

#include <cmath>
#include <type_traits>

namespace sdopt {

namespace {

template <typename T> T sigmoid(T x) {
  T e = std::exp(-std::fabs(x));
  return (x >= 0 ? T(1) : e) / (T(1) + e);
}

// Half to even, whatever the rounding mode of the process.
template <typename T> T roundedToEven(T x) {
  T floor = std::floor(x), rest = x - floor;
  bool up = rest > T(0.5) || (rest == T(0.5) && std::fmod(floor, T(2)) != 0);
  return std::copysign(floor + (up ? T(1) : T(0)), x);
}

template <typename T> T applyUnary(UnaryFunction function, T x) {
  constexpr T kSqrtHalf = T(0.70710678118654752440), kSqrtTwoOverPi = T(0.79788456080286535588);
  switch (function) {
  case UnaryFunction::Neg:
    return -x;
  case UnaryFunction::Abs:
    return std::fabs(x);
  case UnaryFunction::Sqrt:
    return std::sqrt(x);
  case UnaryFunction::Exp:
    return std::exp(x);
  case UnaryFunction::Log:
    return std::log(x);
  case UnaryFunction::Reciprocal:
    return T(1) / x;
  case UnaryFunction::Erf:
    return std::erf(x);
  case UnaryFunction::Sin:
    return std::sin(x);
  case UnaryFunction::Cos:
    return std::cos(x);
  case UnaryFunction::Tanh:
    return std::tanh(x);
  case UnaryFunction::Sigmoid:
    return sigmoid(x);
  case UnaryFunction::Relu:
    return x < 0 ? T(0) : x;
  case UnaryFunction::SiLU:
    return x * sigmoid(x);
  case UnaryFunction::GELU:
    return T(0.5) * x * (T(1) + std::erf(x * kSqrtHalf));
  case UnaryFunction::GELUTanh:
    return T(0.5) * x * (T(1) + std::tanh(kSqrtTwoOverPi * (x + T(0.044715) * x * x * x)));
  case UnaryFunction::QuickGELU:
    return x * sigmoid(T(1.702) * x);
  case UnaryFunction::Floor:
    return std::floor(x);
  case UnaryFunction::Ceil:
    return std::ceil(x);
  case UnaryFunction::Round:
    return roundedToEven(x);
  case UnaryFunction::Not:
    return x == 0;
  }
  return x;
}

// y[i] = function(x[i]) by the kernels' threads.
template <typename T, typename Function> Tensor mapped(const Tensor &x, Function function) {
  Tensor y = recycledTensor(x.type(), x.shape());
  const T *input = x.values<T>().data();
  T *output = y.mutableValues<T>().data();
  parallelRanges(x.size(), kStretch, [=](int64_t first, int64_t last) {
    vectorLoop(last - first,
               [=](int64_t i) SDOPT_INLINE { output[first + i] = function(input[first + i]); });
  });
  return y;
}

template <typename T> Tensor unaryOf(UnaryFunction function, const Tensor &x) {
  return mapped<T>(x, [=](T value) { return applyUnary(function, value); });
}

Tensor unaryOfFloats(UnaryFunction function, const Tensor &x) {
  switch (function) {
  case UnaryFunction::Sigmoid:
    return mapped<float>(x, [](float v) SDOPT_INLINE { return fastSigmoid(v); });
  case UnaryFunction::SiLU:
    return mapped<float>(x, [](float v) SDOPT_INLINE { return fastSilu(v); });
  case UnaryFunction::GELU:
    return mapped<float>(x, [](float v) SDOPT_INLINE { return fastGelu(v); });
  case UnaryFunction::QuickGELU:
    return mapped<float>(x, [](float v) SDOPT_INLINE { return fastQuickGelu(v); });
  default:
    return unaryOf<float>(function, x);
  }
}

Tensor unaryOfIntegers(UnaryFunction function, const Tensor &x) {
  Tensor wide = x.converted(ElementType::I64);
  Tensor y(ElementType::I64, x.shape());
  std::span<const int64_t> input = wide.values<int64_t>();
  for (size_t i = 0; i < input.size(); ++i) {
    uint64_t bits = static_cast<uint64_t>(input[i]);
    bool negate = function == UnaryFunction::Neg || input[i] < 0;
    y.mutableValues<int64_t>()[i] = static_cast<int64_t>(negate ? 0 - bits : bits);
  }
  return y.converted(x.type());
}

bool isComparison(BinaryFunction function) {
  switch (function) {
  case BinaryFunction::Equal:
  case BinaryFunction::Less:
  case BinaryFunction::LessOrEqual:
  case BinaryFunction::Greater:
  case BinaryFunction::GreaterOrEqual:
    return true;
  default:
    return false;
  }
}

int64_t integerPower(int64_t base, int64_t exponent) {
  if (exponent < 0)
    return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  uint64_t result = 1, factor = static_cast<uint64_t>(base);
  for (; exponent > 0; exponent >>= 1, factor *= factor)
    if (exponent & 1)
      result *= factor;
  return static_cast<int64_t>(result);
}

// Wraps; division by zero gives 0; Mod takes the sign of the divisor (ONNX fmod = 0).
int64_t applyIntegers(BinaryFunction function, int64_t a, int64_t b) {
  uint64_t ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  switch (function) {
  case BinaryFunction::Add:
    return static_cast<int64_t>(ua + ub);
  case BinaryFunction::Sub:
    return static_cast<int64_t>(ua - ub);
  case BinaryFunction::Mul:
    return static_cast<int64_t>(ua * ub);
  case BinaryFunction::Div:
    return b == 0 ? 0 : b == -1 ? static_cast<int64_t>(0 - ua) : a / b;
  case BinaryFunction::Mod: {
    if (b == 0 || b == -1)
      return 0;
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
  case BinaryFunction::Pow:
    return integerPower(a, b);
  case BinaryFunction::Min:
    return std::min(a, b);
  case BinaryFunction::Max:
    return std::max(a, b);
  case BinaryFunction::And:
    return a != 0 && b != 0;
  case BinaryFunction::Or:
    return a != 0 || b != 0;
  default:
    return 0;
  }
}

template <typename T> T applyFloats(BinaryFunction function, T a, T b) {
  switch (function) {
  case BinaryFunction::Add:
    return a + b;
  case BinaryFunction::Sub:
    return a - b;
  case BinaryFunction::Mul:
    return a * b;
  case BinaryFunction::Div:
    return a / b;
  case BinaryFunction::Pow:
    return b == T(2) ? a * a : std::pow(a, b);
  case BinaryFunction::Min:
    return std::isnan(a) || a < b ? a : b;
  case BinaryFunction::Max:
    return std::isnan(a) || a > b ? a : b;
  case BinaryFunction::Mod:
    return std::fmod(a, b);
  case BinaryFunction::And:
    return a != 0 && b != 0;
  case BinaryFunction::Or:
    return a != 0 || b != 0;
  default:
    return 0;
  }
}

template <typename T> bool compare(BinaryFunction function, T a, T b) {
  switch (function) {
  case BinaryFunction::Equal:
    return a == b;
  case BinaryFunction::Less:
    return a < b;
  case BinaryFunction::LessOrEqual:
    return a <= b;
  case BinaryFunction::Greater:
    return a > b;
  case BinaryFunction::GreaterOrEqual:
    return a >= b;
  default:
    return false;
  }
}

// result[i] = function(a[i], b[i]) over broadcast operands.
template <typename T, typename R, typename Function>
void broadcastLoop(const Tensor &a, const Tensor &b, Tensor &result, Function function) {
  Shape stridesA = broadcastStrides(a.shape(), result.shape());
  Shape stridesB = broadcastStrides(b.shape(), result.shape());
  const T *left = a.values<T>().data();
  const T *right = b.values<T>().data();
  R *output = result.mutableValues<R>().data();
  using Pair = std::array<int64_t, 2>;
  parallelStridedLoop<2>(result.shape(), {stridesA, stridesB},
                         [=](int64_t first, const Pair &offsets, int64_t count, const Pair &steps) {
                           const T *l = left + offsets[0], *r = right + offsets[1];
                           R *out = output + first;
                           if (steps == Pair{1, 1})
                             vectorLoop(count, [=](int64_t i) SDOPT_INLINE {
                               out[i] = static_cast<R>(function(l[i], r[i]));
                             });
                           else
                             for (int64_t i = 0; i < count; ++i)
                               out[i] = static_cast<R>(function(l[i * steps[0]], r[i * steps[1]]));
                         });
}

template <typename T> Tensor binaryOf(BinaryFunction function, const Tensor &a, const Tensor &b) {
  Shape shape = broadcastShape(a.shape(), b.shape());
  if (isComparison(function)) {
    Tensor result = recycledTensor(ElementType::Bool, shape);
    broadcastLoop<T, uint8_t>(a, b, result, [=](T x, T y) { return compare(function, x, y); });
    return result;
  }
  Tensor result = recycledTensor(a.type(), shape);
  if constexpr (std::is_floating_point_v<T>) {
    // The four frequent ones as loops of their own, which the compiler vectorizes.
    switch (function) {
    case BinaryFunction::Add:
      broadcastLoop<T, T>(a, b, result, [](T x, T y) SDOPT_INLINE { return x + y; });
      return result;
    case BinaryFunction::Sub:
      broadcastLoop<T, T>(a, b, result, [](T x, T y) SDOPT_INLINE { return x - y; });
      return result;
    case BinaryFunction::Mul:
      broadcastLoop<T, T>(a, b, result, [](T x, T y) SDOPT_INLINE { return x * y; });
      return result;
    case BinaryFunction::Div:
      broadcastLoop<T, T>(a, b, result, [](T x, T y) SDOPT_INLINE { return x / y; });
      return result;
    default:
      broadcastLoop<T, T>(a, b, result, [=](T x, T y) { return applyFloats(function, x, y); });
      return result;
    }
  } else {
    broadcastLoop<T, T>(a, b, result, [=](T x, T y) { return applyIntegers(function, x, y); });
    return result;
  }
}

} // namespace

Tensor unary(UnaryFunction function, const Tensor &x) {
  switch (x.type()) {
  case ElementType::F32:
    return unaryOfFloats(function, x);
  case ElementType::F64:
    return unaryOf<double>(function, x);
  case ElementType::F16:
  case ElementType::BF16:
    return unary(function, x.converted(ElementType::F32)).converted(x.type());
  case ElementType::Bool: {
    Tensor y(ElementType::Bool, x.shape());
    for (int64_t i = 0; i < x.size(); ++i)
      y.mutableValues<uint8_t>()[i] = x.values<uint8_t>()[i] == 0;
    return function == UnaryFunction::Not ? y : x;
  }
  default:
    if (function == UnaryFunction::Neg || function == UnaryFunction::Abs)
      return unaryOfIntegers(function, x);
    return unaryOfFloats(function, x.converted(ElementType::F32));
  }
}

Tensor geglu(const Tensor &x) {
  Shape shape = x.shape();
  int64_t half = shape.back() /= 2;
  Tensor y = recycledTensor(ElementType::F32, shape);
  if (y.size() == 0)
    return y;
  const float *input = x.values<float>().data();
  float *output = y.mutableValues<float>().data();
  parallelRanges(
      y.size() / half, std::max<int64_t>(1, kStretch / half), [=](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
          const float *value = input + row * 2 * half, *gate = value + half;
          float *out = output + row * half;
          vectorLoop(half, [=](int64_t i) SDOPT_INLINE { out[i] = value[i] * fastGelu(gate[i]); });
        }
      });
  return y;
}

Tensor binary(BinaryFunction function, const Tensor &a, const Tensor &b) {
  switch (a.type()) {
  case ElementType::F32:
    return binaryOf<float>(function, a, b);
  case ElementType::F64:
    return binaryOf<double>(function, a, b);
  case ElementType::I32:
    return binaryOf<int32_t>(function, a, b);
  case ElementType::I64:
    return binaryOf<int64_t>(function, a, b);
  case ElementType::Bool:
    return binaryOf<uint8_t>(function, a, b);
  default: {
    bool isHalf = a.type() == ElementType::F16 || a.type() == ElementType::BF16;
    ElementType wide = isHalf ? ElementType::F32 : ElementType::I64;
    Tensor result = binary(function, a.converted(wide), b.converted(wide));
    return isComparison(function) ? result : result.converted(a.type());
  }
  }
}

Tensor timeEmbedding(const Tensor &timesteps, int64_t halfDim, bool cosFirst, double frequencyShift,
                     double maxPeriod) {
  Tensor times = timesteps.converted(ElementType::F32);
  Tensor y(ElementType::F32, {times.size(), 2 * halfDim});
  // Rounded to float at the same places as the model's own graph.
  float logPeriod = static_cast<float>(-std::log(maxPeriod));
  float divisor = static_cast<float>(static_cast<double>(halfDim) - frequencyShift);
  for (int64_t n = 0; n < times.size(); ++n) {
    float *row = y.mutableValues<float>().data() + n * 2 * halfDim;
    for (int64_t i = 0; i < halfDim; ++i) {
      float frequency = i == 0 ? 1.0f : std::exp(logPeriod * static_cast<float>(i) / divisor);
      float angle = times.values<float>()[n] * frequency;
      row[i + (cosFirst ? halfDim : 0)] = std::sin(angle);
      row[i + (cosFirst ? 0 : halfDim)] = std::cos(angle);
    }
  }
  return y;
}

Tensor quantizeCodes(const Tensor &x, double scale, CodeFormat format) {
  Tensor real = x.converted(ElementType::F32);
  Tensor codes(format.type, x.shape());
  std::span<const float> values = real.values<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    double rounded = std::floor(static_cast<double>(values[i]) / scale + 0.5) + format.zeroPoint;
    // The comparisons are false for NaN, which becomes the zero point's code.
    int32_t code = rounded >= format.max()   ? format.max()
                   : rounded <= format.min() ? format.min()
                   : std::isnan(rounded)     ? format.zeroPoint
                                             : static_cast<int32_t>(rounded);
    if (format.type == ElementType::I8)
      codes.mutableValues<int8_t>()[i] = static_cast<int8_t>(code);
    else if (format.type == ElementType::I32)
      codes.mutableValues<int32_t>()[i] = code;
    else
      codes.mutableValues<int16_t>()[i] = static_cast<int16_t>(code);
  }
  return codes;
}

Tensor dequantizeCodes(const Tensor &codes, double scale, int32_t zeroPoint) {
  Tensor wide = codes.converted(ElementType::I32);
  Tensor x(ElementType::F32, codes.shape());
  for (int64_t i = 0; i < codes.size(); ++i)
    x.mutableValues<float>()[i] = static_cast<float>(
        scale * (static_cast<double>(wide.values<int32_t>()[i]) - static_cast<double>(zeroPoint)));
  return x;
}

} // namespace sdopt
