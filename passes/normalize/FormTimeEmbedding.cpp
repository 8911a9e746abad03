//===- FormTimeEmbedding.cpp - sine and cosine of the timestep ---------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMTIMEEMBEDDING
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-time-embedding";

struct Frequencies {
  double maxPeriod = 10000;
  double shift = 0;
};

bool fits(llvm::ArrayRef<double> values, const Frequencies &guess) {
  double half = static_cast<double>(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    double expected = std::pow(guess.maxPeriod, -static_cast<double>(i) / (half - guess.shift));
    if (!(std::abs(values[i] - expected) <= 1e-4 * expected))
      return false;
  }
  return true;
}

/// values[i] = maxPeriod^(-i / (half - shift)), or none.
std::optional<Frequencies> matchFrequencies(llvm::ArrayRef<double> values) {
  double half = static_cast<double>(values.size());
  if (values.size() < 2 || !(values[1] > 0 && values[1] < 1))
    return std::nullopt;
  for (const Frequencies &guess :
       {Frequencies{10000, 0}, Frequencies{10000, 1}, Frequencies{std::pow(values[1], -half), 0}})
    if (fits(values, guess))
      return guess;
  return std::nullopt;
}

/// True if a cast changes no number, up to the rounding of float types.
bool keepsNumbers(sd::CastOp cast) {
  Type from = getElementTypeOrSelf(cast.getInput()), to = getElementTypeOrSelf(cast.getResult());
  return isa<FloatType>(to) || (isa<IntegerType>(from) && to.isInteger(64));
}

/// The numbers behind `value`, in order or one number repeated.
Value timestepsBehind(Value value, AbsorbedOps &absorbed) {
  while (Operation *op = value.getDefiningOp()) {
    auto cast = dyn_cast<sd::CastOp>(op);
    if (!(cast && keepsNumbers(cast)) && !isa<sd::ReshapeOp, sd::ExpandOp>(op))
      break;
    absorbed.push_back(op);
    value = op->getOperand(0);
  }
  return value;
}

int64_t countOf(Value value) { return cast<RankedTensorType>(value.getType()).getNumElements(); }

/// True if `slice` is [start, start + half) of the last dimension of [b, 2 * half].
bool takesHalf(sd::SliceOp slice, int64_t start) {
  llvm::ArrayRef<int64_t> input = shapeOf(slice.getInput()), result = shapeOf(slice);
  int64_t first = slice.getStarts().back();
  return input.size() == 2 && result[0] == input[0] && result[1] * 2 == input[1] &&
         slice.getSteps()[0] == 1 && slice.getSteps()[1] == 1 &&
         (first < 0 ? first + input[1] : first) == start;
}

/// The concatenation of both halves of `inner` in the other order, if that is its only use.
sd::ConcatOp matchSwap(sd::ConcatOp inner, AbsorbedOps &absorbed) {
  SmallVector<Operation *> users(inner->getUsers());
  int64_t half = shapeOf(inner).back() / 2;
  if (users.size() != 2)
    return nullptr;
  for (Operation *user : users) {
    auto swap = dyn_cast_or_null<sd::ConcatOp>(
        user->getNumResults() == 1 ? onlyUser(user->getResult(0)) : nullptr);
    if (!swap || swap.getParts().size() != 2 || swap.getType() != inner.getType())
      continue;
    auto first = swap.getParts()[0].getDefiningOp<sd::SliceOp>();
    auto second = swap.getParts()[1].getDefiningOp<sd::SliceOp>();
    if (!first || !second || first.getInput() != inner || second.getInput() != inner ||
        !takesHalf(first, half) || !takesHalf(second, 0))
      continue;
    absorbed.append({inner, first, second});
    return swap;
  }
  return nullptr;
}

/// Empty on success, else why the idiom does not match.
llvm::StringRef form(sd::ConcatOp inner, sd::UnaryOp first, sd::UnaryOp second) {
  int64_t axis = inner.getAxis();
  if (shapeOf(inner).size() != 2 || (axis != 1 && axis != -1))
    return "sine and cosine are not joined along the last of two dimensions";
  auto angle = definingBinary(first.getInput(), sd::BinaryKind::mul);
  if (first.getInput() != second.getInput() || !angle)
    return "sine and cosine are not of one product";
  Value table = isConstant(angle.getRhs()) ? angle.getRhs() : angle.getLhs();
  std::optional<std::vector<double>> values = constantValues(table);
  int64_t half = shapeOf(inner).back() / 2;
  if (!values || static_cast<int64_t>(values->size()) != half || shapeOf(table).back() != half)
    return "the frequencies are not a constant row";
  std::optional<Frequencies> frequencies = matchFrequencies(*values);
  if (!frequencies)
    return "the frequencies are not max_period^(-i / (half - shift)) within 1e-4";
  AbsorbedOps absorbed;
  Value steps = otherOperand(angle, table);
  Value timesteps = timestepsBehind(steps, absorbed);
  std::reverse(absorbed.begin(), absorbed.end());
  // An expansion of one number may have any shape; of more numbers, none may be repeated.
  if (shapeOf(steps).empty() || shapeOf(steps).back() != 1 || isConstant(timesteps) ||
      (countOf(timesteps) != 1 && countOf(timesteps) != shapeOf(inner)[0]))
    return "the other factor is not a column of timesteps";
  absorbed.append({angle, first, second});
  bool cosFirst = first.getFunction() == sd::UnaryKind::cos;
  sd::ConcatOp root = matchSwap(inner, absorbed);
  if (root)
    cosFirst = !cosFirst;
  else
    root = inner;
  OpBuilder builder(root);
  timesteps = reshapeTo(builder, timesteps, {countOf(timesteps)});
  auto embedding = sd::TimeEmbeddingOp::create(
      builder, sd::fuseLocs(root, absorbed), root.getType(), timesteps,
      builder.getBoolAttr(cosFirst), builder.getF64FloatAttr(frequencies->shift),
      builder.getF64FloatAttr(frequencies->maxPeriod));
  replaceWith(root, embedding, kPass);
  return {};
}

struct FormTimeEmbedding : impl::FormTimeEmbeddingBase<FormTimeEmbedding> {
  void runOnOperation() override {
    for (auto concat : collect<sd::ConcatOp>(getOperation())) {
      if (concat.getParts().size() != 2)
        continue;
      auto first = concat.getParts()[0].getDefiningOp<sd::UnaryOp>();
      auto second = concat.getParts()[1].getDefiningOp<sd::UnaryOp>();
      auto isPair = [](sd::UnaryOp sine, sd::UnaryOp cosine) {
        return sine.getFunction() == sd::UnaryKind::sin &&
               cosine.getFunction() == sd::UnaryKind::cos;
      };
      if (!first || !second || (!isPair(first, second) && !isPair(second, first)))
        continue;
      if (llvm::StringRef reason = form(concat, first, second); !reason.empty())
        remarkMissed(concat, kPass, reason);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
