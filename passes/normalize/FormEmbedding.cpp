//===- FormEmbedding.cpp - token rows plus positions -> sd.embedding ---------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMEMBEDDING
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-embedding";

/// Empty on success, else why the idiom does not match.
llvm::StringRef form(sd::GatherOp gather) {
  if (gather.getAxis() != 0 || shapeOf(gather.getInput()).size() != 2 ||
      shapeOf(gather.getIndices()).size() != 2)
    return "the table is not [vocabulary, c] or the ids are not [b, t]";
  auto sum = dyn_cast_or_null<sd::BinaryOp>(onlyUser(gather));
  if (!sum || sum.getFunction() != sd::BinaryKind::add || sum.getType() != gather.getType())
    return "no positions are added to the rows";
  Value positions = otherOperand(sum, gather);
  llvm::ArrayRef<int64_t> rows = shapeOf(gather);
  auto type = cast<RankedTensorType>(positions.getType());
  if (!isConstant(positions) || type.getRank() < 2 || type.getNumElements() != rows[1] * rows[2] ||
      type.getShape().take_back(2) != rows.drop_front())
    return "what is added is not a constant row for each position";
  OpBuilder builder(sum);
  Value table = reshapeTo(builder, positions, {rows[1], rows[2]});
  auto embedding =
      sd::EmbeddingOp::create(builder, sd::fuseLocs(sum, {gather}), gather.getIndices(),
                              gather.getInput(), table, /*token_scales=*/Value(),
                              /*position_scales=*/Value());
  replaceWith(sum, embedding, kPass);
  return {};
}

struct FormEmbedding : impl::FormEmbeddingBase<FormEmbedding> {
  void runOnOperation() override {
    for (auto gather : collect<sd::GatherOp>(getOperation())) {
      bool isTable = isConstant(gather.getInput()) && !isConstant(gather.getIndices()) &&
                     isa<FloatType>(getElementTypeOrSelf(gather.getInput()));
      if (!isTable)
        continue;
      if (llvm::StringRef reason = form(gather); !reason.empty())
        remarkMissed(gather, kPass, reason);
    }
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
