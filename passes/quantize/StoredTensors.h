//===- StoredTensors.h - tensors of a pass in the weight store --*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_STOREDTENSORS_H
#define SDOPT_PASSES_QUANTIZE_STOREDTENSORS_H

#include "compiler/kernels/Tensor.h"

#include "mlir/IR/Builders.h"

#include <string>
#include <vector>

namespace sdopt {

/// Keeps a tensor in the overlay of the weight store, under `name` and its digest: the key.
mlir::FailureOr<std::string> storedTensor(mlir::Location loc, const std::string &name,
                                          const Tensor &tensor);
/// An sd.weight of a tensor of the store.
mlir::FailureOr<mlir::Value> weightOf(mlir::OpBuilder &builder, mlir::Location loc,
                                      const std::string &key);

/// A vector in the overlay of the weight store, under `name` and the digest of its numbers.
mlir::FailureOr<mlir::Value> storedVector(mlir::OpBuilder &builder, const std::string &name,
                                          const std::vector<float> &vector);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_STOREDTENSORS_H
