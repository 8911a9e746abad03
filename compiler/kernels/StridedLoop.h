//===- StridedLoop.h - walking tensors with broadcast strides ---*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_STRIDEDLOOP_H
#define SDOPT_COMPILER_KERNELS_STRIDEDLOOP_H

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/Tensor.h"

#include <array>

namespace sdopt {

/// Row-major strides in elements.
inline Shape denseStrides(const Shape &shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/// Strides that read `from` as if it were broadcast to `to` (NumPy rules): 0 where the dimension
/// repeats.
inline Shape broadcastStrides(const Shape &from, const Shape &to) {
  Shape dense = denseStrides(from), strides(to.size(), 0);
  size_t offset = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i)
    strides[offset + i] = from[i] == 1 ? 0 : dense[i];
  return strides;
}

/// NumPy broadcast of two shapes; dimensions must be equal or 1.
inline Shape broadcastShape(const Shape &a, const Shape &b) {
  Shape result(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < result.size(); ++i) {
    int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    result[result.size() - 1 - i] = da == 1 ? db : da;
  }
  return result;
}

/// The same elements with as few axes as possible: neighbours are merged where every operand runs
/// on from one to the other, and axes of length 1 are dropped.
template <size_t Inputs> void mergeAxes(Shape &shape, std::array<Shape, Inputs> &strides) {
  Shape merged;
  std::array<Shape, Inputs> mergedStrides;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 1)
      continue;
    bool runsOn = !merged.empty();
    for (size_t n = 0; n < Inputs && runsOn; ++n)
      runsOn = mergedStrides[n].back() == strides[n][axis] * shape[axis];
    if (runsOn)
      merged.back() *= shape[axis];
    else
      merged.push_back(shape[axis]);
    for (size_t n = 0; n < Inputs; ++n) {
      if (!runsOn)
        mergedStrides[n].push_back(0);
      mergedStrides[n].back() = strides[n][axis];
    }
  }
  shape = std::move(merged);
  strides = std::move(mergedStrides);
}

/// Calls body(outputOffset, inputOffsets, count) for innermost runs [firstRun, lastRun) of `shape`:
/// the output is dense, input n starts at offsets[n] and advances by strides[n].back() per element.
template <size_t Inputs, typename Body>
void stridedRuns(const Shape &shape, const std::array<Shape, Inputs> &strides, int64_t firstRun,
                 int64_t lastRun, Body body, std::array<int64_t, Inputs> offsets = {}) {
  int64_t inner = shape.empty() ? 1 : shape.back();
  size_t outerRank = shape.empty() ? 0 : shape.size() - 1;
  Shape index(outerRank, 0);
  int64_t rest = firstRun;
  for (size_t axis = outerRank; axis-- > 0; rest /= shape[axis]) {
    index[axis] = rest % shape[axis];
    for (size_t n = 0; n < Inputs; ++n)
      offsets[n] += index[axis] * strides[n][axis];
  }
  for (int64_t run = firstRun; run < lastRun; ++run) {
    body(run * inner, offsets, inner);
    for (size_t axis = outerRank; axis-- > 0;) {
      bool carry = ++index[axis] == shape[axis];
      for (size_t n = 0; n < Inputs; ++n)
        offsets[n] += carry ? -strides[n][axis] * (shape[axis] - 1) : strides[n][axis];
      if (!carry)
        break;
      index[axis] = 0;
    }
  }
}

/// All runs, in order.
template <size_t Inputs, typename Body>
void stridedLoop(const Shape &shape, const std::array<Shape, Inputs> &strides, Body body,
                 std::array<int64_t, Inputs> offsets = {}) {
  if (int64_t total = elementCount(shape); total > 0)
    stridedRuns<Inputs>(shape, strides, 0, total / (shape.empty() ? 1 : shape.back()), body,
                        offsets);
}

/// Stretches of elements that are worth a thread's while.
inline constexpr int64_t kStretch = 16 << 10;

/// What each operand advances by from one element of a run to the next.
template <size_t Inputs>
std::array<int64_t, Inputs> steps(const std::array<Shape, Inputs> &strides) {
  std::array<int64_t, Inputs> result;
  for (size_t n = 0; n < Inputs; ++n)
    result[n] = strides[n].empty() ? 1 : strides[n].back();
  return result;
}

/// All runs, by the kernels' threads: long runs in stretches, short ones several at a time.
template <size_t Inputs, typename Body>
void parallelStridedLoop(Shape shape, std::array<Shape, Inputs> strides, Body body,
                         std::array<int64_t, Inputs> offsets = {}) {
  int64_t total = elementCount(shape);
  if (total == 0)
    return;
  mergeAxes<Inputs>(shape, strides);
  int64_t inner = shape.empty() ? 1 : shape.back(), runs = total / inner;
  if (runs == 1)
    return parallelRanges(inner, kStretch, [&](int64_t first, int64_t last) {
      std::array<int64_t, Inputs> from = offsets;
      for (size_t n = 0; n < Inputs && !shape.empty(); ++n)
        from[n] += first * strides[n].back();
      body(first, from, last - first, steps<Inputs>(strides));
    });
  parallelRanges(runs, std::max<int64_t>(1, kStretch / inner), [&](int64_t first, int64_t last) {
    stridedRuns<Inputs>(
        shape, strides, first, last,
        [&](int64_t output, const std::array<int64_t, Inputs> &from, int64_t count) {
          body(output, from, count, steps<Inputs>(strides));
        },
        offsets);
  });
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_STRIDEDLOOP_H
