//===- TensorViews.cpp - tensors over bytes that someone else wrote ---------===//

#include "compiler/weights/TensorViews.h"

#include <cstring>

namespace sdopt {

std::optional<int64_t> checkedByteSize(ElementType type, const Shape &shape) {
  int64_t size = byteWidth(type);
  for (int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(size, dim, &size))
      return std::nullopt;
  return size;
}

Tensor alignedTensor(Tensor tensor) {
  auto address = reinterpret_cast<uintptr_t>(tensor.bytes());
  if (address % static_cast<uintptr_t>(byteWidth(tensor.type())) == 0)
    return tensor;
  Tensor copy(tensor.type(), tensor.shape());
  if (tensor.byteSize() > 0)
    std::memcpy(copy.mutableBytes(), tensor.bytes(), static_cast<size_t>(tensor.byteSize()));
  return copy;
}

} // namespace sdopt
