//===- FormModulate.cpp - gain and offset per channel -> sd.modulate ---------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMMODULATE
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-modulate";

/// True if `row` is an activation [b, 1, ..., 1, c] beside [b, ..., c].
bool isRowOf(Value row, llvm::ArrayRef<int64_t> whole) {
  llvm::ArrayRef<int64_t> shape = shapeOf(row);
  return !isConstant(row) && shape.size() == whole.size() && whole.size() >= 3 &&
         shape.front() == whole.front() && shape.back() == whole.back() &&
         llvm::all_of(shape.drop_front().drop_back(), [](int64_t dim) { return dim == 1; });
}

/// row = offset + scale with a constant offset that sd.modulate can hold; else offset is 0.
struct Gain {
  Value scale;
  double offset = 0;
};

Gain gainOf(Value row, AbsorbedOps &absorbed) {
  auto sum = definingBinary(row, sd::BinaryKind::add);
  if (!sum)
    return {row};
  for (auto [scale, constant] :
       {std::pair(sum.getLhs(), sum.getRhs()), std::pair(sum.getRhs(), sum.getLhs())}) {
    std::optional<double> offset = uniformValue(constant);
    if (!offset || !(*offset >= 0 && *offset <= 0x1p20) || scale.getType() != row.getType())
      continue;
    absorbed.push_back(sum);
    return {scale, *offset};
  }
  return {row};
}

/// The sum that is the only reader of `product`, with a row; else null.
sd::BinaryOp shiftAfter(sd::BinaryOp product, Value &shift) {
  auto sum = dyn_cast_or_null<sd::BinaryOp>(onlyUser(product));
  if (!sum || sum.getFunction() != sd::BinaryKind::add || sum.getType() != product.getType())
    return nullptr;
  shift = otherOperand(sum, product);
  return shift && shift != product && isRowOf(shift, shapeOf(product)) ? sum : nullptr;
}

void form(sd::BinaryOp product) {
  for (auto [input, row] : {std::pair(product.getLhs(), product.getRhs()),
                            std::pair(product.getRhs(), product.getLhs())}) {
    if (isConstant(input) || input.getType() != product.getType() ||
        shapeOf(row) == shapeOf(input) || !isRowOf(row, shapeOf(input)))
      continue;
    AbsorbedOps absorbed;
    Gain gain = gainOf(row, absorbed);
    Value shift;
    sd::BinaryOp root = product, sum = shiftAfter(product, shift);
    if (sum) {
      absorbed.push_back(product);
      root = sum;
    } else {
      shift = Value();
    }
    OpBuilder builder(root);
    replaceWith(root,
                sd::ModulateOp::create(builder, sd::fuseLocs(root, absorbed), input, gain.scale,
                                       shift, builder.getF64FloatAttr(gain.offset)),
                kPass);
    return;
  }
}

struct FormModulate : impl::FormModulateBase<FormModulate> {
  void runOnOperation() override {
    for (sd::BinaryOp op : collect<sd::BinaryOp>(getOperation()))
      if (op.getFunction() == sd::BinaryKind::mul &&
          isa<FloatType>(getElementTypeOrSelf(op.getResult())))
        form(op);
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
