//===- Safetensors.h - a file of tensors that appears later -----*- C++ -*-===//

#ifndef SDOPT_COMPILER_WEIGHTS_SAFETENSORS_H
#define SDOPT_COMPILER_WEIGHTS_SAFETENSORS_H

#include "compiler/weights/AtomicFile.h"
#include "compiler/weights/WeightStore.h"

namespace sdopt {

/// What writeSafetensors() writes, but for the last commit().
absl::StatusOr<std::unique_ptr<AtomicFile>>
prepareSafetensors(const std::string &path,
                   const std::vector<std::pair<std::string, Tensor>> &tensors,
                   const std::map<std::string, std::string> &metadata = {});

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_SAFETENSORS_H
