//===- QuantizedModelsTest.cpp - QuantizeLinear and DequantizeLinear ----------===//

#include "compiler/import/Import.h"
#include "compiler/reference/Evaluator.h"
#include "tests/import/ModelBuilder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

using namespace mlir;
using testing::ElementsAre;

namespace sdopt {
namespace {

/// y = x + DequantizeLinear(c), c [2, 3].
struct Codes : ModelBuilder {
  explicit Codes(int opset = 21) : ModelBuilder(opset) {
    input("x", {2, 3});
    output("y");
  }

  /// Typed fields hold any of the integer types; half-precision numbers by their bits.
  void constant(const std::string &name, int type, const Shape &shape,
                const std::vector<int> &values) {
    onnx::TensorProto &tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (int64_t dim : shape)
      tensor.add_dims(dim);
    for (int value : values)
      tensor.add_int32_data(value);
  }

  void floats(const std::string &name, const Shape &shape, const std::vector<float> &values) {
    weights(name, shape).set_raw_data(values.data(), values.size() * sizeof(float));
  }

  onnx::NodeProto &addDequantized() {
    onnx::NodeProto &node = this->node("DequantizeLinear", {"c", "scale"}, {"w"}, "dq");
    this->node("Add", {"x", "w"}, {"y"}, "add");
    return node;
  }
};

struct Imported {
  ImportedModel model;
  std::vector<float> y; ///< of x = 0
};

Imported imported(const ModelBuilder &builder) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  WeightStore weights;
  absl::StatusOr<ImportedModel> model =
      importOnnx(builder.write(), {.name = "m"}, context, weights);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok())
    return {};
  EvaluationContext evaluation;
  evaluation.weights = &weights;
  ModuleOp module = *model->module;
  FailureOr<SmallVector<Tensor>> results =
      Evaluator(*module.getOps<func::FuncOp>().begin(), evaluation)
          .run({Tensor(ElementType::F32, {2, 3})});
  EXPECT_TRUE(succeeded(results));
  std::span<const float> y = results->front().values<float>();
  Imported result{.model = {}, .y = {y.begin(), y.end()}};
  result.model.imposed = model->imposed;
  return result;
}

TEST(QuantizedModels, CodesAndScalesOfWeightsAreKept) {
  for (int64_t axis : {1, -1}) {
    Codes model;
    model.constant("c", onnx::TensorProto::INT8, {2, 3}, {-128, 1, 2, 3, 4, 127});
    model.floats("scale", {3}, {0.5f, 1, 2});
    ModelBuilder::setInteger(model.addDequantized(), "axis", axis);
    Imported found = imported(model);
    EXPECT_THAT(found.y, ElementsAre(-64, 1, 4, 1.5f, 4, 254));
    EXPECT_EQ(
        found.model.imposed.tensors["w"],
        (ImposedFormat{
            .bits = 8, .scales = {0.5, 1, 2}, .zeroPoints = {0, 0, 0}, .axis = 1, .exact = true}));
  }
}

TEST(QuantizedModels, BeforeThereWereChannels) {
  Codes model(10);
  model.constant("c", onnx::TensorProto::INT8, {2, 3}, {0, 1, 2, 3, 4, 5});
  model.floats("scale", {}, {0.5f});
  model.addDequantized();
  Imported found = imported(model);
  EXPECT_THAT(found.y, ElementsAre(0, 0.5f, 1, 1.5f, 2, 2.5f));
  EXPECT_TRUE(found.model.imposed.tensors["w"].exact);
}

TEST(QuantizedModels, HalfPrecisionScales) {
  Codes model;
  model.constant("c", onnx::TensorProto::INT8, {2, 3}, {0, 1, 2, 3, 4, 5});
  model.constant("scale", onnx::TensorProto::FLOAT16, {1}, {0x3800});
  model.addDequantized();
  Imported found = imported(model);
  EXPECT_THAT(found.y, ElementsAre(0, 0.5f, 1, 1.5f, 2, 2.5f));
  EXPECT_THAT(found.model.imposed.tensors["w"].scales, ElementsAre(0.5));
}

TEST(QuantizedModels, UnsignedCodesAroundTheirMiddleAreSymmetric) {
  Codes model;
  model.constant("c", onnx::TensorProto::UINT8, {2, 3}, {0, 1, 128, 129, 254, 255});
  model.floats("scale", {1}, {0.5f});
  model.constant("zero", onnx::TensorProto::UINT8, {1}, {128});
  model.addDequantized().add_input("zero");
  Imported found = imported(model);
  EXPECT_THAT(found.y, ElementsAre(-64, -63.5f, 0, 0.5f, 63, 63.5f));
  EXPECT_TRUE(found.model.imposed.tensors["w"].exact);
}

TEST(QuantizedModels, OtherCodesOfConstantsAreNumbers) {
  for (int type : {onnx::TensorProto::UINT8, onnx::TensorProto::INT16}) {
    Codes model;
    model.constant("c", type, {2, 3}, {0, 1, 2, 3, 4, 5});
    model.floats("scale", {2}, {1, 2});
    model.constant("zero", type, {2}, {1, 2});
    onnx::NodeProto &node = model.addDequantized();
    node.add_input("zero");
    ModelBuilder::setInteger(node, "axis", 0);
    Imported found = imported(model);
    EXPECT_THAT(found.y, ElementsAre(-1, 0, 1, 2, 4, 6));
    EXPECT_TRUE(found.model.imposed.tensors.empty());
    EXPECT_THAT(found.model.imposed.notKept, ElementsAre("w"));
  }
}

TEST(QuantizedModels, BiasesAreNumbers) {
  Codes model;
  model.constant("c", onnx::TensorProto::INT32, {3}, {-100000, 1, 2});
  model.floats("scale", {3}, {1, 2, 3});
  ModelBuilder::setInteger(model.addDequantized(), "axis", 0);
  Imported found = imported(model);
  EXPECT_THAT(found.y, ElementsAre(-100000, 2, 6, -100000, 2, 6));
  EXPECT_TRUE(found.model.imposed.tensors.empty());
  EXPECT_TRUE(found.model.imposed.notKept.empty());
}

// Only weights are worth their codes: frequencies of a time embedding, say, are numbers.
TEST(QuantizedModels, ConstantsThatAreQuantizedInTheModelStayNumbers) {
  Codes model;
  model.floats("f", {2, 3}, {0.5f, 1.5f, -2.5f, 200, -200, 3});
  model.floats("scale", {1}, {1});
  model.constant("zero", onnx::TensorProto::INT8, {1}, {0});
  model.node("QuantizeLinear", {"f", "scale", "zero"}, {"c"}, "q");
  model.addDequantized().add_input("zero");
  Imported found = imported(model);
  EXPECT_THAT(found.y, ElementsAre(0.5f, 1.5f, -2.5f, 200, -200, 3));
  EXPECT_TRUE(found.model.imposed.tensors["f"].exact);
}

TEST(QuantizedModels, CodesOfActivations) {
  Codes model(13);
  model.model.add_opset_import()->set_domain("com.microsoft");
  model.floats("scale", {}, {0.5f});
  model.constant("zero", onnx::TensorProto::UINT16, {}, {32768});
  model.node("QuantizeLinear", {"x", "scale", "zero"}, {"q"}, "q").set_domain("com.microsoft");
  model.node("Transpose", {"q"}, {"qt"}, "move");
  model.node("DequantizeLinear", {"qt", "scale", "zero"}, {"t"}, "dq").set_domain("com.microsoft");
  model.node("Transpose", {"t"}, {"a"}, "back");
  // Two readers of the same numbers.
  model.node("Add", {"a", "a"}, {"y"}, "add");
  Imported found = imported(model);
  EXPECT_EQ(found.model.imposed.tensors["x"],
            (ImposedFormat{.bits = 16, .scales = {0.5}, .zeroPoints = {0}}));
  EXPECT_TRUE(found.model.imposed.codedTwice.empty());
}

TEST(QuantizedModels, TheFirstCodeOfAValueStays) {
  Codes model;
  model.floats("scale", {}, {0.5f});
  model.floats("other", {}, {0.25f});
  for (const char *scale : {"scale", "other"}) {
    const std::string s = scale;
    model.node("QuantizeLinear", {"x", s}, {"q" + s}, "q" + s);
    model.node("DequantizeLinear", {"q" + s, s}, {"x" + s}, "dq" + s);
  }
  model.node("Add", {"xscale", "xother"}, {"y"}, "add");
  Imported found = imported(model);
  EXPECT_THAT(found.model.imposed.tensors["x"].scales, ElementsAre(0.5));
  EXPECT_THAT(found.model.imposed.codedTwice, ElementsAre("x"));
}

} // namespace
} // namespace sdopt
