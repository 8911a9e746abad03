//===- PartialFiles.h - what is not whole yet -------------------*- C++ -*-===//
//
// Files that the process is writing, and folders that it made for them: all that must go when it
// ends before they are whole. Used by what writes files; the tools call abandonPartialFiles().
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_FILES_PARTIALFILES_H
#define SDOPT_COMPILER_FILES_PARTIALFILES_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <string>
#include <vector>

namespace sdopt {

/// A file beside its place, "<path>.partial-<pid>", which takes its name when it is whole.
class PartialFile {
public:
  /// Opens it, emptied, with these flags of open(). Fails if the folder does not take a new file,
  /// or if `path` is there and is no regular file.
  static absl::StatusOr<PartialFile> create(const std::string &path, int flags);
  PartialFile(PartialFile &&other) noexcept;
  PartialFile &operator=(PartialFile &&) = delete;
  /// Removes it unless it has its name.
  ~PartialFile();

  const std::string &path() const { return path_; }
  const std::string &partialPath() const { return partialPath_; }
  int descriptor() const { return descriptor_; }

  /// Closes; some file systems tell only now that a write failed.
  absl::Status close();
  /// Renames; the file may be open.
  absl::Status publish();

private:
  PartialFile() = default;

  std::string path_, partialPath_; ///< empty: moved from, or published
  int descriptor_ = -1;
};

/// Makes a folder and those that it is in.
absl::Status makeFolder(const std::string &path);

/// Removes the folders that makeFolder() made and that are empty. For the end after an error.
void removeEmptyFolders();

/// Removes all partial files and empty folders, and gives the files that took their names and are
/// still there, sorted. No file can be created or published any more: threads that try wait for the
/// end of the process.
std::vector<std::string> abandonPartialFiles();

} // namespace sdopt

#endif // SDOPT_COMPILER_FILES_PARTIALFILES_H
