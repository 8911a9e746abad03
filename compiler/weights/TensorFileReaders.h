//===- TensorFileReaders.h - the formats behind TensorFile ------*- C++ -*-===//
//
// Both readers check every size and offset against the mapping before they form a view of it, so a
// hostile file yields an error that names the file and the tensor.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WEIGHTS_TENSORFILEREADERS_H
#define SDOPT_COMPILER_WEIGHTS_TENSORFILEREADERS_H

#include "absl/status/statusor.h"
#include "compiler/files/MappedFile.h"
#include "compiler/kernels/Tensor.h"

#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace sdopt {

struct TensorFileContents {
  std::map<std::string, std::string> metadata;
  /// In the order of their bytes; views of the mapping, elements may be unaligned.
  std::vector<std::pair<std::string, Tensor>> tensors;
};

/// safetensors: u64 length n, n bytes of JSON, then the tensors' bytes without gap or overlap.
absl::StatusOr<TensorFileContents> readSafetensors(std::shared_ptr<const MappedFile> file);

/// npz: a zip archive (stored or deflated) of npy arrays. Deflated arrays are held in memory.
absl::StatusOr<TensorFileContents> readNpz(std::shared_ptr<const MappedFile> file);

/// One npy array: magic, version, header dictionary, elements in C order, little endian. `owner`
/// keeps `bytes` alive; `where` names it in errors.
absl::StatusOr<Tensor> readNpy(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                               const std::string &where);

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_TENSORFILEREADERS_H
