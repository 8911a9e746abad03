//===- ImportModelsTest.cpp - both exports of the whole pipeline -------------===//

#include "compiler/import/Import.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/TensorFile.h"
#include "dialects/sd/Sd.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <cmath>
#include <set>

using namespace mlir;

namespace sdopt {
namespace {

struct ModelCase {
  const char *name;
  int64_t batch;
  std::map<std::string, int64_t> dimensions; ///< of the export with symbolic shapes
  std::map<std::string, Shape> inputs, outputs;
  size_t files;
};

const ModelCase kModels[] = {
    {"text_encoder",
     2,
     {{"sequence_length", 77}},
     {{"input_ids", {2, 77}}},
     {{"last_hidden_state", {2, 77, 64}}, {"pooler_output", {2, 64}}},
     1},
    {"unet",
     2,
     {{"sequence_length", 77}, {"height", 16}, {"width", 16}},
     {{"sample", {2, 9, 16, 16}}, {"timestep", {1}}, {"encoder_hidden_states", {2, 77, 64}}},
     {{"out_sample", {2, 4, 16, 16}}},
     2},
    {"vae_encoder",
     1,
     {{"height", 64}, {"width", 64}},
     {{"sample", {1, 3, 64, 64}}},
     {{"latent_parameters", {1, 8, 16, 16}}},
     1},
    {"vae_decoder",
     1,
     {{"latent_height", 16}, {"latent_width", 16}},
     {{"latent_sample", {1, 4, 16, 16}}},
     {{"sample", {1, 3, 64, 64}}},
     1},
};

struct Imported {
  std::unique_ptr<MLIRContext> context = std::make_unique<MLIRContext>();
  std::unique_ptr<WeightStore> weights = std::make_unique<WeightStore>();
  ImportedModel model;
  func::FuncOp function() {
    ModuleOp module = *model.module;
    return *module.getOps<func::FuncOp>().begin();
  }
};

std::unique_ptr<Imported> importModel(const std::string &exportName, const ModelCase &model) {
  auto result = std::make_unique<Imported>();
  ImportOptions options{.name = model.name, .batch = model.batch, .dimensions = model.dimensions};
  absl::StatusOr<ImportedModel> imported = importOnnx(
      std::string(SDOPT_TESTDATA "/patterns-sd2/") + exportName + "/" + model.name + "/model.onnx",
      options, *result->context, *result->weights);
  EXPECT_TRUE(imported.ok()) << imported.status();
  if (!imported.ok())
    return nullptr;
  result->model = std::move(*imported);
  return result;
}

std::map<std::string, int> countOps(func::FuncOp function) {
  std::map<std::string, int> counts;
  for (Operation &op : function.getOps())
    ++counts[op.getName().getStringRef().str()];
  return counts;
}

class ImportModels : public testing::TestWithParam<std::tuple<const char *, int>> {
protected:
  std::unique_ptr<Imported> imported_ =
      importModel(std::get<0>(GetParam()), kModels[std::get<1>(GetParam())]);
  const ModelCase &case_ = kModels[std::get<1>(GetParam())];
};

TEST_P(ImportModels, HasTheInputsAndOutputsOfTheModel) {
  ASSERT_TRUE(imported_);
  func::FuncOp function = imported_->function();
  EXPECT_EQ(function.getSymName(), case_.name);
  auto check = [&](unsigned count, auto typeOf, auto nameOf, const auto &expected) {
    ASSERT_EQ(count, expected.size());
    for (unsigned i = 0; i < count; ++i) {
      auto name = dyn_cast_or_null<StringAttr>(nameOf(i));
      ASSERT_TRUE(name);
      auto found = expected.find(name.str());
      ASSERT_NE(found, expected.end()) << name.str();
      EXPECT_EQ(cast<RankedTensorType>(typeOf(i)).getShape().vec(), found->second);
    }
  };
  FunctionType type = function.getFunctionType();
  check(
      type.getNumInputs(), [&](unsigned i) { return type.getInput(i); },
      [&](unsigned i) { return function.getArgAttr(i, "sd.name"); }, case_.inputs);
  check(
      type.getNumResults(), [&](unsigned i) { return type.getResult(i); },
      [&](unsigned i) { return function.getResultAttr(i, "sd.name"); }, case_.outputs);
}

TEST_P(ImportModels, KeepsNoPlumbing) {
  ASSERT_TRUE(imported_);
  std::set<std::string> names;
  for (Operation &op : imported_->function().getOps()) {
    if (isa<func::ReturnOp>(op))
      continue;
    EXPECT_FALSE(op.use_empty()) << op.getName().getStringRef().str();
    std::string name = sd::valueName(op.getResult(0));
    EXPECT_FALSE(name.empty());
    EXPECT_TRUE(names.insert(name).second) << "two values are named " << name;
    bool constantOperands = op.getNumOperands() > 0;
    for (Value operand : op.getOperands())
      constantOperands &= operand.getDefiningOp() && isConstantExpression(operand.getDefiningOp());
    bool mayStay = isa<sd::ReshapeOp, sd::TransposeOp>(op);
    EXPECT_TRUE(!constantOperands || mayStay) << name << " is not folded";
  }
}

TEST_P(ImportModels, KeepsWeightsInTheirFiles) {
  ASSERT_TRUE(imported_);
  int64_t overlayBytes = 0, fileBytes = 0;
  std::set<std::string> used;
  imported_->function().walk([&](sd::WeightOp op) {
    used.insert(op.getKey().str());
    absl::StatusOr<std::string> digest = imported_->weights->digest(op.getKey().str());
    ASSERT_TRUE(digest.ok()) << digest.status();
    EXPECT_EQ(op.getDigest(), *digest);
  });
  for (const std::string &key : imported_->weights->keys()) {
    EXPECT_TRUE(used.count(key)) << key << " is in the store but not used";
    EXPECT_THAT(key, testing::StartsWith(std::string(case_.name) + "/"));
    (imported_->weights->source(key)->file.empty() ? overlayBytes : fileBytes) +=
        imported_->weights->get(key)->byteSize();
  }
  // Only the causal mask of the text encoder (2 x 77 x 77 floats) is computed at import.
  EXPECT_LE(overlayBytes, 4 * 2 * 77 * 77);
  EXPECT_GT(fileBytes, 5 * overlayBytes);
  EXPECT_EQ(imported_->model.fp32Bytes, 4 * imported_->model.parameters);
  EXPECT_EQ(imported_->model.digests.size(), case_.files);
  for (const auto &[file, digest] : imported_->model.digests)
    EXPECT_EQ(digest.size(), 64u) << file;
}

/// Recorded calls `first` and on of a tensor, as many as fit `shape`: the file has one more
/// dimension if a call is a batch, else calls are joined along the first one.
Tensor recorded(const TensorFile &file, const std::string &name, const Shape &shape, int64_t call) {
  absl::StatusOr<Tensor> whole = file.get(name);
  EXPECT_TRUE(whole.ok()) << whole.status();
  Tensor tensor(whole->type(), shape);
  int64_t bytes = tensor.byteSize();
  EXPECT_LE((call + 1) * bytes, whole->byteSize());
  std::copy_n(whole->bytes() + call * bytes, bytes, tensor.mutableBytes());
  return tensor;
}

/// max |x - y| / max |y|.
double relativeError(const Tensor &found, const Tensor &expected) {
  double difference = 0, largest = 0;
  for (int64_t i = 0; i < expected.size(); ++i) {
    double x = found.values<float>()[i], y = expected.values<float>()[i];
    difference = std::max(difference, std::abs(x - y));
    largest = std::max(largest, std::abs(y));
  }
  return difference / largest;
}

// The outputs were recorded with ONNX Runtime on the fp32 export; the other's weights are rounded
// to half precision.
TEST_P(ImportModels, EvaluatesLikeOnnxRuntime) {
  ASSERT_TRUE(imported_);
  auto file = TensorFile::open(std::string(SDOPT_TESTDATA "/patterns-sd2/samples/") + case_.name +
                               "_test.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  func::FuncOp function = imported_->function();
  EvaluationContext context{.kernels = &fastKernels(), .weights = imported_->weights.get()};
  Evaluator evaluator(function, context);
  double tolerance = std::string(std::get<0>(GetParam())) == "opset17-fp32" ? 1e-5 : 1e-2;
  for (int64_t call : {0, 1}) {
    std::vector<Tensor> inputs;
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      std::string name = sd::valueName(function.getArgument(i));
      inputs.push_back(recorded(**file, name, case_.inputs.at(name), call));
    }
    auto results = evaluator.run(inputs);
    ASSERT_TRUE(succeeded(results));
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      std::string name = cast<StringAttr>(function.getResultAttr(i, "sd.name")).str();
      if (!(*file)->contains(name))
        continue;
      double error =
          relativeError((*results)[i], recorded(**file, name, case_.outputs.at(name), call));
      RecordProperty(name, std::to_string(error));
      EXPECT_LE(error, tolerance) << name << " of call " << call;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ImportModels,
                         testing::Combine(testing::Values("opset17-fp32", "opset20-fp16"),
                                          testing::Range(0, 4)),
                         [](const auto &info) {
                           std::string name = std::get<0>(info.param);
                           return name.substr(0, 7) + "_" + kModels[std::get<1>(info.param)].name;
                         });

TEST(ImportModelPairs, BothExportsHaveTheSameLayersAndParameters) {
  for (const ModelCase &model : kModels) {
    auto first = importModel("opset17-fp32", model), second = importModel("opset20-fp16", model);
    ASSERT_TRUE(first && second);
    std::map<std::string, int> a = countOps(first->function()), b = countOps(second->function());
    for (const char *op : {"sd.conv2d", "sd.linear", "sd.matmul", "sd.softmax", "sd.layer_norm",
                           "sd.group_norm", "sd.upsample", "sd.arg_max"})
      EXPECT_EQ(a[op], b[op]) << model.name << " " << op;
    RecordProperty(model.name, std::to_string(first->model.parameters));
    // The dynamo exporter stores the frequencies of the time embedding, the other computes them.
    int64_t frequencies = std::string(model.name) == "unet" ? 32 : 0;
    EXPECT_EQ(first->model.parameters + frequencies, second->model.parameters) << model.name;
  }
}

TEST(ImportModelPairs, ImportsTwiceAlike) {
  auto text = [](Imported &imported) {
    std::string result;
    llvm::raw_string_ostream stream(result);
    OpPrintingFlags flags;
    ModuleOp module = *imported.model.module;
    module.print(stream, flags.enableDebugInfo());
    return result;
  };
  auto first = importModel("opset17-fp32", kModels[0]),
       second = importModel("opset17-fp32", kModels[0]);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(text(*first), text(*second));
}

} // namespace
} // namespace sdopt
