//===- ImportErrorsTest.cpp - what is refused, and in which words ------------===//

#include "compiler/import/Import.h"
#include "dialects/sd/Sd.h"
#include "tests/import/ModelBuilder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <filesystem>
#include <fstream>
#include <random>

#include <fcntl.h>
#include <unistd.h>

using namespace mlir;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace sdopt {
namespace {

struct Result {
  absl::Status status;
  std::string message;
  int64_t parameters = 0;
};

Result import(const std::string &path, ImportOptions options = {}, WeightStore *store = nullptr) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  WeightStore weights;
  options.name = "m";
  absl::StatusOr<ImportedModel> model =
      importOnnx(path, options, context, store ? *store : weights);
  return {model.status(), std::string(model.status().message()),
          model.ok() ? model->parameters : 0};
}

#define EXPECT_INVALID(result, matcher)                                                            \
  do {                                                                                             \
    Result found = (result);                                                                       \
    EXPECT_TRUE(absl::IsInvalidArgument(found.status)) << found.status;                            \
    EXPECT_THAT(found.message, matcher);                                                           \
  } while (false)
#define EXPECT_UNSUPPORTED(result, matcher)                                                        \
  do {                                                                                             \
    Result found = (result);                                                                       \
    EXPECT_TRUE(absl::IsUnimplemented(found.status)) << found.status;                              \
    EXPECT_THAT(found.message, matcher);                                                           \
  } while (false)

/// The running example: a 4-channel picture of 8 x 6 pixels through a 3x3 convolution.
struct ConvModel : ModelBuilder {
  explicit ConvModel(int opset = 17) : ModelBuilder(opset) {
    input("x", {1, 4, 8, 6});
    weights("w", {4, 4, 3, 3});
    conv = &node("Conv", {"x", "w"}, {"y"}, "/conv");
    output("y");
  }
  onnx::NodeProto *conv;
};

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

TEST(ImportErrors, ImportsTheExample) {
  ConvModel model;
  WeightStore weights;
  Result result = import(model.write(), {}, &weights);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.parameters, 144);
  EXPECT_EQ(weights.keys(), std::vector<std::string>{"m/w"});
  // The bytes are those in the file, wherever protobuf put them.
  EXPECT_EQ(weights.source("m/w")->file, model.path());
  EXPECT_EQ(weights.get("m/w")->values<float>()[143], 143.0f);
}

TEST(ImportErrors, EveryTruncationIsRefused) {
  ConvModel model;
  int64_t size = static_cast<int64_t>(model.model.SerializeAsString().size());
  for (int64_t bytes = 0; bytes < size; bytes += bytes < 100 || bytes > size - 100 ? 1 : 37) {
    Result result = import(model.write(bytes));
    EXPECT_FALSE(result.status.ok()) << bytes << " of " << size;
    EXPECT_THAT(result.message, HasSubstr(model.path())) << bytes;
  }
  EXPECT_INVALID(import(model.write(size - 100)),
                 AllOf(HasSubstr("is not a complete ONNX file"), HasSubstr("may be truncated")));
}

TEST(ImportErrors, CorruptedBytesNeverCrash) {
  ConvModel model;
  model.node("Slice", {"y", "starts", "ends"}, {"z"}, "/slice");
  model.integers("starts", {0, 1});
  model.integers("ends", {1, 3});
  model.output("z");
  std::string bytes = model.model.SerializeAsString();
  std::mt19937 random(7);
  for (int i = 0; i < 1500; ++i) {
    std::string corrupted = bytes;
    for (int flips = random() % 3 + 1; flips > 0; --flips) {
      // Bytes of weights are not looked at: aim at both ends.
      size_t at = random() % 250;
      at = random() % 2 == 0 ? at : corrupted.size() - 1 - at;
      corrupted[at] = static_cast<char>(random());
    }
    std::ofstream(model.path(), std::ios::binary) << corrupted;
    import(model.path());
  }
}

TEST(ImportErrors, MissingAndForeignFiles) {
  EXPECT_THAT(import("/nowhere/model.onnx").message, HasSubstr("/nowhere/model.onnx"));
  ModelBuilder model;
  std::ofstream(model.path()) << "this is not a protobuf message";
  EXPECT_INVALID(import(model.path()), HasSubstr("not ONNX at all"));
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

TEST(ImportErrors, Cycle) {
  ModelBuilder model;
  model.input("x", {2});
  model.node("Add", {"x", "c"}, {"a"}, "/a");
  model.node("Relu", {"a"}, {"b"}, "/b");
  model.node("Neg", {"b"}, {"c"}, "/c");
  model.output("c");
  EXPECT_INVALID(import(model.write()),
                 HasSubstr("the graph has a cycle: '/a' -> '/b' -> '/c' -> '/a'"));
}

TEST(ImportErrors, NodesOutOfOrder) {
  ModelBuilder model;
  model.input("x", {2});
  model.node("Relu", {"a"}, {"b"}, "/late");
  model.node("Neg", {"x"}, {"a"}, "/early");
  model.output("b");
  EXPECT_INVALID(import(model.write()),
                 HasSubstr("node '/late' reads tensor 'a' before node '/early' defines it"));
}

TEST(ImportErrors, NamesThatDoNotFit) {
  ModelBuilder undefined;
  undefined.input("x", {2});
  undefined.node("Add", {"x", "ghost"}, {"y"}, "/add");
  undefined.output("y");
  EXPECT_INVALID(import(undefined.write()),
                 HasSubstr("node '/add' reads tensor 'ghost', which nothing defines"));

  ModelBuilder twice;
  twice.input("x", {2});
  twice.node("Neg", {"x"}, {"y"}, "/first");
  twice.node("Abs", {"x"}, {"y"}, "/second");
  twice.output("y");
  EXPECT_INVALID(import(twice.write()),
                 HasSubstr("tensor 'y' is defined twice, by node '/first' and by node '/second'"));

  ModelBuilder initializers;
  initializers.weights("w", {2});
  initializers.weights("w", {2});
  initializers.output("w");
  EXPECT_INVALID(import(initializers.write()), HasSubstr("tensor 'w' is defined twice"));

  ConvModel noOutput;
  noOutput.output("ghost");
  EXPECT_INVALID(import(noOutput.write()), HasSubstr("nothing defines the output 'ghost'"));
  ModelBuilder empty;
  EXPECT_INVALID(import(empty.write()), HasSubstr("the graph has no outputs"));
}

TEST(ImportErrors, NodesWithoutNamesAreNamedByIndex) {
  ModelBuilder model;
  model.input("x", {2});
  model.node("Add", {"x"}, {"y"});
  model.output("y");
  EXPECT_INVALID(import(model.write()), HasSubstr("node 'Add#0' (Add): has 1 inputs but needs 2"));
}

TEST(ImportErrors, ShapesThatDoNotFit) {
  ConvModel channels;
  channels.graph().mutable_initializer(0)->set_dims(1, 2);
  channels.graph().mutable_initializer(0)->set_dims(0, 8);
  EXPECT_INVALID(import(channels.write()),
                 AllOf(HasSubstr("node '/conv' (Conv): "), HasSubstr("input has 4 channels")));

  ConvModel groups; // times the weights' channels, 2^64 more than fits
  ModelBuilder::setInteger(*groups.conv, "group", (int64_t(1) << 62) + 1);
  EXPECT_INVALID(import(groups.write()), HasSubstr("in 4611686018427387905 groups"));

  ConvModel kernel;
  ModelBuilder::setIntegers(*kernel.conv, "kernel_shape", {5, 5});
  EXPECT_INVALID(import(kernel.write()), HasSubstr("attribute kernel_shape does not match"));

  ConvModel strides;
  ModelBuilder::setIntegers(*strides.conv, "strides", {0, 1});
  EXPECT_INVALID(import(strides.write()),
                 HasSubstr("attribute strides has the impossible entry 0"));

  ConvModel attribute;
  ModelBuilder::setText(*attribute.conv, "group", "two");
  EXPECT_INVALID(import(attribute.write()), HasSubstr("attribute 'group' must be of type INT"));

  ConvModel output;
  auto *shape = output.graph().mutable_output(0)->mutable_type()->mutable_tensor_type();
  for (int64_t dim : {1, 4, 8, 6})
    shape->mutable_shape()->add_dim()->set_dim_value(dim);
  EXPECT_INVALID(import(output.write()),
                 HasSubstr("output 'y' is declared as 1x4x8x6 but has shape 1x4x6x4"));

  ModelBuilder huge;
  huge.integers("shape", {int64_t(1) << 40, 1024});
  huge.node("ConstantOfShape", {"shape"}, {"y"}, "/fill");
  huge.output("y");
  EXPECT_INVALID(import(huge.write()), HasSubstr("impossible or has more than 2^40 elements"));

  ModelBuilder reshape;
  reshape.input("x", {2, 3});
  reshape.integers("shape", {4, -1});
  reshape.node("Reshape", {"x", "shape"}, {"y"}, "/reshape");
  reshape.output("y");
  EXPECT_INVALID(import(reshape.write()),
                 HasSubstr("a value of shape 2x3 cannot be reshaped to 4x1"));
}

//===----------------------------------------------------------------------===//
// Initializers
//===----------------------------------------------------------------------===//

TEST(ImportErrors, InitializersThatDoNotFit) {
  ConvModel size;
  size.graph().mutable_initializer(0)->set_dims(3, 4);
  EXPECT_INVALID(
      import(size.write()),
      HasSubstr("initializer 'w' of shape 4x4x3x4 and type f32 has 576 bytes but needs 768"));

  ConvModel negative;
  negative.graph().mutable_initializer(0)->set_dims(0, -4);
  EXPECT_INVALID(import(negative.write()),
                 HasSubstr("initializer 'w' has the impossible shape -4x4x3x3"));

  ConvModel huge;
  for (int i = 0; i < 3; ++i)
    huge.graph().mutable_initializer(0)->set_dims(i, int64_t(1) << 31);
  EXPECT_INVALID(import(huge.write()), HasSubstr("has the impossible shape"));

  ConvModel type;
  type.graph().mutable_initializer(0)->set_data_type(99);
  EXPECT_INVALID(import(type.write()), HasSubstr("initializer 'w' has the unknown data type 99"));

  ConvModel none;
  none.graph().mutable_initializer(0)->clear_data_type();
  EXPECT_INVALID(import(none.write()), HasSubstr("initializer 'w' has no data type"));

  ModelBuilder typed;
  typed.integers("w", {1, 2, 3});
  typed.graph().mutable_initializer(0)->set_dims(0, 4);
  typed.output("w");
  EXPECT_INVALID(import(typed.write()), HasSubstr("has 3 values but needs 4"));
}

Result importExternal(const std::string &location, const std::string &offset,
                      const std::string &length, int64_t fileBytes, bool isAttribute = false) {
  ModelBuilder model;
  model.input("x", {1, 4, 8, 6});
  model.external("w", {4, 4, 3, 3}, location, offset, length);
  if (isAttribute) {
    onnx::AttributeProto &value = *model.node("Constant", {}, {"w"}, "/weights").add_attribute();
    value.set_name("value");
    value.set_type(onnx::AttributeProto::TENSOR);
    *value.mutable_t() = model.graph().initializer(0);
    model.graph().clear_initializer();
  }
  model.node("Conv", {"x", "w"}, {"y"}, "/conv");
  model.output("y");
  if (fileBytes >= 0)
    std::ofstream(model.folder() + "/data", std::ios::binary) << std::string(fileBytes, '\1');
  return import(model.write());
}

TEST(ImportErrors, ExternalData) {
  Result good = importExternal("data", "16", "576", 592);
  EXPECT_TRUE(good.status.ok()) << good.status;
  EXPECT_INVALID(importExternal("data", "16", "576", 591),
                 AllOf(HasSubstr("initializer 'w' needs 576 bytes at offset 16"),
                       HasSubstr("which has 591; the file may be truncated")));
  EXPECT_INVALID(importExternal("data", "9223372036854775807", "576", 591),
                 HasSubstr("the file may be truncated"));
  EXPECT_INVALID(importExternal("data", "0", "575", 592),
                 HasSubstr("has 575 bytes of external data but needs 576"));
  EXPECT_INVALID(importExternal("data", "-16", "576", 592), HasSubstr("external offset '-16'"));
  EXPECT_INVALID(importExternal("data", "x", "576", 592), HasSubstr("external offset 'x'"));
  EXPECT_INVALID(
      importExternal("gone", "0", "576", 592),
      AllOf(HasSubstr("initializer 'w' has external data that cannot be read"), HasSubstr("gone")));
  for (const char *location : {"", "../data", "/etc/passwd", "a/../../data"})
    EXPECT_INVALID(importExternal(location, "0", "576", 592),
                   HasSubstr("must be a relative path inside the model's folder"));
}

// As onnx.save writes them with convert_attribute.
TEST(ImportErrors, ExternalDataOfAttributes) {
  Result good = importExternal("data", "16", "576", 592, true);
  EXPECT_TRUE(good.status.ok()) << good.status;
  EXPECT_INVALID(importExternal("data", "16", "576", 591, true),
                 AllOf(HasSubstr("/weights"), HasSubstr("attribute 'value' needs 576 bytes"),
                       HasSubstr("which has 591; the file may be truncated")));
  EXPECT_INVALID(importExternal("gone", "0", "576", 592, true),
                 AllOf(HasSubstr("/weights"), HasSubstr("has external data that cannot be read"),
                       HasSubstr("gone")));
  EXPECT_INVALID(importExternal("../data", "0", "576", 592, true),
                 HasSubstr("must be a relative path inside the model's folder"));
}

TEST(ImportErrors, ExternalDataBeyondTwoGigabytes) {
  ModelBuilder model;
  constexpr int64_t kOffset = (int64_t(1) << 31) + 64;
  model.input("x", {1, 4, 8, 6});
  model.external("w", {4, 4, 3, 3}, "data", std::to_string(kOffset), "576");
  model.node("Conv", {"x", "w"}, {"y"}, "/conv");
  model.output("y");
  // Sparse: takes no room on the disk.
  int file = open((model.folder() + "/data").c_str(), O_CREAT | O_RDWR, 0600);
  ASSERT_GE(file, 0);
  std::vector<float> values(144, 1.5f);
  ASSERT_EQ(pwrite(file, values.data(), 576, kOffset), 576);
  close(file);
  WeightStore weights;
  Result result = import(model.write(), {}, &weights);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(weights.source("m/w")->offset, kOffset);
  EXPECT_EQ(weights.get("m/w")->values<float>()[143], 1.5f);
}

//===----------------------------------------------------------------------===//
// Unsupported parts
//===----------------------------------------------------------------------===//

TEST(ImportErrors, AllUnsupportedPartsAtOnce) {
  ModelBuilder model;
  model.input("x", {1, 4, 8});
  model.input("s", {2}, onnx::TensorProto::STRING);
  model.weights("w", {4, 4, 3});
  model.node("Conv", {"x", "w"}, {"a"}, "/conv_in");
  for (int i = 0; i < 4; ++i)
    model.node("Celu", {"x"}, {"e" + std::to_string(i)}, "/celu_" + std::to_string(i));
  model.node("Gelu", {"x"}, {"g"}, "/gelu");
  model.node("FusedConv", {"x"}, {"f"}, "/fused").set_domain("com.microsoft");
  ModelBuilder::setText(model.node("Relu", {"x"}, {"r"}, "/relu"), "alpha", "1");
  onnx::AttributeProto &body = *model.node("If", {"x"}, {"i"}, "/if").add_attribute();
  body.set_name("then_branch");
  body.set_type(onnx::AttributeProto::GRAPH);
  model.node("Identity", {"s"}, {"t"}, "/identity");
  model.model.add_functions()->set_name("Block");
  model.graph().add_sparse_initializer()->mutable_values()->set_name("sparse");
  model.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::UINT64);
  for (const char *name : {"a", "e0", "e1", "e2", "e3", "g", "f", "r", "i", "t"})
    model.output(name);
  Result result = import(model.write());
  EXPECT_TRUE(absl::IsUnimplemented(result.status)) << result.status;
  for (const char *line :
       {"Celu: unknown operator; 4 places ('/celu_0', '/celu_1', '/celu_2', ...)",
        "FusedConv: operator of domain 'com.microsoft'; 1 place ('/fused')",
        "Gelu: opset 17; 1 place ('/gelu'); supported: opset 20 to 23",
        "If: unknown operator; 1 place ('/if')", "Relu: attribute 'alpha'; 1 place ('/relu')",
        "initializer: elements of type UINT64; 1 place ('w')",
        "initializer: sparse tensors; 1 place ('sparse')",
        "input: elements of type STRING; 1 place ('s')", "model: functions; 1 place ('Block')",
        "supported operators: Abs Add "})
    EXPECT_THAT(result.message, HasSubstr(line));
}

TEST(ImportErrors, UnsupportedFormsOfKnownOperators) {
  ModelBuilder conv1d;
  conv1d.input("x", {1, 4, 8});
  conv1d.weights("w", {4, 4, 3});
  conv1d.node("Conv", {"x", "w"}, {"y"}, "/conv");
  conv1d.output("y");
  EXPECT_UNSUPPORTED(import(conv1d.write()),
                     HasSubstr("Conv: 1-d input; 1 place ('/conv'); supported: 2-d"));

  ModelBuilder dynamic;
  dynamic.input("x", {1, 4, 8, 6});
  dynamic.input("w", {4, 4, 3, 3});
  dynamic.node("Conv", {"x", "w"}, {"y"}, "/conv");
  dynamic.output("y");
  EXPECT_UNSUPPORTED(import(dynamic.write()),
                     HasSubstr("Conv: weights or bias computed at run time"));

  ModelBuilder shape;
  shape.input("x", {6});
  shape.input("s", {2}, onnx::TensorProto::INT64);
  shape.node("Reshape", {"x", "s"}, {"y"}, "/reshape");
  shape.node("Add", {"y", "y"}, {"z"}, "/add");
  shape.output("z");
  EXPECT_UNSUPPORTED(import(shape.write()),
                     AllOf(HasSubstr("Reshape: shape computed at run time; 1 place ('/reshape')"),
                           Not(HasSubstr("/add"))));

  EXPECT_UNSUPPORTED(import(ConvModel(24).write()), HasSubstr("model: opset 24; 1 place"));
  EXPECT_UNSUPPORTED(import(ConvModel(6).write()), HasSubstr("supported: opset 7 to 23"));
  ConvModel none;
  none.model.clear_opset_import();
  EXPECT_INVALID(import(none.write()), HasSubstr("names no opset"));
}

TEST(ImportErrors, CodesMustBecomeNumbersAgain) {
  ModelBuilder model(21);
  model.input("x", {1, 4});
  onnx::TensorProto &scale = model.weights("scale", {1});
  const float half = 0.5f;
  scale.set_raw_data(&half, sizeof(half));
  onnx::TensorProto &other = model.weights("other", {1});
  const float quarter = 0.25f;
  other.set_raw_data(&quarter, sizeof(quarter));
  model.node("QuantizeLinear", {"x", "scale"}, {"q"}, "quantize");
  ModelBuilder::setInteger(model.node("Cast", {"q"}, {"y"}, "cast"), "to",
                           onnx::TensorProto::FLOAT);
  model.node("DequantizeLinear", {"q", "other"}, {"z"}, "dequantize");
  model.output("y");
  model.output("z");
  model.output("q");
  Result result = import(model.write());
  EXPECT_EQ(result.status.code(), absl::StatusCode::kUnimplemented) << result.status;
  EXPECT_THAT(std::string(result.status.message()),
              AllOf(HasSubstr("Cast: codes of QuantizeLinear; 1 place ('cast')"),
                    HasSubstr("codes that are read with another scale"),
                    HasSubstr("output: codes of QuantizeLinear; 1 place ('q')")));
}

TEST(ImportErrors, DeadNodesDoNotMatter) {
  ConvModel model;
  model.node("Celu", {"x"}, {"dead"}, "/dead");
  model.weights("unused", {100});
  WeightStore weights;
  Result result = import(model.write(), {}, &weights);
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(weights.keys(), std::vector<std::string>{"m/w"});
}

//===----------------------------------------------------------------------===//
// Symbolic dimensions
//===----------------------------------------------------------------------===//

struct SymbolicModel : ModelBuilder {
  SymbolicModel() {
    input("x", {-1, 4, -1, -1});
    dimension(0, 0).set_dim_param("batch");
    dimension(0, 2).set_dim_param("height");
    input("z", {-1, 1, 1, 1});
    dimension(1, 0).set_dim_param("batch");
    node("Add", {"x", "z"}, {"y"}, "/add");
    output("y");
    write();
  }
};

TEST(ImportErrors, UnboundDimensionsAreAllListed) {
  SymbolicModel model;
  EXPECT_INVALID(
      import(model.path()),
      AllOf(HasSubstr("input 'x' dimension 0 'batch'; give --batch N, --dimension batch=N"),
            HasSubstr("input 'x' dimension 2 'height'; give --dimension height=N or "
                      "--input-shape x=..."),
            HasSubstr("input 'x' dimension 3 (no name); give --input-shape x=..."),
            HasSubstr("input 'z' dimension 0 'batch'")));
  EXPECT_INVALID(
      import(model.path(), {.batch = 2, .dimensions = {{"height", 3}}}),
      AllOf(Not(HasSubstr("batch")), Not(HasSubstr("height")), HasSubstr("input 'x' dimension 3")));
  // The name that the shape of x binds holds for z too.
  Result bound = import(model.path(), {.inputShapes = {{"x", {3, 4, 5, 6}}}});
  EXPECT_TRUE(bound.status.ok()) << bound.status;
}

TEST(ImportErrors, GivenShapesOverrideDefaults) {
  SymbolicModel model;
  std::map<std::string, int64_t> defaults = {{"batch", 7}, {"height", 7}};
  Result given =
      import(model.path(), {.inputShapes = {{"x", {3, 4, 5, 6}}}, .defaultDimensions = defaults});
  EXPECT_TRUE(given.status.ok()) << given.status;
  EXPECT_INVALID(import(model.path(), {.batch = 2, .defaultDimensions = defaults}),
                 AllOf(HasSubstr("input 'x' dimension 3"), Not(HasSubstr("'height'"))));
}

TEST(ImportErrors, ContradictingShapes) {
  SymbolicModel model;
  EXPECT_INVALID(import(model.path(), {.inputShapes = {{"x", {3, 5, 5, 6}}}}),
                 HasSubstr("dimension 1 of input 'x' is 4 but the shape given is 3x5x5x6"));
  EXPECT_INVALID(import(model.path(), {.inputShapes = {{"x", {3, 4, 5}}}}),
                 HasSubstr("input 'x' has rank 4 but the shape given is 3x4x5"));
  EXPECT_INVALID(
      import(model.path(), {.inputShapes = {{"x", {3, 4, 5, 6}}, {"z", {2, 1, 1, 1}}}}),
      HasSubstr("dimension 'batch' is 3 by the shape given for input 'x' but 2 by the shape given "
                "for input 'z'"));
  EXPECT_INVALID(import(model.path(), {.inputShapes = {{"q", {1}}}}),
                 HasSubstr("has no input 'q' to give a shape; its inputs are 'x', 'z'"));
  EXPECT_INVALID(import(model.path(), {.dimensions = {{"height", 0}}}),
                 HasSubstr("dimension 'height' cannot be 0"));
}

} // namespace
} // namespace sdopt
