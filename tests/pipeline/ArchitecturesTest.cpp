//===- ArchitecturesTest.cpp - Stable Diffusion XL, 3 and 3.5 ----------------===//
//
// Tiny networks of the published classes: float evaluation against ONNX Runtime, then the whole way
// to a verified package.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/Import.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/TensorFile.h"
#include "compiler/weights/WeightStore.h"
#include "passes/normalize/Passes.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "mlir/Pass/PassManager.h"

#include <cmath>

using namespace mlir;
using namespace sdopt;
using namespace sdopt::test;

namespace {

std::string architecturesFolder() { return modelFolder() + "/../../tiny-architectures"; }

class Architectures : public testing::TestWithParam<const char *> {};

/// The imported module and what it needs.
struct Model {
  MLIRContext context;
  WeightStore weights;
  OwningOpRef<ModuleOp> module;

  explicit Model(const std::string &name) {
    DialectRegistry registry;
    registry.insert<func::FuncDialect, quant::QuantDialect, sd::SdDialect>();
    registerEvaluationModels(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    sd::resources(&context).evaluation = {&fastKernels(), &weights};
    ImportOptions options;
    options.name = name;
    auto imported =
        importOnnx(architecturesFolder() + "/" + name + "/model.onnx", options, context, weights);
    EXPECT_TRUE(imported.ok()) << imported.status();
    if (imported.ok())
      module = std::move(imported->module);
  }
  func::FuncOp function() { return *module->getOps<func::FuncOp>().begin(); }
};

/// What one call recorded for a branch of guidance; all branches share a timestep.
Tensor recorded(const TensorFile &file, const std::string &name, int64_t call, int64_t branch) {
  absl::StatusOr<Tensor> rows = file.rows(name, call, 1);
  EXPECT_TRUE(rows.ok()) << rows.status();
  if (rows->rank() == 1)
    return *rows;
  Shape starts(rows->rank(), 0), ends = rows->shape(), steps(rows->rank(), 1);
  starts[1] = branch;
  ends[1] = branch + 1;
  Shape shape(ends.begin() + 1, ends.end());
  shape[0] = 1;
  return slice(*rows, starts, ends, steps).reshaped(shape);
}

/// The largest difference from ONNX Runtime, relative to the largest value.
double relativeError(func::FuncOp function, const WeightStore &weights, const TensorFile &file) {
  Evaluator evaluator(function, {&fastKernels(), &weights});
  std::string result = function.getResultAttrOfType<StringAttr>(0, sd::SdDialect::kNameAttr).str();
  double error = 0, largest = 0;
  for (int64_t call = 0; call < 3; ++call)
    for (int64_t branch = 0; branch < 2; ++branch) {
      llvm::SmallVector<Tensor> inputs;
      for (BlockArgument argument : function.getArguments())
        inputs.push_back(recorded(file, sd::valueName(argument), call, branch));
      FailureOr<llvm::SmallVector<Tensor>> outputs = evaluator.run(inputs);
      EXPECT_TRUE(succeeded(outputs));
      if (failed(outputs))
        return 1;
      Tensor expected = recorded(file, result, call, branch);
      auto e = expected.values<float>(), a = (*outputs)[0].values<float>();
      for (size_t i = 0; i < e.size(); ++i) {
        error = std::max(error, std::abs(static_cast<double>(e[i]) - a[i]));
        largest = std::max(largest, std::abs(static_cast<double>(e[i])));
      }
    }
  return error / largest;
}

TEST_P(Architectures, FloatEvaluationIsThatOfOnnxRuntime) {
  Model model(GetParam());
  ASSERT_TRUE(model.module);
  absl::StatusOr<std::unique_ptr<TensorFile>> file = TensorFile::open(
      architecturesFolder() + "/samples/" + GetParam() + std::string("_test.safetensors"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_LE(relativeError(model.function(), model.weights, **file), 1e-4);
  PassManager manager(&model.context);
  buildNormalizePipeline(manager);
  ASSERT_TRUE(succeeded(manager.run(*model.module)));
  EXPECT_LE(relativeError(model.function(), model.weights, **file), 1e-4);
}

TEST_P(Architectures, CompilesToVerifiedPackages) {
  for (auto [recipe, decibels] : {std::pair("w8a16", 40.0), std::pair("w8a8", 30.0)}) {
    SCOPED_TRACE(recipe);
    TemporaryFolder folder;
    CompileOptions options = optionsFor(folder.path("out"), {GetParam()});
    options.model = architecturesFolder();
    options.samples = architecturesFolder() + "/samples";
    options.recipe = recipe;
    options.verify = VerifyMode::Spec;
    CompileResult result = compiled(options);
    ASSERT_EQ(result.report.modules_size(), 1);
    EXPECT_GE(result.report.modules(0).psnr(), decibels);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Architectures,
                         testing::Values("unet", "transformer", "transformer_35"),
                         [](const auto &info) { return std::string(info.param); });

} // namespace
