#include "compiler/kernels/WorkSharing.h"

#include <atomic>
#include <gtest/gtest.h>
#include <thread>
#include <vector>

namespace sdopt {
namespace {

// How often each item was done.
std::vector<int> doneTimes(int64_t items, int threads) {
  std::vector<std::atomic<int>> counts(items);
  shareItems(items, threads, [&](int64_t item) { ++counts[item]; });
  return {counts.begin(), counts.end()};
}

TEST(WorkSharing, doesEachItemOnce) {
  for (int64_t items : {0, 1, 2, 3, 7, 8, 100, 12345})
    for (int threads : {-1, 0, 1, 2, 3, 17})
      EXPECT_EQ(doneTimes(items, threads), std::vector<int>(items, 1)) << items << " " << threads;
}

TEST(WorkSharing, manyCallersAtOnce) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; ++caller)
    callers.emplace_back([&, caller] {
      for (int64_t items = 1; items < 300; ++items)
        if (doneTimes(items, 2 + caller % 3) != std::vector<int>(items, 1))
          ++wrong;
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(WorkSharing, anItemMayShareItsOwnWork) {
  std::atomic<int64_t> sum = 0;
  shareItems(20, 3, [&](int64_t outer) {
    shareItems(30, 3, [&](int64_t inner) { sum += outer * 30 + inner; });
  });
  EXPECT_EQ(sum, 600 * 599 / 2);
}

// What a helper wrote is there for the caller.
TEST(WorkSharing, resultsAreVisible) {
  for (int round = 0; round < 2000; ++round) {
    std::vector<int64_t> squares(64);
    shareItems(64, 4, [&](int64_t item) { squares[item] = item * item + round; });
    for (int64_t i = 0; i < 64; ++i)
      ASSERT_EQ(squares[i], i * i + round);
  }
}

} // namespace
} // namespace sdopt
