//===- WholeFile.cpp - small files, read and written whole -------------------===//

#include "compiler/files/WholeFile.h"

#include "compiler/files/AtomicFile.h"
#include "compiler/files/SystemError.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace sdopt {

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
