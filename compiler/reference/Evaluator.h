//===- Evaluator.h - runs sd and npu IR -------------------------*- C++ -*-===//
//
// The reference evaluator: walks a function in order and asks each operation for its value through
// sd::EvaluationInterface. Models for the sd and npu dialects are attached by
// registerEvaluationModels().
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REFERENCE_EVALUATOR_H
#define SDOPT_COMPILER_REFERENCE_EVALUATOR_H

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/kernels/WeightStream.h"
#include "dialects/sd/Sd.h"

#include "llvm/ADT/DenseMap.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace sdopt {

/// Attaches the evaluation models of all operations to the dialects of `registry`.
void registerEvaluationModels(mlir::DialectRegistry &registry);

/// True if `op` depends on no function argument: weights, constants and expressions over them.
bool isConstantExpression(mlir::Operation *op);

/// Values of constant expressions. Evaluators of several threads share one, so that weights are in
/// memory once.
class ConstantCache {
public:
  /// Keeps what comes first, up to `limit` bytes; the rest is computed whenever it is needed.
  explicit ConstantCache(int64_t limit = keptBytes(int64_t(64) << 20)) : left_(limit) {}
  /// Null if it is not known.
  std::optional<Tensor> find(mlir::Value value) const;
  /// Keeps the first tensor that is given for a value if there is room, and returns it.
  Tensor keep(mlir::Value value, const Tensor &tensor);

private:
  mutable std::mutex mutex_;
  llvm::DenseMap<mlir::Value, Tensor> values_;
  int64_t left_;
};

/// Evaluates one function again and again. Values of constant expressions other than plain
/// `sd.weight` are kept between runs (they are codes or small); activations are dropped after their
/// last use. One Evaluator serves one thread at a time; several may share an EvaluationContext.
class Evaluator {
public:
  Evaluator(mlir::func::FuncOp function, const EvaluationContext &context,
            std::shared_ptr<ConstantCache> constants = std::make_shared<ConstantCache>());

  /// Called for each activation (function arguments too, constants not) as soon as it is known.
  using Observer = std::function<void(mlir::Value value, const Tensor &tensor)>;

  /// Runs on one input per function argument: f32 as F32, i64 as I64; quantized types as codes.
  /// Errors are emitted on the operation at fault; a wrong input type or shape on the function.
  mlir::FailureOr<llvm::SmallVector<Tensor>> run(llvm::ArrayRef<Tensor> inputs,
                                                 const Observer &observer = {});

  /// One run, operation by operation, so that two functions can be run side by side.
  class Steps {
  public:
    Steps(Evaluator &evaluator, Observer observer)
        : evaluator_(evaluator), observer_(std::move(observer)) {}
    mlir::LogicalResult start(llvm::ArrayRef<Tensor> inputs);
    /// The operation that step() evaluates, or null at the end.
    mlir::Operation *next() const { return next_; }
    mlir::LogicalResult step();
    /// An activation that an operation still reads; nothing for others.
    Tensor value(mlir::Value value) const { return live_.lookup(value); }
    /// At the end.
    llvm::SmallVector<Tensor> takeResults() { return std::move(results_); }

  private:
    void define(mlir::Value value, const Tensor &tensor);
    void advance(mlir::Operation *from);

    Evaluator &evaluator_;
    Observer observer_;
    llvm::DenseMap<mlir::Value, Tensor> live_;
    llvm::DenseMap<mlir::Value, unsigned> uses_;
    mlir::Operation *next_ = nullptr;
    llvm::SmallVector<Tensor> results_;
  };

  /// The value of a constant expression.
  mlir::FailureOr<Tensor> constant(mlir::Value value);

  mlir::func::FuncOp function() const { return function_; }
  const EvaluationContext &context() const { return context_; }

private:
  mlir::LogicalResult checkInputs(llvm::ArrayRef<Tensor> inputs);
  mlir::FailureOr<Tensor> operand(mlir::Value value,
                                  const llvm::DenseMap<mlir::Value, Tensor> &live);
  /// Weights [inputs][outputs] that a float linear layer can use as they are, where the IR
  /// transposes them first; null elsewhere.
  mlir::Value untransposedWeights(mlir::Operation *op) const;

  mlir::func::FuncOp function_;
  EvaluationContext context_;
  llvm::DenseMap<mlir::Operation *, bool> isConstant_;
  llvm::DenseMap<mlir::Value, unsigned> useCounts_; ///< of activations
  std::shared_ptr<ConstantCache> constants_;
};

/// Evaluates a constant expression once, keeping nothing.
mlir::FailureOr<Tensor> evaluateConstant(mlir::Value value, const EvaluationContext &context);
/// The same, where small values that expressions share (scales) are taken from `cache` and kept
/// there.
mlir::FailureOr<Tensor> evaluateConstant(mlir::Value value, const EvaluationContext &context,
                                         ConstantCache &cache);

/// The operands of an operation that is the last of a constant expression.
mlir::FailureOr<llvm::SmallVector<Tensor>>
evaluateOperands(mlir::Operation *op, const EvaluationContext &context, ConstantCache &cache);

/// Evaluates one operation on given operands and checks both sides against the types: a wrong
/// operand or result, a type that cannot be evaluated and a lack of memory are errors on `op`.
mlir::LogicalResult evaluateOperation(mlir::Operation *op, llvm::ArrayRef<Tensor> operands,
                                      llvm::SmallVectorImpl<Tensor> &results,
                                      const EvaluationContext &context);

/// The form in which a package stores the codes of decoded weights.
WeightForm weightForm(sd::DecodeWeightOp op);
/// Its result, of the operands that it has.
Tensor decodedWeights(sd::DecodeWeightOp op, llvm::ArrayRef<Tensor> operands);

/// The code format (type, zero point) of a per-tensor quantized tensor type, and its scale.
CodeFormat codeFormat(mlir::Type tensorType);
double codeScale(mlir::Type tensorType);
bool isQuantized(mlir::Type tensorType);

/// The ElementType that a tensor type is evaluated in: F32 for floats, the storage type for
/// quantized ones, Bool for i1. F32 also for types that evaluateOperation() refuses.
ElementType evaluatedType(mlir::Type tensorType);

} // namespace sdopt

#endif // SDOPT_COMPILER_REFERENCE_EVALUATOR_H
