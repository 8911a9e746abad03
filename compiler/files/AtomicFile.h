//===- AtomicFile.h - a file that appears whole or not at all ---*- C++ -*-===//
//
// Bytes go to "<path>.partial-<pid>" in the same folder; commit() flushes them to the disk and
// renames. Unless commit() succeeds the partial file is removed, so a full disk, a missing folder
// or an error of the caller leaves `path` as it was.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FILES_ATOMICFILE_H
#define SDOPT_COMPILER_FILES_ATOMICFILE_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/files/PartialFiles.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace sdopt {

class AtomicFile {
public:
  /// Fails if the folder does not take a new file, or if `path` is there and is no regular file.
  static absl::StatusOr<std::unique_ptr<AtomicFile>> create(const std::string &path);
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;

  /// Appends. After an error the file cannot be committed.
  absl::Status write(std::string_view bytes);
  absl::Status write(std::span<const std::byte> bytes);

  /// Bytes written so far.
  int64_t size() const { return size_; }

  /// Makes the file appear under its path; call once, after the last write.
  absl::Status commit();

private:
  explicit AtomicFile(PartialFile file) : file_(std::move(file)) {}
  absl::Status fail(absl::Status status);

  PartialFile file_;
  int64_t size_ = 0;
  bool failed_ = false;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_FILES_ATOMICFILE_H
