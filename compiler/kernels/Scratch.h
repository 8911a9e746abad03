//===- Scratch.h - memory that a kernel uses again --------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_SCRATCH_H
#define SDOPT_COMPILER_KERNELS_SCRATCH_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace sdopt {

/// Uninitialized, aligned to cache lines. Fresh pages cost as much as the products of a small
/// layer, so that up to kKept bytes stay for the next call.
class Scratch {
public:
  std::byte *reserve(int64_t bytes) {
    if (bytes > size || size > kKept) {
      memory.reset();
      size = (bytes + kLine - 1) / kLine * kLine;
      memory.reset(static_cast<std::byte *>(std::aligned_alloc(kLine, size_t(size))));
      if (!memory)
        throw std::bad_alloc();
    }
    return memory.get();
  }

private:
  static constexpr int64_t kLine = 64, kKept = 64 << 20;
  struct Free {
    void operator()(std::byte *memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory;
  int64_t size = 0;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_SCRATCH_H
