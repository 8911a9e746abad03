//===- Safetensors.h - a file of tensors ------------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_WEIGHTS_SAFETENSORS_H
#define SDOPT_COMPILER_WEIGHTS_SAFETENSORS_H

#include "compiler/files/AtomicFile.h"
#include "compiler/kernels/Tensor.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sdopt {

/// Writes a .safetensors file beside `path` and renames it. Deterministic: tensors in the order
/// given.
absl::Status writeSafetensors(const std::string &path,
                              const std::vector<std::pair<std::string, Tensor>> &tensors,
                              const std::map<std::string, std::string> &metadata = {});

/// What writeSafetensors() writes, but for the last commit().
absl::StatusOr<std::unique_ptr<AtomicFile>>
prepareSafetensors(const std::string &path,
                   const std::vector<std::pair<std::string, Tensor>> &tensors,
                   const std::map<std::string, std::string> &metadata = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_SAFETENSORS_H
