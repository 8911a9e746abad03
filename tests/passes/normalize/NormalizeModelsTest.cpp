//===- NormalizeModelsTest.cpp - both exports of the real modules ------------===//
//
// Both exports of a module must normalize to one sequence of named operations, and normalization
// must not change what a module computes.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/Import.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/TensorFile.h"
#include "compiler/weights/WeightStore.h"
#include "passes/normalize/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "gtest/gtest.h"

#include <cmath>
#include <set>

using namespace mlir;

namespace sdopt {
namespace {

const char *const kExports[] = {"opset17-fp32", "opset20-fp16"};

struct ModuleCase {
  const char *name;
  int64_t batch;
  std::map<std::string, int64_t> dimensions;
};

void PrintTo(const ModuleCase &module, std::ostream *stream) { *stream << module.name; }

/// An imported module with everything it needs.
struct Model {
  MLIRContext context;
  WeightStore weights;
  OwningOpRef<ModuleOp> module;

  Model(const ModuleCase &which, const std::string &exported) {
    DialectRegistry registry;
    registry.insert<func::FuncDialect, quant::QuantDialect, sd::SdDialect>();
    registerEvaluationModels(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    sd::resources(&context).evaluation = evaluation();
    ImportOptions options;
    options.name = which.name;
    options.batch = which.batch;
    options.dimensions = which.dimensions;
    std::string path =
        std::string(SDOPT_TESTDATA "/patterns-sd2/") + exported + "/" + which.name + "/model.onnx";
    auto imported = importOnnx(path, options, context, weights);
    EXPECT_TRUE(imported.ok()) << imported.status();
    if (imported.ok())
      module = std::move(imported->module);
  }

  EvaluationContext evaluation() const { return {&fastKernels(), &weights}; }
  func::FuncOp function() { return *module->getOps<func::FuncOp>().begin(); }

  bool normalize() {
    PassManager manager(&context);
    buildNormalizePipeline(manager);
    return succeeded(manager.run(*module));
  }
};

/// One line for each operation that depends on an input. Scales are collected instead.
std::vector<std::string> sequence(func::FuncOp function, std::vector<double> &scales) {
  std::vector<std::string> lines;
  for (Operation &op : function.getBody().front().without_terminator()) {
    if (isConstantExpression(&op))
      continue;
    std::string line;
    llvm::raw_string_ostream stream(line);
    stream << op.getName();
    for (NamedAttribute attribute : op.getAttrs())
      if (attribute.getName() == "scale")
        scales.push_back(cast<FloatAttr>(attribute.getValue()).getValueAsDouble());
      else
        stream << ' ' << attribute.getName().getValue() << '=' << attribute.getValue();
    stream << " : " << op.getOperandTypes() << " -> " << op.getResultTypes();
    lines.push_back(line);
  }
  return lines;
}

/// Values in [-1, 1) for floats; for ids, one end of text (598) in each row; a timestep.
std::vector<Tensor> inputsFor(func::FuncOp function) {
  std::vector<Tensor> inputs;
  uint32_t state = 1;
  for (Type type : function.getArgumentTypes()) {
    auto tensor = cast<RankedTensorType>(type);
    Shape shape(tensor.getShape().begin(), tensor.getShape().end());
    if (isa<FloatType>(tensor.getElementType())) {
      Tensor &input = inputs.emplace_back(ElementType::F32, shape);
      for (float &value : input.mutableValues<float>()) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(state >> 8) / 8388608.0f - 1;
      }
      continue;
    }
    Tensor &input = inputs.emplace_back(ElementType::I64, shape);
    int64_t index = 0;
    for (int64_t &value : input.mutableValues<int64_t>()) {
      bool isEnd = index % shape.back() == 5 + index / shape.back();
      value = shape.size() == 1 ? 501 : isEnd ? 598 : index * 7 % 590;
      ++index;
    }
  }
  return inputs;
}

double relativeError(const Tensor &expected, const Tensor &actual) {
  double error = 0, largest = 0;
  auto a = expected.values<float>(), b = actual.values<float>();
  for (size_t i = 0; i < a.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(a[i]) - b[i]));
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
  }
  return error / largest;
}

class NormalizeModels : public testing::TestWithParam<ModuleCase> {};

TEST_P(NormalizeModels, ExportsGiveOneSequence) {
  Model first(GetParam(), kExports[0]), second(GetParam(), kExports[1]);
  ASSERT_TRUE(first.module && second.module);
  ASSERT_TRUE(first.normalize() && second.normalize());
  std::vector<double> scales, otherScales;
  EXPECT_EQ(sequence(first.function(), scales), sequence(second.function(), otherScales));
  // The fp16 export rounds its scales to half precision, once for queries and once for keys.
  ASSERT_EQ(scales.size(), otherScales.size());
  for (size_t i = 0; i < scales.size(); ++i)
    EXPECT_NEAR(scales[i], otherScales[i], scales[i] * 0x1p-10);
}

TEST_P(NormalizeModels, ComputesTheSame) {
  for (const char *exported : kExports) {
    Model model(GetParam(), exported);
    ASSERT_TRUE(model.module);
    std::vector<Tensor> inputs = inputsFor(model.function());
    auto before = Evaluator(model.function(), model.evaluation()).run(inputs);
    ASSERT_TRUE(model.normalize());
    auto after = Evaluator(model.function(), model.evaluation()).run(inputs);
    ASSERT_TRUE(succeeded(before) && succeeded(after));
    ASSERT_EQ(before->size(), after->size());
    for (size_t i = 0; i < before->size(); ++i)
      EXPECT_LE(relativeError((*before)[i], (*after)[i]), 1e-5) << exported << " output " << i;
  }
}

/// The part of a recorded tensor that one call of the module takes or gives.
Tensor recorded(const TensorFile &file, const std::string &name, RankedTensorType type,
                int64_t call) {
  auto whole = file.get(name);
  EXPECT_TRUE(whole.ok()) << whole.status();
  int64_t rows = type.getNumElements() * whole->dim(0) / whole->size();
  auto part = file.rows(name, call * rows, rows);
  EXPECT_TRUE(part.ok()) << part.status();
  return part->reshaped(Shape(type.getShape().begin(), type.getShape().end()));
}

std::string nameOf(DictionaryAttr attributes) {
  return cast<StringAttr>(attributes.get(sd::SdDialect::kNameAttr)).str();
}

// What ONNX Runtime gave for the fp32 export.
TEST_P(NormalizeModels, AgreesWithRecordedOutputs) {
  Model model(GetParam(), kExports[0]);
  ASSERT_TRUE(model.module && model.normalize());
  func::FuncOp function = model.function();
  auto file = TensorFile::open(std::string(SDOPT_TESTDATA "/patterns-sd2/samples/") +
                               GetParam().name + "_test.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  Evaluator evaluator(function, model.evaluation());
  for (int64_t call : {0, 1}) {
    std::vector<Tensor> inputs;
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      inputs.push_back(recorded(**file, nameOf(function.getArgAttrDict(i)),
                                cast<RankedTensorType>(function.getArgumentTypes()[i]), call));
    auto outputs = evaluator.run(inputs);
    ASSERT_TRUE(succeeded(outputs));
    size_t compared = 0;
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      std::string name = nameOf(function.getResultAttrDict(i));
      if (!(*file)->contains(name))
        continue;
      auto type = cast<RankedTensorType>(function.getResultTypes()[i]);
      EXPECT_LE(relativeError(recorded(**file, name, type, call), (*outputs)[i]), 1e-4) << name;
      ++compared;
    }
    EXPECT_EQ(compared, 1u);
  }
}

// Transposes of activations stay at the function's boundary only.
TEST_P(NormalizeModels, ChannelsAreLast) {
  Model model(GetParam(), kExports[0]);
  ASSERT_TRUE(model.module && model.normalize());
  for (auto transpose : model.function().getOps<sd::TransposeOp>()) {
    bool fromInput = isa<BlockArgument>(transpose.getInput());
    bool onWeights = transpose.getInput().getDefiningOp<sd::WeightOp>() != nullptr;
    bool toOutput = transpose->hasOneUse() && isa<func::ReturnOp>(*transpose->getUsers().begin());
    EXPECT_TRUE(fromInput || onWeights || toOutput) << sd::valueName(transpose);
  }
}

TEST_P(NormalizeModels, ActivationsHaveNamesOfTheirOwn) {
  for (const char *exported : kExports) {
    Model model(GetParam(), exported);
    ASSERT_TRUE(model.module && model.normalize());
    std::set<std::string> names;
    for (Operation &op : model.function().getBody().front().without_terminator()) {
      if (isConstantExpression(&op))
        continue;
      std::string name = sd::valueName(op.getResult(0));
      EXPECT_FALSE(name.empty()) << op.getName().getStringRef().str();
      EXPECT_TRUE(names.insert(name).second) << name;
      EXPECT_TRUE(isa<sd::TransposeOp>(op) || !sd::onnxNodes(&op).empty()) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Patterns, NormalizeModels,
    testing::Values(ModuleCase{"unet", 2, {{"height", 16}, {"width", 16}, {"sequence_length", 77}}},
                    ModuleCase{"text_encoder", 2, {{"sequence_length", 77}}},
                    ModuleCase{"vae_encoder", 1, {{"height", 64}, {"width", 64}}},
                    ModuleCase{"vae_decoder", 1, {{"latent_height", 16}, {"latent_width", 16}}}),
    [](const auto &info) { return std::string(info.param.name); });

} // namespace
} // namespace sdopt
