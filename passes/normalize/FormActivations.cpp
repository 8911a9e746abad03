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

/// scale * (1 + erf(inner)) or the same with tanh, or none.
struct Gate {
  double scale = 0;
  sd::UnaryOp function;
};

std::optional<Gate> matchGate(Value value, sd::UnaryKind kind, AbsorbedOps &absorbed) {
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
    auto function = definingUnary(inner.value, kind);
    if (!function || !isNear(inner.scale, *offset))
      continue;
    ops.push_back(function);
    absorbed.append(ops);
    return Gate{outer.scale * *offset, function};
  }
  return std::nullopt;
}

/// True if value = x^3.
bool isCube(Value value, Value x, AbsorbedOps &absorbed) {
  auto op = value.getDefiningOp<sd::BinaryOp>();
  Value other = op ? otherOperand(op, x) : Value();
  if (!other)
    return false;
  absorbed.push_back(op);
  if (op.getFunction() == sd::BinaryKind::pow)
    return op.getLhs() == x && uniformValue(other) == 3.0;
  auto square = definingBinary(other, sd::BinaryKind::mul);
  if (!square || op.getFunction() != sd::BinaryKind::mul)
    return false;
  absorbed.push_back(square);
  return square.getLhs() == x && square.getRhs() == x;
}

/// True if the function's argument is that of the gelu of x: x / sqrt 2, or sqrt(2 / pi) * (x +
/// 0.044715 x^3) for tanh.
bool isGeluArgument(sd::UnaryOp function, Value x, AbsorbedOps &absorbed) {
  ScaledValue argument = withoutScale(function.getInput(), absorbed);
  if (function.getFunction() == sd::UnaryKind::erf)
    return argument.value == x && isNear(argument.scale, std::numbers::sqrt2 / 2);
  auto sum = definingBinary(argument.value, sd::BinaryKind::add);
  Value cubic = sum ? otherOperand(sum, x) : Value();
  if (!cubic || !isNear(argument.scale, std::numbers::sqrt2 * std::numbers::inv_sqrtpi))
    return false;
  absorbed.push_back(sum);
  ScaledValue cube = withoutScale(cubic, absorbed);
  return isNear(cube.scale, 0.044715) && isCube(cube.value, x, absorbed);
}

/// root = x * (1 + erf(x / sqrt 2)) / 2, or its form with tanh, with the factors in any grouping:
/// one operand of some product holds the gate, the other x.
Value matchGelu(sd::BinaryOp root, sd::UnaryKind kind, AbsorbedOps &absorbed) {
  ScaledValue outer = withoutScale(root, absorbed);
  auto product = definingBinary(outer.value, sd::BinaryKind::mul);
  if (!product)
    return {};
  absorbed.push_back(product);
  for (auto [left, right] : {std::pair(product.getLhs(), product.getRhs()),
                             std::pair(product.getRhs(), product.getLhs())}) {
    AbsorbedOps ops;
    std::optional<Gate> gate = matchGate(right, kind, ops);
    if (!gate)
      continue;
    AbsorbedOps scales;
    for (const ScaledValue &plain : {ScaledValue{left}, withoutScale(left, scales)}) {
      AbsorbedOps argument;
      if (!isGeluArgument(gate->function, plain.value, argument) ||
          !isNear(outer.scale * plain.scale * gate->scale, 0.5))
        continue;
      absorbed.append(ops);
      absorbed.append(argument);
      if (plain.value != left)
        absorbed.append(scales);
      return plain.value;
    }
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

void formGelu(sd::UnaryOp function) {
  bool exact = function.getFunction() == sd::UnaryKind::erf;
  for (sd::BinaryOp root : productsAfter(function)) {
    AbsorbedOps absorbed;
    Value input = matchGelu(root, function.getFunction(), absorbed);
    if (!input || input.getType() != root.getType())
      continue;
    OpBuilder builder(root);
    Location loc = sd::fuseLocs(root, llvm::to_vector(llvm::reverse(absorbed)));
    replaceWith(root,
                exact ? sd::GeluOp::create(builder, loc, input).getResult()
                      : sd::GeluTanhOp::create(builder, loc, input).getResult(),
                kPass);
    return;
  }
  remarkMissed(function, kPass,
               exact ? "what surrounds erf is not x * (1 + erf(x / sqrt 2)) / 2"
                     : "what surrounds tanh is not x * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) "
                       "/ 2");
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
  case sd::UnaryKind::gelu_tanh:
    return replaceWith(op, sd::GeluTanhOp::create(builder, op.getLoc(), op.getInput()), kPass);
  case sd::UnaryKind::quick_gelu:
    return replaceWith(op, sd::QuickGeluOp::create(builder, op.getLoc(), op.getInput()), kPass);
  default:
    return;
  }
}

struct FormActivations : impl::FormActivationsBase<FormActivations> {
  void runOnOperation() override {
    for (auto op : collect<sd::UnaryOp>(getOperation())) {
      if (op.getFunction() == sd::UnaryKind::erf || op.getFunction() == sd::UnaryKind::tanh)
        formGelu(op);
      else if (op.getFunction() != sd::UnaryKind::sigmoid || !formGated(op))
        formNamed(op);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
