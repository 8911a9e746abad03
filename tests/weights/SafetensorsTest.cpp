//===- SafetensorsTest.cpp - safetensors files, whole and hostile -----------===//

#include "compiler/weights/Safetensors.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/WholeFile.h"
#include "compiler/weights/TensorFile.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <random>

using namespace sdopt;
using testing::HasSubstr;

namespace {

std::string fileOf(const std::string &header, const std::string &data) {
  return littleEndian(header.size(), 8) + header + data;
}

std::string errorOf(const std::string &bytes) {
  TemporaryFolder folder;
  auto file = TensorFile::open(folder.file("x.safetensors", bytes));
  EXPECT_FALSE(file.ok());
  if (file.ok())
    return "";
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr(folder.path("x.safetensors")));
  return std::string(file.status().message());
}

std::string entry(const std::string &name, const std::string &dtype, const std::string &shape,
                  const std::string &offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

std::string withEntries(const std::string &entries, size_t dataSize) {
  return fileOf("{" + entries + "}", std::string(dataSize, '\1'));
}

} // namespace

TEST(Safetensors, RoundTripsEveryTypeAndOddAlignment) {
  TemporaryFolder folder;
  std::mt19937 random(7);
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (int i = 0; i <= static_cast<int>(ElementType::Bool); ++i) {
    // One byte first, so that what follows is unaligned in the file.
    tensors.emplace_back("pad" + std::to_string(i), Tensor(ElementType::U8, {1}));
    Tensor tensor(static_cast<ElementType>(i), {3, 1, 5});
    for (int64_t b = 0; b < tensor.byteSize(); ++b)
      tensor.mutableBytes()[b] = static_cast<std::byte>(random());
    tensors.emplace_back("t\"\\\xc3\xa9" + std::to_string(i), tensor);
  }
  tensors.emplace_back("scalar", Tensor::scalar<float>(2.5f));
  tensors.emplace_back("nothing", Tensor(ElementType::F32, {0, 4}));
  std::map<std::string, std::string> metadata = {{"a", "b\n"}, {"", ""}};
  ASSERT_TRUE(writeSafetensors(folder.path("t"), tensors, metadata).ok());
  auto file = TensorFile::open(folder.path("t"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->metadata(), metadata);
  ASSERT_EQ((*file)->names().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ((*file)->names()[i], tensors[i].first);
    auto tensor = (*file)->get(tensors[i].first);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_TRUE(tensor->sameBits(tensors[i].second));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->bytes()) % byteWidth(tensor->type()), 0u);
  }
  std::string bytes = *readFile(folder.path("t"));
  ASSERT_TRUE(writeSafetensors(folder.path("u"), tensors, metadata).ok());
  EXPECT_EQ(*readFile(folder.path("u")), bytes);
  EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0);
}

TEST(Safetensors, GivesRows) {
  TemporaryFolder folder;
  std::vector<int32_t> values(5 * 3);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<int32_t>(i * i);
  ASSERT_TRUE(writeSafetensors(folder.path("t"), {{"pad", Tensor(ElementType::I8, {3})},
                                                  {"x", Tensor::of<int32_t>({5, 3}, values)},
                                                  {"s", Tensor::scalar<int32_t>(1)}})
                  .ok());
  auto file = TensorFile::open(folder.path("t"));
  ASSERT_TRUE(file.ok());
  Tensor rows = *(*file)->rows("x", 1, 3);
  (*file)->release("x");
  file->reset(); // the rows keep the mapping
  EXPECT_EQ(rows.shape(), (Shape{3, 3}));
  for (size_t i = 0; i < 9; ++i)
    EXPECT_EQ(rows.values<int32_t>()[i], values[3 + i]);
}

TEST(Safetensors, RefusesRowsThatAreNotThere) {
  TemporaryFolder folder;
  ASSERT_TRUE(writeSafetensors(folder.path("t"), {{"x", Tensor(ElementType::F32, {5, 3})},
                                                  {"s", Tensor::scalar<float>(1)}})
                  .ok());
  auto file = TensorFile::open(folder.path("t"));
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->rows("x", 5, 0).ok());
  for (auto [first, count] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 6}, {5, 1}, {-1, 2}, {0, -1}, {INT64_MAX, 1}, {1, INT64_MAX}})
    EXPECT_EQ((*file)->rows("x", first, count).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*file)->rows("s", 0, 1).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*file)->rows("s", 0, 0).status().code(), absl::StatusCode::kOutOfRange);
  auto missing = (*file)->get("y");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.status().message()),
            "'" + folder.path("t") + "' has no tensor 'y'");
}

TEST(Safetensors, RefusesWhatItCannotWrite) {
  TemporaryFolder folder;
  Tensor x(ElementType::F32, {1});
  EXPECT_FALSE(writeSafetensors(folder.path("t"), {{"x", x}, {"x", x}}).ok());
  EXPECT_FALSE(writeSafetensors(folder.path("t"), {{"__metadata__", x}}).ok());
  EXPECT_FALSE(writeSafetensors(folder.path("t"), {{"\xff", x}}).ok());
  EXPECT_FALSE(writeSafetensors(folder.path("t"), {}, {{"a", "\xff"}}).ok());
  EXPECT_TRUE(folder.names().empty());
}

TEST(SafetensorsErrors, Header) {
  EXPECT_THAT(errorOf(""), HasSubstr("it has 0 bytes"));
  EXPECT_THAT(errorOf("1234567"), HasSubstr("it has 7 bytes, the header length alone takes 8"));
  EXPECT_THAT(errorOf(littleEndian(100, 8) + "{}"),
              HasSubstr("the header needs 100 bytes, the file has 2 after the length"));
  EXPECT_THAT(errorOf(littleEndian(100'000'001, 8) + "{}"), HasSubstr("above the limit"));
  EXPECT_THAT(errorOf(littleEndian(~0ull, 8) + "{}"), HasSubstr("above the limit"));
  EXPECT_THAT(errorOf(fileOf("", "")), HasSubstr("does not start with '{'"));
  EXPECT_THAT(errorOf(fileOf("[]", "")), HasSubstr("does not start with '{'"));
  EXPECT_THAT(errorOf(fileOf("{\"a\":", "")), HasSubstr("not JSON (byte "));
  EXPECT_THAT(errorOf(fileOf("{} x", "")), HasSubstr("not JSON"));
  EXPECT_THAT(errorOf(fileOf("{\"\xff\":{}}", "")), HasSubstr("not JSON"));
  EXPECT_THAT(errorOf(fileOf("{\"a\":" + std::string(1 << 20, '['), "")),
              HasSubstr("nested too deeply"));
  EXPECT_THAT(errorOf(fileOf("{\"__metadata__\":{\"a\":1}}", "")),
              HasSubstr("'__metadata__' entry 'a' is not a string"));
  EXPECT_THAT(errorOf(fileOf("{\"__metadata__\":[]}", "")), HasSubstr("'__metadata__' is not"));
}

TEST(SafetensorsErrors, Entries) {
  EXPECT_THAT(errorOf(withEntries(
                  entry("a", "F32", "[1]", "[0,4]") + "," + entry("a", "F32", "[1]", "[4,8]"), 8)),
              HasSubstr("the header has the key 'a' twice"));
  EXPECT_THAT(errorOf(withEntries("\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],"
                                  "\"data_offsets\":[0,4]}",
                                  4)),
              HasSubstr("the header has the key 'dtype' twice"));
  EXPECT_THAT(errorOf(withEntries("\"a\":7", 0)), HasSubstr("tensor 'a' needs exactly the keys"));
  EXPECT_THAT(errorOf(withEntries("\"a\":{\"dtype\":\"F32\",\"shape\":[1]}", 4)),
              HasSubstr("tensor 'a' needs exactly the keys"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "C64", "[1]", "[0,8]"), 8)),
              HasSubstr("tensor 'a' has the unsupported dtype 'C64'; supported are F32"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "F32", "4", "[0,4]"), 4)),
              HasSubstr("tensor 'a' has a shape that is not a list"));
  for (const char *dim : {"-1", "1.5", "\"1\"", "18446744073709551615", "1e3", "null"})
    EXPECT_THAT(errorOf(withEntries(entry("a", "F32", "[" + std::string(dim) + "]", "[0,4]"), 4)),
                HasSubstr("tensor 'a' has a dimension that is no size"))
        << dim;
  EXPECT_THAT(
      errorOf(withEntries(entry("a", "F32", "[4294967296,4294967296,4294967296]", "[0,4]"), 4)),
      HasSubstr("tensor 'a' has the impossible shape"));
  for (const char *offsets : {"[0]", "[0,4,8]", "[-1,3]", "7", "[0.0,4]", "[\"0\",4]"})
    EXPECT_THAT(errorOf(withEntries(entry("a", "F32", "[1]", offsets), 4)),
                HasSubstr("tensor 'a' needs data_offsets [begin, end]"))
        << offsets;
  EXPECT_THAT(errorOf(withEntries(entry("a", "F32", "[1]", "[4,0]"), 4)),
              HasSubstr("tensor 'a' lies at [4, 0) of a data part of 4 bytes"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "F32", "[2]", "[0,8]"), 4)),
              HasSubstr("tensor 'a' lies at [0, 8) of a data part of 4 bytes"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "F32", "[1]", "[0,18446744073709551615]"), 4)),
              HasSubstr("tensor 'a' lies at"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "F16", "[3,2]", "[0,8]"), 8)),
              HasSubstr("tensor 'a' of type f16 and shape 3x2 needs 12 bytes, its offsets [0, 8) "
                        "hold 8"));
}

TEST(SafetensorsErrors, Layout) {
  EXPECT_THAT(errorOf(withEntries(
                  entry("a", "I8", "[4]", "[0,4]") + "," + entry("b", "I8", "[4]", "[2,6]"), 6)),
              HasSubstr("tensor 'b' overlaps tensor 'a' at offset 2"));
  EXPECT_THAT(errorOf(withEntries(
                  entry("a", "I8", "[4]", "[0,4]") + "," + entry("b", "I8", "[4]", "[0,4]"), 4)),
              HasSubstr("tensor 'b' overlaps tensor 'a'"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "I8", "[4]", "[2,6]"), 6)),
              HasSubstr("tensor 'a' starts at offset 2 and leaves the 2 bytes before it"));
  EXPECT_THAT(errorOf(withEntries(entry("a", "I8", "[4]", "[0,4]"), 6)),
              HasSubstr("the tensors end at offset 4 of a data part of 6 bytes"));
}

TEST(SafetensorsErrors, EveryTruncationIsRefused) {
  TemporaryFolder folder;
  ASSERT_TRUE(writeSafetensors(folder.path("t"), {{"x", Tensor(ElementType::F32, {5, 3})},
                                                  {"y", Tensor(ElementType::I8, {7})}})
                  .ok());
  std::string bytes = *readFile(folder.path("t"));
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(TensorFile::open(folder.file("cut", bytes.substr(0, size))).ok()) << size;
}

TEST(SafetensorsErrors, RandomDamageNeverCrashes) {
  TemporaryFolder folder;
  ASSERT_TRUE(writeSafetensors(
                  folder.path("t"),
                  {{"x", Tensor(ElementType::F32, {5, 3})}, {"y", Tensor(ElementType::I8, {7})}},
                  {{"k", "v"}})
                  .ok());
  std::string bytes = *readFile(folder.path("t"));
  std::mt19937 random(3);
  for (int i = 0; i < 600; ++i) {
    std::string damaged = bytes;
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    auto file = TensorFile::open(folder.file("d", damaged));
    if (!file.ok())
      continue;
    for (const std::string &name : (*file)->names()) {
      Tensor tensor = *(*file)->get(name);
      Blake3().update({tensor.bytes(), static_cast<size_t>(tensor.byteSize())});
    }
  }
}

TEST(Safetensors, ReadsRecordedSamples) {
  std::string path = SDOPT_TESTDATA "/patterns-sd2/samples/text_encoder_test.safetensors";
  auto file = TensorFile::open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE((*file)->names().empty());
}
