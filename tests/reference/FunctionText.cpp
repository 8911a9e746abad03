//===- FunctionText.cpp - functions from text, for tests --------------------===//

#include "tests/reference/FunctionText.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"

#include <random>

using namespace mlir;

namespace sdopt::test {

FunctionText::FunctionText(const std::string &text) {
  DialectRegistry registry;
  registry.insert<sd::SdDialect, func::FuncDialect, quant::QuantDialect>();
  registerEvaluationModels(registry);
  context_.appendDialectRegistry(registry);
  context_.loadAllAvailableDialects();
  context_.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
    messages_ += diagnostic.str() + "\n";
    return success();
  });
  module_ = parseSourceString<ModuleOp>(text, &context_);
}

FunctionText::~FunctionText() = default;

func::FuncOp FunctionText::function() const { return *module_->getOps<func::FuncOp>().begin(); }

std::optional<std::vector<Tensor>> FunctionText::run(const std::vector<Tensor> &inputs,
                                                     const EvaluationContext &context) {
  Evaluator evaluator(function(), context);
  auto results = evaluator.run(inputs);
  if (failed(results))
    return std::nullopt;
  return std::vector<Tensor>(results->begin(), results->end());
}

EvaluationContext fastContext() { return {.kernels = &fastKernels()}; }
EvaluationContext naiveContext() { return {.kernels = &naiveKernels(), .naiveFloat = true}; }

Tensor floats(Shape shape, std::vector<float> values) {
  return Tensor::of<float>(std::move(shape), std::span<const float>(values));
}

Tensor randomFloats(Shape shape, float range, uint32_t seed) {
  std::mt19937 random(seed);
  Tensor tensor(ElementType::F32, std::move(shape));
  for (float &value : tensor.mutableValues<float>())
    value = (static_cast<float>(random() >> 8) * 0x1p-23f - 1.0f) * range;
  return tensor;
}

} // namespace sdopt::test
