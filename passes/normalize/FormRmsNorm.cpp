//===- FormRmsNorm.cpp - x / sqrt(mean(x^2) + eps) * gamma -> sd.rms_norm ----===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMRMSNORM
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-rms-norm";

/// x of x^2, or null.
Value baseOfSquare(Value value) {
  auto op = value.getDefiningOp<sd::BinaryOp>();
  if (!op)
    return {};
  bool isPower = op.getFunction() == sd::BinaryKind::pow && uniformValue(op.getRhs()) == 2.0;
  bool isProduct = op.getFunction() == sd::BinaryKind::mul && op.getLhs() == op.getRhs();
  return isPower || isProduct ? op.getLhs() : Value();
}

/// What follows the mean: + epsilon, square root, perhaps its reciprocal.
struct Divisor {
  Value value;
  double epsilon = 0;
  bool isReciprocal = false;
};

std::optional<Divisor> matchDivisor(sd::ReduceOp mean, AbsorbedOps &absorbed) {
  auto sum = dyn_cast_or_null<sd::BinaryOp>(onlyUser(mean));
  if (!sum || sum.getFunction() != sd::BinaryKind::add || sum.getType() != mean.getType())
    return std::nullopt;
  std::optional<double> epsilon = uniformValue(otherOperand(sum, mean));
  auto root = dyn_cast_or_null<sd::UnaryOp>(onlyUser(sum));
  if (!epsilon || !(*epsilon >= 0) || !root || root.getFunction() != sd::UnaryKind::sqrt)
    return std::nullopt;
  absorbed.append({sum, root});
  Divisor divisor{root, *epsilon};
  Operation *user = onlyUser(root);
  if (auto inverse = dyn_cast_or_null<sd::UnaryOp>(user);
      inverse && inverse.getFunction() == sd::UnaryKind::reciprocal)
    divisor = {inverse, *epsilon, true};
  else if (auto quotient = dyn_cast_or_null<sd::BinaryOp>(user);
           quotient && quotient.getFunction() == sd::BinaryKind::div && quotient.getRhs() == root &&
           uniformValue(quotient.getLhs()) == 1.0)
    divisor = {quotient, *epsilon, true};
  if (divisor.isReciprocal)
    absorbed.push_back(user);
  return divisor;
}

/// x divided by the root, or null.
sd::BinaryOp normalized(const Divisor &divisor, Value x) {
  auto op = dyn_cast_or_null<sd::BinaryOp>(onlyUser(divisor.value));
  auto kind = divisor.isReciprocal ? sd::BinaryKind::mul : sd::BinaryKind::div;
  if (!op || op.getFunction() != kind || op.getType() != x.getType())
    return nullptr;
  bool plain = op.getLhs() == x && op.getRhs() == divisor.value;
  bool swapped = op.getRhs() == x && op.getLhs() == divisor.value && divisor.isReciprocal;
  return plain || swapped ? op : nullptr;
}

/// A norm of [b, t, h, d] where `input` is its transpose [b, h, t, d]: heads stay together, so that
/// what splits and joins them is found around it.
Value normBeforeTranspose(OpBuilder &builder, Location loc, Value input, Value gamma,
                          FloatAttr epsilon) {
  auto transpose = input.getDefiningOp<sd::TransposeOp>();
  if (!transpose ||
      transpose.getPermutation().back() + 1 != static_cast<int64_t>(shapeOf(input).size()))
    return sd::RmsNormOp::create(builder, loc, input, gamma, epsilon);
  Value norm = sd::RmsNormOp::create(builder, sd::renamedLoc(loc, "/turned"), transpose.getInput(),
                                     gamma, epsilon);
  return sd::TransposeOp::create(builder, loc, norm, transpose.getPermutation());
}

/// Empty on success, else why the idiom does not match.
llvm::StringRef form(sd::ReduceOp mean, Value x) {
  auto rank = static_cast<int64_t>(shapeOf(mean.getInput()).size());
  if (mean.getAxes().size() != 1 || !mean.getKeepDims() ||
      (mean.getAxes()[0] != rank - 1 && mean.getAxes()[0] != -1))
    return "the mean of squares is not over the last dimension";
  AbsorbedOps absorbed{mean.getInput().getDefiningOp(), mean};
  std::optional<Divisor> divisor = matchDivisor(mean, absorbed);
  sd::BinaryOp quotient = divisor ? normalized(*divisor, x) : nullptr;
  if (!quotient)
    return "the mean of squares is no divisor under a square root";
  auto root = dyn_cast_or_null<sd::BinaryOp>(onlyUser(quotient));
  int64_t channels = shapeOf(x).back();
  Value gamma =
      root && root.getFunction() == sd::BinaryKind::mul && root.getType() == quotient.getType()
          ? otherOperand(root, quotient)
          : Value();
  if (!gamma || !isConstant(gamma) || shapeOf(gamma).empty() || shapeOf(gamma).back() != channels ||
      cast<RankedTensorType>(gamma.getType()).getNumElements() != channels)
    return "no constant factor with one number for each channel follows";
  absorbed.push_back(quotient);
  OpBuilder builder(root);
  Value gammas = reshapeTo(builder, gamma, {channels});
  replaceWith(root,
              normBeforeTranspose(builder, sd::fuseLocs(root, absorbed), x, gammas,
                                  builder.getF64FloatAttr(divisor->epsilon)),
              kPass);
  return {};
}

struct FormRmsNorm : impl::FormRmsNormBase<FormRmsNorm> {
  void runOnOperation() override {
    for (sd::ReduceOp mean : collect<sd::ReduceOp>(getOperation())) {
      Value x =
          mean.getFunction() == sd::ReductionKind::mean ? baseOfSquare(mean.getInput()) : Value();
      if (!x)
        continue;
      if (llvm::StringRef reason = form(mean, x); !reason.empty())
        remarkMissed(mean, kPass, reason);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
