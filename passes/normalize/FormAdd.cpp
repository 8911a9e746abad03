//===- FormAdd.cpp - sum of two activations -> sd.add ------------------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMADD
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-add";

/// True if `small` is [b, c, 1, ..., 1] beside [b, c, ...].
bool isPerChannel(llvm::ArrayRef<int64_t> large, llvm::ArrayRef<int64_t> small) {
  return large.size() == small.size() && large.size() >= 3 &&
         large.take_front(2) == small.take_front(2) &&
         llvm::all_of(small.drop_front(2), [](int64_t dim) { return dim == 1; });
}

/// True if `small` is [b, 1, ..., 1, c] beside [b, ..., c].
bool isPerRow(llvm::ArrayRef<int64_t> large, llvm::ArrayRef<int64_t> small) {
  return large.size() == small.size() && large.size() >= 2 && large.front() == small.front() &&
         large.back() == small.back() &&
         llvm::all_of(small.drop_front().drop_back(), [](int64_t dim) { return dim == 1; });
}

/// The sum channels last, turned back.
Value addPerChannel(OpBuilder &builder, Location loc, Value large, Value small) {
  llvm::ArrayRef<int64_t> shape = shapeOf(large);
  int64_t rank = shape.size();
  SmallVector<int64_t> toLast{0}, toFirst{0, rank - 1}, row(rank, 1);
  for (int64_t axis = 2; axis < rank; ++axis) {
    toLast.push_back(axis);
    toFirst.push_back(axis - 1);
  }
  toLast.push_back(1);
  row.front() = shape[0];
  row.back() = shape[1];
  Value lhs = transposeBy(builder, large, toLast, "/nhwc");
  Value sum = sd::AddOp::create(builder, loc, lhs, reshapeTo(builder, small, row));
  return transposeBy(builder, sum, toFirst, "/nchw");
}

/// The sum of an activation and a constant that is the same for all indices of leading dimensions.
Value addConstant(OpBuilder &builder, sd::BinaryOp op, Value value, Value constant) {
  llvm::ArrayRef<int64_t> whole = shapeOf(value), part = shapeOf(constant);
  while (!part.empty() && part.front() == 1)
    part = part.drop_front();
  int64_t count = cast<RankedTensorType>(constant.getType()).getNumElements();
  if (value.getType() != op.getType() || part.size() > whole.size() ||
      part != whole.take_back(part.size()) || whole.empty())
    return {};
  int64_t total = op.getType().getNumElements();
  if (count == total)
    return sd::AddOp::create(builder, op.getLoc(), value, reshapeTo(builder, constant, whole));
  Value rows = reshapeTo(builder, value, {1, total / count, count}, "/rows");
  Value row = reshapeTo(builder, constant, {1, 1, count}, "/row");
  Value sum = sd::AddOp::create(builder, sd::renamedLoc(op.getLoc(), "/rows"), rows, row);
  return sd::ReshapeOp::create(builder, op.getLoc(), op.getType(), sum);
}

void formConstant(sd::BinaryOp op) {
  OpBuilder builder(op);
  bool onRight = isConstant(op.getRhs());
  Value sum = addConstant(builder, op, onRight ? op.getLhs() : op.getRhs(),
                          onRight ? op.getRhs() : op.getLhs());
  if (!sum)
    return remarkMissed(op, kPass, "the constant is not one block of trailing dimensions");
  replaceWith(op, sum, kPass);
}

void form(sd::BinaryOp op) {
  OpBuilder builder(op);
  Value lhs = op.getLhs(), rhs = op.getRhs();
  llvm::ArrayRef<int64_t> a = shapeOf(lhs), b = shapeOf(rhs);
  if (a != b && lhs.getType() != op.getType()) {
    std::swap(lhs, rhs);
    std::swap(a, b);
  }
  Value sum;
  if (a == b || (a == shapeOf(op) && isPerRow(a, b)))
    sum = sd::AddOp::create(builder, op.getLoc(), lhs, rhs);
  else if (a == shapeOf(op) && isPerChannel(a, b))
    sum = addPerChannel(builder, op.getLoc(), lhs, rhs);
  else
    return remarkMissed(op, kPass, "the shapes are neither equal nor one number for each channel");
  replaceWith(op, sum, kPass);
}

struct FormAdd : impl::FormAddBase<FormAdd> {
  void runOnOperation() override {
    for (auto op : collect<sd::BinaryOp>(getOperation())) {
      bool isFloat = isa<FloatType>(getElementTypeOrSelf(op.getResult()));
      bool constants[] = {isConstant(op.getLhs()), isConstant(op.getRhs())};
      if (op.getFunction() != sd::BinaryKind::add || !isFloat || (constants[0] && constants[1]))
        continue;
      if (constants[0] || constants[1])
        formConstant(op);
      else
        form(op);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
