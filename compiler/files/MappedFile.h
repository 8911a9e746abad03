//===- MappedFile.h - a read-only mapped file -------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_FILES_MAPPEDFILE_H
#define SDOPT_COMPILER_FILES_MAPPEDFILE_H

#include "absl/status/statusor.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace sdopt {

/// A read-only mapped file. Errors name the path.
class MappedFile {
public:
  static absl::StatusOr<std::shared_ptr<const MappedFile>> open(const std::string &path);
  ~MappedFile();
  std::span<const std::byte> bytes() const;
  const std::string &path() const;
  /// Gives the clean pages that hold [offset, offset + size) back to the system; they are read in
  /// again when next used.
  void release(int64_t offset, int64_t size) const;

private:
  MappedFile() = default;
  std::string path_;
  const std::byte *data_ = nullptr;
  size_t size_ = 0;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_FILES_MAPPEDFILE_H
