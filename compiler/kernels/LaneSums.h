//===- LaneSums.h - sums and maxima over vectors of 16 lanes ----*- C++ -*-===//
//
// Value i belongs to lane i % 16; lanes are float and added up in double at the end. Order and
// rounding are the same on every machine.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_LANESUMS_H
#define SDOPT_COMPILER_KERNELS_LANESUMS_H

#include "compiler/kernels/VectorLoop.h"

#include <algorithm>

namespace sdopt {

inline constexpr int64_t kSumLanes = 16;

/// Sum of value(0) ... value(count - 1); a lane adds up to 64 values before it goes to double.
template <typename Value> double sumOf(int64_t count, Value value) {
  constexpr int64_t kBlock = 64 * kSumLanes;
  double total = 0;
  for (int64_t first = 0; first < count; first += kBlock) {
    int64_t size = std::min(kBlock, count - first), whole = size / kSumLanes;
    float lanes[kSumLanes] = {};
    float *sums = lanes;
    vectorLoop(1, [=](int64_t) SDOPT_INLINE {
      float local[kSumLanes] = {};
      for (int64_t i = 0; i < whole; ++i)
        for (int64_t lane = 0; lane < kSumLanes; ++lane)
          local[lane] += value(first + i * kSumLanes + lane);
      for (int64_t i = whole * kSumLanes; i < size; ++i)
        local[i % kSumLanes] += value(first + i);
      for (int64_t lane = 0; lane < kSumLanes; ++lane)
        sums[lane] = local[lane];
    });
    for (float lane : lanes)
      total += lane;
  }
  return total;
}

/// The largest of `count` > 0 values.
inline float largestOf(const float *values, int64_t count) {
  constexpr int64_t kLanes = 256;
  float best = values[0];
  float *result = &best;
  vectorLoop(1, [=](int64_t) SDOPT_INLINE {
    float lanes[kLanes];
    int64_t size = std::min(count, kLanes);
    for (int64_t i = 0; i < size; ++i)
      lanes[i] = values[i];
    for (int64_t first = size; first < count; first += kLanes) {
      int64_t block = std::min(kLanes, count - first);
      for (int64_t i = 0; i < block; ++i)
        lanes[i] = values[first + i] > lanes[i] ? values[first + i] : lanes[i];
    }
    for (; size > 1; size -= size / 2) {
      const float *upper = lanes + size - size / 2;
      for (int64_t i = 0; i < size / 2; ++i)
        lanes[i] = upper[i] > lanes[i] ? upper[i] : lanes[i];
    }
    *result = lanes[0];
  });
  return best;
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_LANESUMS_H
