#include "compiler/kernels/DotPanels.h"
#include "RandomCodes.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

TEST(DotPanels, exponentialsAreTheSameOnEveryLevel) {
  Random random(1);
  for (int trial = 0; trial < 300; ++trial) {
    int32_t shift = static_cast<int32_t>(random.between(25, 62));
    int32_t multiplier = static_cast<int32_t>(trial % 10 ? random.between(1 << 30, INT32_MAX)
                                                         : random.between(0, 1 << 30));
    std::vector<int64_t> distances;
    for (int i = 0; i < 61; ++i)
      distances.push_back(random.between(0, (int64_t(1) << random.between(0, 55)) - 1));
    distances.insert(distances.end(), {0, -1, 1, INT64_MAX, INT64_MIN, (int64_t(1) << 55) - 1});
    std::vector<uint16_t> expected(distances.size()), e(distances.size());
    for (size_t i = 0; i < distances.size(); ++i) {
      // The formula of AttentionParams.
      Int128 product = static_cast<Int128>(distances[i]) * multiplier;
      Int128 scaled = (product + (static_cast<Int128>(1) << (shift - 1))) >> shift;
      int64_t t = static_cast<int64_t>(std::clamp<Int128>(scaled, 0, 17 * 4096));
      int64_t a = t >> 12;
      int64_t power = int64_t(exponentTableHigh()[t >> 6 & 63]) * exponentTableLow()[t & 63];
      expected[i] =
          a >= 17 ? 0 : std::min<int64_t>(65535, (power + (int64_t(1) << (43 + a))) >> (44 + a));
    }
    for (const DotKernels &level : dotKernelLevels()) {
      level.exponentials(
          {distances.data(), static_cast<int64_t>(distances.size()), multiplier, shift}, e.data());
      ASSERT_EQ(e, expected) << level.name << " shift " << shift;
    }
  }
}

TEST(DotPanels, rowDotsOfExtremesAreExact) {
  Random random(2);
  for (int64_t depth : {1, 15, 16, 17, 4079, 4080, 4096, 20000})
    for (Pattern pattern : kPatterns) {
      std::vector<int16_t> a;
      std::vector<int8_t> w;
      int64_t expected = 0;
      for (int64_t i = 0; i < depth; ++i) {
        a.push_back(static_cast<int16_t>(draw(random, pattern, i, -32768, 32767)));
        w.push_back(static_cast<int8_t>(draw(random, pattern, i, -128, 127)));
        expected += int64_t(a.back()) * w.back();
      }
      for (const DotKernels &level : dotKernelLevels())
        ASSERT_EQ(level.rowDot(a.data(), w.data(), depth), expected) << level.name << " " << depth;
    }
}

TEST(DotPanels, panelsHoldPairsOfLanes) {
  Random random(3);
  for (int64_t lanes : {1, 7, 8, 9, 15, 16})
    for (int64_t depth : {1, 2, 15, 16, 17, 31, 32, 48, 63, 64, 65, 130}) {
      const int64_t stride = depth + random.between(0, 3);
      std::vector<int16_t> rows;
      for (int64_t i = 0; i < lanes * stride; ++i)
        rows.push_back(static_cast<int16_t>(random.between(-32768, 32767)));
      // One more, that stays.
      const int64_t size = (depth + 1) / 2 * 2 * kPanelLanes;
      std::vector<int16_t> panel(static_cast<size_t>(size + 1), 77);
      packPanel(rows.data(), stride, lanes, depth, panel.data());
      for (int64_t i = 0; i < size; ++i) {
        const int64_t lane = i / 2 % kPanelLanes, k = i / (2 * kPanelLanes) * 2 + i % 2;
        ASSERT_EQ(panel[i], lane < lanes && k < depth ? rows[lane * stride + k] : 0)
            << lanes << " lanes, depth " << depth << ", at " << i;
      }
      EXPECT_EQ(panel[size], 77);
    }
}

} // namespace
} // namespace sdopt
