//===- SdShapes.cpp - shape inference, which is verification too ------------===//

#include "dialects/sd/Sd.h"

#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace sdopt::sd;

using Types = llvm::SmallVectorImpl<Type>;
using OptionalLoc = std::optional<Location>;

namespace {

llvm::ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}
Type elementOf(Value value) { return cast<RankedTensorType>(value.getType()).getElementType(); }
int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

std::string text(llvm::ArrayRef<int64_t> shape) {
  std::string result;
  llvm::raw_string_ostream stream(result);
  llvm::interleave(shape, stream, "x");
  return shape.empty() ? "scalar" : result;
}

template <typename Op, typename... Args> LogicalResult fail(OptionalLoc loc, Args &&...args) {
  return emitOptionalError(loc, "'", Op::getOperationName(), "' op ", std::forward<Args>(args)...);
}

LogicalResult give(Types &types, llvm::ArrayRef<int64_t> shape, Type element) {
  types.push_back(RankedTensorType::get(shape, element));
  return success();
}

/// An axis in [-rank, rank) as one in [0, rank).
FailureOr<int64_t> normalizedAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return failure();
  return axis < 0 ? axis + rank : axis;
}

template <typename Op> LogicalResult sameAsInput(Value input, Types &types) {
  types.push_back(input.getType());
  return success();
}

/// Checks that an optional vector operand is [size].
template <typename Op>
LogicalResult checkVector(OptionalLoc loc, Value value, int64_t size, llvm::StringRef what) {
  if (!value || shapeOf(value) == llvm::ArrayRef<int64_t>(size))
    return success();
  return fail<Op>(loc, what, " has shape ", text(shapeOf(value)), " but ", size, " channels need ",
                  size);
}

/// Codes need scales, floats must not have them.
template <typename Op>
LogicalResult checkScales(OptionalLoc loc, Value weights, Value scales, int64_t size) {
  bool codes = elementOf(weights).isSignlessInteger(8);
  if (codes != static_cast<bool>(scales))
    return fail<Op>(loc, codes ? "weights are int8 codes but have no scales"
                               : "weights are float but scales are given");
  return checkVector<Op>(loc, scales, size, "scales");
}

int64_t outputExtent(int64_t input, int64_t kernel, int64_t stride, int64_t dilation,
                     int64_t pads) {
  int64_t span = (kernel - 1) * dilation + 1;
  return input + pads < span ? 0 : (input + pads - span) / stride + 1;
}

} // namespace

bool sdopt::sd::haveSameShapes(TypeRange lhs, TypeRange rhs) {
  return lhs.size() == rhs.size() && llvm::all_of(llvm::zip(lhs, rhs), [](auto pair) {
           auto a = dyn_cast<RankedTensorType>(std::get<0>(pair));
           auto b = dyn_cast<RankedTensorType>(std::get<1>(pair));
           return a && b && a.getShape() == b.getShape();
         });
}

FailureOr<llvm::SmallVector<int64_t>> sdopt::sd::broadcastShapes(llvm::ArrayRef<int64_t> lhs,
                                                                 llvm::ArrayRef<int64_t> rhs) {
  llvm::SmallVector<int64_t> result(std::max(lhs.size(), rhs.size()));
  for (size_t i = 0; i < result.size(); ++i) {
    int64_t a = i < lhs.size() ? lhs[lhs.size() - 1 - i] : 1;
    int64_t b = i < rhs.size() ? rhs[rhs.size() - 1 - i] : 1;
    if (a != b && a != 1 && b != 1)
      return failure();
    result[result.size() - 1 - i] = a == 1 ? b : a;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Plain operators
//===----------------------------------------------------------------------===//

LogicalResult UnaryOp::inferReturnTypes(MLIRContext *, OptionalLoc, Adaptor op, Types &types) {
  return sameAsInput<UnaryOp>(op.getInput(), types);
}

LogicalResult BinaryOp::inferReturnTypes(MLIRContext *context, OptionalLoc loc, Adaptor op,
                                         Types &types) {
  if (elementOf(op.getLhs()) != elementOf(op.getRhs()))
    return fail<BinaryOp>(loc, "operands have element types ", elementOf(op.getLhs()), " and ",
                          elementOf(op.getRhs()), " but need one");
  auto shape = broadcastShapes(shapeOf(op.getLhs()), shapeOf(op.getRhs()));
  if (failed(shape))
    return fail<BinaryOp>(loc, "shapes ", text(shapeOf(op.getLhs())), " and ",
                          text(shapeOf(op.getRhs())), " do not broadcast");
  bool comparison = op.getFunction() >= BinaryKind::equal;
  return give(types, *shape,
              comparison ? Type(IntegerType::get(context, 1)) : elementOf(op.getLhs()));
}

LogicalResult WhereOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  if (!elementOf(op.getCondition()).isInteger(1) ||
      elementOf(op.getLhs()) != elementOf(op.getRhs()))
    return fail<WhereOp>(loc, "needs an i1 condition and two operands of one element type");
  auto shape = broadcastShapes(shapeOf(op.getLhs()), shapeOf(op.getRhs()));
  if (succeeded(shape))
    shape = broadcastShapes(*shape, shapeOf(op.getCondition()));
  if (failed(shape))
    return fail<WhereOp>(loc, "shapes ", text(shapeOf(op.getCondition())), ", ",
                         text(shapeOf(op.getLhs())), " and ", text(shapeOf(op.getRhs())),
                         " do not broadcast");
  return give(types, *shape, elementOf(op.getLhs()));
}

LogicalResult TransposeOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                            Types &types) {
  llvm::ArrayRef<int64_t> input = shapeOf(op.getInput()), permutation = op.getPermutation();
  llvm::SmallBitVector seen(input.size());
  llvm::SmallVector<int64_t> shape;
  for (int64_t axis : permutation) {
    if (axis < 0 || axis >= static_cast<int64_t>(input.size()) || seen[axis])
      return fail<TransposeOp>(loc, "permutation is not one of ", input.size(), " dimensions");
    seen.set(axis);
    shape.push_back(input[axis]);
  }
  if (shape.size() != input.size())
    return fail<TransposeOp>(loc, "permutation has ", shape.size(), " entries but the input has ",
                             input.size(), " dimensions");
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult ConcatOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  if (op.getParts().empty())
    return fail<ConcatOp>(loc, "needs at least one part");
  Value first = op.getParts().front();
  auto axis = normalizedAxis(op.getAxis(), rankOf(first));
  if (failed(axis))
    return fail<ConcatOp>(loc, "axis ", op.getAxis(), " is outside a tensor of rank ",
                          rankOf(first));
  llvm::SmallVector<int64_t> shape(shapeOf(first));
  for (Value part : op.getParts().drop_front()) {
    llvm::SmallVector<int64_t> expected(shapeOf(part));
    if (rankOf(part) != rankOf(first))
      return fail<ConcatOp>(loc, "parts have ranks ", rankOf(first), " and ", rankOf(part));
    expected[*axis] = shape[*axis];
    if (llvm::ArrayRef<int64_t>(expected) != llvm::ArrayRef<int64_t>(shape))
      return fail<ConcatOp>(loc, "parts of shapes ", text(shape), " and ", text(shapeOf(part)),
                            " differ outside axis ", *axis);
    shape[*axis] += shapeOf(part)[*axis];
  }
  return give(types, shape, elementOf(first));
}

LogicalResult SliceOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> input = shapeOf(op.getInput());
  if (op.getStarts().size() != input.size() || op.getEnds().size() != input.size() ||
      op.getSteps().size() != input.size())
    return fail<SliceOp>(loc, "needs one start, end and step for each of ", input.size(),
                         " dimensions");
  llvm::SmallVector<int64_t> shape;
  for (auto [dim, start, end, step] :
       llvm::zip(input, op.getStarts(), op.getEnds(), op.getSteps())) {
    if (step == 0 || start < 0 || start > dim || end < -1 || end > dim)
      return fail<SliceOp>(loc, "range ", start, ":", end, ":", step, " is outside a dimension of ",
                           dim);
    int64_t distance = step > 0 ? end - start : start - end;
    int64_t stride = step > 0 ? step : -step;
    shape.push_back(distance <= 0 ? 0 : (distance + stride - 1) / stride);
  }
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult GatherOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> input = shapeOf(op.getInput());
  auto axis = normalizedAxis(op.getAxis(), input.size());
  if (failed(axis))
    return fail<GatherOp>(loc, "axis ", op.getAxis(), " is outside a tensor of rank ",
                          input.size());
  llvm::SmallVector<int64_t> shape(input.take_front(*axis));
  llvm::append_range(shape, shapeOf(op.getIndices()));
  llvm::append_range(shape, input.drop_front(*axis + 1));
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult GatherNdOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                           Types &types) {
  llvm::ArrayRef<int64_t> input = shapeOf(op.getInput()), indices = shapeOf(op.getIndices());
  int64_t batch = op.getBatchDims();
  if (indices.empty() || batch < 0 ||
      batch >= static_cast<int64_t>(std::min(input.size(), indices.size())) ||
      batch + indices.back() > static_cast<int64_t>(input.size()) || indices.back() < 1)
    return fail<GatherNdOp>(loc, "index tuples of shape ", text(indices),
                            " do not fit an input of shape ", text(input), " with ", batch,
                            " batch dimensions");
  llvm::SmallVector<int64_t> shape(indices.drop_back());
  llvm::append_range(shape, input.drop_front(batch + indices.back()));
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult PadOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> input = shapeOf(op.getInput());
  if (op.getBefore().size() != input.size() || op.getAfter().size() != input.size())
    return fail<PadOp>(loc, "needs padding before and after each of ", input.size(), " dimensions");
  llvm::SmallVector<int64_t> shape;
  for (auto [dim, before, after] : llvm::zip(input, op.getBefore(), op.getAfter())) {
    if (dim + before + after < 1)
      return fail<PadOp>(loc, "crops a dimension of ", dim, " to nothing");
    shape.push_back(dim + before + after);
  }
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult SoftmaxOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                          Types &types) {
  if (failed(normalizedAxis(op.getAxis(), rankOf(op.getInput()))))
    return fail<SoftmaxOp>(loc, "axis ", op.getAxis(), " is outside a tensor of rank ",
                           rankOf(op.getInput()));
  return sameAsInput<SoftmaxOp>(op.getInput(), types);
}

LogicalResult ArgMaxOp::inferReturnTypes(MLIRContext *context, OptionalLoc loc, Adaptor op,
                                         Types &types) {
  llvm::SmallVector<int64_t> shape(shapeOf(op.getInput()));
  auto axis = normalizedAxis(op.getAxis(), shape.size());
  if (failed(axis))
    return fail<ArgMaxOp>(loc, "axis ", op.getAxis(), " is outside a tensor of rank ",
                          shape.size());
  if (shape[*axis] == 0)
    return fail<ArgMaxOp>(loc, "dimension ", *axis, " is empty");
  shape[*axis] = 1;
  if (!op.getKeepDims())
    shape.erase(shape.begin() + *axis);
  return give(types, shape, IntegerType::get(context, 64));
}

LogicalResult ReduceOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> input = shapeOf(op.getInput());
  llvm::SmallBitVector reduced(input.size());
  for (int64_t axis : op.getAxes()) {
    auto normalized = normalizedAxis(axis, input.size());
    if (failed(normalized) || reduced[*normalized])
      return fail<ReduceOp>(loc, "axis ", axis, " is outside a tensor of rank ", input.size(),
                            " or repeated");
    reduced.set(*normalized);
  }
  llvm::SmallVector<int64_t> shape;
  for (size_t i = 0; i < input.size(); ++i)
    if (!reduced[i])
      shape.push_back(input[i]);
    else if (op.getKeepDims())
      shape.push_back(1);
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult MatmulOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> lhs = shapeOf(op.getLhs()), rhs = shapeOf(op.getRhs());
  if (lhs.size() < 2 || rhs.size() < 2)
    return fail<MatmulOp>(loc, "operands of shapes ", text(lhs), " and ", text(rhs),
                          " need rank 2 or more");
  if (lhs.back() != rhs[rhs.size() - 2])
    return fail<MatmulOp>(loc, "inner dimensions ", lhs.back(), " and ", rhs[rhs.size() - 2],
                          " differ");
  auto shape = broadcastShapes(lhs.drop_back(2), rhs.drop_back(2));
  if (failed(shape))
    return fail<MatmulOp>(loc, "leading dimensions of ", text(lhs), " and ", text(rhs),
                          " do not broadcast");
  shape->push_back(lhs[lhs.size() - 2]);
  shape->push_back(rhs.back());
  return give(types, *shape, elementOf(op.getLhs()));
}

//===----------------------------------------------------------------------===//
// Named operators
//===----------------------------------------------------------------------===//

LogicalResult Conv2dOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> x = shapeOf(op.getInput()), w = shapeOf(op.getWeights());
  if (x.size() != 4 || w.size() != 4)
    return fail<Conv2dOp>(loc, "input of shape ", text(x), " and weights of shape ", text(w),
                          " need rank 4");
  if (op.getStrides().size() != 2 || op.getDilations().size() != 2 || op.getPadding().size() != 4)
    return fail<Conv2dOp>(loc, "needs 2 strides, 2 dilations and 4 paddings");
  bool nhwc = op.getLayout() == Layout::nhwc;
  int64_t channels = x[nhwc ? 3 : 1], groups = op.getGroups();
  if (groups < 1 || channels % groups != 0 || channels / groups != w[1] || w[0] % groups != 0)
    return fail<Conv2dOp>(loc, "input has ", channels, " channels, which weights of shape ",
                          text(w), " do not take in ", groups, " groups");
  for (int64_t value : llvm::concat<const int64_t>(op.getStrides(), op.getDilations()))
    if (value < 1)
      return fail<Conv2dOp>(loc, "strides and dilations must be positive, found ", value);
  for (int64_t value : op.getPadding())
    if (value < 0)
      return fail<Conv2dOp>(loc, "padding must not be negative, found ", value);
  int64_t h = outputExtent(x[nhwc ? 1 : 2], w[2], op.getStrides()[0], op.getDilations()[0],
                           op.getPadding()[0] + op.getPadding()[2]);
  int64_t width = outputExtent(x[nhwc ? 2 : 3], w[3], op.getStrides()[1], op.getDilations()[1],
                               op.getPadding()[1] + op.getPadding()[3]);
  if (h < 1 || width < 1)
    return fail<Conv2dOp>(loc, "a kernel of ", w[2], "x", w[3], " does not fit the input of shape ",
                          text(x));
  if (failed(checkScales<Conv2dOp>(loc, op.getWeights(), op.getWeightScales(), w[0])) ||
      failed(checkVector<Conv2dOp>(loc, op.getBias(), w[0], "bias")))
    return failure();
  llvm::SmallVector<int64_t> shape = nhwc ? llvm::SmallVector<int64_t>{x[0], h, width, w[0]}
                                          : llvm::SmallVector<int64_t>{x[0], w[0], h, width};
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult LinearOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> x = shapeOf(op.getInput()), w = shapeOf(op.getWeights());
  if (x.empty() || w.size() != 2 || x.back() != w[1])
    return fail<LinearOp>(loc, "input of shape ", text(x), " does not fit weights of shape ",
                          text(w), " (outputs x inputs)");
  if (failed(checkScales<LinearOp>(loc, op.getWeights(), op.getWeightScales(), w[0])) ||
      failed(checkVector<LinearOp>(loc, op.getBias(), w[0], "bias")))
    return failure();
  llvm::SmallVector<int64_t> shape(x);
  shape.back() = w[0];
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult GroupNormOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                            Types &types) {
  llvm::ArrayRef<int64_t> x = shapeOf(op.getInput());
  if (x.size() < 3)
    return fail<GroupNormOp>(loc, "input of shape ", text(x), " needs rank 3 or more");
  int64_t channels = op.getLayout() == Layout::nhwc ? x.back() : x[1];
  if (op.getGroups() < 1 || channels % op.getGroups() != 0)
    return fail<GroupNormOp>(loc, op.getGroups(), " groups do not divide ", channels, " channels");
  if (!(op.getEpsilon().convertToDouble() >= 0))
    return fail<GroupNormOp>(loc, "epsilon must not be negative");
  if (failed(checkVector<GroupNormOp>(loc, op.getGamma(), channels, "gamma")) ||
      failed(checkVector<GroupNormOp>(loc, op.getBeta(), channels, "beta")))
    return failure();
  return sameAsInput<GroupNormOp>(op.getInput(), types);
}

LogicalResult LayerNormOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                            Types &types) {
  llvm::ArrayRef<int64_t> x = shapeOf(op.getInput());
  if (x.empty())
    return fail<LayerNormOp>(loc, "input is a scalar but needs rank 1 or more");
  if (!(op.getEpsilon().convertToDouble() >= 0))
    return fail<LayerNormOp>(loc, "epsilon must not be negative");
  if (failed(checkVector<LayerNormOp>(loc, op.getGamma(), x.back(), "gamma")) ||
      failed(checkVector<LayerNormOp>(loc, op.getBeta(), x.back(), "beta")))
    return failure();
  return sameAsInput<LayerNormOp>(op.getInput(), types);
}

LogicalResult AttentionOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                            Types &types) {
  llvm::ArrayRef<int64_t> q = shapeOf(op.getQuery()), k = shapeOf(op.getKey()),
                          v = shapeOf(op.getValue());
  if (q.size() != 3 || k.size() != 3 || v != k || q[0] != k[0] || q[2] != k[2])
    return fail<AttentionOp>(loc, "query ", text(q), ", key ", text(k), " and value ", text(v),
                             " need shapes [b, tq, c], [b, tk, c], [b, tk, c]");
  if (op.getHeads() < 1 || q[2] % op.getHeads() != 0)
    return fail<AttentionOp>(loc, op.getHeads(), " heads do not divide ", q[2], " channels");
  if (op.getCausal() && q[1] != k[1])
    return fail<AttentionOp>(loc, "causal attention needs as many queries as keys, found ", q[1],
                             " and ", k[1]);
  double scale = op.getScale().convertToDouble();
  if (!(scale > 0 && scale < 1e30))
    return fail<AttentionOp>(loc, "scale must be positive and finite");
  return sameAsInput<AttentionOp>(op.getQuery(), types);
}

#define SDOPT_POINTWISE(Op)                                                                        \
  LogicalResult Op::inferReturnTypes(MLIRContext *, OptionalLoc, Adaptor op, Types &types) {       \
    return sameAsInput<Op>(op.getInput(), types);                                                  \
  }
SDOPT_POINTWISE(SiluOp)
SDOPT_POINTWISE(GeluOp)
SDOPT_POINTWISE(QuickGeluOp)
SDOPT_POINTWISE(GeluTanhOp)
SDOPT_POINTWISE(SigmoidOp)
#undef SDOPT_POINTWISE

LogicalResult GegluOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::SmallVector<int64_t> shape(shapeOf(op.getInput()));
  if (shape.empty() || shape.back() % 2 != 0)
    return fail<GegluOp>(loc, "the last dimension of ", text(shape), " is not even");
  shape.back() /= 2;
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult RmsNormOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                          Types &types) {
  llvm::ArrayRef<int64_t> x = shapeOf(op.getInput());
  if (x.empty())
    return fail<RmsNormOp>(loc, "input is a scalar but needs rank 1 or more");
  if (!(op.getEpsilon().convertToDouble() >= 0))
    return fail<RmsNormOp>(loc, "epsilon must not be negative");
  if (failed(checkVector<RmsNormOp>(loc, op.getGamma(), x.back(), "gamma")))
    return failure();
  return sameAsInput<RmsNormOp>(op.getInput(), types);
}

/// True if `row` is [b, 1, ..., 1, c] beside [b, ..., c].
static bool isRowOf(llvm::ArrayRef<int64_t> row, llvm::ArrayRef<int64_t> whole) {
  return row.size() == whole.size() && whole.size() >= 2 && row.front() == whole.front() &&
         row.back() == whole.back() &&
         llvm::all_of(row.drop_front().drop_back(), [](int64_t dim) { return dim == 1; });
}

LogicalResult ModulateOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                           Types &types) {
  llvm::ArrayRef<int64_t> x = shapeOf(op.getInput());
  for (Value row : {op.getScale(), op.getShift()})
    if (row && !isRowOf(shapeOf(row), x))
      return fail<ModulateOp>(loc, "scale or shift of shape ", text(shapeOf(row)),
                              " is not [b, 1, ..., c] of the input's ", text(x));
  double offset = op.getOffset().convertToDouble();
  if (!(offset >= 0 && offset <= 0x1p20))
    return fail<ModulateOp>(loc, "offset must be in [0, 2^20]");
  return sameAsInput<ModulateOp>(op.getInput(), types);
}

LogicalResult AddOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op, Types &types) {
  llvm::ArrayRef<int64_t> a = shapeOf(op.getLhs()), b = shapeOf(op.getRhs());
  if (a != b && !isRowOf(b, a))
    return fail<AddOp>(loc, "shapes ", text(a), " and ", text(b),
                       " are neither equal nor [b, ..., c] and [b, 1, c]");
  return give(types, a, elementOf(op.getLhs()));
}

LogicalResult UpsampleOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                           Types &types) {
  llvm::SmallVector<int64_t> shape(shapeOf(op.getInput()));
  llvm::ArrayRef<int64_t> factors = op.getFactors();
  if (shape.size() != 4 || factors.size() != 2 || factors[0] < 1 || factors[1] < 1)
    return fail<UpsampleOp>(loc, "needs a picture of rank 4 and two positive factors");
  unsigned h = op.getLayout() == Layout::nhwc ? 1 : 2;
  shape[h] *= factors[0];
  shape[h + 1] *= factors[1];
  return give(types, shape, elementOf(op.getInput()));
}

LogicalResult EmbeddingOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                            Types &types) {
  llvm::ArrayRef<int64_t> ids = shapeOf(op.getIds()), tokens = shapeOf(op.getTokens());
  llvm::ArrayRef<int64_t> positions = shapeOf(op.getPositions());
  if (ids.size() != 2 || tokens.size() != 2 || positions.size() != 2 || positions[0] != ids[1] ||
      positions[1] != tokens[1])
    return fail<EmbeddingOp>(loc, "ids ", text(ids), ", tokens ", text(tokens), " and positions ",
                             text(positions), " need shapes [b, t], [vocabulary, c], [t, c]");
  if (failed(checkScales<EmbeddingOp>(loc, op.getTokens(), op.getTokenScales(), tokens[0])) ||
      failed(
          checkScales<EmbeddingOp>(loc, op.getPositions(), op.getPositionScales(), positions[0])))
    return failure();
  Type element = elementOf(op.getTokens());
  return give(types, {ids[0], ids[1], tokens[1]}, element);
}

LogicalResult PoolTokenOp::inferReturnTypes(MLIRContext *, OptionalLoc loc, Adaptor op,
                                            Types &types) {
  llvm::ArrayRef<int64_t> hidden = shapeOf(op.getHidden()), ids = shapeOf(op.getIds());
  if (hidden.size() != 3 || ids != hidden.take_front(2))
    return fail<PoolTokenOp>(loc, "hidden ", text(hidden), " and ids ", text(ids),
                             " need shapes [b, t, c], [b, t]");
  return give(types, {hidden[0], hidden[2]}, elementOf(op.getHidden()));
}
