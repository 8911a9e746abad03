//===- ConvertLayers.cpp - products, norms, reductions -----------------------===//

#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <numeric>

using namespace mlir;

namespace sdopt {

namespace {

using sd::BinaryKind;

int64_t product(const Shape &shape, size_t begin, size_t end) {
  return std::accumulate(shape.begin() + begin, shape.begin() + end, int64_t(1),
                         std::multiplies<int64_t>());
}

/// Total padding that keeps ceil(size / stride) pixels.
int64_t samePadding(int64_t size, int64_t kernel, int64_t stride, int64_t dilation) {
  int64_t outputs = (size + stride - 1) / stride;
  return std::max<int64_t>(0, (outputs - 1) * stride + (kernel - 1) * dilation + 1 - size);
}

struct ConvGeometry {
  std::vector<int64_t> strides, dilations, padding;
};

/// `count` values of an attribute, each within [least, 2^20]; else invalid.
std::vector<int64_t> geometryAttribute(NodeImporter &node, const std::string &name, size_t count,
                                       int64_t least, int64_t defaultValue) {
  std::vector<int64_t> values =
      node.integers(name).value_or(std::vector<int64_t>(count, defaultValue));
  if (values.size() != count)
    node.invalid(
        absl::StrCat("attribute ", name, " has ", values.size(), " entries but needs ", count));
  for (int64_t value : values)
    if (value < least || value > (1 << 20))
      node.invalid(absl::StrCat("attribute ", name, " has the impossible entry ", value));
  return values;
}

ConvGeometry convGeometry(NodeImporter &node, const Shape &x, const Shape &w) {
  ConvGeometry geometry{.strides = geometryAttribute(node, "strides", 2, 1, 1),
                        .dilations = geometryAttribute(node, "dilations", 2, 1, 1),
                        .padding = geometryAttribute(node, "pads", 4, 0, 0)};
  std::string autoPad = node.text("auto_pad", "NOTSET");
  if (!node.ok() || autoPad == "NOTSET")
    return geometry;
  geometry.padding.assign(4, 0);
  if (autoPad == "VALID")
    return geometry;
  if (autoPad != "SAME_UPPER" && autoPad != "SAME_LOWER") {
    node.invalid(absl::StrCat("attribute auto_pad is '", autoPad, "'"));
    return geometry;
  }
  for (int i : {0, 1}) {
    int64_t total = samePadding(x[2 + i], w[2 + i], geometry.strides[i], geometry.dilations[i]);
    int64_t small = total / 2;
    geometry.padding[i] = autoPad == "SAME_UPPER" ? small : total - small;
    geometry.padding[2 + i] = total - geometry.padding[i];
  }
  return geometry;
}

} // namespace

void convertConv(NodeImporter &node) {
  Shape x = node.shape(0), w = node.shape(1);
  if (x.size() != 4)
    return node.unsupported(absl::StrCat(static_cast<int64_t>(x.size()) - 2, "-d input"));
  if (w.size() != 4)
    return node.invalid(absl::StrCat("weights of shape ", toString(w), " need rank 4"));
  if (!node.requireFloat(0) || !node.requireFloat(1) ||
      !node.requireConstant({1, 2}, "weights or bias"))
    return;
  std::vector<int64_t> kernel = node.integers("kernel_shape").value_or(Shape{w[2], w[3]});
  if (kernel != Shape{w[2], w[3]})
    return node.invalid(
        absl::StrCat("attribute kernel_shape does not match weights of shape ", toString(w)));
  ConvGeometry geometry = convGeometry(node, x, w);
  int64_t groups = node.integer("group", 1);
  if (!node.ok())
    return;
  node.define(0, node.build().create<sd::Conv2dOp>(
                     node.input(0), node.input(1), OptionalOperand{},
                     OptionalOperand{node.input(2)}, sd::Layout::nchw,
                     ArrayRef<int64_t>(geometry.strides), ArrayRef<int64_t>(geometry.dilations),
                     ArrayRef<int64_t>(geometry.padding), groups, sd::TapShiftsAttr()));
}

/// As a convolution with a kernel that has 1 / pixels at its own channel and 0 elsewhere: the NPU
/// has no other way to sum pixels.
void convertAveragePool(NodeImporter &node) {
  constexpr int64_t kMostWeights = int64_t(1) << 26;
  const Shape x = node.shape(0);
  if (x.size() != 4)
    return node.unsupported(absl::StrCat(static_cast<int64_t>(x.size()) - 2, "-d input"));
  const std::vector<int64_t> kernel = geometryAttribute(node, "kernel_shape", 2, 1, 1);
  if (!node.requireFloat(0) || !node.ok())
    return;
  const Shape w = {x[1], x[1], kernel[0], kernel[1]};
  const ConvGeometry geometry = convGeometry(node, x, w);
  if (!node.ok())
    return;
  const bool isPadded =
      std::ranges::any_of(geometry.padding, [](int64_t pixels) { return pixels != 0; });
  if (isPadded && node.integer("count_include_pad", 0) == 0)
    return node.unsupported("pads that do not count");
  if (node.integer("ceil_mode", 0) != 0)
    return node.unsupported("ceil_mode 1");
  const int64_t pixels = kernel[0] * kernel[1];
  if (x[1] * x[1] > kMostWeights / pixels)
    return node.unsupported(absl::StrCat(pixels, " pixels of ", x[1], " channels"));
  Tensor weights(ElementType::F32, w);
  const std::span<float> values = weights.mutableValues<float>();
  std::ranges::fill(values, 0.0F);
  for (int64_t channel = 0; channel < x[1]; ++channel)
    std::fill_n(values.begin() + channel * (x[1] + 1) * pixels, pixels,
                1.0F / static_cast<float>(pixels));
  ExpressionBuilder &build = node.build();
  node.define(0, build.create<sd::Conv2dOp>(
                     node.input(0), build.constant(weights), OptionalOperand{}, OptionalOperand{},
                     sd::Layout::nchw, ArrayRef<int64_t>(geometry.strides),
                     ArrayRef<int64_t>(geometry.dilations), ArrayRef<int64_t>(geometry.padding),
                     int64_t(1), sd::TapShiftsAttr()));
}

void convertMatMul(NodeImporter &node) {
  if (!node.requireFloat(0) || !node.requireFloat(1))
    return;
  Shape a = node.shape(0), b = node.shape(1);
  if (a.empty() || b.empty())
    return node.invalid("operands must have rank 1 or more");
  ExpressionBuilder &build = node.build();
  Value lhs = a.size() == 1 ? build.reshape(node.input(0), {1, a[0]}) : node.input(0);
  Value rhs = b.size() == 1 ? build.reshape(node.input(1), {b[0], 1}) : node.input(1);
  Value result = build.create<sd::MatmulOp>(lhs, rhs);
  if (!node.ok())
    return;
  // A dimension added to a vector is taken away again.
  Shape shape = shapeOfValue(result);
  if (b.size() == 1)
    shape.pop_back();
  if (a.size() == 1)
    shape.erase(shape.end() - (b.size() == 1 ? 1 : 2));
  node.define(0, build.reshape(result, shape));
}

// alpha op(A) op(B) + beta C: sd.linear when B is constant (weights [n, k]), else sd.matmul.
void convertGemm(NodeImporter &node) {
  double alpha = node.real("alpha", 1), beta = node.real("beta", 1);
  bool transA = node.integer("transA", 0) != 0, transB = node.integer("transB", 0) != 0;
  if (!node.requireFloat(0) || !node.requireFloat(1) || !node.requireFloat(2))
    return;
  if (node.rank(0) != 2 || node.rank(1) != 2)
    return node.invalid("A and B must have rank 2");
  ExpressionBuilder &build = node.build();
  Value a = transA ? build.transpose(node.input(0), {1, 0}) : node.input(0), b = node.input(1);
  Value c = node.input(2);
  if (c && beta != 1)
    c = build.binary(BinaryKind::mul, c, build.scalarLike(c, beta));
  if (c && beta == 0)
    c = Value();
  int64_t channels = node.shape(1)[transB ? 0 : 1];
  bool constantB = build.isConstant(b);
  Value bias;
  if (constantB && c && alpha == 1 && build.isConstant(c) &&
      elementCount(shapeOfValue(c)) == channels && shapeOfValue(c).size() <= 2 &&
      (shapeOfValue(c).empty() ? 1 : shapeOfValue(c).back()) == channels) {
    bias = build.reshape(c, {channels});
    c = Value();
  }
  Value result;
  if (constantB)
    result = build.create<sd::LinearOp>(a, transB ? b : build.transpose(b, {1, 0}),
                                        OptionalOperand{}, OptionalOperand{bias});
  else
    result = build.create<sd::MatmulOp>(a, transB ? build.transpose(b, {1, 0}) : b);
  if (alpha != 1 && result)
    result = build.binary(BinaryKind::mul, result, build.scalarLike(result, alpha));
  if (c) {
    Shape product = result ? shapeOfValue(result) : Shape();
    result = build.binary(BinaryKind::add, result, c);
    if (node.ok() && shapeOfValue(result) != product)
      return node.invalid(absl::StrCat("C of shape ", toString(node.shape(2)),
                                       " does not broadcast to ", toString(product)));
  }
  node.define(0, result);
}

void convertInstanceNormalization(NodeImporter &node) {
  Shape x = node.shape(0);
  if (!node.requireFloat(0) || !node.requireConstant({1, 2}, "scale or bias"))
    return;
  if (x.size() < 3)
    return node.unsupported(absl::StrCat("input of rank ", x.size()));
  node.define(0, node.build().create<sd::GroupNormOp>(node.input(0), node.input(1), node.input(2),
                                                      x[1], APFloat(node.real("epsilon", 1e-5f)),
                                                      sd::Layout::nchw));
}

void convertGroupNormalization(NodeImporter &node) {
  Shape x = node.shape(0);
  int64_t groups = node.integer("num_groups", 0);
  if (!node.requireFloat(0) || !node.requireConstant({1, 2}, "scale or bias"))
    return;
  if (x.size() < 3)
    return node.unsupported(absl::StrCat("input of rank ", x.size()));
  if (groups < 1 || x[1] % groups != 0)
    return node.invalid(absl::StrCat(groups, " groups do not divide ", x[1], " channels"));
  ExpressionBuilder &build = node.build();
  Value gamma = node.input(1), beta = node.input(2);
  // Before opset 21 scale and bias were per group.
  if (node.opset() < 21)
    for (Value *value : {&gamma, &beta}) {
      Value column = build.reshape(*value, {groups, 1});
      *value = build.reshape(build.expand(column, {groups, x[1] / groups}), {x[1]});
    }
  node.define(0, build.create<sd::GroupNormOp>(node.input(0), gamma, beta, groups,
                                               APFloat(node.real("epsilon", 1e-5f)),
                                               sd::Layout::nchw));
}

// sd.layer_norm works on the last dimension: several normalized ones are joined before and parted
// after it.
void convertLayerNormalization(NodeImporter &node) {
  Shape x = node.shape(0);
  int64_t axis = node.normalizedAxis(node.integer("axis", -1), node.rank(0));
  if (!node.requireFloat(0) || !node.requireConstant({1, 2}, "scale or bias"))
    return;
  for (int i : {1, 2})
    if (node.isUsed(i))
      return node.unsupported(i == 1 ? "output Mean" : "output InvStdDev");
  ExpressionBuilder &build = node.build();
  Shape normalized(x.begin() + axis, x.end());
  int64_t channels = product(x, axis, x.size());
  auto vector = [&](Value value) {
    return value ? build.reshape(build.expand(value, normalized), {channels}) : Value();
  };
  Shape joined(x.begin(), x.begin() + axis);
  joined.push_back(channels);
  Value gamma = vector(node.input(1)), beta = vector(node.input(2));
  Value result =
      build.create<sd::LayerNormOp>(build.reshape(node.input(0), joined), gamma,
                                    OptionalOperand{beta}, APFloat(node.real("epsilon", 1e-5f)));
  node.define(0, build.reshape(result, x));
}

void convertSoftmax(NodeImporter &node) {
  bool joinsDimensions = node.opset() < 13;
  int64_t axis = node.normalizedAxis(node.integer("axis", joinsDimensions ? 1 : -1), node.rank(0));
  if (!node.requireFloat(0))
    return;
  Shape x = node.shape(0);
  ExpressionBuilder &build = node.build();
  if (!joinsDimensions || axis == node.rank(0) - 1)
    return node.define(0, build.create<sd::SoftmaxOp>(node.input(0), axis));
  Value rows = build.reshape(node.input(0), {product(x, 0, axis), product(x, axis, x.size())});
  node.define(0, build.reshape(build.create<sd::SoftmaxOp>(rows, 1), x));
}

void convertArgMax(NodeImporter &node) {
  int64_t axis = node.normalizedAxis(node.integer("axis", 0), node.rank(0));
  bool keepDims = node.integer("keepdims", 1) != 0;
  bool selectLast = node.integer("select_last_index", 0) != 0;
  if (node.requireNumber(0))
    node.define(0, node.build().create<sd::ArgMaxOp>(node.input(0), axis, keepDims, selectLast));
}

void convertReduce(NodeImporter &node) {
  constexpr std::pair<const char *, sd::ReductionKind> kKinds[] = {
      {"ReduceMax", sd::ReductionKind::maximum},
      {"ReduceMean", sd::ReductionKind::mean},
      {"ReduceMin", sd::ReductionKind::minimum},
      {"ReduceProd", sd::ReductionKind::prod},
      {"ReduceSum", sd::ReductionKind::sum}};
  bool keepDims = node.integer("keepdims", 1) != 0;
  bool emptyMeansNone = node.integer("noop_with_empty_axes", 0) != 0;
  std::vector<int64_t> axes = node.axes(1, node.rank(0)).value_or(std::vector<int64_t>());
  if (!node.requireNumber(0))
    return;
  if (axes.empty() && emptyMeansNone)
    return node.define(0, node.input(0));
  if (axes.empty()) {
    axes.resize(node.rank(0));
    std::iota(axes.begin(), axes.end(), 0);
  }
  std::sort(axes.begin(), axes.end());
  for (auto [name, kind] : kKinds)
    if (node.type() == name)
      node.define(0, node.build().create<sd::ReduceOp>(kind, node.input(0), ArrayRef<int64_t>(axes),
                                                       keepDims));
}

} // namespace sdopt
