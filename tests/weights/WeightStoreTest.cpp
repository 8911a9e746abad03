//===- WeightStoreTest.cpp - the store of weights ---------------------------===//

#include "compiler/weights/WeightStore.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/MappedFile.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <fstream>
#include <unistd.h>

using namespace sdopt;
using testing::HasSubstr;

namespace {

std::string counting(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<char>(i * 31 + (i >> 8));
  return bytes;
}

std::span<const std::byte> bytesOf(const std::string &text) {
  return std::as_bytes(std::span<const char>(text));
}

/// Mapped file pages that this process holds.
int64_t residentFileBytes() {
  std::ifstream status("/proc/self/statm");
  int64_t size = 0, resident = 0, shared = 0;
  status >> size >> resident >> shared;
  return shared * ::sysconf(_SC_PAGESIZE);
}

} // namespace

TEST(WeightStore, FileEntriesAreViews) {
  TemporaryFolder folder;
  std::string content = counting(1000);
  auto file = *MappedFile::open(folder.file("w", content));
  WeightStore store;
  ASSERT_TRUE(store.addFile("a", ElementType::F32, {5, 2}, file, 8).ok());
  ASSERT_TRUE(store.addFile("odd", ElementType::I16, {3}, file, 991).ok());
  Tensor a = *store.get("a"), odd = *store.get("odd");
  EXPECT_EQ(a.bytes(), file->bytes().data() + 8);
  EXPECT_EQ(a.shape(), (Shape{5, 2}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(odd.bytes()) % 2, 0u);
  EXPECT_EQ(std::string_view(reinterpret_cast<const char *>(odd.bytes()), 6),
            content.substr(991, 6));
  EXPECT_EQ(store.source("odd")->file, folder.path("w"));
  EXPECT_EQ(store.source("odd")->offset, 991);
  store.release("a");
  store.release("nobody");
  EXPECT_EQ(std::string_view(reinterpret_cast<const char *>(a.bytes()), 40), content.substr(8, 40));
}

TEST(WeightStore, ChecksBounds) {
  TemporaryFolder folder;
  auto file = *MappedFile::open(folder.file("w", counting(100)));
  WeightStore store;
  EXPECT_TRUE(store.addFile("all", ElementType::I8, {100}, file, 0).ok());
  EXPECT_TRUE(store.addFile("none", ElementType::F32, {0}, file, 100).ok());
  absl::Status status = store.addFile("x", ElementType::F32, {5, 5}, file, 4);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(std::string(status.message()), "weight 'x' (f32 5x5) needs 100 bytes at offset 4 of '" +
                                               folder.path("w") + "', which has 100 bytes");
  EXPECT_EQ(store.addFile("x", ElementType::I8, {1}, file, -1).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store.addFile("x", ElementType::I8, {1}, file, INT64_MAX).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(store.addFile("x", ElementType::I8, {-1}, file, 0).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store.addFile("x", ElementType::F64, {INT64_MAX / 4}, file, 0).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(store.addFile("x", ElementType::I8, {1}, nullptr, 0).ok());
  EXPECT_FALSE(store.contains("x"));
}

TEST(WeightStore, KeysAreUsedOnce) {
  TemporaryFolder folder;
  auto file = *MappedFile::open(folder.file("w", "abcdabcdABCD"));
  WeightStore store;
  ASSERT_TRUE(store.addFile("b", ElementType::I8, {4}, file, 0).ok());
  EXPECT_TRUE(store.addFile("b", ElementType::I8, {4}, file, 0).ok());
  EXPECT_TRUE(store.addFile("b", ElementType::I8, {4}, file, 4).ok());
  EXPECT_EQ(store.addFile("b", ElementType::I8, {4}, file, 8).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store.addFile("b", ElementType::U8, {4}, file, 0).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store.addFile("b", ElementType::I8, {2, 2}, file, 0).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(store.addOverlay("b", Tensor::scalar<float>(1)).code(),
            absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(store.addOverlay("a", Tensor::scalar<float>(1)).ok());
  EXPECT_TRUE(store.addOverlay("a", Tensor::scalar<float>(1)).ok());
  EXPECT_EQ(store.keys(), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(store.source("a")->file, "");
  for (const absl::Status &status :
       {store.get("c").status(), store.digest("c").status(), store.source("c").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr("'c'"));
  }
}

TEST(WeightStore, DigestsCoverTypeShapeAndBytes) {
  TemporaryFolder folder;
  std::string content = counting(64);
  auto file = *MappedFile::open(folder.file("w", content));
  WeightStore store;
  ASSERT_TRUE(store.addFile("a", ElementType::I16, {4, 2}, file, 3).ok());
  ASSERT_TRUE(store.addFile("shape", ElementType::I16, {2, 4}, file, 3).ok());
  ASSERT_TRUE(store.addFile("type", ElementType::U16, {4, 2}, file, 3).ok());
  ASSERT_TRUE(store.addFile("bytes", ElementType::I16, {4, 2}, file, 4).ok());
  ASSERT_TRUE(store.addOverlay("copy", *store.get("a")).ok());
  std::string digest = *store.digest("a");
  EXPECT_EQ(digest, blake3Hex(bytesOf("i16 4x2\n" + content.substr(3, 16))));
  EXPECT_EQ(*store.digest("a"), digest);
  EXPECT_EQ(*store.digest("copy"), digest);
  for (const char *other : {"shape", "type", "bytes"})
    EXPECT_NE(*store.digest(other), digest) << other;
}

TEST(WeightStore, DigestOfALargeFileHoldsFewPages) {
  TemporaryFolder folder;
  constexpr int64_t kBytes = 64 << 20;
  auto file = *MappedFile::open(folder.file("w", counting(kBytes)));
  WeightStore store;
  ASSERT_TRUE(store.addFile("a", ElementType::I8, {kBytes}, file, 0).ok());
  int64_t before = residentFileBytes();
  ASSERT_TRUE(store.digest("a").ok());
  EXPECT_LT(residentFileBytes() - before, 4 << 20);
  Tensor a = *store.get("a");
  EXPECT_EQ(blake3Hex({a.bytes(), static_cast<size_t>(kBytes)}).size(), 64u);
  EXPECT_GT(residentFileBytes() - before, 48 << 20);
  store.release("a");
  EXPECT_LT(residentFileBytes() - before, 4 << 20);
}

TEST(WeightStore, OverlayRoundTrips) {
  TemporaryFolder folder;
  auto file = *MappedFile::open(folder.file("w", counting(64)));
  WeightStore store;
  ASSERT_TRUE(store.addFile("file", ElementType::I8, {64}, file, 0).ok());
  ASSERT_TRUE(store.addOverlay("z", Tensor::scalar<int8_t>(3)).ok());
  std::vector<float> values = {1, -2, 3.5f};
  ASSERT_TRUE(store.addOverlay("a", Tensor::of<float>({3}, values)).ok());
  ASSERT_TRUE(store.saveOverlay(folder.path("overlay.safetensors")).ok());
  WeightStore other;
  ASSERT_TRUE(other.loadOverlay(folder.path("overlay.safetensors")).ok());
  EXPECT_EQ(other.keys(), (std::vector<std::string>{"z", "a"}));
  for (const std::string &key : other.keys()) {
    other.release(key);
    EXPECT_EQ(*other.digest(key), *store.digest(key));
    EXPECT_TRUE(other.get(key)->sameBits(*store.get(key)));
    EXPECT_EQ(other.source(key)->file, "");
  }
  EXPECT_TRUE(store.loadOverlay(folder.path("overlay.safetensors")).ok());
  EXPECT_FALSE(store.loadOverlay(folder.path("none")).ok());
  EXPECT_EQ(store.keys().size(), 3u);
}
