// Runs every sd-example of docs/spec.md with the fast and the naive kernels.

#include "compiler/weights/WeightStore.h"
#include "tests/reference/FunctionText.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

namespace sdopt::test {
namespace {

struct Example {
  int line = 0;
  std::string text;
};

std::vector<Example> readExamples() {
  std::ifstream file(SDOPT_SPEC);
  EXPECT_TRUE(file.good()) << SDOPT_SPEC;
  std::vector<Example> examples;
  bool inside = false;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line == "```sd-example") {
      examples.push_back({number, ""});
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      examples.back().text += line + "\n";
    }
  }
  return examples;
}

/// What follows `prefix` in the lines that start with it.
std::vector<std::string> linesAfter(const std::string &text, const std::string &prefix) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);)
    if (line.rfind(prefix, 0) == 0)
      lines.push_back(line.substr(prefix.size()));
  return lines;
}

std::vector<double> numbers(const std::string &text) {
  std::istringstream stream(text);
  return std::vector<double>(std::istream_iterator<double>(stream), {});
}

Tensor tensorOf(mlir::Type type, const std::vector<double> &values) {
  auto shape = mlir::cast<mlir::RankedTensorType>(type).getShape();
  Tensor tensor(ElementType::F64, Shape(shape.begin(), shape.end()));
  EXPECT_EQ(static_cast<size_t>(tensor.size()), values.size());
  std::copy(values.begin(), values.end(), tensor.mutableValues<double>().begin());
  return tensor.converted(evaluatedType(type));
}

/// "key 2x2: 1 2 3 4"
void addWeight(WeightStore &store, const std::string &line) {
  std::istringstream stream(line);
  std::string key, dims;
  stream >> key >> dims;
  Shape shape;
  std::istringstream dimStream(dims);
  for (std::string dim; std::getline(dimStream, dim, 'x');)
    shape.push_back(std::stoll(dim));
  std::vector<double> values = numbers(line.substr(line.find(':') + 1));
  std::vector<float> weights(values.begin(), values.end());
  ASSERT_TRUE(store.addOverlay(key, floats(shape, weights)).ok());
}

void expectEqual(const Tensor &actual, const Tensor &expected) {
  ASSERT_EQ(actual.type(), expected.type());
  ASSERT_EQ(actual.shape(), expected.shape());
  Tensor a = actual.converted(ElementType::F64), e = expected.converted(ElementType::F64);
  for (int64_t i = 0; i < a.size(); ++i) {
    double found = a.values<double>()[i], needed = e.values<double>()[i];
    double tolerance =
        actual.type() == ElementType::F32 ? 1e-6 * std::max(1.0, std::fabs(needed)) : 0;
    EXPECT_LE(std::fabs(found - needed), tolerance) << "element " << i << " is " << found;
  }
}

void runExample(const Example &example, EvaluationContext context) {
  SCOPED_TRACE("docs/spec.md:" + std::to_string(example.line));
  FunctionText text(example.text);
  ASSERT_TRUE(text.parsed()) << text.messages();
  WeightStore store;
  for (const std::string &line : linesAfter(example.text, "// weight "))
    addWeight(store, line);
  context.weights = &store;
  std::vector<std::string> inputs = linesAfter(example.text, "// input:");
  std::vector<std::string> results = linesAfter(example.text, "// result:");
  auto types = text.function().getFunctionType();
  ASSERT_EQ(inputs.size(), types.getNumInputs());
  ASSERT_EQ(results.size(), types.getNumResults());
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < inputs.size(); ++i)
    tensors.push_back(tensorOf(types.getInput(i), numbers(inputs[i])));
  auto actual = text.run(tensors, context);
  ASSERT_TRUE(actual) << text.messages();
  for (size_t i = 0; i < results.size(); ++i) {
    SCOPED_TRACE("result " + std::to_string(i));
    expectEqual((*actual)[i], tensorOf(types.getResult(i), numbers(results[i])));
  }
}

TEST(SpecExamples, FastKernels) {
  for (const Example &example : readExamples())
    runExample(example, fastContext());
}

TEST(SpecExamples, NaiveKernels) {
  for (const Example &example : readExamples())
    runExample(example, naiveContext());
}

/// Operations that an example uses, with ":quantized" for the integer form.
std::set<std::string> usedOperations() {
  std::set<std::string> used;
  for (const Example &example : readExamples()) {
    FunctionText text(example.text);
    if (!text.parsed())
      continue;
    text.function().walk([&](mlir::Operation *op) {
      std::string name = op->getName().getStringRef().str();
      bool quantized = llvm::any_of(op->getResultTypes(), isQuantized);
      used.insert(quantized ? name + ":quantized" : name);
    });
  }
  return used;
}

TEST(SpecExamples, CoverEveryOperation) {
  std::set<std::string> used = usedOperations();
  FunctionText text("func.func @f() { return }");
  size_t count = 0;
  for (mlir::RegisteredOperationName name :
       text.function()->getContext()->getRegisteredOperations()) {
    if (name.getDialectNamespace() != "sd")
      continue;
    std::string op = name.getStringRef().str();
    EXPECT_TRUE(used.count(op) || used.count(op + ":quantized")) << op << " has no example";
    ++count;
  }
  EXPECT_GE(count, 30u);
}

TEST(SpecExamples, CoverEveryQuantizedForm) {
  std::set<std::string> used = usedOperations();
  for (const char *op :
       {"conv2d",     "linear",   "group_norm", "layer_norm", "rms_norm",       "attention",
        "silu",       "gelu",     "gelu_tanh",  "modulate",   "slice",          "quick_gelu",
        "sigmoid",    "geglu",    "add",        "concat",     "time_embedding", "embedding",
        "requantize", "quantize", "upsample",   "pool_token", "transpose"})
    EXPECT_TRUE(used.count(std::string("sd.") + op + ":quantized")) << op;
}

} // namespace
} // namespace sdopt::test
