//===- PartialFiles.cpp - what is not whole yet -------------------------------===//

#include "compiler/files/PartialFiles.h"

#include "compiler/files/SystemError.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace fs = std::filesystem;

namespace sdopt {

namespace {

struct Registry {
  std::mutex mutex;
  std::set<std::string> partial, published;
  std::vector<std::string> folders; ///< made, each after the one that it is in
};

/// Never destroyed: a signal may come while the process ends.
Registry &registry() {
  static Registry &instance = *new Registry;
  return instance;
}

void removeEmpty(Registry &files) {
  for (; !files.folders.empty(); files.folders.pop_back())
    ::rmdir(files.folders.back().c_str()); // fails if it holds something
}

} // namespace

absl::StatusOr<PartialFile> PartialFile::create(const std::string &path, int flags) {
  struct stat info;
  // rename() would replace a device or a pipe by a plain file.
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return absl::InvalidArgumentError("cannot write '" + path + "': it is there already and is " +
                                      (S_ISDIR(info.st_mode) ? "a folder" : "no regular file"));
  PartialFile file;
  file.path_ = path;
  const std::string partial = path + ".partial-" + std::to_string(::getpid());
  Registry &files = registry();
  std::lock_guard lock(files.mutex);
  file.descriptor_ =
      ::open(partial.c_str(), flags | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file.descriptor_ < 0)
    return systemError("write", path, errno);
  files.partial.insert(partial);
  file.partialPath_ = partial;
  return file;
}

PartialFile::PartialFile(PartialFile &&other) noexcept
    : path_(std::move(other.path_)), partialPath_(std::exchange(other.partialPath_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

PartialFile::~PartialFile() {
  if (descriptor_ >= 0)
    ::close(descriptor_);
  if (partialPath_.empty())
    return;
  Registry &files = registry();
  std::lock_guard lock(files.mutex);
  ::unlink(partialPath_.c_str());
  files.partial.erase(partialPath_);
}

absl::Status PartialFile::close() {
  return ::close(std::exchange(descriptor_, -1)) == 0 ? absl::OkStatus()
                                                      : systemError("write", path_, errno);
}

absl::Status PartialFile::publish() {
  Registry &files = registry();
  std::lock_guard lock(files.mutex);
  if (std::rename(partialPath_.c_str(), path_.c_str()) != 0)
    return systemError("rename the finished file to", path_, errno);
  files.partial.erase(std::exchange(partialPath_, {}));
  files.published.insert(path_);
  return absl::OkStatus();
}

absl::Status makeFolder(const std::string &path) {
  Registry &files = registry();
  std::lock_guard lock(files.mutex);
  std::error_code error;
  std::vector<std::string> missing;
  for (fs::path at = fs::absolute(path, error).lexically_normal();
       !at.empty() && !fs::exists(at, error); at = at.parent_path())
    if (at.has_filename()) // none after a last slash
      missing.push_back(at.string());
  files.folders.insert(files.folders.end(), missing.rbegin(), missing.rend());
  fs::create_directories(path, error);
  if (error)
    return absl::InvalidArgumentError("cannot make folder '" + path + "': " + error.message());
  return absl::OkStatus();
}

void removeEmptyFolders() {
  Registry &files = registry();
  std::lock_guard lock(files.mutex);
  removeEmpty(files);
}

std::vector<std::string> abandonPartialFiles() {
  Registry &files = registry();
  files.mutex.lock(); // for good
  for (const std::string &file : files.partial)
    ::unlink(file.c_str());
  removeEmpty(files);
  std::vector<std::string> left;
  std::error_code error;
  std::ranges::copy_if(files.published, std::back_inserter(left),
                       [&](const std::string &file) { return fs::exists(file, error); });
  return left;
}

} // namespace sdopt
