#include "compiler/kernels/RecycledTensor.h"

#include <bit>
#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

template <typename T> Tensor vectorOf(std::vector<T> values) {
  return Tensor::of<T>({static_cast<int64_t>(values.size())}, values);
}

uint16_t encoded(double value, ElementType type) {
  return vectorOf<double>({value}).converted(type).values<uint16_t>()[0];
}

double decoded(uint16_t bits, ElementType type) {
  auto owner = std::make_shared<uint16_t>(bits);
  const auto *bytes = reinterpret_cast<const std::byte *>(owner.get());
  return Tensor(type, {1}, owner, bytes).converted(ElementType::F64).values<double>()[0];
}

// The value of finite bits from the definition of the format.
double definition(uint16_t bits, int mantissaBits, int bias) {
  int exponent = (bits & 0x7fff) >> mantissaBits, mantissa = bits & ((1 << mantissaBits) - 1);
  double magnitude = exponent
                         ? std::ldexp(1.0 + std::ldexp(mantissa, -mantissaBits), exponent - bias)
                         : std::ldexp(mantissa, 1 - bias - mantissaBits);
  return bits & 0x8000 ? -magnitude : magnitude;
}

class SmallFloats : public ::testing::TestWithParam<ElementType> {
protected:
  int mantissaBits() const { return GetParam() == ElementType::F16 ? 10 : 7; }
  int bias() const { return GetParam() == ElementType::F16 ? 15 : 127; }
  uint16_t infinity() const { return GetParam() == ElementType::F16 ? 0x7c00 : 0x7f80; }
};

TEST_P(SmallFloats, everyValueComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    double value = decoded(static_cast<uint16_t>(bits), GetParam());
    if ((bits & 0x7fff) > infinity()) {
      ASSERT_TRUE(std::isnan(value));
      ASSERT_TRUE(std::isnan(decoded(encoded(value, GetParam()), GetParam())));
      continue;
    }
    if ((bits & 0x7fff) < infinity()) {
      ASSERT_EQ(value, definition(static_cast<uint16_t>(bits), mantissaBits(), bias()));
    } else {
      ASSERT_TRUE(std::isinf(value));
    }
    ASSERT_EQ(encoded(value, GetParam()), bits);
  }
}

TEST_P(SmallFloats, tiesGoToEvenAndOthersToNearest) {
  for (uint16_t bits = 0; bits < infinity() - 1; ++bits) {
    double low = decoded(bits, GetParam()), high = decoded(bits + 1, GetParam());
    double middle = low + (high - low) / 2;
    ASSERT_EQ(encoded(middle, GetParam()), bits % 2 ? bits + 1 : bits);
    ASSERT_EQ(encoded(std::nextafter(middle, 0), GetParam()), bits);
    ASSERT_EQ(encoded(std::nextafter(middle, INFINITY), GetParam()), bits + 1);
    ASSERT_EQ(encoded(-std::nextafter(middle, INFINITY), GetParam()), (bits + 1) | 0x8000);
  }
}

TEST_P(SmallFloats, overflowAndUnderflow) {
  double largest = decoded(infinity() - 1, GetParam());
  double step = largest - decoded(infinity() - 2, GetParam());
  EXPECT_EQ(encoded(std::nextafter(largest + step / 2, 0), GetParam()), infinity() - 1);
  EXPECT_EQ(encoded(largest + step / 2, GetParam()), infinity());
  EXPECT_EQ(encoded(1e300, GetParam()), infinity());
  EXPECT_EQ(encoded(-INFINITY, GetParam()), infinity() | 0x8000);
  EXPECT_EQ(encoded(5e-324, GetParam()), 0);
  EXPECT_EQ(encoded(-0.0, GetParam()), 0x8000);
}

INSTANTIATE_TEST_SUITE_P(Formats, SmallFloats,
                         ::testing::Values(ElementType::F16, ElementType::BF16),
                         [](const auto &info) { return std::string(name(info.param)); });

TEST(Tensor, integersRoundOnceToSmallFloats) {
  // 2^62 + 2^54 + 1 lies just above a tie of bf16: rounding to double first would hide the 1.
  int64_t value = (int64_t(1) << 62) + (int64_t(1) << 54) + 1;
  EXPECT_EQ(vectorOf<int64_t>({value}).converted(ElementType::BF16).values<uint16_t>()[0], 0x5e81);
  EXPECT_EQ(vectorOf<int64_t>({-value}).converted(ElementType::BF16).values<uint16_t>()[0], 0xde81);
  EXPECT_EQ(vectorOf<int64_t>({65504}).converted(ElementType::F16).values<uint16_t>()[0], 0x7bff);
}

TEST(Tensor, floatsTruncateTowardsZeroAndSaturate) {
  Tensor x = vectorOf<float>({-1.9f, 1.9f, 300.0f, -300.0f, NAN, 1e30f, -1e30f});
  Tensor bytes = x.converted(ElementType::I8);
  EXPECT_EQ(std::vector<int8_t>(bytes.values<int8_t>().begin(), bytes.values<int8_t>().end()),
            (std::vector<int8_t>{-1, 1, 127, -128, 0, 127, -128}));
  Tensor wide = x.converted(ElementType::I64);
  EXPECT_EQ(wide.values<int64_t>()[5], INT64_MAX);
  EXPECT_EQ(wide.values<int64_t>()[6], INT64_MIN);
  EXPECT_EQ(x.converted(ElementType::U8).values<uint8_t>()[0], 0);
}

TEST(Tensor, integersWrapAndBoolIsNotZero) {
  Tensor x = vectorOf<int64_t>({300, -1, 0, int64_t(1) << 40});
  Tensor bytes = x.converted(ElementType::U8);
  EXPECT_EQ(bytes.values<uint8_t>()[0], 44);
  EXPECT_EQ(bytes.values<uint8_t>()[1], 255);
  Tensor flags = x.converted(ElementType::Bool);
  EXPECT_EQ(flags.values<uint8_t>()[3], 1);
  EXPECT_EQ(flags.values<uint8_t>()[2], 0);
  EXPECT_EQ(vectorOf<float>({0.25f}).converted(ElementType::Bool).values<uint8_t>()[0], 1);
}

TEST(Tensor, copiesShareStorageAndCompareByBits) {
  Tensor x = vectorOf<float>({1, 2, 3, 4, 5, 6});
  Tensor y = x.reshaped({2, 3});
  EXPECT_EQ(y.bytes(), x.bytes());
  EXPECT_EQ(x.converted(ElementType::F32).bytes(), x.bytes());
  EXPECT_FALSE(y.sameBits(x));
  EXPECT_TRUE(y.reshaped({6}).sameBits(vectorOf<float>({1, 2, 3, 4, 5, 6})));
  EXPECT_FALSE(vectorOf<float>({0.0f}).sameBits(vectorOf<float>({-0.0f})));
  EXPECT_EQ(toString(y.shape()), "2x3");
  EXPECT_EQ(toString({}), "scalar");
  EXPECT_EQ(Tensor(ElementType::I16, {3}).values<int16_t>()[2], 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(Tensor(ElementType::I8, {1}).bytes()) % 64, 0u);
}

// Sizes that are kept (64 KiB and more), in large pages (4 MiB and more), and too large to keep.
TEST(RecycledTensor, livingTensorsNeverShareStorage) {
  for (int64_t count :
       {int64_t(0), int64_t(7), int64_t(1) << 14, (int64_t(1) << 20) + 3, int64_t(40) << 20}) {
    auto filled = [&](float value) {
      Tensor t = recycledTensor(ElementType::F32, {count});
      std::fill(t.mutableValues<float>().begin(), t.mutableValues<float>().end(), value);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(t.bytes()) % 64, 0u);
      return t;
    };
    Tensor kept = filled(1), copy = kept.reshaped({1, count});
    {
      Tensor released = filled(2);
    }
    Tensor later = filled(3), last = filled(4);
    kept = later;
    for (auto [tensor, value] : {std::pair(copy, 1.0f), {later, 3.0f}, {kept, 3.0f}, {last, 4.0f}})
      for (float element : tensor.values<float>())
        ASSERT_EQ(element, value);
  }
}

TEST(RecycledTensor, storageIsUsedAgain) {
  const std::byte *first = recycledTensor(ElementType::F32, {100000}).bytes();
  Tensor again = recycledTensor(ElementType::I8, {399000});
  EXPECT_EQ(again.bytes(), first);
  EXPECT_NE(recycledTensor(ElementType::F32, {100000}).bytes(), first);
}

} // namespace
} // namespace sdopt
