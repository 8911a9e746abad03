#include "compiler/package/Crc32c.h"

#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace sdopt {
namespace {

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Bit by bit, as the polynomial says.
uint32_t slowCrc(std::span<const std::byte> bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (std::byte byte : bytes)
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t in = std::to_integer<uint32_t>(byte) >> bit & 1;
      crc = crc >> 1 ^ ((crc ^ in) & 1 ? 0x82F63B78u : 0u);
    }
  return ~crc;
}

TEST(Crc32c, CheckValues) {
  EXPECT_EQ(crc32c(bytesOf("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(bytesOf("")), 0u);
  EXPECT_EQ(crc32c(bytesOf(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(crc32c(bytesOf(std::string(32, '\xff'))), 0x62A8AB43u);
}

TEST(Crc32c, EqualsBitwiseDefinitionForAnySplit) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> bytes(random() % 100);
    for (std::byte &byte : bytes)
      byte = static_cast<std::byte>(random());
    const uint32_t expected = slowCrc(bytes);
    EXPECT_EQ(crc32c(bytes), expected);
    const size_t split = bytes.empty() ? 0 : random() % bytes.size();
    const std::span<const std::byte> all(bytes);
    EXPECT_EQ(crc32c(all.subspan(split), crc32c(all.first(split))), expected);
  }
}

} // namespace
} // namespace sdopt
