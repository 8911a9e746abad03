//===- RowBlocks.h - pointwise work in blocks of rows -----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_ROWBLOCKS_H
#define SDOPT_COMPILER_KERNELS_ROWBLOCKS_H

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/WorkSharing.h"

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
  int threads = rows * channels < kManyElements ? 1 : kernelThreads();
  shareItems(blocks, threads,
             [&](int64_t i) { work(i * blockRows, std::min(blockRows, rows - i * blockRows)); });
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ROWBLOCKS_H
