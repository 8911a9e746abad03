//===- IsolatedErrors.h - what each quantized layer loses alone -*- C++ -*-===//
//
// A layer's error has two sources: its own codes, and what the layers before it lost. Here each
// layer of the quantized function reads what the float function computed, in the codes that the
// layer reads, and its result is compared with the float one: only the layer's own error is left.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_ISOLATEDERRORS_H
#define SDOPT_COMPILER_CALIBRATION_ISOLATEDERRORS_H

#include "compiler/calibration/ErrorSums.h"
#include "compiler/reference/Evaluator.h"

namespace sdopt {

class IsolatedErrors {
public:
  /// Compares quantized results that the float function names too.
  IsolatedErrors(mlir::func::FuncOp reference, mlir::func::FuncOp quantized,
                 const EvaluationContext &context, std::shared_ptr<ConstantCache> constants);
  ~IsolatedErrors();

  /// Runs the float function on one call's inputs and each layer on what it computes; float values
  /// are kept as long as a layer needs them. Errors are emitted on the operation at fault.
  mlir::LogicalResult add(llvm::ArrayRef<Tensor> inputs);

  /// Of the layer that computes this value of the quantized function, over all calls; null if it
  /// was not compared.
  const ErrorSums *find(mlir::Value result) const;

private:
  struct Layer;

  /// The float values, by the quantized value that is their code, that `value` follows from
  /// without other layers' results; false if it follows from something the float function lacks.
  bool collectSources(mlir::Value value, llvm::SmallVectorImpl<mlir::Value> &sources);
  mlir::FailureOr<Tensor> evaluate(mlir::Value value, llvm::DenseMap<mlir::Value, Tensor> &known);
  mlir::FailureOr<Tensor> evaluateOp(mlir::Operation *op,
                                     llvm::DenseMap<mlir::Value, Tensor> &known);
  mlir::LogicalResult compareReady();

  Evaluator reference_, quantized_;
  llvm::DenseMap<mlir::Value, mlir::Value> floats_; ///< by quantized value or argument
  std::vector<Layer> layers_;                       ///< in program order
  llvm::DenseMap<mlir::Value, size_t> index_;       ///< of quantized values in layers_
  llvm::DenseMap<mlir::Value, int64_t> uses_;       ///< of float values, in one call
  // Of one call.
  llvm::DenseMap<mlir::Value, Tensor> kept_;
  llvm::DenseMap<mlir::Value, int64_t> usesLeft_;
  size_t next_ = 0;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_ISOLATEDERRORS_H
