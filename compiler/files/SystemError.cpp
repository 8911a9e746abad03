//===- SystemError.cpp - what the system said -------------------------------===//

#include "compiler/files/SystemError.h"

#include <cerrno>
#include <system_error>

namespace sdopt {

namespace {

absl::StatusCode codeOf(int error) {
  switch (error) {
  case ENOENT:
  case ENOTDIR:
    return absl::StatusCode::kNotFound;
  case EACCES:
  case EPERM:
  case EROFS:
    return absl::StatusCode::kPermissionDenied;
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
    return absl::StatusCode::kResourceExhausted;
  default:
    return absl::StatusCode::kUnavailable;
  }
}

} // namespace

absl::Status systemError(const std::string &action, const std::string &path, int error) {
  std::string reason = std::generic_category().message(error);
  if (!reason.empty() && reason[0] >= 'A' && reason[0] <= 'Z')
    reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
  std::string text = "cannot " + action + " '" + path + "': " + reason;
  return absl::Status(codeOf(error), text);
}

} // namespace sdopt
