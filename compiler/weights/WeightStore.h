//===- WeightStore.h - weights stay in their files --------------*- C++ -*-===//
//
// Append-only map from a key (the ONNX initializer's name, made unique with its module) to typed
// bytes that lie in memory-mapped files, plus an overlay of tensors made by data-dependent passes
// or folded at import. The IR holds only keys and digests.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WEIGHTS_WEIGHTSTORE_H
#define SDOPT_COMPILER_WEIGHTS_WEIGHTSTORE_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/files/MappedFile.h"
#include "compiler/kernels/Tensor.h"

#include <memory>
#include <string>
#include <vector>

namespace sdopt {

/// Where one entry's bytes lie.
struct WeightSource {
  std::string file;   ///< path as given by the user; empty: overlay
  int64_t offset = 0; ///< in the file
};

class WeightStore {
public:
  WeightStore();
  ~WeightStore();
  WeightStore(const WeightStore &) = delete;

  /// Adds bytes [offset, offset + byteSize(type, shape)) of a mapped file. ALREADY_EXISTS for a
  /// second use of a key with other bytes; OUT_OF_RANGE names key, file, needed and present bytes.
  absl::Status addFile(const std::string &key, ElementType type, const Shape &shape,
                       std::shared_ptr<const MappedFile> file, int64_t offset);

  /// Adds a tensor to the overlay (folded constants, changed weights).
  absl::Status addOverlay(const std::string &key, Tensor value);

  bool contains(const std::string &key) const;
  /// A view of the entry (no copy), unless its bytes lie at an offset that is no multiple of the
  /// element width (inline data of an ONNX file): then an aligned copy. NOT_FOUND names the key.
  absl::StatusOr<Tensor> get(const std::string &key) const;
  /// BLAKE3 over type, shape and bytes; computed once, then remembered.
  absl::StatusOr<std::string> digest(const std::string &key) const;
  /// Lets the pages of an entry go; a later get() maps them in again.
  void release(const std::string &key) const;

  /// Keys in order of insertion.
  std::vector<std::string> keys() const;
  /// The source of an entry.
  absl::StatusOr<WeightSource> source(const std::string &key) const;

  /// Writes the overlay as safetensors (atomically) and reads it back in.
  absl::Status saveOverlay(const std::string &path) const;
  absl::Status loadOverlay(const std::string &path);

private:
  struct State;
  std::unique_ptr<State> state_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_WEIGHTSTORE_H
