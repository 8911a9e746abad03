//===- TensorFile.cpp - tensors of a .safetensors or .npz file --------------===//

#include "compiler/weights/TensorFile.h"

#include "compiler/files/MappedFile.h"
#include "compiler/weights/TensorFileReaders.h"
#include "compiler/weights/TensorViews.h"

namespace sdopt {

namespace {

// No safetensors file starts like this: it would have a header of more than 100 MB.
bool looksLikeZip(const MappedFile &file) {
  std::span<const std::byte> bytes = file.bytes();
  return bytes.size() >= 2 && bytes[0] == std::byte{'P'} && bytes[1] == std::byte{'K'};
}

bool isNamedNpz(const std::string &path) { return path.ends_with(".npz"); }

} // namespace

absl::StatusOr<std::unique_ptr<TensorFile>> TensorFile::open(const std::string &path) {
  auto file = MappedFile::open(path);
  if (!file.ok())
    return file.status();
  auto contents =
      isNamedNpz(path) || looksLikeZip(**file) ? readNpz(*file) : readSafetensors(*file);
  if (!contents.ok())
    return contents.status();
  std::unique_ptr<TensorFile> result(new TensorFile());
  result->file_ = *std::move(file);
  result->metadata_ = std::move(contents->metadata);
  result->tensors_ = std::move(contents->tensors);
  for (size_t i = 0; i < result->tensors_.size(); ++i)
    result->index_.emplace(result->tensors_[i].first, i);
  return result;
}

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto &[name, tensor] : tensors_)
    names.push_back(name);
  return names;
}

bool TensorFile::contains(const std::string &name) const { return index_.count(name) != 0; }

absl::StatusOr<Tensor> TensorFile::view(const std::string &name) const {
  auto found = index_.find(name);
  if (found == index_.end())
    return absl::NotFoundError("'" + file_->path() + "' has no tensor '" + name + "'");
  return tensors_[found->second].second;
}

absl::StatusOr<Tensor> TensorFile::get(const std::string &name) const {
  auto tensor = view(name);
  if (!tensor.ok())
    return tensor.status();
  return alignedTensor(*std::move(tensor));
}

absl::StatusOr<Tensor> TensorFile::rows(const std::string &name, int64_t first,
                                        int64_t count) const {
  auto tensor = view(name);
  if (!tensor.ok())
    return tensor.status();
  int64_t present = tensor->rank() == 0 ? 0 : tensor->dim(0);
  if (first < 0 || count < 0 || first > present || count > present - first)
    return absl::OutOfRangeError("tensor '" + name + "' of '" + file_->path() + "' has " +
                                 std::to_string(present) + " rows, asked for " +
                                 std::to_string(count) + " from row " + std::to_string(first));
  Shape shape = tensor->shape();
  if (shape.empty())
    return absl::OutOfRangeError("tensor '" + name + "' of '" + file_->path() +
                                 "' is a scalar and has no rows");
  int64_t rowBytes = present == 0 ? 0 : tensor->byteSize() / present;
  shape[0] = count;
  // The slice keeps the whole tensor, and with it the mapping, alive.
  auto owner = std::make_shared<Tensor>(*tensor);
  return alignedTensor(
      Tensor(tensor->type(), std::move(shape), owner, tensor->bytes() + first * rowBytes));
}

void TensorFile::release(const std::string &name) const {
  auto tensor = view(name);
  if (!tensor.ok())
    return;
  std::span<const std::byte> bytes = file_->bytes();
  if (tensor->bytes() >= bytes.data() && tensor->bytes() < bytes.data() + bytes.size())
    file_->release(tensor->bytes() - bytes.data(), tensor->byteSize());
}

} // namespace sdopt
