//===- StridedView.h - reshapes and transposes as strides -------*- C++ -*-===//
//
// A chain of sd.reshape and sd.transpose shows the elements of its source in another arrangement.
// If that arrangement is regular, each dimension is a short list of runs, outermost first; a run
// is a number of steps of one size, counted in elements of the row-major source:
//
//   source [b, t, h * d] -> heads [b, h, t, d]:  [b x t*h*d] [h x d] [t x h*d] [d x 1]
//                        -> merged [b * h, t, d]: [b x t*h*d, h x d] [t x h*d] [d x 1]
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_PASSES_NORMALIZE_STRIDEDVIEW_H
#define SDOPT_PASSES_NORMALIZE_STRIDEDVIEW_H

#include "dialects/sd/Sd.h"

#include <optional>

namespace sdopt {

llvm::ArrayRef<int64_t> shapeOf(mlir::Value value);

/// `count` steps of `stride` elements.
struct Run {
  int64_t count = 1;
  int64_t stride = 0;
  bool operator==(const Run &) const = default;
};

class StridedView {
public:
  /// A whole tensor in its own order.
  static StridedView rowMajor(llvm::ArrayRef<int64_t> shape);
  /// One run for each dimension.
  static StridedView strided(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> strides);

  StridedView transposed(llvm::ArrayRef<int64_t> permutation) const;
  /// The same elements in another shape; none if that is no longer regular.
  std::optional<StridedView> reshaped(llvm::ArrayRef<int64_t> shape) const;
  /// True if the elements are in the order of the source.
  bool isRowMajor() const;

  int64_t rank() const { return dims_.size(); }
  /// The runs of one dimension: none has one step, no two could be one.
  llvm::ArrayRef<Run> dim(int64_t axis) const { return dims_[axis]; }
  /// The runs of all dimensions.
  llvm::SmallVector<Run> runs() const;
  bool operator==(const StridedView &) const = default;

private:
  llvm::SmallVector<llvm::SmallVector<Run, 2>> dims_;
};

/// What `op` (a reshape or transpose) makes of a view of its input.
std::optional<StridedView> viewThrough(mlir::Operation *op, const StridedView &input);

/// The reshapes and transposes that end in `value`, last one first.
llvm::SmallVector<mlir::Operation *> shapeChain(mlir::Value value);

/// The view of `value` over the input of the count-th operation of its chain.
std::optional<StridedView> viewOverChain(llvm::ArrayRef<mlir::Operation *> chain, size_t count);

} // namespace sdopt

#endif // SDOPT_PASSES_NORMALIZE_STRIDEDVIEW_H
