//===- ConvertConstants.cpp - operators whose result is known at once --------===//

#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

template <typename T> Value vectorOf(ExpressionBuilder &build, const std::vector<T> &values) {
  return build.constant<T>({static_cast<int64_t>(values.size())}, std::span<const T>(values));
}

/// A constant of one value everywhere; large ones stay an expression.
Value filled(ExpressionBuilder &build, const Tensor &scalar, const Shape &shape) {
  return build.expand(build.constant(scalar), shape);
}

Tensor boolScalar(bool value) {
  Tensor scalar(ElementType::Bool, {});
  scalar.mutableValues<uint8_t>()[0] = value;
  return scalar;
}

/// start, start + delta, ... before limit.
template <typename T>
void defineRange(NodeImporter &node, const Tensor &start, const Tensor &limit,
                 const Tensor &delta) {
  constexpr double kMost = double(int64_t(1) << 26);
  T first = start.values<T>()[0], step = delta.values<T>()[0];
  double distance = static_cast<double>(limit.values<T>()[0]) - static_cast<double>(first);
  double count = std::max(0.0, std::ceil(distance / static_cast<double>(step)));
  if (!(count <= kMost))
    return node.invalid(absl::StrCat("a range of ", count, " elements"));
  std::vector<T> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    if constexpr (std::is_integral_v<T>) // the product may wrap where the sum does not
      values[i] = static_cast<T>(static_cast<uint64_t>(first) + i * static_cast<uint64_t>(step));
    else
      values[i] = first + static_cast<T>(i) * step;
  node.define(0, vectorOf(node.build(), values));
}

} // namespace

void convertConstant(NodeImporter &node) {
  ExpressionBuilder &build = node.build();
  if (node.hasAttribute("value"))
    return node.define(0, build.constant(node.tensor("value")));
  if (node.hasAttribute("value_float"))
    return node.define(
        0, build.constant(Tensor::scalar(static_cast<float>(node.real("value_float", 0)))));
  if (node.hasAttribute("value_int"))
    return node.define(0, build.constant(Tensor::scalar<int64_t>(node.integer("value_int", 0))));
  if (node.hasAttribute("value_floats"))
    return node.define(0, vectorOf(build, node.reals("value_floats")));
  if (node.hasAttribute("value_ints")) {
    if (std::optional<std::vector<int64_t>> values = node.integers("value_ints"))
      node.define(0, vectorOf(build, *values));
    return;
  }
  node.invalid("the constant has no value");
}

void convertConstantOfShape(NodeImporter &node) {
  Shape shape = node.integerInput(0, "shape");
  Tensor value = node.hasAttribute("value") ? node.tensor("value") : Tensor::scalar(0.0f);
  if (!node.ok())
    return;
  if (value.size() != 1)
    return node.invalid("attribute value must have one element");
  if (!checkedElementCount(shape))
    return node.invalid("the shape is impossible or has more than 2^40 elements");
  node.define(0, filled(node.build(), value.reshaped({}), shape));
}

void convertIdentity(NodeImporter &node) { node.define(0, node.input(0)); }

void convertDropout(NodeImporter &node) {
  if (node.has(2)) {
    Tensor training = node.constantInput(2, "training_mode");
    if (!node.ok())
      return;
    if (training.type() != ElementType::Bool || training.size() != 1)
      return node.invalid("input 2 (training_mode) must be one bool");
    if (training.values<uint8_t>()[0] != 0)
      return node.unsupported("training mode");
  }
  node.define(0, node.input(0));
  if (node.isUsed(1))
    node.define(1, filled(node.build(), boolScalar(true), node.shape(0)));
}

void convertShape(NodeImporter &node) {
  Shape shape = node.shape(0);
  int64_t rank = node.rank(0);
  auto clamped = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + rank : i, 0, rank); };
  int64_t start = clamped(node.integer("start", 0)), end = clamped(node.integer("end", rank));
  std::vector<int64_t> part;
  for (int64_t i = start; i < end; ++i)
    part.push_back(shape[i]);
  node.define(0, vectorOf(node.build(), part));
}

void convertSize(NodeImporter &node) {
  node.define(0, node.build().constant(Tensor::scalar<int64_t>(elementCount(node.shape(0)))));
}

void convertRange(NodeImporter &node) {
  Tensor start = node.constantInput(0, "start"), limit = node.constantInput(1, "limit"),
         delta = node.constantInput(2, "delta");
  if (!node.ok())
    return;
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1 || start.type() != limit.type() ||
      start.type() != delta.type())
    return node.invalid("start, limit and delta must be scalars of one type");
  Tensor step = delta.converted(ElementType::F32);
  if (step.values<float>()[0] == 0)
    return node.invalid("delta is zero");
  if (start.type() == ElementType::F32)
    return defineRange<float>(node, start, limit, delta);
  if (start.type() == ElementType::I32)
    return defineRange<int32_t>(node, start, limit, delta);
  if (start.type() == ElementType::I64)
    return defineRange<int64_t>(node, start, limit, delta);
  node.unsupported(absl::StrCat("elements of type ", name(start.type())));
}

// where(mask, x, 0): the mask is constant, so that a constant x folds.
void convertTrilu(NodeImporter &node) {
  Shape shape = node.shape(0);
  int64_t k = 0;
  if (node.has(1)) {
    std::vector<int64_t> value = node.integerInput(1, "k");
    if (node.ok() && value.size() != 1)
      node.invalid("input 1 (k) must be one number");
    if (node.ok())
      k = value[0];
  }
  bool upper = node.integer("upper", 1) != 0;
  if (!node.ok())
    return;
  if (shape.size() < 2)
    return node.invalid("the input must have rank 2 or more");
  int64_t rows = shape[shape.size() - 2], columns = shape.back();
  if (columns > 0 && rows > (int64_t(1) << 26) / columns)
    return node.unsupported("a matrix of more than 2^26 elements");
  k = std::clamp(k, -rows, columns);
  Tensor mask(ElementType::Bool, {rows, columns});
  std::span<uint8_t> kept = mask.mutableValues<uint8_t>();
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      kept[i * columns + j] = upper ? j - i >= k : j - i <= k;
  ExpressionBuilder &build = node.build();
  node.define(0, build.create<sd::WhereOp>(build.constant(mask), node.input(0),
                                           build.scalarLike(node.input(0), 0)));
}

} // namespace sdopt
