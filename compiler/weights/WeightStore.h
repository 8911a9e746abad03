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
#include "compiler/kernels/Tensor.h"

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sdopt {

/// A read-only mapped file. Errors name the path.
class MappedFile {
public:
  static absl::StatusOr<std::shared_ptr<const MappedFile>> open(const std::string &path);
  ~MappedFile();
  std::span<const std::byte> bytes() const;
  const std::string &path() const;
  /// Gives the clean pages that hold [offset, offset + size) back to the system; they are read in
  /// again when next used.
  void release(int64_t offset, int64_t size) const;

private:
  MappedFile() = default;
  std::string path_;
  const std::byte *data_ = nullptr;
  size_t size_ = 0;
};

/// BLAKE3 as 64 hex digits (LLVM Support's implementation).
std::string blake3Hex(std::span<const std::byte> bytes);

/// Incremental BLAKE3.
class Blake3 {
public:
  Blake3();
  ~Blake3();
  void update(std::span<const std::byte> bytes);
  std::string hex();

private:
  struct State;
  std::unique_ptr<State> state_;
};

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

/// Writes a .safetensors file beside `path` and renames it. Deterministic: tensors in the order
/// given.
absl::Status writeSafetensors(const std::string &path,
                              const std::vector<std::pair<std::string, Tensor>> &tensors,
                              const std::map<std::string, std::string> &metadata = {});

/// Writes text or bytes beside `path` and renames; removes the partial file on any error (disk
/// full, unwritable).
absl::Status writeFileAtomically(const std::string &path, std::string_view bytes);
/// Whole small file as a string. Errors name the path.
absl::StatusOr<std::string> readFile(const std::string &path);

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_WEIGHTSTORE_H
