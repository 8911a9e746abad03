//===- TensorFile.h - tensors by name in a mapped file ----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_WEIGHTS_TENSORFILE_H
#define SDOPT_COMPILER_WEIGHTS_TENSORFILE_H

#include "absl/status/statusor.h"
#include "compiler/files/MappedFile.h"
#include "compiler/kernels/Tensor.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sdopt {

/// Tensors of a .safetensors or .npz file (mapped), with string metadata. Every size and offset is
/// checked before use.
class TensorFile {
public:
  static absl::StatusOr<std::unique_ptr<TensorFile>> open(const std::string &path);
  std::vector<std::string> names() const; ///< in file order
  bool contains(const std::string &name) const;
  absl::StatusOr<Tensor> get(const std::string &name) const;
  const std::map<std::string, std::string> &metadata() const { return metadata_; }
  /// Rows [first, first + count) along axis 0 without touching the rest.
  absl::StatusOr<Tensor> rows(const std::string &name, int64_t first, int64_t count) const;
  /// Lets the pages of a tensor go; a later get() or rows() maps them in again.
  void release(const std::string &name) const;

private:
  friend class WeightStore; // takes over the views and their mapping
  TensorFile() = default;
  absl::StatusOr<Tensor> view(const std::string &name) const;

  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, std::string> metadata_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
  std::map<std::string, size_t> index_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_TENSORFILE_H
