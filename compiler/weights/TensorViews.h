//===- TensorViews.h - tensors over bytes that someone else wrote -*- C++ -*-===//
//
// Sizes from a file are not to be trusted and its offsets need not be aligned: these functions
// stand between mapped bytes and Tensor, which expects neither problem.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WEIGHTS_TENSORVIEWS_H
#define SDOPT_COMPILER_WEIGHTS_TENSORVIEWS_H

#include "compiler/kernels/Tensor.h"

#include <optional>

namespace sdopt {

/// Bytes of a dense tensor; nothing if a dimension is negative or the size leaves int64_t.
std::optional<int64_t> checkedByteSize(ElementType type, const Shape &shape);

/// The tensor itself if its elements lie at multiples of their width, else a copy that does: only
/// then may values<T>() be used.
Tensor alignedTensor(Tensor tensor);

} // namespace sdopt

#endif // SDOPT_COMPILER_WEIGHTS_TENSORVIEWS_H
