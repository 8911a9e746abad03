//===- SystemError.h - what the system said ---------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_FILES_SYSTEMERROR_H
#define SDOPT_COMPILER_FILES_SYSTEMERROR_H

#include "absl/status/status.h"

#include <string>

namespace sdopt {

/// "cannot open 'a.onnx': no such file or directory"; the code follows the errno value.
absl::Status systemError(const std::string &action, const std::string &path, int error);

} // namespace sdopt

#endif // SDOPT_COMPILER_FILES_SYSTEMERROR_H
