//===- MappedFile.cpp - a read-only mapped file -----------------------------===//

#include "compiler/files/MappedFile.h"

#include "compiler/files/SystemError.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sdopt {

absl::StatusOr<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string &path) {
  // O_NONBLOCK: a pipe must be refused below, not waited for.
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return systemError("open", path, errno);
  struct stat info;
  if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor);
    return absl::InvalidArgumentError("cannot map '" + path + "': it is no regular file");
  }
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->path_ = path;
  file->size_ = static_cast<size_t>(info.st_size);
  if (file->size_ > 0) {
    void *data = ::mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    int error = errno;
    if (data == MAP_FAILED) {
      ::close(descriptor);
      return systemError("map", path, error);
    }
    file->data_ = static_cast<const std::byte *>(data);
  }
  ::close(descriptor);
  return file;
}

MappedFile::~MappedFile() {
  if (data_)
    ::munmap(const_cast<std::byte *>(data_), size_);
}

std::span<const std::byte> MappedFile::bytes() const { return {data_, size_}; }

const std::string &MappedFile::path() const { return path_; }

void MappedFile::release(int64_t offset, int64_t size) const {
  int64_t fileSize = static_cast<int64_t>(size_);
  if (!data_ || offset < 0 || size <= 0 || offset >= fileSize)
    return;
  // Edge pages go too: a neighbour's bytes on them are simply read in again.
  static const int64_t pageSize = ::sysconf(_SC_PAGESIZE);
  int64_t begin = offset / pageSize * pageSize;
  int64_t end = size > fileSize - offset ? fileSize : offset + size;
  ::madvise(const_cast<std::byte *>(data_) + begin, static_cast<size_t>(end - begin),
            MADV_DONTNEED);
}

} // namespace sdopt
