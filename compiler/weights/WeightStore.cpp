//===- WeightStore.cpp - weights stay in their files ------------------------===//

#include "compiler/weights/WeightStore.h"

#include "compiler/files/Blake3.h"
#include "compiler/files/MappedFile.h"
#include "compiler/weights/Safetensors.h"
#include "compiler/weights/TensorFile.h"
#include "compiler/weights/TensorViews.h"

#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>

namespace sdopt {

namespace {

struct Entry {
  std::string key;
  Tensor value; ///< views `file` where there is one; elements may be unaligned
  std::shared_ptr<const MappedFile> file;
  int64_t offset = 0;
  bool overlay = false;
  std::string digest; ///< empty until asked for
};

void updateReleasing(Blake3 &hasher, const Entry &entry) {
  constexpr int64_t kPiece = 1 << 20;
  int64_t size = entry.value.byteSize();
  for (int64_t begin = 0; begin < size; begin += kPiece) {
    int64_t count = std::min(kPiece, size - begin);
    hasher.update({entry.value.bytes() + begin, static_cast<size_t>(count)});
    if (entry.file)
      entry.file->release(entry.offset + begin, count);
  }
}

std::string digestOf(const Entry &entry) {
  std::string head =
      std::string(name(entry.value.type())) + " " + toString(entry.value.shape()) + "\n";
  Blake3 hasher;
  hasher.update(std::as_bytes(std::span(head)));
  updateReleasing(hasher, entry);
  return hasher.hex();
}

bool sameContent(const Entry &a, const Entry &b) {
  if (a.value.type() != b.value.type() || a.value.shape() != b.value.shape())
    return false;
  if (a.value.bytes() == b.value.bytes())
    return true;
  return digestOf(a) == digestOf(b);
}

absl::Status keyNotFound(const std::string &key) {
  return absl::NotFoundError("weight '" + key + "' is not in the store");
}

} // namespace

struct WeightStore::State {
  mutable std::mutex mutex;
  std::deque<Entry> entries; // a deque: entries stay where they are
  std::unordered_map<std::string, Entry *> byKey;

  Entry *find(const std::string &key) const {
    auto found = byKey.find(key);
    return found == byKey.end() ? nullptr : found->second;
  }

  absl::Status add(Entry entry) {
    std::lock_guard lock(mutex);
    if (const Entry *present = find(entry.key)) {
      if (sameContent(*present, entry))
        return absl::OkStatus();
      return absl::AlreadyExistsError(
          "weight '" + entry.key + "' is defined twice with different content: " +
          name(present->value.type()) + " " + toString(present->value.shape()) + " and " +
          name(entry.value.type()) + " " + toString(entry.value.shape()));
    }
    entries.push_back(std::move(entry));
    byKey.emplace(entries.back().key, &entries.back());
    return absl::OkStatus();
  }
};

WeightStore::WeightStore() : state_(std::make_unique<State>()) {}
WeightStore::~WeightStore() = default;

absl::Status WeightStore::addFile(const std::string &key, ElementType type, const Shape &shape,
                                  std::shared_ptr<const MappedFile> file, int64_t offset) {
  if (!file)
    return absl::InvalidArgumentError("weight '" + key + "' has no file");
  std::optional<int64_t> size = checkedByteSize(type, shape);
  if (!size)
    return absl::InvalidArgumentError("weight '" + key + "' has the impossible shape " +
                                      toString(shape));
  int64_t present = static_cast<int64_t>(file->bytes().size());
  if (offset < 0 || offset > present || *size > present - offset)
    return absl::OutOfRangeError("weight '" + key + "' (" + name(type) + " " + toString(shape) +
                                 ") needs " + std::to_string(*size) + " bytes at offset " +
                                 std::to_string(offset) + " of '" + file->path() + "', which has " +
                                 std::to_string(present) + " bytes");
  Entry entry;
  entry.key = key;
  entry.value = Tensor(type, shape, file, file->bytes().data() + offset);
  entry.offset = offset;
  entry.file = std::move(file);
  return state_->add(std::move(entry));
}

absl::Status WeightStore::addOverlay(const std::string &key, Tensor value) {
  Entry entry;
  entry.key = key;
  entry.value = std::move(value);
  entry.overlay = true;
  return state_->add(std::move(entry));
}

bool WeightStore::contains(const std::string &key) const {
  std::lock_guard lock(state_->mutex);
  return state_->find(key) != nullptr;
}

absl::StatusOr<Tensor> WeightStore::get(const std::string &key) const {
  Tensor value;
  {
    std::lock_guard lock(state_->mutex);
    const Entry *entry = state_->find(key);
    if (!entry)
      return keyNotFound(key);
    value = entry->value;
  }
  return alignedTensor(std::move(value));
}

absl::StatusOr<std::string> WeightStore::digest(const std::string &key) const {
  std::lock_guard lock(state_->mutex);
  Entry *entry = state_->find(key);
  if (!entry)
    return keyNotFound(key);
  if (entry->digest.empty())
    entry->digest = digestOf(*entry);
  return entry->digest;
}

void WeightStore::release(const std::string &key) const {
  std::lock_guard lock(state_->mutex);
  const Entry *entry = state_->find(key);
  if (entry && entry->file)
    entry->file->release(entry->offset, entry->value.byteSize());
}

std::vector<std::string> WeightStore::keys() const {
  std::lock_guard lock(state_->mutex);
  std::vector<std::string> keys;
  keys.reserve(state_->entries.size());
  for (const Entry &entry : state_->entries)
    keys.push_back(entry.key);
  return keys;
}

absl::StatusOr<WeightSource> WeightStore::source(const std::string &key) const {
  std::lock_guard lock(state_->mutex);
  const Entry *entry = state_->find(key);
  if (!entry)
    return keyNotFound(key);
  if (entry->overlay)
    return WeightSource{};
  return WeightSource{.file = entry->file->path(), .offset = entry->offset};
}

absl::Status WeightStore::saveOverlay(const std::string &path) const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  {
    std::lock_guard lock(state_->mutex);
    for (const Entry &entry : state_->entries)
      if (entry.overlay)
        tensors.emplace_back(entry.key, entry.value);
  }
  return writeSafetensors(path, tensors);
}

absl::Status WeightStore::loadOverlay(const std::string &path) {
  auto tensors = TensorFile::open(path);
  if (!tensors.ok())
    return tensors.status();
  std::span<const std::byte> mapped = (*tensors)->file_->bytes();
  for (auto &[key, value] : (*tensors)->tensors_) {
    Entry entry;
    entry.key = key;
    entry.value = value;
    entry.overlay = true;
    // A deflated array is not in the mapping.
    if (value.bytes() >= mapped.data() && value.bytes() < mapped.data() + mapped.size()) {
      entry.file = (*tensors)->file_;
      entry.offset = value.bytes() - mapped.data();
    }
    if (absl::Status status = state_->add(std::move(entry)); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

} // namespace sdopt
