//===- RecycledTensor.cpp - tensors without zeroing -------------------------===//

#include "compiler/kernels/RecycledTensor.h"
#include "compiler/kernels/MemoryLimit.h"

#include <cstdlib>
#include <deque>
#include <mutex>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sdopt {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallestKept = size_t(64) << 10;
constexpr int64_t kLargestTotal = int64_t(128) << 20;

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

// Released blocks, the latest last.
class BlockPool {
public:
  // The latest block of `size` to `size` + 1/8 bytes, or null.
  void *take(size_t &size) {
    std::lock_guard lock(mutex);
    for (size_t i = blocks.size(); i-- > 0;)
      if (blocks[i].size >= size && blocks[i].size <= size + size / 8) {
        size = blocks[i].size;
        void *memory = blocks[i].memory;
        total -= size;
        blocks.erase(blocks.begin() + static_cast<ptrdiff_t>(i));
        return memory;
      }
    return nullptr;
  }

  // Keeps a block, instead of earlier ones if need be.
  void give(void *memory, size_t size) {
    const auto largestTotal = static_cast<size_t>(keptBytes(kLargestTotal));
    if (size < kSmallestKept || size > largestTotal)
      return std::free(memory);
    std::lock_guard lock(mutex);
    blocks.push_back({memory, size});
    total += size;
    shrink(largestTotal);
  }

  void clear() {
    std::lock_guard lock(mutex);
    shrink(0);
  }

private:
  void shrink(size_t most) {
    for (; total > most; blocks.pop_front()) {
      total -= blocks.front().size;
      std::free(blocks.front().memory);
    }
  }

  struct Block {
    void *memory;
    size_t size;
  };
  std::mutex mutex;
  std::deque<Block> blocks;
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

void releaseRecycled() { pool().clear(); }

} // namespace sdopt
