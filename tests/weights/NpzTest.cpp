//===- NpzTest.cpp - npz archives, whole and hostile ------------------------===//

#include "compiler/files/Blake3.h"
#include "compiler/weights/TensorFile.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <random>
#include <zlib.h>

using namespace sdopt;
using testing::HasSubstr;

namespace {

std::string npyWith(const std::string &header, const std::string &data, int major = 1) {
  std::string text = header;
  text.resize((header.size() + 64) / 64 * 64, ' ');
  text.back() = '\n';
  return std::string("\x93NUMPY") + static_cast<char>(major) + '\0' +
         littleEndian(text.size(), major == 1 ? 2 : 4) + text + data;
}

std::string npy(const std::string &descr, const std::string &shape, const std::string &data) {
  return npyWith("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }",
                 data);
}

std::string deflated(const std::string &bytes) {
  std::string packed(compressBound(bytes.size()), '\0');
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef *>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

struct Member {
  std::string name, content;
  bool deflate = false;
  bool zip64 = false;
};

/// A zip archive as numpy.savez (or savez_compressed) writes it.
std::string archive(const std::vector<Member> &members) {
  std::string file, directory;
  for (const Member &member : members) {
    std::string stored = member.deflate ? deflated(member.content) : member.content;
    auto crc = crc32(0, reinterpret_cast<const Bytef *>(member.content.data()),
                     static_cast<uInt>(member.content.size()));
    size_t size = member.content.size(), packed = stored.size(), offset = file.size();
    std::string local = littleEndian(20, 2) + littleEndian(0, 2) +
                        littleEndian(member.deflate ? 8 : 0, 2) + littleEndian(0, 4) +
                        littleEndian(crc, 4);
    std::string extra;
    if (member.zip64) {
      extra = littleEndian(1, 2) + littleEndian(16, 2) + littleEndian(size, 8) +
              littleEndian(packed, 8);
      size = packed = 0xffffffff;
    }
    local += littleEndian(packed, 4) + littleEndian(size, 4) + littleEndian(member.name.size(), 2) +
             littleEndian(extra.size(), 2);
    file += "PK\3\4" + local + member.name + extra + stored;
    directory += "PK\1\2" + littleEndian(20, 2) + local + littleEndian(0, 10) +
                 littleEndian(offset, 4) + member.name + extra;
  }
  return file + directory + "PK\5\6" + littleEndian(0, 4) + littleEndian(members.size(), 2) +
         littleEndian(members.size(), 2) + littleEndian(directory.size(), 4) +
         littleEndian(file.size(), 4) + littleEndian(0, 2);
}

std::string errorOf(const std::string &bytes) {
  TemporaryFolder folder;
  auto file = TensorFile::open(folder.file("x.npz", bytes));
  EXPECT_FALSE(file.ok());
  if (file.ok())
    return "";
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("x.npz"));
  return std::string(file.status().message());
}

std::string npyError(const std::string &content) { return errorOf(archive({{"a.npy", content}})); }

std::string countingBytes(size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i)
    bytes += static_cast<char>(i * 7);
  return bytes;
}

} // namespace

TEST(Npz, ReadsStoredAndDeflatedArrays) {
  TemporaryFolder folder;
  for (bool deflate : {false, true})
    for (bool zip64 : {false, true}) {
      std::string data = countingBytes(24);
      auto file = TensorFile::open(folder.file(
          "a.npz", archive({{"x.npy", npy("<f4", "(2, 3)", data), deflate, zip64},
                            {"odd.npy", npy("|i1", "(5,)", data.substr(0, 5)), deflate, zip64},
                            {"y.npy", npy("<i8", "()", data.substr(0, 8)), deflate, zip64},
                            {"none.npy", npy("<f2", "(0, 7)", ""), deflate, zip64}})));
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_EQ((*file)->names(), (std::vector<std::string>{"x", "odd", "y", "none"}));
      Tensor x = *(*file)->get("x"), y = *(*file)->get("y");
      EXPECT_EQ(x.type(), ElementType::F32);
      EXPECT_EQ(x.shape(), (Shape{2, 3}));
      EXPECT_EQ(std::string_view(reinterpret_cast<const char *>(x.bytes()), 24), data);
      EXPECT_EQ(y.type(), ElementType::I64);
      EXPECT_EQ(y.rank(), 0);
      EXPECT_EQ(std::string_view(reinterpret_cast<const char *>(y.bytes()), 8), data.substr(0, 8));
      EXPECT_EQ((*file)->get("none")->size(), 0);
      Tensor row = *(*file)->rows("x", 1, 1);
      (*file)->release("x");
      file->reset();
      EXPECT_EQ(std::string_view(reinterpret_cast<const char *>(row.bytes()), 12), data.substr(12));
    }
}

TEST(Npz, ReadsNewerHeaders) {
  TemporaryFolder folder;
  for (int major : {2, 3}) {
    std::string content =
        npyWith("{\"shape\": (1,2,), 'fortran_order': False, 'descr': '|b1'}", "\1", major);
    content += '\0';
    auto file = TensorFile::open(folder.file("a.npz", archive({{"x.npy", content}})));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->get("x")->type(), ElementType::Bool);
    EXPECT_EQ((*file)->get("x")->shape(), (Shape{1, 2}));
  }
}

TEST(NpzErrors, Arrays) {
  EXPECT_THAT(npyError("hello"), HasSubstr("array 'a.npy' of "));
  EXPECT_THAT(npyError("hello"), HasSubstr("is no npy array"));
  EXPECT_THAT(npyError(npy(">f4", "(1,)", "1234")), HasSubstr("unsupported element type '>f4'"));
  EXPECT_THAT(npyError(npy("|O", "(1,)", "1234")), HasSubstr("unsupported element type '|O'"));
  EXPECT_THAT(npyError(npyWith("{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", "1234")),
              HasSubstr("is in Fortran order"));
  EXPECT_THAT(npyError(npy("<f4", "(2,)", "1234")),
              HasSubstr("of type f32 and shape 2 needs 8 bytes, 4 are there"));
  EXPECT_THAT(npyError(npy("<f4", "(4294967296, 4294967296, 4)", "1234")),
              HasSubstr("has an impossible size"));
  EXPECT_THAT(npyError(npyWith("{}", "", 9)), HasSubstr("npy version 9"));
  for (const char *header :
       {"", "{", "{'descr': '<f4'}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}"})
    EXPECT_THAT(npyError(npyWith(header, "1234")), HasSubstr("npy header that is not")) << header;
  std::string cut = std::string("\x93NUMPY\1\0", 8) + littleEndian(500, 2) + "{}";
  EXPECT_THAT(npyError(cut), HasSubstr("npy header of 500 bytes, 2 are there"));
}

TEST(NpzErrors, Archive) {
  std::string array = npy("<f4", "(1,)", "1234");
  EXPECT_THAT(errorOf(""), HasSubstr("no zip end record"));
  EXPECT_THAT(errorOf("PK\3\4 and then nothing that makes sense"), HasSubstr("no zip end record"));
  EXPECT_THAT(errorOf(archive({{"a.npy", array}, {"a.npy", array}})),
              HasSubstr("the array 'a' twice"));
  std::string good = archive({{"a.npy", array}});
  size_t end = good.size() - 22;
  std::string bad = good;
  bad.replace(end + 16, 4, littleEndian(1 << 30, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("lies outside of the file"));
  bad = good;
  bad.replace(end + 10, 2, littleEndian(500, 2));
  EXPECT_THAT(errorOf(bad), HasSubstr("lies outside of the file"));
  bad = good;
  bad.replace(end + 10, 2, littleEndian(0xffff, 2));
  EXPECT_THAT(errorOf(bad), HasSubstr("zip64 locator is missing"));
  size_t central = good.find("PK\1\2");
  bad = good;
  bad.replace(central + 20, 4, littleEndian(1 << 30, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("member 'a.npy' needs 1073741824 bytes at offset"));
  bad = good;
  bad.replace(central + 24, 4, littleEndian(1 << 30, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("is stored but has two sizes"));
  bad = good;
  bad.replace(central + 10, 2, littleEndian(12, 2));
  EXPECT_THAT(errorOf(bad), HasSubstr("compression method 12"));
  bad = good;
  bad.replace(central + 8, 2, littleEndian(1, 2));
  EXPECT_THAT(errorOf(bad), HasSubstr("is encrypted"));
  bad = good;
  bad.replace(central + 42, 4, littleEndian(1, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("no local header at offset 1"));
}

TEST(NpzErrors, Compression) {
  std::string array = npy("<f4", "(1000,)", countingBytes(4000));
  std::string good = archive({{"a.npy", array, true}});
  size_t central = good.find("PK\1\2");
  std::string bad = good;
  bad.replace(central + 24, 4, littleEndian(0xf0000000, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("claims 4026531840 bytes, too many"));
  bad = good;
  bad.replace(central + 24, 4, littleEndian(array.size() - 1, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("does not decompress"));
  bad = good;
  bad.replace(central + 24, 4, littleEndian(array.size() + 1, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("does not decompress"));
  bad = good;
  bad.replace(central + 16, 4, littleEndian(1, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("wrong checksum"));
  bad = good;
  bad[central - 1] = static_cast<char>(~bad[central - 1]);
  bad[central - 20] = static_cast<char>(~bad[central - 20]);
  EXPECT_FALSE(errorOf(bad).empty());
}

TEST(NpzErrors, OverlappingMembersAreRefused) {
  std::string array = npy("<f4", "(1,)", "1234");
  std::string good = archive({{"a.npy", array}, {"b.npy", array}});
  size_t second = good.rfind("PK\1\2");
  std::string bad = good;
  bad.replace(second + 42, 4, littleEndian(0, 4));
  EXPECT_THAT(errorOf(bad), HasSubstr("overlap"));
}

TEST(NpzErrors, RandomDamageNeverCrashes) {
  TemporaryFolder folder;
  std::string array = npy("<f4", "(10,)", countingBytes(40));
  std::string good = archive({{"a.npy", array, true}, {"b.npy", array, false, true}});
  std::mt19937 random(5);
  for (int i = 0; i < 600; ++i) {
    std::string damaged = good;
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    if (random() % 4 == 0)
      damaged.resize(random() % damaged.size());
    auto file = TensorFile::open(folder.file("d.npz", damaged));
    if (!file.ok())
      continue;
    for (const std::string &name : (*file)->names()) {
      Tensor tensor = *(*file)->get(name);
      Blake3().update({tensor.bytes(), static_cast<size_t>(tensor.byteSize())});
    }
  }
}
