#include "RandomCodes.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using testing::Random;

double relativeError(double value, double reference) {
  return reference == value ? 0 : std::abs(value - reference) / std::abs(reference);
}

TEST(DeterministicMath, expIsAccurate) {
  Random random(1);
  for (int i = 0; i < 200000; ++i) {
    double x = i % 2 ? random.real(-700, 700) : random.real(-2, 2);
    ASSERT_LE(relativeError(deterministicExp(x), std::exp(x)), 1e-14) << x;
  }
  EXPECT_EQ(deterministicExp(0), 1);
  EXPECT_EQ(deterministicExp(1000), INFINITY);
  EXPECT_EQ(deterministicExp(-1000), 0);
  EXPECT_TRUE(std::isnan(deterministicExp(NAN)));
}

TEST(DeterministicMath, log2IsAccurate) {
  Random random(2);
  for (int i = 0; i < 200000; ++i) {
    double x = i % 2
                   ? std::ldexp(random.real(0.5, 1), static_cast<int>(random.between(-1000, 1000)))
                   : random.real(0.9, 1.1);
    ASSERT_LE(relativeError(deterministicLog2(x), std::log2(x)), 1e-14) << x;
  }
  for (int e = -1070; e < 1020; ++e)
    ASSERT_EQ(deterministicLog2(std::ldexp(1.0, e)), e);
  EXPECT_EQ(deterministicLog2(0), -INFINITY);
  EXPECT_TRUE(std::isnan(deterministicLog2(-1)));
}

TEST(DeterministicMath, sinIsAccurate) {
  Random random(3);
  for (int i = 0; i < 200000; ++i) {
    double x = i % 2 ? random.real(-1e6, 1e6) : random.real(-7, 7);
    ASSERT_LE(relativeError(deterministicSin(x), std::sin(x)), 1e-13) << x;
  }
  for (int i = 1; i < 2000; ++i) {
    double x = i * 3.14159265358979323846;
    ASSERT_LE(relativeError(deterministicSin(x), std::sin(x)), 1e-13) << x;
  }
  EXPECT_TRUE(std::isnan(deterministicSin(INFINITY)));
}

TEST(DeterministicMath, erfIsAccurate) {
  Random random(4);
  for (int i = 0; i < 100000; ++i) {
    double x = i % 2 ? random.real(-8, 8) : random.real(-0.01, 0.01);
    ASSERT_LE(relativeError(deterministicErf(x), std::erf(x)), 1e-14) << x;
  }
  EXPECT_EQ(deterministicErf(0), 0);
  EXPECT_EQ(deterministicErf(INFINITY), 1);
  EXPECT_EQ(deterministicErf(-INFINITY), -1);
}

TEST(Tables, activationsAreRoundedFunctionValues) {
  double inputScale = 8.0 / 32768, outputScale = 8.0 / 32767;
  struct Case {
    TableFunction function;
    double (*reference)(double);
  };
  const Case cases[] = {
      {TableFunction::SiLU, [](double x) { return x / (1 + std::exp(-x)); }},
      {TableFunction::GELU, [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); }},
      {TableFunction::QuickGELU, [](double x) { return x / (1 + std::exp(-1.702 * x)); }},
      {TableFunction::Sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {TableFunction::GELUTanh, [](double x) {
         double u = std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
         return x * 0.5 * (1 + std::tanh(u));
       }}};
  for (const Case &c : cases) {
    std::vector<int32_t> knots = makeTable(c.function, testing::kWide, inputScale, outputScale);
    ASSERT_EQ(knots.size(), static_cast<size_t>(kTableKnots16));
    for (int i = 0; i < kTableKnots16; ++i)
      ASSERT_NEAR(knots[i], c.reference((i * 64 - 32768) * inputScale) / outputScale * 256, 0.501);
    std::vector<int32_t> entries = makeTable(c.function, testing::kNarrow, 0.05, 0.04);
    ASSERT_EQ(entries.size(), static_cast<size_t>(kTableEntries8));
    for (int i = 0; i < 256; ++i)
      ASSERT_NEAR(entries[i], c.reference((i - 128 + 13) * 0.05) / 0.04 * 256, 0.501);
  }
}

TEST(Tables, exponentTablesArePowersOfTwo) {
  EXPECT_EQ(exponentTableHigh()[0], 1 << 30);
  EXPECT_EQ(exponentTableHigh()[32], 759250125); // round(2^29.5)
  for (int i = 0; i < 64; ++i) {
    EXPECT_NEAR(exponentTableHigh()[i], std::exp2(30 - i / 64.0), 0.501);
    EXPECT_NEAR(exponentTableLow()[i], std::exp2(30 - i / 4096.0), 0.501);
  }
}

TEST(Tables, timeStepsAreFrequencies) {
  std::vector<uint32_t> steps = makeTimeSteps(160, 0, 10000);
  EXPECT_EQ(steps[0], 683565276u); // round(2^32 / (2 pi))
  for (int i = 0; i < 160; ++i)
    EXPECT_NEAR(steps[i], std::pow(10000.0, -i / 160.0) * 0x1p32 / (2 * M_PI), 0.501);
  EXPECT_EQ(makeTimeSteps(1, 1, 10000)[0], 683565276u);
}

} // namespace
} // namespace sdopt
