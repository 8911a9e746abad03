//===- FormAttention.cpp - softmax(q k^T) v over heads -> sd.attention -------===//

#include "passes/normalize/ConstantValues.h"
#include "passes/normalize/Passes.h"
#include "passes/normalize/Rewriting.h"
#include "passes/normalize/StridedView.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_FORMATTENTION
#include "passes/normalize/Passes.h.inc"

namespace {

constexpr llvm::StringLiteral kPass = "form-attention";
/// A score of this or less is masked: its exponent is zero next to any other.
constexpr double kMasked = -1e4;

enum class Mask { None, Causal, Other };

/// What an additive mask of shape [..., tq, tk] over scores of rank >= 2 lets through.
Mask classify(Value mask, int64_t queries, int64_t keys) {
  llvm::ArrayRef<int64_t> shape = shapeOf(mask);
  std::optional<std::vector<double>> values = constantValues(mask);
  if (!values)
    return Mask::Other;
  if (llvm::all_of(*values, [](double value) { return value == 0; }))
    return Mask::None;
  if (shape.size() < 2 || shape.back() != keys || shape[shape.size() - 2] != queries ||
      queries != keys)
    return Mask::Other;
  for (size_t i = 0; i < values->size(); ++i) {
    int64_t key = i % keys, query = i / keys % queries;
    if (key > query ? !((*values)[i] <= kMasked) : (*values)[i] != 0)
      return Mask::Other;
  }
  return Mask::Causal;
}

/// The operations between two products of an attention, before heads are known.
struct Scores {
  sd::MatmulOp first;  ///< queries by keys
  sd::MatmulOp second; ///< probabilities by values
  Value query;         ///< [.., h, tq, d], scale removed
  Value key;           ///< [.., h, d, tk], scale removed
  Value value;         ///< [.., h, tk, d]
  double scale = 1;
  bool causal = false;
  AbsorbedOps absorbed;
};

/// Reads upwards from a softmax to the product of queries and keys. Empty on success.
llvm::StringRef matchScores(sd::SoftmaxOp softmax, Scores &scores) {
  int64_t rank = shapeOf(softmax).size(), axis = softmax.getAxis();
  if (rank < 3 || (axis != -1 && axis != rank - 1))
    return "the softmax is not over the last dimension of a tensor of rank 3 or more";
  AbsorbedOps &absorbed = scores.absorbed;
  absorbed.push_back(softmax);
  Value value = withoutFloatCasts(softmax.getInput(), absorbed);
  int64_t queries = shapeOf(softmax)[rank - 2], keys = shapeOf(softmax)[rank - 1];
  if (auto sum = definingBinary(value, sd::BinaryKind::add)) {
    bool maskOnRight = isConstant(sum.getRhs());
    Value mask = maskOnRight ? sum.getRhs() : sum.getLhs();
    if (!isConstant(mask) || sum.getType() != softmax.getType())
      return "the mask is not constant";
    Mask kind = classify(mask, queries, keys);
    if (kind == Mask::Other)
      return "the mask is neither zero nor causal, or its weight cannot be read";
    scores.causal = kind == Mask::Causal;
    absorbed.push_back(sum);
    value = maskOnRight ? sum.getLhs() : sum.getRhs();
  }
  value = withoutFloatCasts(value, absorbed);
  ScaledValue scaled = withoutScale(value, absorbed);
  scores.first = withoutFloatCasts(scaled.value, absorbed).getDefiningOp<sd::MatmulOp>();
  if (!scores.first || scores.first.getType() != softmax.getType())
    return "no matrix product of queries and keys precedes the softmax";
  absorbed.push_back(scores.first);
  ScaledValue query = withoutScale(scores.first.getLhs(), absorbed);
  ScaledValue key = withoutScale(scores.first.getRhs(), absorbed);
  scores.query = query.value;
  scores.key = key.value;
  scores.scale = scaled.scale * query.scale * key.scale;
  if (!(scores.scale > 0) || !std::isfinite(scores.scale))
    return "the scale of the scores is not positive";
  return {};
}

/// Reads downwards from a softmax to the product with the values. Empty on success.
llvm::StringRef matchValues(sd::SoftmaxOp softmax, Scores &scores) {
  Value probabilities = softmax;
  while (auto cast = dyn_cast_or_null<sd::CastOp>(onlyUser(probabilities))) {
    if (!isa<FloatType>(getElementTypeOrSelf(cast.getResult())))
      return "the probabilities are cast to integers";
    scores.absorbed.push_back(cast);
    probabilities = cast;
  }
  scores.second = dyn_cast_or_null<sd::MatmulOp>(onlyUser(probabilities));
  if (!scores.second || scores.second.getLhs() != probabilities)
    return "the probabilities are not read by one matrix product with values only";
  scores.absorbed.push_back(scores.second);
  scores.value = scores.second.getRhs();
  return {};
}

struct Heads {
  int64_t batch, count, width;
};

/// How tokens and channels of all heads lie: as attention needs them, or as in pictures.
enum class Order { TokensFirst, ChannelsFirst };

/// Channels of a picture before its pixels are those of more heads of fewer pictures as well: the
/// value's own batch tells.
bool mayBe(Order order, const Heads &heads, Value value) {
  return order == Order::TokensFirst || shapeOf(value).front() == heads.batch;
}

/// [batch, tokens, heads * width] or [batch, heads * width, tokens].
SmallVector<int64_t> shapeIn(Order order, const Heads &heads, int64_t tokens) {
  const int64_t channels = heads.count * heads.width;
  return order == Order::TokensFirst ? SmallVector<int64_t>{heads.batch, tokens, channels}
                                     : SmallVector<int64_t>{heads.batch, channels, tokens};
}

/// The view of [batch, heads, tokens, width] split from row-major shapeIn(order).
StridedView splitHeads(Order order, const Heads &heads, int64_t tokens) {
  if (order == Order::ChannelsFirst)
    return StridedView::rowMajor({heads.batch, heads.count, heads.width, tokens})
        .transposed({0, 1, 3, 2});
  return StridedView::rowMajor({heads.batch, tokens, heads.count, heads.width})
      .transposed({0, 2, 1, 3});
}

/// The value of shapeIn(order) (in some shape) whose heads `value` shows, where `value` is [batch,
/// heads, tokens, width], or with `transposed` [batch, heads, width, tokens]; batch and heads may
/// be one dimension. Null if there is none.
Value sourceOfHeads(Value value, bool transposed, Order order, const Heads &heads, int64_t tokens,
                    AbsorbedOps &absorbed) {
  SmallVector<Operation *> chain = shapeChain(value);
  SmallVector<int64_t> split{heads.batch, heads.count, tokens, heads.width};
  StridedView expected = splitHeads(order, heads, tokens);
  if (transposed) {
    std::swap(split[2], split[3]);
    expected = expected.transposed({0, 1, 3, 2});
  }
  // The last match counts, but none beyond the shape that attention needs.
  const SmallVector<int64_t> wanted = shapeIn(order, heads, tokens);
  size_t matched = 0;
  for (size_t count = 1; count <= chain.size(); ++count) {
    std::optional<StridedView> view = viewOverChain(chain, count);
    if (view)
      view = view->reshaped(split);
    if (!view || *view != expected || !mayBe(order, heads, chain[count - 1]->getOperand(0)))
      continue;
    matched = count;
    if (shapeOf(chain[count - 1]->getOperand(0)) == llvm::ArrayRef(wanted))
      break;
  }
  if (matched > 0) {
    absorbed.append(chain.begin(), chain.begin() + matched);
    return chain[matched - 1]->getOperand(0);
  }
  return StridedView::rowMajor(split) == expected && mayBe(order, heads, value) ? value : Value();
}

/// The first value below the second product that is shapeIn(order) in row-major order, in that
/// shape if it is ever given. Null if there is none.
Value joinedHeads(Value product, Order order, const Heads &heads, int64_t tokens,
                  AbsorbedOps &absorbed) {
  // In a view over the product's buffer.
  const bool tokensFirst = order == Order::TokensFirst;
  const SmallVector<int64_t> split =
      tokensFirst ? SmallVector<int64_t>{heads.batch, tokens, heads.count, heads.width}
                  : SmallVector<int64_t>{heads.batch, heads.count, heads.width, tokens};
  const SmallVector<int64_t> wanted = shapeIn(order, heads, tokens);
  StridedView expected = StridedView::rowMajor({heads.batch, heads.count, tokens, heads.width})
                             .transposed(tokensFirst ? SmallVector<int64_t>{0, 2, 1, 3}
                                                     : SmallVector<int64_t>{0, 1, 3, 2});
  StridedView view = StridedView::rowMajor(shapeOf(product));
  Value value = product, joined;
  AbsorbedOps ops;
  while (true) {
    std::optional<StridedView> inHeads = view.reshaped(split);
    if (inHeads && *inHeads == expected && mayBe(order, heads, value)) {
      joined = value;
      absorbed.append(ops);
      ops.clear();
    }
    Operation *user = onlyUser(value);
    bool isShapeOp = isa_and_nonnull<sd::ReshapeOp, sd::TransposeOp>(user);
    if (!isShapeOp || (joined && shapeOf(joined) == llvm::ArrayRef(wanted)))
      return joined;
    std::optional<StridedView> next = viewThrough(user, view);
    if (!next || (joined && isa<sd::TransposeOp>(user)))
      return joined;
    ops.push_back(user);
    view = std::move(*next);
    value = user->getResult(0);
  }
}

/// A value of shapeIn(order), in some shape.
struct Ordered {
  Value value;
  Order order = Order::TokensFirst;
};

struct Matched {
  Heads heads;
  Ordered query, key, value, joined;
};

constexpr Order kOrders[] = {Order::TokensFirst, Order::ChannelsFirst};

Ordered sourceOfHeads(Value value, bool transposed, const Heads &heads, int64_t tokens,
                      AbsorbedOps &absorbed) {
  for (Order order : kOrders)
    if (Value source = sourceOfHeads(value, transposed, order, heads, tokens, absorbed))
      return {source, order};
  return {};
}

Ordered joinedHeads(Value product, const Heads &heads, int64_t tokens, AbsorbedOps &absorbed) {
  for (Order order : kOrders)
    if (Value joined = joinedHeads(product, order, heads, tokens, absorbed))
      return {joined, order};
  return {};
}

/// Tries one split of the leading dimensions into batch and heads.
bool matchHeads(Scores &scores, const Heads &heads, int64_t queries, int64_t keys, Matched &match) {
  AbsorbedOps absorbed;
  match.heads = heads;
  match.query = sourceOfHeads(scores.query, false, heads, queries, absorbed);
  if (match.query.value)
    match.key = sourceOfHeads(scores.key, true, heads, keys, absorbed);
  if (match.key.value)
    match.value = sourceOfHeads(scores.value, false, heads, keys, absorbed);
  if (match.value.value)
    match.joined = joinedHeads(scores.second, heads, queries, absorbed);
  if (!match.joined.value)
    return false;
  // Before the heads were split.
  for (Value *source : {&match.query.value, &match.key.value}) {
    AbsorbedOps scalings;
    const ScaledValue unscaled = withoutScale(*source, scalings);
    if (!(unscaled.scale > 0) || !std::isfinite(scores.scale * unscaled.scale))
      continue;
    *source = unscaled.value;
    scores.scale *= unscaled.scale;
    absorbed.append(scalings);
  }
  scores.absorbed.append(absorbed);
  return true;
}

/// The scale a head of this width should have, if `scale` is it up to rounding in f32.
double snapped(double scale, int64_t width) {
  double expected = 1 / std::sqrt(static_cast<double>(width));
  return std::abs(scale - expected) <= 1e-6 * expected ? expected : scale;
}

/// [batch, tokens, heads * width].
Value tokensFirst(OpBuilder &builder, const Ordered &source, const Heads &heads, int64_t tokens) {
  Value value = reshapeTo(builder, source.value, shapeIn(source.order, heads, tokens));
  return source.order == Order::TokensFirst ? value
                                            : transposeBy(builder, value, {0, 2, 1}, "/tokens");
}

void rewrite(Scores &scores, const Matched &match, int64_t queries, int64_t keys) {
  Operation *root = match.joined.value.getDefiningOp();
  OpBuilder builder(root);
  const Heads &heads = match.heads;
  Value query = tokensFirst(builder, match.query, heads, queries);
  Value key = tokensFirst(builder, match.key, heads, keys);
  Value value = tokensFirst(builder, match.value, heads, keys);
  // In program order, so that nodes are listed as they ran.
  llvm::sort(scores.absorbed, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  scores.absorbed.erase(llvm::unique(scores.absorbed), scores.absorbed.end());
  llvm::erase(scores.absorbed, root);
  Value result =
      sd::AttentionOp::create(builder, sd::fuseLocs(root, scores.absorbed), query, key, value,
                              builder.getI64IntegerAttr(heads.count),
                              builder.getF64FloatAttr(snapped(scores.scale, heads.width)),
                              builder.getBoolAttr(scores.causal));
  if (match.joined.order == Order::ChannelsFirst)
    result = transposeBy(builder, result, {0, 2, 1}, "/channels");
  replaceWith(root, reshapeTo(builder, result, shapeOf(match.joined.value)), kPass);
}

/// Empty on success, else why the idiom does not match.
llvm::StringRef form(sd::SoftmaxOp softmax) {
  Scores scores;
  if (llvm::StringRef reason = matchScores(softmax, scores); !reason.empty())
    return reason;
  if (llvm::StringRef reason = matchValues(softmax, scores); !reason.empty())
    return reason;
  llvm::ArrayRef<int64_t> shape = shapeOf(softmax);
  llvm::ArrayRef<int64_t> q = shapeOf(scores.query), k = shapeOf(scores.key),
                          v = shapeOf(scores.value);
  size_t rank = shape.size();
  int64_t queries = shape[rank - 2], keys = shape[rank - 1], width = q.back();
  if (q.size() != rank || k.size() != rank || v.size() != rank || rank > 4 ||
      q.drop_back(2) != shape.drop_back(2) || k.drop_back(2) != shape.drop_back(2) ||
      v.drop_back(2) != shape.drop_back(2) || v.back() != width)
    return "queries, keys and values differ in batch, heads or width";
  int64_t leading = shape[0] * (rank == 4 ? shape[1] : 1);
  for (int64_t count = leading; count >= 1; --count) {
    if (leading % count != 0 || (rank == 4 && count != shape[1]))
      continue;
    Matched match;
    if (!matchHeads(scores, {leading / count, count, width}, queries, keys, match))
      continue;
    rewrite(scores, match, queries, keys);
    return {};
  }
  return "heads are not split from, and joined to, [batch, tokens, heads * width] or [batch, heads "
         "* "
         "width, tokens]";
}

struct FormAttention : impl::FormAttentionBase<FormAttention> {
  void runOnOperation() override {
    for (auto softmax : collect<sd::SoftmaxOp>(getOperation()))
      if (llvm::StringRef reason = form(softmax); !reason.empty())
        remarkMissed(softmax, kPass, reason);
    eraseUnused(getOperation());
  }
};

} // namespace
} // namespace sdopt
