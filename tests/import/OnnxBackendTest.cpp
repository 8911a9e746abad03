//===- OnnxBackendTest.cpp - the node tests that ONNX ships ------------------===//
//
// Each test of libonnx-testdata is a model of one operator (or its expansion) with inputs and
// outputs. Run three ways: with run-time inputs; with all inputs but the first as initializers; with
// all of them (everything folds at import). What an operator needs constant is refused the first
// way. A test counts as run if it runs in one way, as passed if it passes in all that ran.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/Import.h"
#include "compiler/import/OnnxTensor.h"
#include "compiler/kernels/IntegerKernels.h"
#include "compiler/reference/Evaluator.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "mlir/IR/Diagnostics.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace fs = std::filesystem;
using namespace mlir;

namespace sdopt {
namespace {

constexpr const char *kFolder = "/usr/share/libonnx-testdata/data/node";

enum class Inputs { AtRunTime, FirstAtRunTime, Constant };

struct Outcome {
  bool ran = false;
  std::string skipped; ///< why it did not run
  std::string failure; ///< empty: passed
};

template <typename Message> bool parse(const fs::path &path, Message &message) {
  std::ifstream stream(path, std::ios::binary);
  return stream && message.ParseFromIstream(&stream);
}

std::vector<onnx::TensorProto> readTensors(const fs::path &folder, const std::string &prefix) {
  std::vector<onnx::TensorProto> tensors;
  for (int i = 0; fs::exists(folder / absl::StrCat(prefix, i, ".pb")); ++i)
    if (!parse(folder / absl::StrCat(prefix, i, ".pb"), tensors.emplace_back()))
      tensors.back().Clear();
  return tensors;
}

/// A tensor in the type that evaluation uses.
absl::StatusOr<Tensor> evaluated(const onnx::TensorProto &proto) {
  OnnxFile file;
  absl::StatusOr<Tensor> tensor = ConstantReader(file).read(proto, proto.name());
  if (!tensor.ok())
    return tensor;
  bool isFloat = tensor->type() == ElementType::F16 || tensor->type() == ElementType::BF16 ||
                 tensor->type() == ElementType::F64;
  return isFloat ? tensor->converted(ElementType::F32) : *tensor;
}

/// The first difference, or nothing.
std::string compare(const Tensor &found, const Tensor &expected, bool halfPrecision) {
  if (found.type() != expected.type() || found.shape() != expected.shape())
    return absl::StrCat("is ", toString(found.shape()), " ", name(found.type()), " but must be ",
                        toString(expected.shape()), " ", name(expected.type()));
  Tensor a = found.converted(ElementType::F64), b = expected.converted(ElementType::F64);
  bool exact = found.type() != ElementType::F32;
  double relative = exact ? 0 : halfPrecision ? 1e-3 : 1e-4, absolute = exact ? 0 : halfPrecision ? 1e-3 : 1e-6;
  for (int64_t i = 0; i < a.size(); ++i) {
    double x = a.values<double>()[i], y = b.values<double>()[i];
    if (x == y || (std::isnan(x) && std::isnan(y)))
      continue;
    if (!(std::abs(x - y) <= absolute + relative * std::abs(y)))
      return absl::StrCat("element ", i, " is ", x, " but must be ", y);
  }
  return {};
}

class NodeTest {
public:
  NodeTest(const fs::path &folder) : name_(folder.filename().string()) {
    readable_ = parse(folder / "model.onnx", model_);
    inputs_ = readTensors(folder / "test_data_set_0", "input_");
    outputs_ = readTensors(folder / "test_data_set_0", "output_");
    readable_ = readable_ && static_cast<int>(inputs_.size()) == model_.graph().input_size() &&
                static_cast<int>(outputs_.size()) == model_.graph().output_size();
  }

  Outcome run(Inputs mode) const {
    Outcome outcome;
    if (!readable_) {
      outcome.skipped = "inputs or outputs that are not tensors";
      return outcome;
    }
    std::string path = absl::StrCat(testing::TempDir(), "/", name_, ".onnx");
    ImportOptions options{.name = "node"};
    std::vector<Tensor> arguments;
    if (absl::Status status = writeModel(mode, path, options, arguments); !status.ok()) {
      outcome.skipped = std::string(status.message());
      return outcome;
    }
    MLIRContext context;
    WeightStore weights;
    absl::StatusOr<ImportedModel> imported = importOnnx(path, options, context, weights);
    fs::remove(path);
    if (!imported.ok()) {
      (absl::IsUnimplemented(imported.status()) ? outcome.skipped : outcome.failure) =
          std::string(imported.status().message());
      return outcome;
    }
    outcome.ran = true;
    outcome.failure = evaluate(*imported, arguments, weights);
    return outcome;
  }

private:
  absl::Status writeModel(Inputs mode, const std::string &path, ImportOptions &options,
                          std::vector<Tensor> &arguments) const {
    onnx::ModelProto model = model_;
    for (int i = 0; i < model.graph().input_size(); ++i) {
      const std::string &name = model.graph().input(i).name();
      absl::StatusOr<Tensor> value = evaluated(inputs_[i]);
      if (!value.ok())
        return value.status();
      if (mode == Inputs::AtRunTime || (mode == Inputs::FirstAtRunTime && i == 0)) {
        arguments.push_back(*value);
        options.inputShapes[name] = value->shape();
        continue;
      }
      onnx::TensorProto &initializer = *model.mutable_graph()->add_initializer();
      initializer = inputs_[i];
      initializer.set_name(name);
    }
    std::ofstream(path, std::ios::binary) << model.SerializeAsString();
    return absl::OkStatus();
  }

  std::string evaluate(ImportedModel &imported, const std::vector<Tensor> &arguments,
                       const WeightStore &weights) const {
    std::string error;
    ScopedDiagnosticHandler handler(imported.module->getContext(), [&](Diagnostic &diagnostic) {
      error += diagnostic.str();
      return success();
    });
    func::FuncOp function = *imported.module->getOps<func::FuncOp>().begin();
    EvaluationContext context{.kernels = &naiveKernels(), .weights = &weights, .naiveFloat = true};
    FailureOr<SmallVector<Tensor>> results = Evaluator(function, context).run(arguments);
    if (failed(results))
      return "cannot be evaluated: " + error;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      absl::StatusOr<Tensor> expected = evaluated(outputs_[i]);
      if (!expected.ok())
        return std::string(expected.status().message());
      bool half = outputs_[i].data_type() == onnx::TensorProto::FLOAT16 ||
                  outputs_[i].data_type() == onnx::TensorProto::BFLOAT16;
      std::string difference = compare((*results)[i], *expected, half);
      if (!difference.empty())
        return absl::StrCat("output ", i, " ", difference);
    }
    return {};
  }

  std::string name_;
  bool readable_;
  onnx::ModelProto model_;
  std::vector<onnx::TensorProto> inputs_, outputs_;
};

/// The importer's first reason, without names: "Conv: 1-d input".
std::string reasonOf(const std::string &message) {
  size_t line = message.find("\n  ");
  std::string text = line == std::string::npos ? message : message.substr(line + 3);
  return text.substr(0, std::min(text.find(';'), text.find('\n')));
}

TEST(OnnxBackend, NodeTests) {
  if (!fs::exists(kFolder))
    GTEST_SKIP() << kFolder << " is not there; install libonnx-testdata";
  std::vector<fs::path> folders;
  for (const fs::directory_entry &entry : fs::directory_iterator(kFolder))
    if (fs::exists(entry.path() / "model.onnx"))
      folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  int run = 0, passed = 0, skipped = 0;
  std::map<std::string, int> reasons;
  for (const fs::path &folder : folders) {
    NodeTest test(folder);
    bool ran = false, correct = true;
    std::string reason;
    for (Inputs mode : {Inputs::AtRunTime, Inputs::FirstAtRunTime, Inputs::Constant}) {
      Outcome outcome = test.run(mode);
      ran |= outcome.ran || !outcome.failure.empty();
      correct &= outcome.failure.empty();
      if (!outcome.skipped.empty())
        reason = reasonOf(outcome.skipped);
      EXPECT_EQ(outcome.failure, "") << folder.filename() << " way " << static_cast<int>(mode);
    }
    run += ran;
    passed += ran && correct;
    skipped += !ran;
    if (!ran)
      ++reasons[reason];
  }
  std::string text;
  for (const auto &[reason, count] : reasons)
    absl::StrAppend(&text, "\n  ", count, " x ", reason);
  std::cout << "onnx backend node tests: run " << run << ", passed " << passed << ", skipped "
            << skipped << text << std::endl;
  EXPECT_GT(run, 250);
}

} // namespace
} // namespace sdopt
