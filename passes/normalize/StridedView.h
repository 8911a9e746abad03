//===- StridedView.h - reshapes and transposes as strides -------*- C++ -*-===//
//
// A chain of sd.reshape and sd.transpose shows the elements of its source in another arrangement.
// If that arrangement is regular, it is a shape and one stride (in elements of the row-major
// source) for each dimension: [b, h, t, d] split from [b, t, h * d] has strides (t*h*d, d, h*d, 1).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_PASSES_NORMALIZE_STRIDEDVIEW_H
#define SDOPT_PASSES_NORMALIZE_STRIDEDVIEW_H

#include "dialects/sd/Sd.h"

#include <optional>

namespace sdopt {

llvm::ArrayRef<int64_t> shapeOf(mlir::Value value);

struct StridedView {
  llvm::SmallVector<int64_t> shape;
  llvm::SmallVector<int64_t> strides;

  /// A whole tensor in its own order.
  static StridedView rowMajor(llvm::ArrayRef<int64_t> shape);

  StridedView transposed(llvm::ArrayRef<int64_t> permutation) const;
  /// The same elements in another shape; none if that is no longer regular.
  std::optional<StridedView> reshaped(llvm::ArrayRef<int64_t> shape) const;
  /// True if the elements are in the order of the source. Strides of dimensions of one are ignored.
  bool isRowMajor() const;
  /// True if both have equal shapes and strides, those of dimensions of one aside.
  bool sameAs(const StridedView &other) const;
};

/// What `op` (a reshape or transpose) makes of a view of its input.
std::optional<StridedView> viewThrough(mlir::Operation *op, const StridedView &input);

/// The reshapes and transposes that end in `value`, last one first.
llvm::SmallVector<mlir::Operation *> shapeChain(mlir::Value value);

/// The view of `value` over the input of the count-th operation of its chain.
std::optional<StridedView> viewOverChain(llvm::ArrayRef<mlir::Operation *> chain, size_t count);

} // namespace sdopt

#endif // SDOPT_PASSES_NORMALIZE_STRIDEDVIEW_H
