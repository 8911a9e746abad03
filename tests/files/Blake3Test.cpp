//===- Blake3Test.cpp - digests ---------------------------------------------===//

#include "compiler/files/Blake3.h"

#include "gtest/gtest.h"

using namespace sdopt;

TEST(Blake3, HasTheKnownDigests) {
  // Test vectors of the BLAKE3 reference: input bytes 0, 1, ..., 250, 0, 1, ...
  const std::byte zero{};
  EXPECT_EQ(blake3Hex({}), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  EXPECT_EQ(blake3Hex({&zero, 1}),
            "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213");
}

TEST(Blake3, PiecesGiveTheDigestOfTheWhole) {
  std::string text(70000, '\0');
  for (size_t i = 0; i < text.size(); ++i)
    text[i] = static_cast<char>(i * 31 + (i >> 8));
  const auto bytes = std::as_bytes(std::span<const char>(text));
  Blake3 hasher;
  for (size_t i = 0; i < bytes.size(); i += 1234)
    hasher.update(bytes.subspan(i, std::min<size_t>(1234, bytes.size() - i)));
  EXPECT_EQ(hasher.hex(), blake3Hex(bytes));
}
