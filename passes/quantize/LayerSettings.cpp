//===- LayerSettings.cpp - what layers are called and set to --------------===//

#include "passes/quantize/LayerSettings.h"

#include "compiler/recipe/NamePattern.h"
#include "compiler/reference/Evaluator.h"
#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/Sd.h"
#include "passes/quantize/CodeRoots.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/RoundedCodes.h"
#include "passes/quantize/WeightVariants.h"

using namespace mlir;

namespace sdopt {

std::vector<std::string> layerNames(Operation *op) {
  std::vector<std::string> names;
  for (Value result : op->getResults())
    names.push_back(sd::valueName(result));
  for (const std::string &node : sd::onnxNodes(op))
    names.push_back(node);
  for (Value operand : op->getOperands()) {
    Operation *source = operand.getDefiningOp();
    while (source && !isa<sd::WeightOp>(source) && isConstantExpression(source) &&
           source->getNumOperands() > 0)
      source = source->getOperand(0).getDefiningOp();
    if (auto weight = dyn_cast_or_null<sd::WeightOp>(source))
      names.push_back(weight.getKey().str());
  }
  addModulePaths(names);
  return names;
}

LayerRecipe layerSettings(Recipe &recipe, func::FuncOp function, Operation *op) {
  const std::string module = sd::bucketFunctions(function).front().getName().str();
  LayerRecipe layer = recipe.resolve(module, op->getName().stripDialect().str(), layerNames(op));
  if (auto bits = op->getAttrOfType<IntegerAttr>(kWeightBitsAttribute))
    layer.weightBits = static_cast<int>(bits.getInt());
  if (auto bits = op->getAttrOfType<FloatAttr>(kCodedBitsAttribute))
    layer.codedBits = bits.getValueAsDouble();
  auto rounded = op->getAttrOfType<DictionaryAttr>(kRoundedAttribute);
  if (auto bits = rounded ? rounded.getAs<IntegerAttr>(kFormBits) : nullptr) {
    layer.palette = true;
    layer.weightBits = static_cast<int>(bits.getInt());
    layer.paletteOutputs = static_cast<int>(rounded.getAs<IntegerAttr>(kFormOutputs).getInt());
  }
  return layer;
}

std::string exchangeName(Operation *layer) {
  const std::vector<std::string> names = layerNames(layer);
  // Weights that the exporter did not name are named after the node that reads them.
  for (const std::string &name : names)
    if (size_t slash = name.find('/'); slash != std::string::npos && slash > 0 &&
                                       name.ends_with(".weight") && !name.starts_with("/"))
      return name.substr(slash + 1);
  for (const std::string &node : sd::onnxNodes(layer)) {
    std::vector<std::string> path = {node};
    addModulePaths(path);
    if (node.starts_with('/') && path.size() > 1)
      return path[1] + ".weight";
  }
  return sd::valueName(layer->getResult(0));
}

static bool isLayer(Operation *op) {
  return !op->hasTrait<OpTrait::IsTerminator>() && !isConstantExpression(op) && !keepsCode(op);
}

std::vector<ExplainedLayer> explainLayers(const Recipe &recipe, func::FuncOp function) {
  std::vector<ExplainedLayer> layers;
  for (Operation &op : function.getBody().front()) {
    if (!isLayer(&op))
      continue;
    std::string type = op.getName().stripDialect().str();
    std::vector<std::string> names = layerNames(&op);
    std::vector<std::string> settings = recipe.explain(function.getName().str(), type, names);
    layers.push_back({std::move(type), std::move(names), std::move(settings)});
  }
  return layers;
}

void matchLayers(Recipe &recipe, func::FuncOp function) {
  for (Operation &op : function.getBody().front())
    if (isLayer(&op))
      layerSettings(recipe, function, &op);
}

Attribute windowAttribute(Operation *layer) {
  auto conv = dyn_cast<sd::Conv2dOp>(layer);
  if (!conv)
    return {};
  ArrayRef<int64_t> kernel =
      cast<RankedTensorType>(conv.getWeights().getType()).getShape().drop_front(2);
  return ArrayAttr::get(layer->getContext(),
                        {conv.getStridesAttr(), conv.getDilationsAttr(), conv.getPaddingAttr(),
                         DenseI64ArrayAttr::get(layer->getContext(), kernel)});
}

bool isPruned(Value weights) {
  Operation *op = weights.getDefiningOp();
  return op && (isa<sd::PruneWeightOp>(op) || llvm::any_of(op->getOperands(), isPruned));
}

WeightForm formOf(const LayerRecipe &layer) {
  if (layer.weightBits >= 8)
    return {};
  if (layer.palette)
    return {.coding = WeightCoding::Palette,
            .bits = layer.weightBits,
            .paletteOutputs = layer.paletteOutputs};
  return {WeightCoding::Grouped, layer.weightBits, layer.groupSize, layer.weightSymmetric,
          layer.sharedTaps};
}

Shape groupShape(ArrayRef<int64_t> weights, const LayerRecipe &layer) {
  const WeightForm form = formOf(layer);
  const bool each = weights.size() == 4 && form.groupSize > 0 && !form.sharedTaps;
  return {weights[0], each ? weights[2] : 1, each ? weights[3] : 1, form.groups(weights[1])};
}

} // namespace sdopt
