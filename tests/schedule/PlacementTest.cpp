// placeBuffers against an O(n^2) check and the live-bytes bound.

#include "compiler/schedule/Plan.h"

#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <sstream>

namespace sdopt {
namespace {

int64_t heightOf(const std::vector<Buffer> &buffers, const std::vector<int64_t> &offsets) {
  int64_t height = 0;
  for (size_t i = 0; i < buffers.size(); ++i)
    height = std::max(height, offsets[i] + buffers[i].size);
  return height;
}

int64_t liveBytes(const std::vector<Buffer> &buffers) {
  int64_t most = 0;
  for (const Buffer &at : buffers) {
    int64_t live = 0;
    for (const Buffer &b : buffers)
      if (b.begin <= at.begin && at.begin < b.end)
        live += b.size;
    most = std::max(most, live);
  }
  return most;
}

void expectDisjoint(const std::vector<Buffer> &buffers, const std::vector<int64_t> &offsets,
                    int64_t alignment) {
  ASSERT_EQ(buffers.size(), offsets.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_GE(offsets[i], 0);
    EXPECT_EQ(offsets[i] % alignment, 0);
    for (size_t j = 0; j < i; ++j) {
      const bool together = buffers[i].begin < buffers[j].end && buffers[j].begin < buffers[i].end;
      const bool overlap =
          offsets[i] < offsets[j] + buffers[j].size && offsets[j] < offsets[i] + buffers[i].size;
      ASSERT_FALSE(together && overlap) << i << " and " << j;
    }
  }
}

std::vector<Buffer> readCsv(const std::string &name) {
  std::ifstream file(std::string(SDOPT_TESTDATA) + "/minimalloc/" + name);
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, "id,lower,upper,size");
  std::vector<Buffer> buffers;
  while (std::getline(file, line)) {
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream row(line);
    std::string id;
    Buffer buffer;
    row >> id >> buffer.begin >> buffer.end >> buffer.size;
    buffers.push_back(buffer);
  }
  return buffers;
}

TEST(Placement, EmptyAndSingle) {
  EXPECT_TRUE(placeBuffers({}, 64).empty());
  EXPECT_EQ(placeBuffers({{0, 1, 100}}, 64), std::vector<int64_t>({0}));
}

TEST(Placement, DisjointLifetimesShareBytes) {
  const auto offsets = placeBuffers({{0, 2, 128}, {2, 4, 128}}, 64);
  EXPECT_EQ(offsets[0], offsets[1]);
}

TEST(Placement, FillsTheGapThatFitsBest) {
  // A wall of two with gaps of 64 and 128 below and between; the last buffer belongs into the 64.
  const std::vector<Buffer> buffers = {{0, 4, 256}, {0, 2, 64}, {2, 4, 64}, {0, 4, 64}};
  EXPECT_EQ(heightOf(buffers, placeBuffers(buffers, 64)), 384);
}

TEST(Placement, RandomBuffersNeverOverlap) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<Buffer> buffers(1 + random() % 60);
    for (Buffer &b : buffers) {
      b.begin = random() % 40;
      b.end = b.begin + 1 + random() % 15;
      b.size = 1 + random() % 5000;
    }
    const auto offsets = placeBuffers(buffers, 64);
    ASSERT_NO_FATAL_FAILURE(expectDisjoint(buffers, offsets, 64));
    EXPECT_EQ(offsets, placeBuffers(buffers, 64));
  }
}

TEST(Placement, PublishedInstances) {
  const std::map<std::string, size_t> instances = {{"A.1048576.csv", 154}, {"D.1048576.csv", 213}};
  for (const auto &[name, count] : instances) {
    const std::vector<Buffer> buffers = readCsv(name);
    ASSERT_EQ(buffers.size(), count);
    const auto offsets = placeBuffers(buffers, 1);
    ASSERT_NO_FATAL_FAILURE(expectDisjoint(buffers, offsets, 1));
    const double ratio =
        static_cast<double>(heightOf(buffers, offsets)) / static_cast<double>(liveBytes(buffers));
    RecordProperty(name, std::to_string(ratio));
    std::printf("%s: %.3f of the live bytes\n", name.c_str(), ratio);
    EXPECT_LE(ratio, 1.5) << name;
    EXPECT_LE(heightOf(buffers, offsets), 1048576 * 3 / 2);
  }
}

} // namespace
} // namespace sdopt
