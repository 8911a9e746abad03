//===- RowBlocks.h - pointwise work in blocks of rows -----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_ROWBLOCKS_H
#define SDOPT_COMPILER_KERNELS_ROWBLOCKS_H

#include "compiler/kernels/KernelThreads.h"

#include <algorithm>
#include <cstdint>

namespace sdopt {

/// Fits the second-level cache with its input and output.
inline constexpr int64_t kBlockElements = 1 << 14;

/// Calls work(first row, rows) for blocks of about `blockElements`, from several threads where
/// there is much to do.
template <typename Work>
void forRowBlocks(int64_t rows, int64_t channels, Work work,
                  int64_t blockElements = kBlockElements) {
  constexpr int64_t kManyElements = 1 << 16;
  int64_t blockRows = std::max<int64_t>(1, blockElements / std::max<int64_t>(1, channels));
  int64_t blocks = (rows + blockRows - 1) / blockRows;
  auto block = [&](int64_t i) { work(i * blockRows, std::min(blockRows, rows - i * blockRows)); };
  int threads = rows * channels < kManyElements ? 1 : kernelThreads();
  // A team of one thread costs as much as a short row.
  if (threads == 1) {
    for (int64_t i = 0; i < blocks; ++i)
      block(i);
    return;
  }
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < blocks; ++i)
    block(i);
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ROWBLOCKS_H
