//===- VerifyIsolated.cpp - every operation alone, on extreme codes -----------===//

#include "compiler/pipeline/CompareCodes.h"
#include "compiler/pipeline/ExtremeCodes.h"
#include "compiler/pipeline/Verify.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/TileSearch.h"
#include "dialects/npu/Npu.h"

#include <optional>

using namespace mlir;

namespace sdopt {

namespace {

/// Ids and timesteps of extreme inputs stay below this.
constexpr int64_t kIndexLimit = 1000;

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

/// One operation with its real constants, evaluated once, to be run on extreme codes.
class LoneOp {
public:
  LoneOp(Operation *op, Evaluator &evaluator) : op_(op), evaluator_(evaluator) {}

  /// As a layer, the operation reads codes of the package like any other activation.
  LogicalResult prepare(bool asLayer = false) {
    for (Value operand : op_->getOperands()) {
      constants_.emplace_back();
      Operation *source = operand.getDefiningOp();
      if (!source || !isConstantExpression(source) || (asLayer && isa<npu::ConstantOp>(source)))
        continue;
      FailureOr<Tensor> constant = evaluator_.constant(operand);
      if (failed(constant))
        return failure();
      constants_.back() = *constant;
    }
    return success();
  }

  FailureOr<Tensor> run(CodePattern pattern) const {
    SmallVector<Tensor> operands, results;
    uint64_t seed = 1;
    for (auto [operand, constant] : llvm::zip(op_->getOperands(), constants_)) {
      if (constant) {
        operands.push_back(*constant);
        continue;
      }
      Shape shape(cast<RankedTensorType>(operand.getType()).getShape());
      operands.push_back(
          extremeCodes(evaluatedType(operand.getType()), shape, pattern, seed++, kIndexLimit));
    }
    if (failed(
            cast<sd::EvaluationInterface>(op_).evaluate(operands, results, evaluator_.context())))
      return failure();
    return results[0];
  }

  std::string kind() const { return op_->getName().getStringRef().str(); }

private:
  Operation *op_;
  Evaluator &evaluator_;
  SmallVector<std::optional<Tensor>> constants_;
};

absl::Status cannotRunAlone(const std::string &name) {
  return absl::InternalError("verify: op '" + name + "' can't be evaluated alone");
}

/// "lower' on all minimum codes", inside the quotes of a step's name.
std::string isolated(const char *step, CodePattern pattern) {
  return std::string(step) + "' on '" + name(pattern) + " codes";
}

/// Tiles for a layer all of whose operands are in DRAM, where those of the plan count on some that
/// are not. Weights stay cut as they are packed.
LayerPlan tilesAlone(const Network &network, const LayerPlan &planned, const Target &target) {
  const Layer &layer = network.layers[0];
  const auto fits = [&](const Tiling &tiling) {
    return layerCost(network, layer, tiling, target).sramBytes <= target.sram.bytes;
  };
  LayerPlan plan{.tiling = planned.tiling, .cost = planned.cost};
  if (!planned.joined && fits(plan.tiling))
    return plan;
  if (!std::holds_alternative<MatrixLayer>(layer.spec))
    return searchTiles(shapeOf(network, layer), target).plan.value_or(LayerPlan());
  Tiling &tiling = plan.tiling;
  tiling.order = LoopOrder::OutputStationary;
  tiling.buffers = 1;
  tiling.height = std::min(tiling.height, network.tensors[layer.output].dims[1]);
  while (!fits(tiling) && tiling.height * tiling.width > 1)
    (tiling.height > 1 ? tiling.height : tiling.width) /= 2;
  return plan;
}

/// One layer as a module of its own: its inputs, its output, its constants where they lie.
ModuleInfo singleLayer(const ModuleInfo &module, size_t index, const Target &target) {
  const Layer &layer = module.network.layers[index];
  ModuleInfo single;
  single.network.name = module.network.name;
  single.network.constants = module.network.constants;
  single.constantOffsets = module.constantOffsets;
  // Only the layer that reads weights tells how they are packed.
  const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
  for (size_t id = 0; id < single.network.constants.size(); ++id)
    if (ConstantInfo &constant = single.network.constants[id];
        constant.kind == ConstantKind::Weights &&
        (!matrix || matrix->weights != static_cast<ConstantId>(id)))
      constant.bytes = 0;
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
  single.plan.layers = {tilesAlone(single.network, module.plan.layers[index], target)};
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

absl::Status verifyOpsInIsolation(Evaluator &before, Evaluator &after, VerifyCounts &counts,
                                  const VerifyProgress &progress) {
  std::map<std::string, Operation *> references = namedOps(before.function());
  std::map<std::string, Operation *> ops = namedOps(after.function());
  int64_t done = 0;
  for (auto &[name, op] : ops) {
    if (progress)
      progress(static_cast<double>(done++), static_cast<int64_t>(ops.size()));
    auto reference = references.find(name);
    if (reference == references.end())
      continue;
    counts.layers += 1;
    LoneOp trusted(reference->second, before), lowered(op, after);
    if (failed(trusted.prepare()) || failed(lowered.prepare()))
      return cannotRunAlone(name);
    for (CodePattern pattern : kCodePatterns) {
      FailureOr<Tensor> expected = trusted.run(pattern), actual = lowered.run(pattern);
      if (failed(expected) || failed(actual))
        return cannotRunAlone(name);
      absl::Status status = compareCodes(name, lowered.kind(), *expected, *actual,
                                         isolated("lower", pattern), counts);
      if (!status.ok())
        return status;
    }
  }
  return absl::OkStatus();
}

absl::Status verifyLayersInIsolation(Evaluator &npuFunction, const PackageModule &module,
                                     const Target &target, VerifyCounts &counts,
                                     const VerifyProgress &progress) {
  std::map<std::string, Operation *> ops = namedOps(npuFunction.function());
  const Network &network = module.info.network;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    if (progress)
      progress(static_cast<double>(i), static_cast<int64_t>(network.layers.size()));
    auto op = ops.find(network.layers[i].name);
    // A concatenation is several layers: it is checked on samples.
    if (op == ops.end() || isa<npu::ConcatOp>(op->second))
      continue;
    PackageModule single;
    single.info = singleLayer(module.info, i, target);
    single.constants = module.constants;
    absl::StatusOr<Program> program =
        expand(single.info.network, single.info.plan, target, single.info.constantOffsets,
               module.info.program.constantsBytes);
    if (!program.ok())
      return program.status();
    single.info.program = *std::move(program);
    counts.layers += 1;
    LoneOp scheduled(op->second, npuFunction);
    if (failed(scheduled.prepare(/*asLayer=*/true)))
      return cannotRunAlone(op->first);
    for (CodePattern pattern : kCodePatterns) {
      FailureOr<Tensor> expected = scheduled.run(pattern);
      absl::StatusOr<Tensor> actual = simulateAlone(single, target, pattern, nullptr);
      if (failed(expected))
        return cannotRunAlone(op->first);
      if (!actual.ok())
        return actual.status();
      absl::Status status = compareCodes(op->first, scheduled.kind(), *expected, *actual,
                                         isolated("emit", pattern), counts);
      if (!status.ok())
        return status;
    }
    if (module.release)
      module.release(0, static_cast<int64_t>(module.constants.size()));
  }
  return absl::OkStatus();
}

} // namespace sdopt
