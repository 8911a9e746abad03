#include "compiler/kernels/MemoryLimit.h"
#include "compiler/kernels/RecycledTensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <vector>

namespace sdopt {
namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;

class MemoryLimitTest : public ::testing::Test {
protected:
  void TearDown() override { setMemoryLimit(0); }
};

TEST_F(MemoryLimitTest, NoneAllowsEverything) {
  setMemoryLimit(0);
  EXPECT_TRUE(fitsMemory(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(refusedMemory(), 0);
  EXPECT_EQ(keptBytes(128 * kMebibyte), 128 * kMebibyte);
}

TEST_F(MemoryLimitTest, KeepsLessUnderALimit) {
  setMemoryLimit(160 * kMebibyte);
  EXPECT_EQ(keptBytes(128 * kMebibyte), 10 * kMebibyte);
  EXPECT_EQ(keptBytes(kMebibyte), kMebibyte);
}

#if defined(__linux__)

TEST_F(MemoryLimitTest, RefusesWhatDoesNotFit) {
  const int64_t limit = int64_t{1} << 40;
  setMemoryLimit(limit);
  EXPECT_TRUE(fitsMemory(0));
  EXPECT_TRUE(fitsMemory(limit / 2));
  EXPECT_EQ(refusedMemory(), 0);
  EXPECT_FALSE(fitsMemory(limit));
  const int64_t first = refusedMemory();
  EXPECT_GT(first, limit);
  EXPECT_LT(first, limit + (limit >> 6));
  EXPECT_FALSE(fitsMemory(2 * limit));
  EXPECT_EQ(refusedMemory(), first);
}

TEST_F(MemoryLimitTest, APeakBeforeCounts) {
  std::vector<char> block(64 * kMebibyte, 1);
  block = std::vector<char>();
  setMemoryLimit(64 * kMebibyte);
  EXPECT_FALSE(fitsMemory(0));
  EXPECT_GT(refusedMemory(), 64 * kMebibyte);
}

// The heap of a sanitizer keeps what is freed.
#if !defined(__SANITIZE_ADDRESS__)

TEST_F(MemoryLimitTest, PrivateBytesAreWhatIsInUse) {
  const int64_t before = privateBytes();
  ASSERT_GT(before, 0);
  const int64_t size = 32 * kMebibyte;
  {
    Tensor tensor = recycledTensor(ElementType::I8, {size});
    std::fill_n(tensor.mutableBytes(), size, std::byte{1});
    EXPECT_GE(privateBytes(), before + size - kMebibyte);
    EXPECT_GE(residentBytes(), privateBytes());
  }
  // The storage that was kept is gone too.
  EXPECT_LE(privateBytes(), before + kMebibyte);
}

int64_t residentNow() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

TEST_F(MemoryLimitTest, TrimmingGivesAFragmentedHeapBack) {
  privateBytes();
  const int64_t before = residentNow();
  trimMemory();
  // Small blocks in between keep the heap from shrinking at its end.
  std::vector<std::vector<char>> large, small;
  for (int i = 0; i < 9000; ++i) {
    large.emplace_back(64 << 10, 1);
    small.emplace_back(64, 1);
  }
  large.clear();
  EXPECT_GT(residentNow(), before + 450 * kMebibyte);
  trimMemory();
  EXPECT_LT(residentNow(), before + 100 * kMebibyte);
}

#endif // __SANITIZE_ADDRESS__
#endif // __linux__

} // namespace
} // namespace sdopt
