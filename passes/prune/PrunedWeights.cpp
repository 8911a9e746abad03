//===- PrunedWeights.cpp - pruned weights in the IR --------------------------===//

#include "passes/prune/PrunedWeights.h"

#include "compiler/reference/Evaluator.h"
#include "dialects/sd/Resources.h"
#include "passes/prune/PrunedLayers.h"
#include "passes/quantize/LayerInputs.h"

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
    masks.emplace_back(maskName(&op), std::move(mask));
  }
  return masks;
}

} // namespace sdopt
