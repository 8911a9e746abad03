//===- ExportElementwise.cpp - activations, sums, moves -----------------------===//

#include "compiler/export/ExportOps.h"

using namespace mlir;

namespace sdopt {

namespace {

/// Dimension of a [b, c, h, w] tensor that dimension `axis` of [b, h, w, c] is.
int64_t pictureAxis(int64_t axis) {
  constexpr int64_t kAxes[] = {0, 2, 3, 1};
  return kAxes[axis];
}

int64_t positiveAxis(int64_t axis, size_t rank) {
  return axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
}

/// x * sigmoid(factor * x).
void exportSwish(Value x, Value y, double factor, QdqBuilder &build) {
  Form form = build.formOf(x);
  std::string input = build.tensor(x, form), scaled = input;
  if (factor != 1)
    scaled = build.partOf(
        y, "Mul", {input, build.scalar(sd::valueName(y) + ".factor", static_cast<float>(factor))},
        "scaled");
  std::string gate = build.partOf(y, "Sigmoid", {scaled}, "gate");
  build.defineBy(y, "Mul", {input, gate}, form);
}

void exportGelu(Value x, Value y, const char *approximate, QdqBuilder &build) {
  Form form = build.formOf(x);
  std::string name = build.nameOf(y);
  onnx::NodeProto &node =
      build.graph().add("Gelu", {build.tensor(x, form)}, std::vector<std::string>{name});
  setAttribute(node, "approximate", std::string(approximate));
  build.define(y, name, form);
}

} // namespace

void exportOp(sd::SiluOp op, QdqBuilder &build) {
  exportSwish(op.getInput(), op.getResult(), 1, build);
}

void exportOp(sd::QuickGeluOp op, QdqBuilder &build) {
  exportSwish(op.getInput(), op.getResult(), 1.702, build);
}

void exportOp(sd::GeluOp op, QdqBuilder &build) {
  exportGelu(op.getInput(), op.getResult(), "none", build);
}

void exportOp(sd::GeluTanhOp op, QdqBuilder &build) {
  exportGelu(op.getInput(), op.getResult(), "tanh", build);
}

void exportOp(sd::SigmoidOp op, QdqBuilder &build) {
  Form form = build.formOf(op.getInput());
  build.defineBy(op.getResult(), "Sigmoid", {build.tensor(op.getInput(), form)}, form);
}

void exportOp(sd::GegluOp op, QdqBuilder &build) {
  Value y = op.getResult();
  std::string name = sd::valueName(y);
  std::string left = build.graph().tensorName(name + ".left"),
              right = build.graph().tensorName(name + ".right");
  onnx::NodeProto &node = build.graph().add("Split", {build.tensor(op.getInput())},
                                            std::vector<std::string>{left, right});
  setAttribute(node, "axis", static_cast<int64_t>(-1));
  setAttribute(node, "num_outputs", static_cast<int64_t>(2));
  std::string gate = build.partOf(y, "Gelu", {right}, "gate");
  build.defineBy(y, "Mul", {left, gate});
}

void exportOp(sd::AddOp op, QdqBuilder &build) {
  Form form = build.formOf(op.getLhs());
  build.defineBy(op.getResult(), "Add",
                 {build.tensor(op.getLhs(), form), build.tensor(op.getRhs(), form)}, form);
}

void exportOp(sd::ModulateOp op, QdqBuilder &build) {
  Value y = op.getResult();
  Form form = build.formOf(op.getInput());
  std::string gain = build.tensor(op.getScale(), form);
  if (double offset = op.getOffset().convertToDouble(); offset != 0)
    gain = build.partOf(
        y, "Add", {gain, build.scalar(sd::valueName(y) + ".offset", static_cast<float>(offset))},
        "gain");
  std::string x = build.tensor(op.getInput(), form);
  if (!op.getShift())
    return build.defineBy(y, "Mul", {x, gain}, form);
  std::string scaled = build.partOf(y, "Mul", {x, gain}, "scaled");
  build.defineBy(y, "Add", {scaled, build.tensor(op.getShift(), form)}, form);
}

void exportOp(sd::ConcatOp op, QdqBuilder &build) {
  Form form = build.formOf(op.getParts().front());
  std::vector<std::string> parts;
  for (auto [i, value] : llvm::enumerate(op.getParts())) {
    std::string part = build.tensor(value, form);
    if (double factor = sd::partFactor(op, i); factor != 1) {
      std::string suffix = "part" + std::to_string(i);
      std::string constant = build.scalar(sd::valueName(op.getResult()) + "." + suffix + ".factor",
                                          static_cast<float>(factor));
      part = build.partOf(op.getResult(), "Mul", {part, constant}, suffix);
    }
    parts.push_back(part);
  }
  int64_t axis = positiveAxis(op.getAxis(), shapeOf(op.getResult()).size());
  std::string name = build.nameOf(op.getResult());
  onnx::NodeProto &node = build.graph().add("Concat", parts, std::vector<std::string>{name});
  setAttribute(node, "axis", form == Form::Picture ? pictureAxis(axis) : axis);
  build.define(op.getResult(), name, form);
}

void exportOp(sd::UpsampleOp op, QdqBuilder &build) {
  Form form = op.getLayout() == sd::Layout::nhwc ? Form::Picture : Form::Plain;
  std::string name = build.nameOf(op.getResult());
  auto factor = [&](int i) { return static_cast<float>(op.getFactors()[i]); };
  std::string scales =
      build.floats(sd::valueName(op.getResult()) + ".factors", {1, 1, factor(0), factor(1)}, {4});
  onnx::NodeProto &node = build.graph().add(
      "Resize", {build.tensor(op.getInput(), form), "", scales}, std::vector<std::string>{name});
  setAttribute(node, "coordinate_transformation_mode", std::string("asymmetric"));
  setAttribute(node, "mode", std::string("nearest"));
  setAttribute(node, "nearest_mode", std::string("floor"));
  build.defineMoved(op.getResult(), name, form);
}

void exportOp(sd::RequantizeOp op, QdqBuilder &build) {
  Form form = build.formOf(op.getInput());
  build.define(op.getResult(), build.tensor(op.getInput(), form), form);
}

void exportOp(sd::DequantizeOp op, QdqBuilder &build) {
  // Results of the function get a DequantizeLinear of their own.
  bool isResult = llvm::all_of(
      op->getUsers(), [](Operation *user) { return user->hasTrait<OpTrait::IsTerminator>(); });
  if (isResult)
    return;
  Form form = build.formOf(op.getInput());
  build.defineMoved(op.getResult(), build.tensor(op.getInput(), form), form);
}

void exportOp(sd::QuantizeOp op, QdqBuilder &build) {
  Value x = op.getInput(), y = op.getResult();
  if (x.getDefiningOp() && isConstantExpression(x.getDefiningOp()))
    return build.defineKnownCodes(y, y);
  if (std::optional<int32_t> bits = sd::fractionBits(y.getType())) {
    // Timesteps in fixed point: floor(x 2^f + 1/2) 2^-f.
    std::string name = sd::valueName(y);
    auto steps = static_cast<float>(int64_t(1) << *bits);
    std::string scaled =
        build.partOf(y, "Mul", {build.tensor(x), build.scalar(name + ".steps", steps)}, "scaled");
    std::string half = build.partOf(y, "Add", {scaled, build.scalar(name + ".half", 0.5f)}, "half");
    std::string floor = build.partOf(y, "Floor", {half}, "floor");
    return build.defineMoved(
        y, build.partOf(y, "Div", {floor, build.scalar(name + ".unit", steps)}, "rounded"));
  }
  Form form = build.formOf(x);
  build.define(y, build.tensor(x, form), form);
}

void exportOp(sd::ReshapeOp op, QdqBuilder &build) {
  std::string shape =
      build.integers(sd::valueName(op.getResult()) + ".shape", shapeOf(op.getResult()));
  build.defineMoved(op.getResult(),
                    build.graph().add("Reshape", {build.tensor(op.getInput()), shape},
                                      sd::valueName(op.getResult())));
}

void exportOp(sd::TransposeOp op, QdqBuilder &build) {
  const Shape toPicture = {0, 2, 3, 1}, toPlain = {0, 3, 1, 2};
  Shape order(op.getPermutation());
  Value x = op.getInput(), y = op.getResult();
  if (order == toPicture)
    return build.defineMoved(y, build.tensor(x), Form::Picture);
  if (order == toPlain && build.formOf(x) == Form::Picture)
    return build.defineMoved(y, build.tensor(x, Form::Picture));
  std::string name = build.graph().add("Transpose", {build.tensor(x)}, sd::valueName(y));
  setAttribute(build.graph().last(), "perm", order);
  build.defineMoved(y, name);
}

void exportOp(sd::SliceOp op, QdqBuilder &build) {
  std::string name = sd::valueName(op.getResult());
  Shape ends(op.getEnds()), steps(op.getSteps());
  // An end before the first element is -1 here and counts from the back there.
  for (size_t i = 0; i < ends.size(); ++i)
    if (steps[i] < 0 && ends[i] < 0)
      ends[i] = std::numeric_limits<int64_t>::min() / 2;
  Shape axes(ends.size());
  for (size_t i = 0; i < axes.size(); ++i)
    axes[i] = static_cast<int64_t>(i);
  std::vector<std::string> inputs = {
      build.tensor(op.getInput()), build.integers(name + ".starts", Shape(op.getStarts())),
      build.integers(name + ".ends", ends), build.integers(name + ".axes", axes),
      build.integers(name + ".steps", steps)};
  build.defineMoved(op.getResult(), build.graph().add("Slice", inputs, name));
}

} // namespace sdopt
