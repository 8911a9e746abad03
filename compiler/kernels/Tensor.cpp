//===- Tensor.cpp - a typed, shaped block of memory -------------------------===//

#include "compiler/kernels/Tensor.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace sdopt {

int64_t byteWidth(ElementType type) {
  switch (type) {
  case ElementType::F64:
  case ElementType::I64:
    return 8;
  case ElementType::F32:
  case ElementType::I32:
    return 4;
  case ElementType::F16:
  case ElementType::BF16:
  case ElementType::I16:
  case ElementType::U16:
    return 2;
  case ElementType::I8:
  case ElementType::U8:
  case ElementType::Bool:
    return 1;
  }
  return 1;
}

const char *name(ElementType type) {
  switch (type) {
  case ElementType::F32:
    return "f32";
  case ElementType::F16:
    return "f16";
  case ElementType::BF16:
    return "bf16";
  case ElementType::F64:
    return "f64";
  case ElementType::I8:
    return "i8";
  case ElementType::U8:
    return "u8";
  case ElementType::I16:
    return "i16";
  case ElementType::U16:
    return "u16";
  case ElementType::I32:
    return "i32";
  case ElementType::I64:
    return "i64";
  case ElementType::Bool:
    return "bool";
  }
  return "unknown";
}

int64_t elementCount(const Shape &shape) {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

std::string toString(const Shape &shape) {
  if (shape.empty())
    return "scalar";
  std::string text;
  for (int64_t dim : shape)
    text += (text.empty() ? "" : "x") + std::to_string(dim);
  return text;
}

Tensor::Tensor(ElementType type, Shape shape) : type_(type), shape_(std::move(shape)) {
  constexpr size_t kAlignment = 64;
  size_t size = static_cast<size_t>(byteSize());
  size_t rounded = std::max(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment);
  void *memory = std::aligned_alloc(kAlignment, rounded);
  if (!memory)
    throw std::bad_alloc();
  std::memset(memory, 0, rounded);
  owner_ =
      std::shared_ptr<const void>(memory, [](const void *p) { std::free(const_cast<void *>(p)); });
  bytes_ = static_cast<const std::byte *>(memory);
}

Tensor::Tensor(ElementType type, Shape shape, std::shared_ptr<const void> owner,
               const std::byte *bytes)
    : type_(type), shape_(std::move(shape)), owner_(std::move(owner)), bytes_(bytes) {}

Tensor Tensor::reshaped(Shape shape) const {
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

bool Tensor::sameBits(const Tensor &other) const {
  if (type_ != other.type_ || shape_ != other.shape_)
    return false;
  size_t size = static_cast<size_t>(byteSize());
  return size == 0 || std::memcmp(bytes_, other.bytes_, size) == 0;
}

namespace {

// An IEEE format narrower than double: 1 sign bit, ExponentBits, MantissaBits.
template <int ExponentBits, int MantissaBits> struct SmallFloat {
  static constexpr int kBias = (1 << (ExponentBits - 1)) - 1;
  static constexpr uint16_t kInfinity = ((1u << ExponentBits) - 1) << MantissaBits;
  static constexpr int kDropped = 52 - MantissaBits;

  static double decode(uint16_t bits) {
    uint64_t sign = static_cast<uint64_t>(bits >> 15) << 63;
    uint64_t exponent = (bits & kInfinity) >> MantissaBits;
    uint64_t mantissa = bits & ((1u << MantissaBits) - 1);
    if (exponent == (1u << ExponentBits) - 1)
      return std::bit_cast<double>(sign | 0x7ffull << 52 | mantissa << kDropped);
    if (exponent == 0) {
      double magnitude =
          static_cast<double>(mantissa) *
          std::bit_cast<double>(static_cast<uint64_t>(1023 + 1 - kBias - MantissaBits) << 52);
      return std::bit_cast<double>(sign | std::bit_cast<uint64_t>(magnitude));
    }
    return std::bit_cast<double>(sign | (exponent + 1023 - kBias) << 52 | mantissa << kDropped);
  }

  static uint16_t encode(double value) {
    uint64_t bits = std::bit_cast<uint64_t>(value);
    uint16_t sign = static_cast<uint16_t>(bits >> 63 << 15);
    int exponent = static_cast<int>(bits >> 52 & 0x7ff) - 1023;
    uint64_t mantissa = bits & ((1ull << 52) - 1);
    if (exponent == 1024) {
      uint16_t quiet = mantissa ? 1u << (MantissaBits - 1) | (mantissa >> kDropped) : 0;
      return sign | kInfinity | quiet;
    }
    constexpr int kMinExponent = 1 - kBias;
    int subnormalShift = std::max(0, kMinExponent - exponent);
    int shift = kDropped + subnormalShift;
    if (shift > 60 || exponent == -1023)
      return sign;
    uint64_t full = mantissa | 1ull << 52;
    uint64_t quotient = full >> shift;
    uint64_t rest = full & ((1ull << shift) - 1);
    uint64_t half = 1ull << (shift - 1);
    quotient += rest > half || (rest == half && (quotient & 1));
    // The implicit bit of a normal number adds one to the exponent field, as does a carry out of
    // rounding.
    uint64_t field = subnormalShift ? 0 : static_cast<uint64_t>(exponent - kMinExponent);
    uint64_t encoded = (field << MantissaBits) + quotient;
    return sign | static_cast<uint16_t>(std::min<uint64_t>(encoded, kInfinity));
  }
};

using Half = SmallFloat<5, 10>;
using BFloat = SmallFloat<8, 7>;

// A double that a narrower format rounds like the integer itself: discarded bits leave a sticky
// bit.
double roundedToOdd(int64_t value) {
  uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  int excess = std::bit_width(magnitude) - 53;
  if (excess > 0) {
    bool inexact = magnitude & ((1ull << excess) - 1);
    magnitude = (magnitude >> excess | inexact) << excess;
  }
  double result = static_cast<double>(magnitude);
  return value < 0 ? -result : result;
}

template <ElementType Type> struct Element;
template <> struct Element<ElementType::F32> {
  using Storage = float;
};
template <> struct Element<ElementType::F64> {
  using Storage = double;
};
template <> struct Element<ElementType::F16> {
  using Storage = uint16_t;
};
template <> struct Element<ElementType::BF16> {
  using Storage = uint16_t;
};
template <> struct Element<ElementType::I8> {
  using Storage = int8_t;
};
template <> struct Element<ElementType::U8> {
  using Storage = uint8_t;
};
template <> struct Element<ElementType::I16> {
  using Storage = int16_t;
};
template <> struct Element<ElementType::U16> {
  using Storage = uint16_t;
};
template <> struct Element<ElementType::I32> {
  using Storage = int32_t;
};
template <> struct Element<ElementType::I64> {
  using Storage = int64_t;
};
template <> struct Element<ElementType::Bool> {
  using Storage = uint8_t;
};

constexpr bool isFloat(ElementType type) {
  return type == ElementType::F32 || type == ElementType::F64 || type == ElementType::F16 ||
         type == ElementType::BF16;
}

// Widens to double or int64_t.
template <ElementType Type> auto load(typename Element<Type>::Storage stored) {
  if constexpr (Type == ElementType::F16)
    return Half::decode(stored);
  else if constexpr (Type == ElementType::BF16)
    return BFloat::decode(stored);
  else if constexpr (isFloat(Type))
    return static_cast<double>(stored);
  else
    return static_cast<int64_t>(stored);
}

template <typename T> T truncated(double value) {
  if (std::isnan(value))
    return 0;
  // Both bounds are exact doubles: 2^n and -2^n (or 0).
  constexpr T kHalf = std::numeric_limits<T>::max() / 2 + 1;
  constexpr double kUpper = static_cast<double>(kHalf) * 2.0;
  constexpr double kLower = static_cast<double>(std::numeric_limits<T>::min());
  if (value >= kUpper)
    return std::numeric_limits<T>::max();
  if (value <= kLower)
    return std::numeric_limits<T>::min();
  return static_cast<T>(value);
}

template <ElementType Type, typename Wide> typename Element<Type>::Storage store(Wide value) {
  using Storage = typename Element<Type>::Storage;
  if constexpr (Type == ElementType::Bool) {
    return value != 0;
  } else if constexpr (Type == ElementType::F16 || Type == ElementType::BF16) {
    using Format = std::conditional_t<Type == ElementType::F16, Half, BFloat>;
    if constexpr (std::is_same_v<Wide, double>)
      return Format::encode(value);
    else
      return Format::encode(roundedToOdd(value));
  } else if constexpr (std::is_same_v<Wide, double> && !isFloat(Type)) {
    return truncated<Storage>(value);
  } else {
    return static_cast<Storage>(value);
  }
}

template <ElementType From, ElementType To>
void convertElements(const std::byte *from, std::byte *to, int64_t count) {
  auto *source = reinterpret_cast<const typename Element<From>::Storage *>(from);
  auto *target = reinterpret_cast<typename Element<To>::Storage *>(to);
  for (int64_t i = 0; i < count; ++i)
    target[i] = store<To>(load<From>(source[i]));
}

// Calls function.template operator()<Type>() for the run-time type.
template <typename Function> void dispatch(ElementType type, Function function) {
  switch (type) {
  case ElementType::F32:
    return function.template operator()<ElementType::F32>();
  case ElementType::F64:
    return function.template operator()<ElementType::F64>();
  case ElementType::F16:
    return function.template operator()<ElementType::F16>();
  case ElementType::BF16:
    return function.template operator()<ElementType::BF16>();
  case ElementType::I8:
    return function.template operator()<ElementType::I8>();
  case ElementType::U8:
    return function.template operator()<ElementType::U8>();
  case ElementType::I16:
    return function.template operator()<ElementType::I16>();
  case ElementType::U16:
    return function.template operator()<ElementType::U16>();
  case ElementType::I32:
    return function.template operator()<ElementType::I32>();
  case ElementType::I64:
    return function.template operator()<ElementType::I64>();
  case ElementType::Bool:
    return function.template operator()<ElementType::Bool>();
  }
}

} // namespace

Tensor Tensor::converted(ElementType type) const {
  if (type == type_)
    return *this;
  Tensor result(type, shape_);
  dispatch(type_, [&]<ElementType From>() {
    dispatch(type, [&]<ElementType To>() {
      convertElements<From, To>(bytes_, result.mutableBytes(), size());
    });
  });
  return result;
}

} // namespace sdopt
