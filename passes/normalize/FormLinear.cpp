//===- FormLinear.cpp - matmul by a constant -> sd.linear --------------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMLINEAR
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-linear";

void formLinear(sd::MatmulOp matmul) {
  if (!isConstant(matmul.getRhs())) {
    if (isConstant(matmul.getLhs()))
      remarkMissed(matmul, kPass, "the constant is on the left");
    return;
  }
  if (shapeOf(matmul.getRhs()).size() != 2) {
    remarkMissed(matmul, kPass, "the constant is not a matrix");
    return;
  }
  OpBuilder builder(matmul);
  Value weights = transposeBy(builder, matmul.getRhs(), {1, 0}, "/transposed");
  auto linear = sd::LinearOp::create(builder, matmul.getLoc(), matmul.getLhs(), weights,
                                     /*weight_scales=*/Value(), /*bias=*/Value());
  replaceWith(matmul, linear, kPass);
}

/// A constant that holds one number for each of `channels` and broadcasts over the rest.
bool isBias(Value value, int64_t channels) {
  auto type = cast<RankedTensorType>(value.getType());
  return isConstant(value) && type.getNumElements() == channels && type.getRank() >= 1 &&
         type.getShape().back() == channels;
}

void absorbBias(sd::BinaryOp add) {
  for (auto [value, bias] :
       {std::pair(add.getLhs(), add.getRhs()), std::pair(add.getRhs(), add.getLhs())}) {
    auto linear = value.getDefiningOp<sd::LinearOp>();
    if (!linear || linear.getBias() || !isConstant(bias))
      continue;
    int64_t channels = shapeOf(linear).back();
    if (!linear->hasOneUse() || linear.getType() != add.getType() || !isBias(bias, channels)) {
      remarkMissed(add, kPass,
                   "the constant added to the product is not one number for each column, "
                   "or the product is read elsewhere");
      return;
    }
    OpBuilder builder(add);
    Value vector = reshapeTo(builder, bias, {channels});
    auto biased = sd::LinearOp::create(builder, sd::fuseLocs(add, {linear}), linear.getInput(),
                                       linear.getWeights(), /*weight_scales=*/Value(), vector);
    replaceWith(add, biased, kPass);
    return;
  }
}

struct FormLinear : impl::FormLinearBase<FormLinear> {
  void runOnOperation() override {
    for (auto matmul : collect<sd::MatmulOp>(getOperation()))
      formLinear(matmul);
    for (auto binary : collect<sd::BinaryOp>(getOperation()))
      if (binary.getFunction() == sd::BinaryKind::add)
        absorbBias(binary);
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
