//===- RecycledTensor.h - tensors without zeroing ---------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_RECYCLEDTENSOR_H
#define SDOPT_COMPILER_KERNELS_RECYCLEDTENSOR_H

#include "compiler/kernels/Tensor.h"

namespace sdopt {

/// A tensor whose elements have no defined value yet: for kernels that write each of them. Storage
/// comes from recently released tensors of the same kind where possible, since fresh pages cost
/// more than what many kernels do with them; a bounded amount is kept for that.
Tensor recycledTensor(ElementType type, Shape shape);

/// Frees the storage that is kept.
void releaseRecycled();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_RECYCLEDTENSOR_H
