//===- Rewriting.h - what the matchers of this phase share ------*- C++ -*-===//

#ifndef SDOPT_PASSES_NORMALIZE_REWRITING_H
#define SDOPT_PASSES_NORMALIZE_REWRITING_H

#include "dialects/sd/Sd.h"

#include "mlir/IR/Builders.h"

namespace sdopt {

/// Operations that a named operation stands for, in the order they were met.
using AbsorbedOps = llvm::SmallVector<mlir::Operation *>;

/// The operation behind `value` if it is a binary one of this kind.
sd::BinaryOp definingBinary(mlir::Value value, sd::BinaryKind kind);
/// The operation behind `value` if it is a unary one of this kind.
sd::UnaryOp definingUnary(mlir::Value value, sd::UnaryKind kind);
/// The operand of a binary operation that is not `one`; null if neither is.
mlir::Value otherOperand(sd::BinaryOp op, mlir::Value one);
/// The only operation that reads `value`, or null.
mlir::Operation *onlyUser(mlir::Value value);

/// scale * value.
struct ScaledValue {
  mlir::Value value;
  double scale = 1;
};
/// Follows multiplications and divisions by one number, collecting them.
ScaledValue withoutScale(mlir::Value value, AbsorbedOps &absorbed);
/// Follows casts between float types.
mlir::Value withoutFloatCasts(mlir::Value value, AbsorbedOps &absorbed);

/// `value` in another shape; itself if it has it. New values are named after it plus `suffix`.
mlir::Value reshapeTo(mlir::OpBuilder &builder, mlir::Value value, llvm::ArrayRef<int64_t> shape,
                      llvm::StringRef suffix = "/reshaped");
mlir::Value transposeBy(mlir::OpBuilder &builder, mlir::Value value,
                        llvm::ArrayRef<int64_t> permutation, llvm::StringRef suffix);

/// Replaces the results of `root` and leaves a remark. Unused operations stay until eraseUnused().
void replaceWith(mlir::Operation *root, mlir::Value value, llvm::StringRef pass);
/// Erases operations that nobody reads, last first.
void eraseUnused(mlir::func::FuncOp function);
/// The idiom of `pass` almost matches at `op`.
void remarkMissed(mlir::Operation *op, llvm::StringRef pass, const llvm::Twine &reason);

/// All operations of one type, in order (safe to rewrite while looping).
template <typename Op> llvm::SmallVector<Op> collect(mlir::func::FuncOp function) {
  return llvm::to_vector(function.getOps<Op>());
}

} // namespace sdopt

#endif // SDOPT_PASSES_NORMALIZE_REWRITING_H
