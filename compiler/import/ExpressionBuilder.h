//===- ExpressionBuilder.h - sd operations, folded when constant -*- C++ -*-===//
//
// Builds sd operations with inferred shapes. A constant is an sd.weight without a digest until
// finish(): its bytes stay here (views of mapped files, or folded tensors). An operation on
// constants is evaluated at once and becomes a constant, unless it only reshapes or transposes an
// initializer or its result is large: then it stays an expression over weights.
//
// Errors stick: the first one is kept, from then on all functions return null values and do
// nothing, so that converters need no checks between steps.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_IMPORT_EXPRESSIONBUILDER_H
#define SDOPT_COMPILER_IMPORT_EXPRESSIONBUILDER_H

#include "compiler/import/OnnxTensor.h"
#include "dialects/sd/Sd.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseSet.h"

#include <set>

namespace sdopt {

/// What finish() made of the constants that are still used.
struct WeightTotals {
  /// Elements of float initializers of rank 1 or more, small ones of one value excepted: exporters
  /// write the ones and zeros of a norm without affine part as constants or as initializers.
  int64_t parameters = 0;
};

/// An operand that may be null: without this, create() takes null for an earlier error.
struct OptionalOperand {
  mlir::Value value;
  operator mlir::Value() const { return value; }
};

class ExpressionBuilder {
public:
  ExpressionBuilder(mlir::OpBuilder builder, std::string module)
      : builder_(std::move(builder)), module_(std::move(module)) {}

  mlir::MLIRContext *context() const { return builder_.getContext(); }
  mlir::OpBuilder &builder() { return builder_; }

  bool ok() const { return status_.ok(); }
  const absl::Status &status() const { return status_; }
  /// Keeps the first error.
  void fail(absl::Status status);
  /// Forgets the error, for the next node.
  void clearError() { status_ = absl::OkStatus(); }

  /// Starts a node: operations are named "<name>.1", "<name>.2", ... until rename().
  void startNode(const std::string &name, std::vector<std::string> nodes);
  /// Names a value that this node made; does nothing for older values.
  void rename(mlir::Value value, const std::string &name);

  /// A constant; `isInitializer`: it counts as a parameter and its layout changes stay expressions.
  mlir::Value constant(ConstantData data, bool isInitializer = false);
  mlir::Value constant(const Tensor &value) { return constant(ConstantData{.value = value}); }
  template <typename T> mlir::Value constant(Shape shape, std::span<const T> values) {
    return constant(Tensor::of<T>(std::move(shape), values));
  }
  /// A scalar of a tensor's element type.
  mlir::Value scalarLike(mlir::Value like, double value);

  bool isConstant(mlir::Value value) const;
  /// The value of a constant, in the type it evaluates to (floats as F32).
  Tensor evaluate(mlir::Value value);

  /// An operation that infers its result: arguments as in Op::build after the result type.
  template <typename Op, typename... Args> mlir::Value create(Args &&...args) {
    if (!ok() || !allGiven(args...))
      return {};
    mlir::OperationState state(nextLocation(), Op::getOperationName());
    Op::build(builder_, state, placeholderType(), std::forward<Args>(args)...);
    return insertInferred(state, [&](llvm::SmallVectorImpl<mlir::Type> &types) {
      return Op::inferReturnTypes(context(), state.location, state.operands,
                                  state.attributes.getDictionary(context()),
                                  state.getRawProperties(), {}, types);
    });
  }

  /// An operation whose result type is given.
  template <typename Op, typename... Args>
  mlir::Value createAs(const Shape &shape, mlir::Type element, Args &&...args) {
    if (!ok() || !allGiven(args...) || !checkSize(shape))
      return {};
    mlir::OperationState state(nextLocation(), Op::getOperationName());
    Op::build(builder_, state, mlir::RankedTensorType::get(shape, element),
              std::forward<Args>(args)...);
    return insert(state);
  }

  // The operations that most converters need.
  mlir::Value reshape(mlir::Value input, const Shape &shape);
  mlir::Value transpose(mlir::Value input, llvm::ArrayRef<int64_t> permutation);
  mlir::Value expand(mlir::Value input, const Shape &shape);
  mlir::Value castTo(mlir::Type element, mlir::Value input);
  mlir::Value unary(sd::UnaryKind kind, mlir::Value input);
  mlir::Value binary(sd::BinaryKind kind, mlir::Value lhs, mlir::Value rhs);
  /// Elements [start, end) of `axis`, all of the others.
  mlir::Value sliceAxis(mlir::Value input, int64_t axis, int64_t start, int64_t end);

  mlir::Type f32() { return builder_.getF32Type(); }

  /// Removes what nothing uses; turns the remaining constants into sd.constant (up to 64 elements)
  /// or entries of the store.
  absl::StatusOr<WeightTotals> finish(mlir::func::FuncOp function, WeightStore &weights);

private:
  struct Constant {
    ConstantData data;
    bool isInitializer;
  };

  template <typename T> static bool given(const T &argument) {
    if constexpr (std::is_same_v<T, mlir::Value>)
      return static_cast<bool>(argument);
    return true;
  }
  template <typename... Args> static bool allGiven(const Args &...args) {
    return (given(args) && ...);
  }

  mlir::Location nextLocation();
  mlir::Type placeholderType();
  bool checkSize(llvm::ArrayRef<int64_t> shape);
  mlir::Value insertInferred(
      mlir::OperationState &state,
      llvm::function_ref<mlir::LogicalResult(llvm::SmallVectorImpl<mlir::Type> &)> infer);
  mlir::Value insert(const mlir::OperationState &state);
  bool staysExpression(mlir::Operation *op) const;
  Tensor evaluate(mlir::Value value, int depth);
  bool isParameter(const Constant &constant) const;
  absl::Status storeConstant(sd::WeightOp op, const Constant &constant, WeightStore &weights);

  mlir::OpBuilder builder_;
  std::string module_;
  absl::Status status_;
  std::string nodeValue_; ///< first output of the node at hand
  std::vector<std::string> nodeNames_;
  int made_ = 0; ///< operations of the node at hand
  llvm::DenseSet<mlir::Operation *> unnamed_;
  llvm::DenseMap<mlir::Value, Constant> constants_;
  llvm::DenseSet<mlir::Operation *> expressions_; ///< on constants, not folded
  std::set<std::string> keys_;                    ///< given to the store
};

/// The mlir element type a constant or value of `type` has: f32 for every float.
mlir::Type mlirElementType(mlir::MLIRContext *context, ElementType type);

inline Shape shapeOfValue(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType()).getShape().vec();
}
inline mlir::Type elementOfValue(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType()).getElementType();
}

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_EXPRESSIONBUILDER_H
