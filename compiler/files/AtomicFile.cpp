//===- AtomicFile.cpp - a file that appears whole or not at all -------------===//

#include "compiler/files/AtomicFile.h"

#include "compiler/files/SystemError.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace sdopt {

absl::StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::create(const std::string &path) {
  absl::StatusOr<PartialFile> file = PartialFile::create(path, O_WRONLY);
  if (!file.ok())
    return file.status();
  return std::unique_ptr<AtomicFile>(new AtomicFile(*std::move(file)));
}

absl::Status AtomicFile::fail(absl::Status status) {
  failed_ = true;
  return status;
}

absl::Status AtomicFile::write(std::string_view bytes) {
  if (failed_ || file_.descriptor() < 0)
    return absl::FailedPreconditionError("cannot write '" + file_.path() + "': it is closed");
  // Linux takes less than 2^31 bytes in one call.
  constexpr size_t kLargestWrite = size_t{1} << 30;
  while (!bytes.empty()) {
    ssize_t count =
        ::write(file_.descriptor(), bytes.data(), std::min(bytes.size(), kLargestWrite));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return fail(systemError("write", file_.path(), count < 0 ? errno : ENOSPC));
    bytes.remove_prefix(static_cast<size_t>(count));
    size_ += count;
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::write(std::span<const std::byte> bytes) {
  return write(std::string_view(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
}

absl::Status AtomicFile::commit() {
  if (failed_ || file_.descriptor() < 0)
    return absl::FailedPreconditionError("cannot write '" + file_.path() + "': it is closed");
  // Some file systems report a full disk only here.
  if (::fsync(file_.descriptor()) != 0 && errno != EINVAL && errno != EROFS)
    return fail(systemError("write", file_.path(), errno));
  if (absl::Status status = file_.close(); !status.ok())
    return fail(status);
  absl::Status status = file_.publish();
  return status.ok() ? status : fail(status);
}

} // namespace sdopt
