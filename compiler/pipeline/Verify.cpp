//===- Verify.cpp - one meaning, to the bit -----------------------------------===//

#include "compiler/pipeline/Verify.h"

#include "compiler/pipeline/ExtremeCodes.h"
#include "dialects/npu/Npu.h"
#include "passes/schedule/NpuNetwork.h"

#include <cstring>
#include <optional>

using namespace mlir;

namespace sdopt {

namespace {

/// Ids and timesteps of extreme inputs stay below this.
constexpr int64_t kIndexLimit = 1000;

bool isCodes(const Tensor &tensor) {
  return tensor.type() == ElementType::I8 || tensor.type() == ElementType::I16;
}

int64_t element(const Tensor &tensor, int64_t i) {
  return tensor.type() == ElementType::I8 ? tensor.values<int8_t>()[i]
                                          : tensor.values<int16_t>()[i];
}

std::string position(const Shape &shape, int64_t index) {
  std::string text;
  for (size_t i = shape.size(); i-- > 0; index /= shape[i])
    text = std::to_string(index % shape[i]) + (text.empty() ? "" : ", ") + text;
  return "[" + text + "]";
}

/// First element where the bytes differ, if any. Shapes may differ, element counts may not.
std::optional<int64_t> firstDifference(const Tensor &a, const Tensor &b) {
  if (std::memcmp(a.bytes(), b.bytes(), a.byteSize()) == 0)
    return std::nullopt;
  for (int64_t i = 0; i < a.size(); ++i)
    if (element(a, i) != element(b, i))
      return i;
  return std::nullopt;
}

absl::Status compareValue(const std::string &name, const std::string &op, const Tensor &before,
                          const Tensor &after, const std::string &step, VerifyCounts &counts) {
  if (before.type() != after.type() || before.size() != after.size())
    return absl::DataLossError("verify: after '" + step + "' value '" + name + "' is " +
                               sdopt::name(after.type()) + " " + toString(after.shape()) +
                               " but was " + sdopt::name(before.type()) + " " +
                               toString(before.shape()));
  counts.values += 1;
  counts.elements += before.size();
  std::optional<int64_t> i = firstDifference(before, after);
  if (!i)
    return absl::OkStatus();
  return absl::DataLossError("verify: '" + step + "' changed value '" + name + "' (op '" + op +
                             "'): element " + position(after.shape(), *i) + " is " +
                             std::to_string(element(after, *i)) + " but was " +
                             std::to_string(element(before, *i)) + " before");
}

/// Operations that compute codes from codes, by the name of their value. Later operations with the
/// same name (views) lose.
std::map<std::string, Operation *> namedOps(func::FuncOp function) {
  std::map<std::string, Operation *> ops;
  for (Operation &op : function.getBody().front()) {
    if (op.getNumResults() != 1 || isConstantExpression(&op) ||
        isa<npu::ViewOp, sd::QuantizeOp, sd::CastOp>(op) || !isQuantized(op.getResult(0).getType()))
      continue;
    ops.emplace(sd::valueName(op.getResult(0)), &op);
  }
  return ops;
}

/// Real constants and extreme codes for the operands of one operation.
FailureOr<SmallVector<Tensor>> operandsOf(Operation *op, CodePattern pattern,
                                          Evaluator &evaluator) {
  SmallVector<Tensor> operands;
  uint64_t seed = 1;
  for (Value operand : op->getOperands()) {
    Operation *source = operand.getDefiningOp();
    if (source && isConstantExpression(source)) {
      FailureOr<Tensor> constant = evaluator.constant(operand);
      if (failed(constant))
        return failure();
      operands.push_back(*constant);
      continue;
    }
    Shape shape(cast<RankedTensorType>(operand.getType()).getShape());
    operands.push_back(
        extremeCodes(evaluatedType(operand.getType()), shape, pattern, seed++, kIndexLimit));
  }
  return operands;
}

FailureOr<Tensor> evaluateAlone(Operation *op, CodePattern pattern, Evaluator &evaluator,
                                const EvaluationContext &context) {
  FailureOr<SmallVector<Tensor>> operands = operandsOf(op, pattern, evaluator);
  SmallVector<Tensor> results;
  if (failed(operands) ||
      failed(cast<sd::EvaluationInterface>(op).evaluate(*operands, results, context)))
    return failure();
  return results[0];
}

/// "lower' on all minimum codes", inside the quotes of a step's name.
std::string isolated(const char *step, CodePattern pattern) {
  return std::string(step) + "' on '" + name(pattern) + " codes";
}

std::string opName(Value value) {
  Operation *op = value.getDefiningOp();
  return op ? op->getName().getStringRef().str() : "argument";
}

/// One layer as a module of its own: its inputs, its output, its constants where they lie.
ModuleInfo singleLayer(const ModuleInfo &module, size_t index) {
  const Layer &layer = module.network.layers[index];
  ModuleInfo single;
  single.network.name = module.network.name;
  single.network.constants = module.network.constants;
  single.constantOffsets = module.constantOffsets;
  Layer alone = layer;
  for (size_t i = 0; i < layer.inputs.size(); ++i) {
    TensorInfo info = module.network.tensors[layer.inputs[i]];
    info.role = TensorRole::Input;
    info.aliasOf = kNone;
    info.name = "input" + std::to_string(i);
    info.logicalShape = Shape(info.dims.begin(), info.dims.end());
    single.network.tensors.push_back(info);
    alone.inputs[i] = static_cast<TensorId>(i);
  }
  TensorInfo output = module.network.tensors[layer.output];
  output.role = TensorRole::Output;
  output.name = "output";
  output.logicalShape = Shape(output.dims.begin(), output.dims.end());
  alone.output = static_cast<TensorId>(single.network.tensors.size());
  single.network.tensors.push_back(output);
  single.network.layers = {alone};
  single.plan.layers = {module.plan.layers[index]};
  for (const TensorInfo &tensor : single.network.tensors) {
    single.plan.offsets.push_back(single.plan.arenaBytes);
    single.plan.arenaBytes += (tensor.bytes() + 63) / 64 * 64;
  }
  return single;
}

/// Runs one layer on extreme codes in the simulator.
absl::StatusOr<Tensor> simulateAlone(const PackageModule &single, const Target &target,
                                     CodePattern pattern, const IntegerKernels *kernels) {
  std::map<std::string, Tensor> inputs;
  uint64_t seed = 1;
  for (const TensorInfo &tensor : single.info.network.tensors)
    if (tensor.role == TensorRole::Input)
      inputs[tensor.name] = extremeCodes(tensor.type, Shape(tensor.dims.begin(), tensor.dims.end()),
                                         pattern, seed++, kIndexLimit);
  Simulator simulator(single, target);
  SimulatorOptions options;
  options.kernels = kernels;
  options.timing = false;
  absl::StatusOr<std::map<std::string, Tensor>> outputs = simulator.run(inputs, options);
  if (!outputs.ok())
    return outputs.status();
  return outputs->at("output");
}

} // namespace

absl::StatusOr<NamedCodes> evaluateNamed(func::FuncOp function, const EvaluationContext &context,
                                         const std::vector<Tensor> &inputs) {
  NamedCodes codes;
  Evaluator evaluator(function, context);
  FailureOr<SmallVector<Tensor>> results =
      evaluator.run(inputs, [&](Value value, const Tensor &tensor) {
        if (isCodes(tensor) && isQuantized(value.getType()))
          codes.emplace(sd::valueName(value), NamedCode{tensor, opName(value)});
      });
  if (failed(results))
    return absl::InternalError("evaluation of '" + function.getName().str() + "' failed");
  return codes;
}

absl::StatusOr<NamedCodes> simulateNamed(const PackageModule &module, const Target &target,
                                         const std::map<std::string, Tensor> &inputs,
                                         const IntegerKernels *kernels) {
  const Network &network = module.info.network;
  NamedCodes codes;
  std::vector<size_t> lastWriter(network.tensors.size());
  for (size_t i = 0; i < network.layers.size(); ++i)
    lastWriter[network.layers[i].output] = i;
  SimulatorOptions options;
  options.kernels = kernels;
  options.timing = false;
  options.observer = [&](int32_t layer, const Tensor &tensor) {
    // The slices of a concatenation fill one tensor: look when the last has come.
    if (lastWriter[network.layers[layer].output] == static_cast<size_t>(layer) && isCodes(tensor))
      codes.emplace(network.layers[layer].name, NamedCode{tensor, kindName(network.layers[layer])});
  };
  Simulator simulator(module, target);
  absl::StatusOr<std::map<std::string, Tensor>> outputs =
      runModule(simulator, module, inputs, options);
  if (!outputs.ok())
    return outputs.status();
  return codes;
}

std::vector<std::string> valueOrder(func::FuncOp function) {
  std::vector<std::string> order;
  for (Operation &op : function.getBody().front())
    if (!isConstantExpression(&op))
      for (Value result : op.getResults())
        order.push_back(sd::valueName(result));
  return order;
}

absl::Status compareNamed(const NamedCodes &reference, const NamedCodes &actual,
                          const std::vector<std::string> &order, const std::string &step,
                          VerifyCounts &counts) {
  int64_t compared = counts.values;
  for (const std::string &name : order) {
    auto before = reference.find(name), after = actual.find(name);
    if (before == reference.end() || after == actual.end())
      continue;
    if (absl::Status status = compareValue(name, after->second.op, before->second.codes,
                                           after->second.codes, step, counts);
        !status.ok())
      return status;
  }
  if (counts.values == compared)
    return absl::InternalError("verify: '" + step + "' shares no named value with the step before");
  return absl::OkStatus();
}

absl::Status verifyOpsInIsolation(func::FuncOp before, func::FuncOp after,
                                  const EvaluationContext &referenceContext,
                                  const EvaluationContext &context, VerifyCounts &counts) {
  std::map<std::string, Operation *> references = namedOps(before);
  Evaluator referenceEvaluator(before, referenceContext), evaluator(after, context);
  for (auto &[name, op] : namedOps(after)) {
    auto reference = references.find(name);
    if (reference == references.end())
      continue;
    counts.layers += 1;
    for (CodePattern pattern : kCodePatterns) {
      FailureOr<Tensor> expected =
          evaluateAlone(reference->second, pattern, referenceEvaluator, referenceContext);
      FailureOr<Tensor> actual = evaluateAlone(op, pattern, evaluator, context);
      if (failed(expected) || failed(actual))
        return absl::InternalError("verify: op '" + name + "' can't be evaluated alone");
      absl::Status status = compareValue(name, op->getName().getStringRef().str(), *expected,
                                         *actual, isolated("lower", pattern), counts);
      if (!status.ok())
        return status;
    }
  }
  return absl::OkStatus();
}

absl::Status verifyLayersInIsolation(func::FuncOp npuFunction, const PackageModule &module,
                                     const Target &target, const EvaluationContext &context,
                                     VerifyCounts &counts) {
  std::map<std::string, Operation *> ops = namedOps(npuFunction);
  Evaluator evaluator(npuFunction, context);
  const Network &network = module.info.network;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    auto op = ops.find(network.layers[i].name);
    // A concatenation is several layers: it is checked on samples.
    if (op == ops.end() || isa<npu::ConcatOp>(op->second))
      continue;
    PackageModule single;
    single.info = singleLayer(module.info, i);
    single.constants = module.constants;
    absl::StatusOr<Program> program =
        expand(single.info.network, single.info.plan, target, single.info.constantOffsets,
               module.info.program.constantsBytes);
    if (!program.ok())
      return program.status();
    single.info.program = *std::move(program);
    counts.layers += 1;
    for (CodePattern pattern : kCodePatterns) {
      FailureOr<Tensor> expected = evaluateAlone(op->second, pattern, evaluator, context);
      absl::StatusOr<Tensor> actual = simulateAlone(single, target, pattern, nullptr);
      if (failed(expected))
        return absl::InternalError("verify: op '" + op->first + "' can't be evaluated alone");
      if (!actual.ok())
        return actual.status();
      absl::Status status = compareValue(op->first, op->second->getName().getStringRef().str(),
                                         *expected, *actual, isolated("emit", pattern), counts);
      if (!status.ok())
        return status;
    }
  }
  return absl::OkStatus();
}

} // namespace sdopt
