//===- StridedLoop.h - walking tensors with broadcast strides ---*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_STRIDEDLOOP_H
#define SDOPT_COMPILER_KERNELS_STRIDEDLOOP_H

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

/// Calls body(outputOffset, inputOffsets, count) for each innermost run of `shape`: the output is
/// dense, input n starts at offsets[n] and advances by strides[n].back() per element.
template <size_t Inputs, typename Body>
void stridedLoop(const Shape &shape, const std::array<Shape, Inputs> &strides, Body body,
                 std::array<int64_t, Inputs> offsets = {}) {
  int64_t total = elementCount(shape);
  if (total == 0)
    return;
  int64_t inner = shape.empty() ? 1 : shape.back();
  size_t outerRank = shape.empty() ? 0 : shape.size() - 1;
  Shape index(outerRank, 0);
  for (int64_t output = 0; output < total; output += inner) {
    body(output, offsets, inner);
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

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_STRIDEDLOOP_H
