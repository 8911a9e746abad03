//===- RecycledTensor.cpp - tensors without zeroing -------------------------===//

#include "compiler/kernels/RecycledTensor.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sdopt {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallestKept = size_t(64) << 10;
constexpr size_t kLargestTotal = size_t(128) << 20;

void *allocate(size_t size) {
#if defined(__linux__)
  // Large pages: the system hands out and the processor looks up fewer of them.
  constexpr size_t kLargePage = size_t(2) << 20;
  if (size >= 2 * kLargePage) {
    void *block = std::aligned_alloc(kLargePage, (size + kLargePage - 1) / kLargePage * kLargePage);
    if (block)
      madvise(block, size, MADV_HUGEPAGE);
    return block;
  }
#endif
  return std::aligned_alloc(kAlignment, size);
}

// Released blocks by size.
class BlockPool {
public:
  // A kept block of `size` to `size` + 1/8 bytes, or null.
  void *take(size_t &size) {
    std::lock_guard lock(mutex);
    auto found = blocks.lower_bound(size);
    if (found == blocks.end() || found->first > size + size / 8)
      return nullptr;
    size = found->first;
    void *block = found->second;
    total -= size;
    blocks.erase(found);
    return block;
  }

  void give(void *block, size_t size) {
    {
      std::lock_guard lock(mutex);
      if (size >= kSmallestKept && total + size <= kLargestTotal) {
        total += size;
        blocks.insert({size, block});
        return;
      }
    }
    std::free(block);
  }

private:
  std::mutex mutex;
  std::multimap<size_t, void *> blocks;
  size_t total = 0;
};

// Never destroyed: tensors may live as long as the process.
BlockPool &pool() {
  static auto *blocks = new BlockPool;
  return *blocks;
}

} // namespace

Tensor recycledTensor(ElementType type, Shape shape) {
  size_t bytes = static_cast<size_t>(elementCount(shape) * byteWidth(type));
  size_t size = std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  void *block = size >= kSmallestKept ? pool().take(size) : nullptr;
  if (!block)
    block = allocate(size);
  if (!block)
    throw std::bad_alloc();
  std::shared_ptr<const void> owner(
      block, [size](const void *p) { pool().give(const_cast<void *>(p), size); });
  auto *first = static_cast<const std::byte *>(block);
  return Tensor(type, std::move(shape), std::move(owner), first);
}

} // namespace sdopt
