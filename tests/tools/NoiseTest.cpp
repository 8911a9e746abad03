#include "tools/sdopt-run/Noise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

using namespace sdopt;

// Known answers published with the Random123 library (kat_vectors, philox4x32 with 10 rounds).
TEST(Noise, PhiloxKnownAnswers) {
  EXPECT_THAT(philox({0, 0, 0, 0}, {0, 0}),
              ::testing::ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(
      philox({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu}),
      ::testing::ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(
      philox({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
      ::testing::ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

TEST(Noise, IsStandardNormal) {
  Tensor noise = gaussianNoise({100001}, 7, 3);
  double sum = 0, squares = 0, cubes = 0, fourths = 0;
  int64_t beyond2 = 0;
  for (float v : noise.values<float>()) {
    double x = v;
    sum += x;
    squares += x * x;
    cubes += x * x * x;
    fourths += x * x * x * x;
    beyond2 += x > 2 || x < -2;
  }
  const double n = 100001;
  EXPECT_NEAR(sum / n, 0, 0.013);
  EXPECT_NEAR(squares / n, 1, 0.02);
  EXPECT_NEAR(cubes / n, 0, 0.05);
  EXPECT_NEAR(fourths / n, 3, 0.15);
  EXPECT_NEAR(beyond2 / n, 0.0455, 0.004);
}

TEST(Noise, SeedAndStreamDecide) {
  Tensor a = gaussianNoise({5, 7}, 1, 0);
  EXPECT_TRUE(a.sameBits(gaussianNoise({5, 7}, 1, 0)));
  EXPECT_FALSE(a.sameBits(gaussianNoise({5, 7}, 2, 0)));
  EXPECT_FALSE(a.sameBits(gaussianNoise({5, 7}, 1, 1)));
  EXPECT_FALSE(a.sameBits(gaussianNoise({5, 7}, uint64_t{1} << 32 | 1, 0)));
  // A longer draw begins with the shorter one.
  EXPECT_EQ(
      std::memcmp(a.bytes(), gaussianNoise({999}, 1, 0).bytes(), static_cast<size_t>(a.byteSize())),
      0);
}

TEST(Noise, SameBitsOnEveryMachine) {
  Tensor noise = gaussianNoise({4}, 0, 0);
  uint32_t bits[4];
  std::memcpy(bits, noise.bytes(), sizeof(bits));
  EXPECT_THAT(bits, ::testing::ElementsAre(1065204531u, 3211572912u, 3206421407u, 3203846578u));
}
