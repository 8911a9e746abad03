//===- OnnxBackendTest.cpp - the node tests that ONNX ships ------------------===//
//
// Each test of libonnx-testdata is a model of one operator (or its expansion) with inputs and
// outputs. Run three ways: with run-time inputs; with all inputs but the first as initializers;
// with all of them (everything folds at import). What an operator needs constant is refused the
// first way. A test counts as run if it runs in one way, as passed if it passes in all that ran.
//
//===----------------------------------------------------------------------===//

#include "compiler/import/Import.h"
#include "compiler/import/OnnxTensor.h"
#include "compiler/kernels/IntegerKernels.h"
#include "compiler/reference/Evaluator.h"

#include "absl/strings/str_cat.h"
#include "mlir/IR/Diagnostics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

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

/// The first difference, or nothing: integers are equal, |x - y| <= tolerance * (0.01 + |y|) for
/// floats.
std::string compare(const Tensor &found, const Tensor &expected, double tolerance) {
  if (found.type() != expected.type() || found.shape() != expected.shape())
    return absl::StrCat("is ", toString(found.shape()), " ", name(found.type()), " but must be ",
                        toString(expected.shape()), " ", name(expected.type()));
  Tensor a = found.converted(ElementType::F64), b = expected.converted(ElementType::F64);
  if (found.type() != ElementType::F32)
    tolerance = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    double x = a.values<double>()[i], y = b.values<double>()[i];
    if (x == y || (std::isnan(x) && std::isnan(y)))
      continue;
    if (!(std::abs(x - y) <= tolerance * (0.01 + std::abs(y))))
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
    onnx::GraphProto &graph = *model_.mutable_graph();
    readable_ = readable_ && adopt(graph.input(), inputs_) && adopt(graph.output(), outputs_);
    // The other outputs of LayerNormalization (mean, deviation) are not supported.
    if (graph.node_size() == 1 && graph.node(0).op_type() == "LayerNormalization") {
      graph.mutable_output()->DeleteSubrange(1, graph.output_size() - 1);
      outputs_.resize(1);
    }
  }

  Outcome run(Inputs mode) const {
    Outcome outcome;
    if (!readable_) {
      outcome.skipped = "data that are not tensors of the declared ranks";
      return outcome;
    }
    std::string path = absl::StrCat(testing::TempDir(), "/", name_, ".onnx");
    ImportOptions options{.name = "node"};
    std::vector<Tensor> arguments;
    if (absl::Status status = writeModel(mode, path, options, arguments); !status.ok()) {
      outcome.skipped = std::string(status.message());
      return outcome;
    }
    MLIRContext context(MLIRContext::Threading::DISABLED);
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
  /// True if there is a tensor of the declared rank for each value. Repairs bfloat16 data, which
  /// the tests store as uint16.
  template <typename Values>
  static bool adopt(const Values &values, std::vector<onnx::TensorProto> &tensors) {
    if (static_cast<int>(tensors.size()) != values.size())
      return false;
    for (int i = 0; i < values.size(); ++i) {
      const onnx::TypeProto &type = values.Get(i).type();
      if (!type.has_tensor_type() ||
          type.tensor_type().shape().dim_size() != tensors[i].dims_size())
        return false;
      if (type.tensor_type().elem_type() == onnx::TensorProto::BFLOAT16)
        tensors[i].set_data_type(onnx::TensorProto::BFLOAT16);
    }
    return true;
  }

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

  /// Values are float32 here, whatever the model says: half-precision results were rounded. The
  /// expansions of windows have constants of few digits (pi = 3.1415).
  double tolerance(const onnx::TensorProto &output) const {
    if (output.data_type() == onnx::TensorProto::BFLOAT16)
      return 8e-3;
    bool coarse = output.data_type() == onnx::TensorProto::FLOAT16 ||
                  name_.find("window") != std::string::npos;
    return coarse ? 1e-3 : 1e-4;
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
      std::string difference = compare((*results)[i], *expected, tolerance(outputs_[i]));
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
