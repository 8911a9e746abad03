//===- BytePattern.h - the bytes of a transfer ------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SIMULATOR_BYTEPATTERN_H
#define SDOPT_COMPILER_SIMULATOR_BYTEPATTERN_H

#include "compiler/schedule/Command.h"

#include <array>
#include <utility>
#include <vector>

namespace sdopt {

/// Bytes in the order in which a DMA visits them; the same for the same order.
struct BytePattern {
  std::vector<std::pair<int64_t, int64_t>> loops; ///< count, stride; inner to outer
  int64_t run = 0;

  BytePattern(const DmaShape &shape, const std::array<int64_t, 3> &strides) : run(shape.runBytes) {
    for (size_t i = 3; i-- > 0;) {
      const int64_t count = shape.counts[i];
      if (count == 1)
        continue;
      if (loops.empty() && strides[i] == run)
        run *= count;
      else if (!loops.empty() && strides[i] == loops.back().first * loops.back().second)
        loops.back().first *= count;
      else
        loops.emplace_back(count, strides[i]);
    }
  }
  bool operator==(const BytePattern &) const = default;
};

/// Does a transfer fill SRAM without gaps?
inline bool isDense(const DmaShape &shape) {
  return BytePattern(shape, shape.sramStrides).loops.empty();
}

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_BYTEPATTERN_H
