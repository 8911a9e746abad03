//===- WholeFile.h - small files, read and written whole --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_FILES_WHOLEFILE_H
#define SDOPT_COMPILER_FILES_WHOLEFILE_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <string>
#include <string_view>

namespace sdopt {

/// Writes text or bytes beside `path` and renames; removes the partial file on any error (disk
/// full, unwritable).
absl::Status writeFileAtomically(const std::string &path, std::string_view bytes);
/// Whole small file as a string. Errors name the path.
absl::StatusOr<std::string> readFile(const std::string &path);

} // namespace sdopt

#endif // SDOPT_COMPILER_FILES_WHOLEFILE_H
