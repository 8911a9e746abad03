//===- FormActivations.cpp - formulas of sigmoid and erf ---------------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"

#include <numbers>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMACTIVATIONS
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-activations";

/// unary sigmoid(u) multiplied by x: silu if u = x, quick gelu if u = 1.702 x.
bool formGated(sd::UnaryOp sigmoid) {
  AbsorbedOps absorbed;
  ScaledValue gate = withoutScale(sigmoid.getInput(), absorbed);
  for (Operation *user : llvm::to_vector(sigmoid->getUsers())) {
    auto product = dyn_cast<sd::BinaryOp>(user);
    if (!product || product.getFunction() != sd::BinaryKind::mul)
      continue;
    Value gated = otherOperand(product, sigmoid);
    OpBuilder builder(product);
    if (gated == sigmoid.getInput()) {
      Location loc = sd::fuseLocs(product, {sigmoid});
      replaceWith(product, sd::SiluOp::create(builder, loc, gated), kPass);
    } else if (gated == gate.value) {
      if (!isNear(gate.scale, 1.702)) {
        remarkMissed(product, kPass, "the factor inside the sigmoid is not 1.702");
        continue;
      }
      absorbed.push_back(sigmoid);
      replaceWith(product, sd::QuickGeluOp::create(builder, sd::fuseLocs(product, absorbed), gated),
                  kPass);
    }
  }
  return sigmoid->use_empty();
}

/// scale * (1 + erf(inner)), or none.
struct ErfGate {
  double scale = 0;
  sd::UnaryOp erf;
};

std::optional<ErfGate> matchErfGate(Value value, AbsorbedOps &absorbed) {
  AbsorbedOps ops;
  ScaledValue outer = withoutScale(value, ops);
  auto sum = definingBinary(outer.value, sd::BinaryKind::add);
  if (!sum)
    return std::nullopt;
  ops.push_back(sum);
  for (auto [term, constant] :
       {std::pair(sum.getLhs(), sum.getRhs()), std::pair(sum.getRhs(), sum.getLhs())}) {
    std::optional<double> offset = uniformValue(constant);
    if (!offset)
      continue;
    ScaledValue inner = withoutScale(term, ops);
    auto erf = definingUnary(inner.value, sd::UnaryKind::erf);
    if (!erf || !isNear(inner.scale, *offset))
      continue;
    ops.push_back(erf);
    absorbed.append(ops);
    return ErfGate{outer.scale * *offset, erf};
  }
  return std::nullopt;
}

/// root = x * (1 + erf(x / sqrt 2)) / 2 with the factors in any grouping: one operand of some
/// product holds the gate, the other x.
Value matchGelu(sd::BinaryOp root, AbsorbedOps &absorbed) {
  ScaledValue outer = withoutScale(root, absorbed);
  auto product = definingBinary(outer.value, sd::BinaryKind::mul);
  if (!product)
    return {};
  absorbed.push_back(product);
  for (auto [left, right] : {std::pair(product.getLhs(), product.getRhs()),
                             std::pair(product.getRhs(), product.getLhs())}) {
    AbsorbedOps ops;
    std::optional<ErfGate> gate = matchErfGate(right, ops);
    if (!gate)
      continue;
    ScaledValue argument = withoutScale(gate->erf.getInput(), ops);
    ScaledValue plain{left};
    if (plain.value != argument.value)
      plain = withoutScale(left, ops);
    if (plain.value != argument.value || !isNear(argument.scale, std::numbers::sqrt2 / 2) ||
        !isNear(outer.scale * plain.scale * gate->scale, 0.5))
      continue;
    absorbed.append(ops);
    return plain.value;
  }
  return {};
}

/// The products and quotients that follow `op`, nearest first.
SmallVector<sd::BinaryOp> productsAfter(Operation *op) {
  SmallVector<sd::BinaryOp> products;
  for (unsigned i = 0; i < 6 && op; ++i) {
    Operation *next = nullptr;
    for (Operation *user : op->getUsers())
      if (auto binary = dyn_cast<sd::BinaryOp>(user); binary && !next)
        next = binary;
    op = next;
    if (auto binary = dyn_cast_or_null<sd::BinaryOp>(op);
        binary && binary.getFunction() != sd::BinaryKind::add)
      products.push_back(binary);
  }
  return products;
}

void formGelu(sd::UnaryOp erf) {
  for (sd::BinaryOp root : productsAfter(erf)) {
    AbsorbedOps absorbed;
    Value input = matchGelu(root, absorbed);
    if (!input || input.getType() != root.getType())
      continue;
    OpBuilder builder(root);
    Location loc = sd::fuseLocs(root, llvm::to_vector(llvm::reverse(absorbed)));
    replaceWith(root, sd::GeluOp::create(builder, loc, input), kPass);
    return;
  }
  remarkMissed(erf, kPass, "what surrounds erf is not x * (1 + erf(x / sqrt 2)) / 2");
}

/// Functions that have a named operation.
void formNamed(sd::UnaryOp op) {
  OpBuilder builder(op);
  switch (op.getFunction()) {
  case sd::UnaryKind::sigmoid:
    return replaceWith(op, sd::SigmoidOp::create(builder, op.getLoc(), op.getInput()), kPass);
  case sd::UnaryKind::silu:
    return replaceWith(op, sd::SiluOp::create(builder, op.getLoc(), op.getInput()), kPass);
  case sd::UnaryKind::gelu:
    return replaceWith(op, sd::GeluOp::create(builder, op.getLoc(), op.getInput()), kPass);
  case sd::UnaryKind::quick_gelu:
    return replaceWith(op, sd::QuickGeluOp::create(builder, op.getLoc(), op.getInput()), kPass);
  default:
    return;
  }
}

struct FormActivations : impl::FormActivationsBase<FormActivations> {
  void runOnOperation() override {
    for (auto op : collect<sd::UnaryOp>(getOperation())) {
      if (op.getFunction() == sd::UnaryKind::erf)
        formGelu(op);
      else if (op.getFunction() != sd::UnaryKind::sigmoid || !formGated(op))
        formNamed(op);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
