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

/// Where channels are: in the last dimension, or in the second of four as in pictures.
enum class Channels { Last, First };

/// True if `row` is an activation [b, 1, ..., 1, c] beside [b, ..., c], or [b, c, 1, 1] beside
/// [b, c, h, w].
bool isRowOf(Value row, llvm::ArrayRef<int64_t> whole, Channels channels) {
  llvm::ArrayRef<int64_t> shape = shapeOf(row);
  const bool isLast = channels == Channels::Last;
  if (isConstant(row) || shape.size() != whole.size() || shape.front() != whole.front() ||
      (isLast ? whole.size() < 3 : whole.size() != 4))
    return false;
  const size_t axis = isLast ? whole.size() - 1 : 1;
  for (size_t i = 1; i < whole.size(); ++i)
    if (shape[i] != (i == axis ? whole[i] : 1))
      return false;
  return true;
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
sd::BinaryOp shiftAfter(sd::BinaryOp product, Channels channels, Value &shift) {
  auto sum = dyn_cast_or_null<sd::BinaryOp>(onlyUser(product));
  if (!sum || sum.getFunction() != sd::BinaryKind::add || sum.getType() != product.getType())
    return nullptr;
  shift = otherOperand(sum, product);
  return shift && shift != product && isRowOf(shift, shapeOf(product), channels) ? sum : nullptr;
}

/// [b, c, 1, 1] -> [b, 1, 1, c]
Value lastRow(OpBuilder &builder, Value row) {
  llvm::ArrayRef<int64_t> shape = shapeOf(row);
  return reshapeTo(builder, row, {shape[0], 1, 1, shape[1]}, "/row");
}

bool form(sd::BinaryOp product, Channels channels) {
  for (auto [input, row] : {std::pair(product.getLhs(), product.getRhs()),
                            std::pair(product.getRhs(), product.getLhs())}) {
    if (isConstant(input) || input.getType() != product.getType() ||
        shapeOf(row) == shapeOf(input) || !isRowOf(row, shapeOf(input), channels))
      continue;
    AbsorbedOps absorbed;
    Gain gain = gainOf(row, absorbed);
    Value shift;
    sd::BinaryOp root = product, sum = shiftAfter(product, channels, shift);
    if (sum) {
      absorbed.push_back(product);
      root = sum;
    } else {
      shift = Value();
    }
    OpBuilder builder(root);
    Value whole = input, scale = gain.scale;
    if (channels == Channels::First) {
      whole = transposeBy(builder, whole, {0, 2, 3, 1}, "/last");
      scale = lastRow(builder, scale);
      shift = shift ? lastRow(builder, shift) : shift;
    }
    Value result = sd::ModulateOp::create(builder, sd::fuseLocs(root, absorbed), whole, scale,
                                          shift, builder.getF64FloatAttr(gain.offset));
    if (channels == Channels::First)
      result = transposeBy(builder, result, {0, 3, 1, 2}, "/first");
    replaceWith(root, result, kPass);
    return true;
  }
  return false;
}

struct FormModulate : impl::FormModulateBase<FormModulate> {
  void runOnOperation() override {
    for (sd::BinaryOp op : collect<sd::BinaryOp>(getOperation()))
      if (op.getFunction() == sd::BinaryKind::mul &&
          isa<FloatType>(getElementTypeOrSelf(op.getResult())))
        if (!form(op, Channels::Last))
          form(op, Channels::First);
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
