//===- PrunedWeights.cpp - pruned weights in the IR --------------------------===//

#include "passes/prune/PrunedWeights.h"

#include "compiler/recipe/Recipe.h"
#include "compiler/reference/Evaluator.h"
#include "dialects/sd/Resources.h"
#include "passes/prune/PrunedLayers.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/StoredTensors.h"

#include <cstdio>
#include <map>

using namespace mlir;

namespace sdopt {

namespace {

MutableOperandRange biasOf(Operation *layer) {
  if (auto conv = dyn_cast<sd::Conv2dOp>(layer))
    return conv.getBiasMutable();
  return cast<sd::LinearOp>(layer).getBiasMutable();
}

/// A bias of zeros if the layer has none.
FailureOr<Value> biasBefore(OpBuilder &builder, Operation *layer) {
  MutableOperandRange bias = biasOf(layer);
  if (!bias.empty())
    return bias[0].get();
  const int64_t outputs = cast<RankedTensorType>(layer->getOperand(1).getType()).getDimSize(0);
  return storedVector(builder, sd::valueName(layer->getResult(0)) + ".bias",
                      std::vector<float>(static_cast<size_t>(outputs)));
}

FailureOr<Value> stored(OpBuilder &builder, Operation *layer, const char *suffix,
                        const Tensor &tensor) {
  const std::string name = sd::valueName(layer->getResult(0)) + suffix;
  FailureOr<std::string> key = storedTensor(layer->getLoc(), name, tensor);
  if (failed(key))
    return failure();
  return weightOf(builder, sd::makeValueLoc(builder.getContext(), name, {}), *key);
}

} // namespace

LogicalResult setPruned(Operation *layer, const Mask &mask, const Tensor &values,
                        const Tensor &correction) {
  OpBuilder builder(layer);
  Value weights = layer->getOperand(1), changed;
  FailureOr<Value> bits = stored(builder, layer, ".mask", packMask(mask));
  if (failed(bits))
    return failure();
  if (values.bytes()) {
    FailureOr<Value> kept = stored(builder, layer, ".kept", values);
    if (failed(kept))
      return failure();
    changed = *kept;
  }
  layer->setOperand(1,
                    sd::PruneWeightOp::create(builder, sd::renamedLoc(weights.getLoc(), ".pruned"),
                                              weights.getType(), weights, *bits, changed));
  if (!correction.bytes())
    return success();
  FailureOr<Value> bias = biasBefore(builder, layer);
  FailureOr<Value> added = stored(builder, layer, ".pruning_mean", correction);
  if (failed(bias) || failed(added))
    return failure();
  auto sum = sd::BinaryOp::create(builder, sd::renamedLoc(bias->getLoc(), ".pruned"),
                                  added->getType(), sd::BinaryKind::add, *bias, *added);
  sum->setAttr(kPruningCorrection, builder.getUnitAttr());
  biasOf(layer).assign(sum.getResult());
  return success();
}

void undoPruning(func::FuncOp function) {
  for (Operation &op : llvm::make_early_inc_range(function.getBody().front()))
    if (isa<sd::PruneWeightOp>(op) || op.hasAttr(kPruningCorrection)) {
      op.getResult(0).replaceAllUsesWith(op.getOperand(0));
      op.erase();
    }
}

void undoMarkedPruning(func::FuncOp function) {
  const std::function<void(Value)> undo = [&](Value value) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return;
    for (Value operand : op->getOperands())
      undo(operand);
    if (isa<sd::PruneWeightOp>(op) || op->hasAttr(kPruningCorrection))
      op->getResult(0).replaceAllUsesWith(op->getOperand(0));
  };
  for (Operation &op : function.getBody().front())
    if (op.removeAttr(kKeptAttribute))
      for (Value operand : llvm::to_vector(op.getOperands().drop_front()))
        undo(operand);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isa<sd::PruneWeightOp, sd::WeightOp>(op) && op.use_empty())
      op.erase();
}

std::vector<std::string> pruningSummary(func::FuncOp function, const Recipe &recipe,
                                        const TensorFile *masks) {
  int64_t layers = 0, weights = 0, zeros = 0;
  function.walk([&](sd::PruneWeightOp op) {
    FailureOr<Tensor> packed =
        evaluateConstant(op.getMask(), sd::resources(function.getContext()).evaluation);
    if (failed(packed))
      return;
    const int64_t count = cast<RankedTensorType>(op.getType()).getNumElements();
    ++layers;
    weights += count;
    zeros += zerosOf(unpackMask(*packed, count));
  });
  char share[32];
  std::snprintf(share, sizeof(share), "%.1f",
                100.0 * static_cast<double>(zeros) /
                    static_cast<double>(std::max<int64_t>(1, weights)));
  std::vector<std::string> lines = {share + std::string(" % of the ") + std::to_string(weights) +
                                    " weights of " + std::to_string(layers) +
                                    (layers == 1 ? " layer" : " layers") + " are zero"};
  Recipe copy = recipe;
  FailureOr<PruningPlan> plan = planPruning(function, copy, masks);
  std::map<std::string, std::vector<std::string>> kept;
  if (succeeded(plan))
    for (const DenseLayer &layer : plan->dense)
      kept[layer.reason].push_back(exchangeName(layer.op));
  for (const auto &[reason, names] : kept)
    lines.push_back("keeps all weights of " + names.front() +
                    (names.size() > 1 ? " and " + std::to_string(names.size() - 1) + " more" : "") +
                    ": " + reason + "; a rule of 'names' with 'prune' changes that");
  return lines;
}

FailureOr<std::vector<std::pair<std::string, Tensor>>> masksOf(func::FuncOp function) {
  std::vector<std::pair<std::string, Tensor>> masks;
  for (Operation &op : function.getBody().front()) {
    if (!isa<sd::Conv2dOp, sd::LinearOp>(op))
      continue;
    auto pruned = op.getOperand(1).getDefiningOp<sd::PruneWeightOp>();
    if (!pruned)
      continue;
    FailureOr<Tensor> packed =
        evaluateConstant(pruned.getMask(), sd::resources(function.getContext()).evaluation);
    if (failed(packed))
      return failure();
    auto type = cast<RankedTensorType>(pruned.getType());
    Tensor mask(ElementType::Bool, type.getShape().vec());
    const Mask kept = unpackMask(*packed, type.getNumElements());
    std::copy(kept.begin(), kept.end(), mask.mutableValues<uint8_t>().begin());
    masks.emplace_back(exchangeName(&op), std::move(mask));
  }
  return masks;
}

} // namespace sdopt
