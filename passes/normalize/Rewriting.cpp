//===- Rewriting.cpp - what the matchers of this phase share -----------------===//

#include "passes/normalize/Rewriting.h"

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/StridedView.h"

#include "mlir/IR/Remarks.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace sdopt {

sd::BinaryOp definingBinary(Value value, sd::BinaryKind kind) {
  auto op = value.getDefiningOp<sd::BinaryOp>();
  return op && op.getFunction() == kind ? op : nullptr;
}

sd::UnaryOp definingUnary(Value value, sd::UnaryKind kind) {
  auto op = value.getDefiningOp<sd::UnaryOp>();
  return op && op.getFunction() == kind ? op : nullptr;
}

Value otherOperand(sd::BinaryOp op, Value one) {
  if (op.getLhs() == one)
    return op.getRhs();
  return op.getRhs() == one ? op.getLhs() : Value();
}

Operation *onlyUser(Value value) { return value.hasOneUse() ? *value.getUsers().begin() : nullptr; }

ScaledValue withoutScale(Value value, AbsorbedOps &absorbed) {
  ScaledValue scaled{value};
  while (auto op = scaled.value.getDefiningOp<sd::BinaryOp>()) {
    bool isMul = op.getFunction() == sd::BinaryKind::mul;
    if ((!isMul && op.getFunction() != sd::BinaryKind::div))
      break;
    Value inner = op.getLhs();
    std::optional<double> factor = uniformValue(op.getRhs());
    if (!factor && isMul) {
      inner = op.getRhs();
      factor = uniformValue(op.getLhs());
    }
    if (!factor || (!isMul && *factor == 0) || inner.getType() != op.getType())
      break;
    scaled.scale = isMul ? scaled.scale * *factor : scaled.scale / *factor;
    scaled.value = inner;
    absorbed.push_back(op);
  }
  return scaled;
}

Value withoutFloatCasts(Value value, AbsorbedOps &absorbed) {
  while (auto cast = value.getDefiningOp<sd::CastOp>()) {
    if (!isa<FloatType>(getElementTypeOrSelf(cast.getInput())) ||
        !isa<FloatType>(getElementTypeOrSelf(cast.getResult())))
      break;
    absorbed.push_back(cast);
    value = cast.getInput();
  }
  return value;
}

/// The location of a value made of `value`, named after it.
static Location derivedLoc(Value value, llvm::StringRef suffix) {
  if (isa<BlockArgument>(value))
    return sd::makeValueLoc(value.getContext(), sd::valueName(value) + suffix.str(), {});
  return sd::renamedLoc(value.getLoc(), suffix);
}

Value reshapeTo(OpBuilder &builder, Value value, llvm::ArrayRef<int64_t> shape,
                llvm::StringRef suffix) {
  if (shapeOf(value) == shape)
    return value;
  auto type = RankedTensorType::get(shape, getElementTypeOrSelf(value));
  return sd::ReshapeOp::create(builder, derivedLoc(value, suffix), type, value);
}

Value transposeBy(OpBuilder &builder, Value value, llvm::ArrayRef<int64_t> permutation,
                  llvm::StringRef suffix) {
  return sd::TransposeOp::create(builder, derivedLoc(value, suffix), value, permutation);
}

void replaceWith(Operation *root, Value value, llvm::StringRef pass) {
  if (Operation *op = value.getDefiningOp())
    remark::passed(op->getLoc(), remark::RemarkOpts::name(pass).category("normalize"))
        << (llvm::Twine("now ") + op->getName().getStringRef()).str();
  root->getResult(0).replaceAllUsesWith(value);
}

void eraseUnused(func::FuncOp function) {
  if (function.isExternal())
    return;
  for (Operation &op :
       llvm::make_early_inc_range(llvm::reverse(function.getBody().front().getOperations())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

void remarkMissed(Operation *op, llvm::StringRef pass, const llvm::Twine &reason) {
  remark::missed(op->getLoc(), remark::RemarkOpts::name(pass).category("normalize"))
      << reason.str();
}

} // namespace sdopt
