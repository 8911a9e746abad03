//===- IsolatedErrors.cpp - what each quantized layer loses alone ------------===//

#include "compiler/calibration/IsolatedErrors.h"

#include "compiler/calibration/Activations.h"
#include "compiler/kernels/FloatKernels.h"

#include "llvm/ADT/StringMap.h"

using namespace mlir;

namespace sdopt {

struct IsolatedErrors::Layer {
  Value result;
  SmallVector<Value> sources; ///< float values that the layer and the comparison need
  ErrorSums errors;
};

namespace {

int64_t elements(Value value) { return cast<RankedTensorType>(value.getType()).getNumElements(); }

} // namespace

IsolatedErrors::IsolatedErrors(func::FuncOp reference, func::FuncOp quantized,
                               const EvaluationContext &context,
                               std::shared_ptr<ConstantCache> constants)
    : reference_(reference, context, constants), quantized_(quantized, context, constants) {
  llvm::StringMap<Value> byName;
  forEachActivation(reference, [&](Value value) {
    if (isFloatTensor(value))
      byName.try_emplace(sd::valueName(value), value);
  });
  for (auto [value, source] : llvm::zip(quantized.getArguments(), reference.getArguments()))
    floats_[value] = source;
  forEachActivation(quantized, [&](Value value) {
    auto found = byName.find(sd::valueName(value));
    if (found != byName.end() && isQuantized(value.getType()) &&
        elements(value) == elements(found->second))
      floats_[value] = found->second;
  });
  forEachActivation(quantized, [&](Value value) {
    Operation *op = value.getDefiningOp();
    auto source = floats_.find(value);
    if (!op || source == floats_.end() || isa<sd::QuantizeOp>(op))
      return;
    Layer layer{.result = value, .sources = {source->second}, .errors = {}};
    if (!llvm::all_of(op->getOperands(),
                      [&](Value operand) { return collectSources(operand, layer.sources); }))
      return;
    for (Value needed : layer.sources)
      ++uses_[needed];
    index_[value] = layers_.size();
    layers_.push_back(std::move(layer));
  });
}

IsolatedErrors::~IsolatedErrors() = default;

bool IsolatedErrors::collectSources(Value value, SmallVectorImpl<Value> &sources) {
  if (auto found = floats_.find(value); found != floats_.end()) {
    sources.push_back(found->second);
    return true;
  }
  Operation *op = value.getDefiningOp();
  if (op && isConstantExpression(op))
    return true;
  return op && llvm::all_of(op->getOperands(),
                            [&](Value operand) { return collectSources(operand, sources); });
}

LogicalResult IsolatedErrors::add(ArrayRef<Tensor> inputs) {
  kept_.clear();
  usesLeft_ = uses_;
  next_ = 0;
  Evaluator::Steps steps(reference_, [&](Value value, const Tensor &tensor) {
    if (usesLeft_.count(value))
      kept_[value] = tensor;
  });
  if (failed(steps.start(inputs)) || failed(compareReady()))
    return failure();
  while (steps.next())
    if (failed(steps.step()) || failed(compareReady()))
      return failure();
  return success();
}

LogicalResult IsolatedErrors::compareReady() {
  for (; next_ < layers_.size(); ++next_) {
    Layer &layer = layers_[next_];
    if (!llvm::all_of(layer.sources, [&](Value source) { return kept_.count(source) > 0; }))
      return success();
    llvm::DenseMap<Value, Tensor> known;
    FailureOr<Tensor> codes = evaluateOp(layer.result.getDefiningOp(), known);
    if (failed(codes))
      return failure();
    Type type = layer.result.getType();
    const Tensor actual = dequantizeCodes(*codes, codeScale(type), codeFormat(type).zeroPoint);
    const Tensor expected = kept_[floats_[layer.result]].converted(ElementType::F32);
    layer.errors.add(compare(expected.values<float>(), actual.values<float>()));
    for (Value source : layer.sources)
      if (--usesLeft_[source] == 0)
        kept_.erase(source);
  }
  return success();
}

FailureOr<Tensor> IsolatedErrors::evaluate(Value value, llvm::DenseMap<Value, Tensor> &known) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  FailureOr<Tensor> result;
  if (auto found = floats_.find(value); found != floats_.end()) {
    const Tensor &source = kept_[found->second];
    Type type = value.getType();
    result = isQuantized(type) ? quantizeCodes(source.converted(ElementType::F32), codeScale(type),
                                               codeFormat(type))
                                     .reshaped(Shape(cast<RankedTensorType>(type).getShape()))
                               : source;
  } else if (isConstantExpression(op)) {
    result = quantized_.constant(value);
  } else {
    result = evaluateOp(op, known);
  }
  if (succeeded(result))
    known[value] = *result;
  return result;
}

FailureOr<Tensor> IsolatedErrors::evaluateOp(Operation *op, llvm::DenseMap<Value, Tensor> &known) {
  SmallVector<Tensor> operands, results;
  for (Value operand : op->getOperands()) {
    FailureOr<Tensor> tensor = evaluate(operand, known);
    if (failed(tensor))
      return failure();
    operands.push_back(*std::move(tensor));
  }
  if (failed(evaluateOperation(op, operands, results, quantized_.context())))
    return failure();
  return results[0];
}

const ErrorSums *IsolatedErrors::find(Value result) const {
  auto found = index_.find(result);
  return found == index_.end() ? nullptr : &layers_[found->second].errors;
}

} // namespace sdopt
