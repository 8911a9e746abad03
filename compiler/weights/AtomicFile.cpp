//===- AtomicFile.cpp - a file that appears whole or not at all -------------===//

#include "compiler/weights/AtomicFile.h"

#include "compiler/weights/SystemError.h"
#include "compiler/weights/WeightStore.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sdopt {

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::create(const std::string &path) {
  struct stat info;
  // rename() would replace a device or a pipe by a plain file.
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return absl::InvalidArgumentError("cannot write '" + path + "': it is there already and is " +
                                      (S_ISDIR(info.st_mode) ? "a folder" : "no regular file"));
  std::unique_ptr<AtomicFile> file(new AtomicFile());
  file->path_ = path;
  file->partialPath_ = path + ".partial-" + std::to_string(::getpid());
  file->descriptor_ = ::open(file->partialPath_.c_str(),
                             O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (file->descriptor_ < 0)
    return systemError("write", path, errno);
  return file;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0)
    ::close(descriptor_);
  if (!partialPath_.empty() && (failed_ || descriptor_ >= 0))
    ::unlink(partialPath_.c_str());
}

absl::Status AtomicFile::fail(const char *action, int error) {
  failed_ = true;
  return systemError(action, path_, error);
}

absl::Status AtomicFile::write(std::string_view bytes) {
  if (failed_ || descriptor_ < 0)
    return absl::FailedPreconditionError("cannot write '" + path_ + "': it is closed");
  // Linux takes less than 2^31 bytes in one call.
  constexpr size_t kLargestWrite = size_t{1} << 30;
  while (!bytes.empty()) {
    ssize_t count = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kLargestWrite));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return fail("write", count < 0 ? errno : ENOSPC);
    bytes.remove_prefix(static_cast<size_t>(count));
    size_ += count;
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::write(std::span<const std::byte> bytes) {
  return write(std::string_view(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
}

absl::Status AtomicFile::commit() {
  if (failed_ || descriptor_ < 0)
    return absl::FailedPreconditionError("cannot write '" + path_ + "': it is closed");
  // Some file systems report a full disk only here.
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS)
    return fail("write", errno);
  int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0)
    return fail("write", errno);
  if (std::rename(partialPath_.c_str(), path_.c_str()) != 0)
    return fail("rename the finished file to", errno);
  return absl::OkStatus();
}

absl::Status writeFileAtomically(const std::string &path, std::string_view bytes) {
  auto file = AtomicFile::create(path);
  if (!file.ok())
    return file.status();
  if (absl::Status status = (*file)->write(bytes); !status.ok())
    return status;
  return (*file)->commit();
}

absl::StatusOr<std::string> readFile(const std::string &path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    return systemError("open", path, errno);
  constexpr size_t kLongest = 256 << 20; // a device may have no end
  std::string text;
  char piece[1 << 16];
  while (true) {
    ssize_t count = ::read(descriptor, piece, sizeof(piece));
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0) {
      int error = errno;
      ::close(descriptor);
      return systemError("read", path, error);
    }
    if (count == 0)
      break;
    text.append(piece, static_cast<size_t>(count));
    if (text.size() > kLongest) {
      ::close(descriptor);
      return absl::InvalidArgumentError("'" + path + "' is too long to be read whole: more than " +
                                        std::to_string(kLongest >> 20) + " MiB");
    }
  }
  ::close(descriptor);
  return text;
}

} // namespace sdopt
