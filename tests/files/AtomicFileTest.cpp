//===- AtomicFileTest.cpp - files that appear whole or not at all -----------===//

#include "compiler/files/AtomicFile.h"
#include "compiler/files/MappedFile.h"
#include "compiler/files/WholeFile.h"
#include "compiler/weights/Safetensors.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <csignal>
#include <filesystem>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace sdopt;
using testing::HasSubstr;

namespace {

/// Runs `body` in a child process whose files may not grow above `limit` bytes, which is what a
/// full disk looks like; true if it returned true.
template <typename Body> bool inChildWithFileLimit(rlim_t limit, Body body) {
  pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    struct rlimit files = {limit, limit};
    ::setrlimit(RLIMIT_FSIZE, &files);
    ::_exit(body() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace

TEST(AtomicFile, WritesAndReplaces) {
  TemporaryFolder folder;
  ASSERT_TRUE(writeFileAtomically(folder.path("a"), "one").ok());
  ASSERT_TRUE(writeFileAtomically(folder.path("a"), std::string("t\0o", 3)).ok());
  EXPECT_EQ(*readFile(folder.path("a")), std::string("t\0o", 3));
  ASSERT_TRUE(writeFileAtomically(folder.path("empty"), "").ok());
  EXPECT_EQ(*readFile(folder.path("empty")), "");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "empty"}));
}

TEST(AtomicFile, LeavesNothingWithoutCommit) {
  TemporaryFolder folder;
  folder.file("a", "old");
  {
    auto file = AtomicFile::create(folder.path("a"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->write("new").ok());
    EXPECT_EQ((*file)->size(), 3);
    EXPECT_EQ(folder.names().size(), 2u);
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
  EXPECT_EQ(*readFile(folder.path("a")), "old");
}

TEST(AtomicFile, FullDiskLeavesTheOldFile) {
  TemporaryFolder folder;
  folder.file("a", "old");
  std::string large(100000, 'x');
  EXPECT_TRUE(inChildWithFileLimit(4096, [&] {
    absl::Status status = writeFileAtomically(folder.path("a"), large);
    return status.code() == absl::StatusCode::kResourceExhausted &&
           std::string(status.message()).find("cannot write '" + folder.path("a") + "': ") == 0;
  }));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
  EXPECT_EQ(*readFile(folder.path("a")), "old");
}

TEST(AtomicFile, FullDiskStopsSafetensorsToo) {
  TemporaryFolder folder;
  Tensor tensor(ElementType::F32, {5000});
  EXPECT_TRUE(inChildWithFileLimit(4096, [&] {
    return writeSafetensors(folder.path("a"), {{"x", tensor}}).code() ==
           absl::StatusCode::kResourceExhausted;
  }));
  EXPECT_TRUE(folder.names().empty());
}

TEST(AtomicFile, RefusesFoldersAndDevices) {
  TemporaryFolder folder;
  absl::Status missing = writeFileAtomically(folder.path("no/such/file"), "x");
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(missing.message()),
            "cannot write '" + folder.path("no/such/file") + "': no such file or directory");
  absl::Status device = writeFileAtomically("/dev/full", "x");
  EXPECT_EQ(device.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(device.message()), HasSubstr("'/dev/full'"));
  EXPECT_FALSE(writeFileAtomically(folder.path(""), "x").ok());
  EXPECT_FALSE(writeFileAtomically("", "x").ok());
  std::filesystem::create_directory(folder.path("d"));
  EXPECT_THAT(std::string(writeFileAtomically(folder.path("d"), "x").message()),
              HasSubstr("is a folder"));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"d"});
}

TEST(AtomicFile, RefusesAnUnwritableFolder) {
  if (::geteuid() == 0)
    GTEST_SKIP() << "root may write everywhere";
  TemporaryFolder folder;
  ::chmod(folder.path("").c_str(), 0500);
  EXPECT_EQ(writeFileAtomically(folder.path("a"), "x").code(), absl::StatusCode::kPermissionDenied);
  ::chmod(folder.path("").c_str(), 0700);
  EXPECT_TRUE(folder.names().empty());
}

TEST(PartialFiles, AreAbandonedAtOnce) {
  TemporaryFolder folder;
  EXPECT_TRUE(inChildWithFileLimit(RLIM_INFINITY, [&] {
    bool made = makeFolder(folder.path("made/in/each")).ok() &&
                makeFolder(folder.path("kept/")).ok() &&
                writeFileAtomically(folder.path("kept/gone"), "x").ok() &&
                writeFileAtomically(folder.path("kept/whole"), "x").ok();
    std::filesystem::remove(folder.path("kept/gone"));
    auto open = AtomicFile::create(folder.path("made/in/each/open"));
    auto other = AtomicFile::create(folder.path("other"));
    if (!made || !open.ok() || !other.ok())
      return false;
    // Nobody may remove them a second time.
    open->release();
    other->release();
    return abandonPartialFiles() == std::vector<std::string>{folder.path("kept/whole")};
  }));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"kept"});
}

TEST(PartialFiles, EmptyFoldersGoIfTheyWereMade) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("old"));
  ASSERT_TRUE(makeFolder(folder.path("old/new")).ok());
  ASSERT_TRUE(makeFolder(folder.path("full")).ok());
  ASSERT_TRUE(makeFolder(folder.path("full")).ok());
  ASSERT_TRUE(writeFileAtomically(folder.path("full/file"), "x").ok());
  EXPECT_EQ(std::string(makeFolder(folder.path("full/file")).message())
                .find("cannot make folder '" + folder.path("full/file") + "': "),
            0u);
  removeEmptyFolders();
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"full", "old"}));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path("old")));
}

TEST(ReadFile, NamesThePath) {
  TemporaryFolder folder;
  auto text = readFile(folder.path("missing"));
  EXPECT_EQ(text.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(text.status().message()), HasSubstr(folder.path("missing")));
  EXPECT_FALSE(readFile(folder.path("")).ok());
}

TEST(ReadFile, EndsWhereADeviceDoesNot) {
  absl::StatusOr<std::string> text = readFile("/dev/zero");
  ASSERT_FALSE(text.ok());
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("'/dev/zero' is too long"));
}

TEST(MappedFile, MapsAndRefuses) {
  TemporaryFolder folder;
  std::string content(3 * 4096 + 5, 'q');
  auto file = MappedFile::open(folder.file("a", content));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->bytes().size(), content.size());
  EXPECT_EQ((*file)->path(), folder.path("a"));
  for (auto [offset, size] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 10}, {4000, 5000}, {-1, 5}, {0, -1}, {1 << 20, 5}, {8192, INT64_MAX}})
    (*file)->release(offset, size);
  EXPECT_EQ(std::to_integer<char>((*file)->bytes().back()), 'q');
  auto empty = MappedFile::open(folder.file("empty", ""));
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE((*empty)->bytes().empty());
  EXPECT_EQ(MappedFile::open(folder.path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(MappedFile::open(folder.path("")).ok());
  EXPECT_FALSE(MappedFile::open("/dev/null").ok());
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_FALSE(MappedFile::open(folder.path("pipe")).ok());
}
