//===- ExportLayers.cpp - layers, norms, attention, embeddings ----------------===//

#include "compiler/export/ExportOps.h"
#include "dialects/sd/FormatNames.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace sdopt {

void exportOp(sd::Conv2dOp op, QdqBuilder &build) {
  Form form = op.getLayout() == sd::Layout::nhwc ? Form::Picture : Form::Plain;
  std::vector<std::string> inputs = {build.tensor(op.getInput(), form),
                                     build.weights(op.getWeights(), op.getWeightScales())};
  if (op.getBias())
    inputs.push_back(build.bias(op.getBias(), op.getInput(), op.getWeightScales()));
  std::string name = build.nameOf(op.getResult());
  onnx::NodeProto &node = build.graph().add("Conv", inputs, std::vector<std::string>{name});
  Shape weights = shapeOf(op.getWeights());
  setAttribute(node, "dilations", Shape(op.getDilations()));
  setAttribute(node, "group", static_cast<int64_t>(op.getGroups()));
  setAttribute(node, "kernel_shape", Shape{weights[2], weights[3]});
  setAttribute(node, "pads", Shape(op.getPadding()));
  setAttribute(node, "strides", Shape(op.getStrides()));
  build.define(op.getResult(), name, form);
}

void exportOp(sd::LinearOp op, QdqBuilder &build) {
  Value result = op.getResult();
  std::string x = build.tensor(op.getInput());
  // [n, k] as Gemm takes them, or [k, n] as MatMul does.
  bool gemm = shapeOf(op.getInput()).size() == 2 && !areTransposed(op.getWeights());
  std::string weights = build.weights(op.getWeights(), op.getWeightScales(), /*transposed=*/!gemm);
  std::string bias =
      op.getBias() ? build.bias(op.getBias(), op.getInput(), op.getWeightScales()) : std::string();
  if (gemm) {
    std::vector<std::string> inputs = {x, weights};
    if (!bias.empty())
      inputs.push_back(bias);
    std::string name = build.nameOf(result);
    onnx::NodeProto &node = build.graph().add("Gemm", inputs, std::vector<std::string>{name});
    setAttribute(node, "transB", static_cast<int64_t>(1));
    return build.define(result, name);
  }
  if (bias.empty())
    return build.defineBy(result, "MatMul", {x, weights});
  build.defineBy(result, "Add", {build.partOf(result, "MatMul", {x, weights}, "product"), bias});
}

void exportOp(sd::GroupNormOp op, QdqBuilder &build) {
  Value result = op.getResult();
  Shape shape = shapeOf(op.getInput());
  bool rows = op.getLayout() == sd::Layout::nhwc && shape.size() != 4;
  Form form = op.getLayout() == sd::Layout::nhwc && !rows ? Form::Picture : Form::Plain;
  std::string x = build.tensor(op.getInput(), form);
  Shape toSecond = {0, static_cast<int64_t>(shape.size()) - 1}, toLast = {0};
  for (size_t i = 1; i + 1 < shape.size(); ++i) {
    toSecond.push_back(static_cast<int64_t>(i));
    toLast.push_back(static_cast<int64_t>(i) + 1);
  }
  toLast.push_back(1);
  if (rows) {
    x = build.partOf(result, "Transpose", {x}, "channels");
    setAttribute(build.graph().last(), "perm", toSecond);
  }
  std::vector<std::string> inputs = {x, build.constant(op.getGamma()),
                                     build.constant(op.getBeta())};
  std::string name = rows ? build.partOf(result, "GroupNormalization", inputs, "normalized")
                          : build.nameOf(result);
  if (!rows)
    build.graph().add("GroupNormalization", inputs, std::vector<std::string>{name});
  setAttribute(build.graph().last(), "epsilon",
               static_cast<float>(op.getEpsilon().convertToDouble()));
  setAttribute(build.graph().last(), "num_groups", static_cast<int64_t>(op.getGroups()));
  if (rows) {
    std::string transposed = build.nameOf(result);
    build.graph().add("Transpose", {name}, std::vector<std::string>{transposed});
    setAttribute(build.graph().last(), "perm", toLast);
    name = transposed;
  }
  build.define(result, name, form);
}

void exportOp(sd::LayerNormOp op, QdqBuilder &build) {
  std::vector<std::string> inputs = {build.tensor(op.getInput()), build.constant(op.getGamma())};
  if (op.getBeta())
    inputs.push_back(build.constant(op.getBeta()));
  std::string name = build.nameOf(op.getResult());
  onnx::NodeProto &node =
      build.graph().add("LayerNormalization", inputs, std::vector<std::string>{name});
  setAttribute(node, "axis", static_cast<int64_t>(-1));
  setAttribute(node, "epsilon", static_cast<float>(op.getEpsilon().convertToDouble()));
  build.define(op.getResult(), name);
}

void exportOp(sd::RmsNormOp op, QdqBuilder &build) {
  Value y = op.getResult();
  std::string x = build.tensor(op.getInput()), name = sd::valueName(y);
  std::string square = build.partOf(y, "Mul", {x, x}, "square");
  std::string mean =
      build.partOf(y, "ReduceMean", {square, build.integers(name + ".axes", {-1})}, "mean");
  std::string epsilon =
      build.scalar(name + ".epsilon", static_cast<float>(op.getEpsilon().convertToDouble()));
  std::string root =
      build.partOf(y, "Sqrt", {build.partOf(y, "Add", {mean, epsilon}, "sum")}, "root");
  std::string unit = build.partOf(y, "Div", {x, root}, "unit");
  build.defineBy(y, "Mul", {unit, build.constant(op.getGamma())});
}

/// Additive mask of scores: query i sees the keys up to i.
static std::string causalMask(QdqBuilder &build, const std::string &wanted, int64_t size) {
  std::vector<float> mask(size * size, 0);
  for (int64_t i = 0; i < size; ++i)
    for (int64_t j = i + 1; j < size; ++j)
      mask[i * size + j] = std::numeric_limits<float>::lowest() / 2;
  return build.floats(wanted, mask, {size, size});
}

void exportOp(sd::AttentionOp op, QdqBuilder &build) {
  Value y = op.getResult();
  std::string name = sd::valueName(y);
  Shape q = shapeOf(op.getQuery()), k = shapeOf(op.getKey());
  int64_t heads = op.getHeads(), width = q[2] / heads;
  auto split = [&](Value value, int64_t tokens, const Shape &order, const char *suffix) {
    std::string shape =
        build.integers(name + "." + suffix + ".shape", {q[0], tokens, heads, width});
    std::string parts =
        build.partOf(y, "Reshape", {build.tensor(value), shape}, std::string(suffix) + ".heads");
    std::string heads = build.partOf(y, "Transpose", {parts}, suffix);
    setAttribute(build.graph().last(), "perm", order);
    return heads;
  };
  std::string query = split(op.getQuery(), q[1], {0, 2, 1, 3}, "query");
  std::string key = split(op.getKey(), k[1], {0, 2, 3, 1}, "key");
  std::string value = split(op.getValue(), k[1], {0, 2, 1, 3}, "value");
  std::string scores = build.partOf(y, "MatMul", {query, key}, "products");
  std::string scale =
      build.scalar(name + ".factor", static_cast<float>(op.getScale().convertToDouble()));
  scores = build.partOf(y, "Mul", {scores, scale}, "scores");
  if (op.getCausal())
    scores = build.partOf(y, "Add", {scores, causalMask(build, name + ".mask", q[1])}, "masked");
  std::string weights = build.partOf(y, "Softmax", {scores}, "weights");
  setAttribute(build.graph().last(), "axis", static_cast<int64_t>(-1));
  std::string sums = build.partOf(y, "MatMul", {weights, value}, "sums");
  std::string rows = build.partOf(y, "Transpose", {sums}, "rows");
  setAttribute(build.graph().last(), "perm", Shape{0, 2, 1, 3});
  build.defineBy(y, "Reshape", {rows, build.integers(name + ".shape", q)});
}

void exportOp(sd::EmbeddingOp op, QdqBuilder &build) {
  Value y = op.getResult();
  std::string tokens = build.weights(op.getTokens(), op.getTokenScales());
  std::string positions = build.weights(op.getPositions(), op.getPositionScales());
  std::string rows = build.partOf(y, "Gather", {tokens, build.tensor(op.getIds())}, "tokens");
  build.defineBy(y, "Add", {rows, positions});
}

void exportOp(sd::TimeEmbeddingOp op, QdqBuilder &build) {
  Value y = op.getResult();
  std::string name = sd::valueName(y);
  Shape shape = shapeOf(y);
  int64_t half = shape[1] / 2;
  constexpr double kLn2 = 0.693147180559945309417;
  double log = deterministicLog2(op.getMaxPeriod().convertToDouble()) * kLn2;
  double divisor = static_cast<double>(half) - op.getFrequencyShift().convertToDouble();
  std::vector<float> frequencies(half);
  for (int64_t i = 0; i < half; ++i)
    frequencies[i] = static_cast<float>(deterministicExp(-log * static_cast<double>(i) / divisor));
  std::string t = build.tensor(op.getTimesteps());
  if (evaluatedType(op.getTimesteps().getType()) == ElementType::I32 ||
      evaluatedType(op.getTimesteps().getType()) == ElementType::I64)
    if (!isQuantized(op.getTimesteps().getType())) {
      t = build.partOf(y, "Cast", {t}, "float");
      setAttribute(build.graph().last(), "to", static_cast<int64_t>(onnx::TensorProto::FLOAT));
    }
  t = build.partOf(y, "Reshape", {t, build.integers(name + ".column", {-1, 1})}, "timesteps");
  std::string phase = build.partOf(
      y, "Mul", {t, build.floats(name + ".frequencies", frequencies, {1, half})}, "phase");
  std::string sines = build.partOf(y, "Sin", {phase}, "sin"),
              cosines = build.partOf(y, "Cos", {phase}, "cos");
  std::vector<std::string> halves = {sines, cosines};
  if (op.getCosFirst())
    std::swap(halves[0], halves[1]);
  std::string row = build.partOf(y, "Concat", halves, "row");
  setAttribute(build.graph().last(), "axis", static_cast<int64_t>(-1));
  build.defineBy(y, "Expand", {row, build.integers(name + ".shape", shape)});
}

void exportOp(sd::PoolTokenOp op, QdqBuilder &build) {
  Value y = op.getResult();
  std::string name = sd::valueName(y);
  ElementType type = evaluatedType(op.getIds().getType());
  std::string token = build.graph().addConstant(
      name + ".token", Tensor::scalar<int64_t>(op.getToken()).converted(type));
  std::string equal = build.partOf(y, "Equal", {build.tensor(op.getIds()), token}, "equal");
  std::string found = build.partOf(y, "Cast", {equal}, "found");
  setAttribute(build.graph().last(), "to", static_cast<int64_t>(onnx::TensorProto::INT32));
  std::string first = build.partOf(y, "ArgMax", {found}, "first");
  setAttribute(build.graph().last(), "axis", static_cast<int64_t>(1));
  setAttribute(build.graph().last(), "keepdims", static_cast<int64_t>(1));
  std::string row =
      build.graph().add("GatherND", {build.tensor(op.getHidden()), first}, sd::valueName(y));
  setAttribute(build.graph().last(), "batch_dims", static_cast<int64_t>(1));
  build.defineMoved(y, row);
}

} // namespace sdopt
