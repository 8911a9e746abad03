//===- FormPoolToken.cpp - the row at a token's first occurrence -------------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMPOOLTOKEN
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-pool-token";

/// The position of a token's first occurrence, for each batch element.
struct Position {
  Value ids; ///< [b, t]
  int64_t token = 0;
};

Value withoutCasts(Value value, AbsorbedOps &absorbed) {
  while (auto cast = value.getDefiningOp<sd::CastOp>()) {
    absorbed.push_back(cast);
    value = cast.getInput();
  }
  return value;
}

Value withoutCastsAndReshapes(Value value, AbsorbedOps &absorbed) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<sd::CastOp, sd::ReshapeOp>(op))
      break;
    absorbed.push_back(op);
    value = op->getOperand(0);
  }
  return value;
}

/// arg_max over the last dimension of (ids == token), first occurrence.
std::optional<Position> matchPosition(Value value, AbsorbedOps &absorbed) {
  auto argMax = withoutCastsAndReshapes(value, absorbed).getDefiningOp<sd::ArgMaxOp>();
  if (!argMax || argMax.getSelectLast() || shapeOf(argMax.getInput()).size() != 2 ||
      (argMax.getAxis() != -1 && argMax.getAxis() != 1))
    return std::nullopt;
  absorbed.push_back(argMax);
  auto equal = definingBinary(withoutCasts(argMax.getInput(), absorbed), sd::BinaryKind::equal);
  if (!equal)
    return std::nullopt;
  absorbed.push_back(equal);
  Value token = isConstant(equal.getRhs()) ? equal.getRhs() : equal.getLhs();
  std::optional<double> number = uniformValue(token);
  if (!number || *number != std::trunc(*number) || *number < 0)
    return std::nullopt;
  // Ids are small: casts between integer types do not change them.
  Value ids = withoutCasts(otherOperand(equal, token), absorbed);
  if (!isa<IntegerType>(getElementTypeOrSelf(ids)) || shapeOf(ids) != shapeOf(argMax.getInput()))
    return std::nullopt;
  return Position{ids, static_cast<int64_t>(*number)};
}

/// True if `value` holds 0, step, 2 * step, ...
bool isRange(Value value, double step) {
  std::optional<std::vector<double>> values = constantValues(value);
  if (!values)
    return false;
  for (size_t i = 0; i < values->size(); ++i)
    if ((*values)[i] != step * static_cast<double>(i))
      return false;
  return true;
}

void rewrite(Operation *root, Value hidden, const Position &position, AbsorbedOps &absorbed) {
  std::reverse(absorbed.begin(), absorbed.end());
  OpBuilder builder(root);
  auto pooled = sd::PoolTokenOp::create(builder, sd::fuseLocs(root, absorbed), hidden, position.ids,
                                        builder.getI64IntegerAttr(position.token));
  replaceWith(root, reshapeTo(builder, pooled, shapeOf(root->getResult(0))), kPass);
}

/// gather_nd(hidden [b, t, c], [(0, p0), (1, p1), ...]). Empty on success.
llvm::StringRef form(sd::GatherNdOp gather) {
  llvm::ArrayRef<int64_t> hidden = shapeOf(gather.getInput());
  if (hidden.size() != 3)
    return "the hidden states are not [b, t, c]";
  AbsorbedOps absorbed;
  Value position = gather.getIndices();
  if (gather.getBatchDims() == 0) {
    auto tuples = gather.getIndices().getDefiningOp<sd::ConcatOp>();
    if (!tuples || tuples.getParts().size() != 2 ||
        shapeOf(tuples) != llvm::ArrayRef<int64_t>({hidden[0], 2}) ||
        !isRange(tuples.getParts()[0], 1))
      return "the indices are not pairs of batch element and position";
    absorbed.push_back(tuples);
    position = tuples.getParts()[1];
  } else if (gather.getBatchDims() != 1 ||
             shapeOf(position) != llvm::ArrayRef<int64_t>({hidden[0], 1})) {
    return "the indices are not one position for each batch element";
  }
  std::optional<Position> match = matchPosition(position, absorbed);
  if (!match || shapeOf(match->ids) != hidden.take_front(2))
    return "the position is not arg_max(ids == token)";
  rewrite(gather, gather.getInput(), *match, absorbed);
  return {};
}

/// gather(hidden as [b * t, c], position + [0, t, 2 t, ...]). Empty on success.
llvm::StringRef form(sd::GatherOp gather) {
  AbsorbedOps absorbed;
  Value hidden = gather.getInput();
  while (auto reshape = hidden.getDefiningOp<sd::ReshapeOp>()) {
    absorbed.push_back(reshape);
    hidden = reshape.getInput();
  }
  llvm::ArrayRef<int64_t> shape = shapeOf(hidden);
  if (gather.getAxis() != 0 || shape.size() != 3 || shapeOf(gather.getInput()).size() != 2 ||
      shapeOf(gather.getInput())[1] != shape[2])
    return "the rows are not those of flattened hidden states [b * t, c]";
  Value position = withoutCastsAndReshapes(gather.getIndices(), absorbed);
  if (auto sum = definingBinary(position, sd::BinaryKind::add)) {
    Value offsets = isConstant(sum.getRhs()) ? sum.getRhs() : sum.getLhs();
    if (!isRange(offsets, static_cast<double>(shape[1])))
      return "the row is not batch element * length + position";
    absorbed.push_back(sum);
    position = otherOperand(sum, offsets);
  } else if (shape[0] != 1) {
    return "the row is not batch element * length + position";
  }
  std::optional<Position> match = matchPosition(position, absorbed);
  if (!match || shapeOf(match->ids) != shape.take_front(2))
    return "the position is not arg_max(ids == token)";
  rewrite(gather, hidden, *match, absorbed);
  return {};
}

template <typename Gather> void formAll(func::FuncOp function) {
  for (auto gather : collect<Gather>(function)) {
    if (isConstant(gather.getInput()) || isConstant(gather.getIndices()))
      continue;
    if (llvm::StringRef reason = form(gather); !reason.empty())
      remarkMissed(gather, kPass, reason);
  }
}

struct FormPoolToken : impl::FormPoolTokenBase<FormPoolToken> {
  void runOnOperation() override {
    formAll<sd::GatherNdOp>(getOperation());
    formAll<sd::GatherOp>(getOperation());
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
