//===- LayerInputs.cpp - what layers read, are called and are set to ---------===//

#include "passes/quantize/LayerInputs.h"

#include "compiler/recipe/NamePattern.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/Resources.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/WeightVariants.h"

#include <algorithm>

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

bool keepsCode(Operation *op) {
  return isa<sd::ReshapeOp, sd::TransposeOp, sd::UpsampleOp, sd::PoolTokenOp, sd::SliceOp>(op);
}

Value codeRoot(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!keepsCode(op))
      break;
    value = op->getOperand(0);
  }
  return value;
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

bool isLayer(Operation *op) {
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

LogicalResult checkStatistics(func::FuncOp function) {
  const Resources &resources = sd::resources(function.getContext());
  if (!resources.recipe || !resources.statistics)
    return function.emitOpError("needs a recipe and statistics to be quantized");
  auto calibrated = function->getAttrOfType<StringAttr>(kCalibratedAttribute);
  std::string digest = calibrated ? calibrated.str() : functionDigest(function);
  if (resources.statistics->functionDigest() != digest)
    return function.emitOpError("statistics are of another function (digest ")
           << resources.statistics->functionDigest() << ", this one is " << digest
           << "); calibrate again";
  return success();
}

FailureOr<std::vector<float>> divisors(Value value) {
  Operation *producer = codeRoot(value).getDefiningOp();
  auto key = producer ? producer->getAttrOfType<StringAttr>(kDividedAttribute) : nullptr;
  if (!key)
    return std::vector<float>();
  const WeightStore *store = sd::resources(value.getContext()).overlay;
  absl::StatusOr<Tensor> vector =
      store ? store->get(key.str()) : absl::FailedPreconditionError("there is no weight store");
  if (!vector.ok())
    return producer->emitOpError("was divided by '") << key.str() << "', which can't be read";
  std::span<const float> numbers = vector->values<float>();
  return std::vector<float>(numbers.begin(), numbers.end());
}

namespace {

/// What the channels alone tell.
void forgetElements(ValueStatistics &statistics) {
  const ChannelStatistics &channels = statistics.channels;
  statistics.min = std::min(0.0f, *std::ranges::min_element(channels.min));
  statistics.max = std::max(0.0f, *std::ranges::max_element(channels.max));
  statistics.moving = {statistics.min, statistics.max};
  statistics.histogram = {};
  statistics.buckets.clear();
}

/// As they were recorded, under the name of `value` or the one that its producer gives.
FailureOr<ValueStatistics> recordedStatistics(Value value, const Statistics &statistics) {
  Operation *producer = value.getDefiningOp();
  auto other =
      producer ? producer->getAttrOfType<StringAttr>(kStatisticsOfAttribute) : StringAttr();
  const std::string name = other ? other.str() : sd::valueName(value);
  const ValueStatistics *found = statistics.find(name);
  if (!found)
    return emitError(value.getLoc(), "value '")
           << name << "' has no statistics; calibrate this function";
  return *found;
}

} // namespace

FailureOr<ValueStatistics> statisticsOf(Value value, const Statistics &statistics) {
  FailureOr<ValueStatistics> found = recordedStatistics(value, statistics);
  if (failed(found))
    return failure();
  FailureOr<std::vector<float>> divided = divisors(value);
  if (failed(divided))
    return failure();
  if (divided->empty())
    return found;
  ValueStatistics now = *std::move(found);
  if (now.channels.size() != divided->size())
    return emitError(value.getLoc(), "value '")
           << now.name << "' has statistics of " << now.channels.size() << " channels but "
           << divided->size() << " were divided; calibrate this function";
  for (size_t c = 0; c < divided->size(); ++c) {
    double divisor = (*divided)[c];
    ChannelStatistics &channels = now.channels;
    channels.min[c] = static_cast<float>(channels.min[c] / divisor);
    channels.max[c] = static_cast<float>(channels.max[c] / divisor);
    channels.sum[c] /= divisor;
    channels.sumOfSquares[c] /= divisor * divisor;
  }
  forgetElements(now);
  return now;
}

FailureOr<std::pair<float, float>> extremesOf(Value value, const Statistics &statistics,
                                              size_t bucket) {
  FailureOr<ValueStatistics> recorded = recordedStatistics(value, statistics);
  FailureOr<ValueStatistics> now = statisticsOf(value, statistics);
  FailureOr<std::vector<float>> divided = divisors(value);
  if (failed(recorded) || failed(now) || failed(divided))
    return failure();
  const BucketStatistics &from = recorded->buckets[bucket];
  if (divided->empty())
    return std::pair(from.min, from.max);
  // Of the channels a bucket knows the largest magnitudes.
  float largest = 0;
  for (auto [magnitude, divisor] : llvm::zip_equal(from.channelLargest, *divided))
    largest = std::max(largest, magnitude / std::abs(divisor));
  return std::pair(std::max(now->min, -largest), std::min(now->max, largest));
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

FailureOr<std::vector<float>> channelPowers(Value input, bool corrected,
                                            const Statistics &statistics) {
  FailureOr<ValueStatistics> found = statisticsOf(input, statistics);
  if (failed(found))
    return failure();
  const ChannelStatistics &channels = found->channels;
  if (static_cast<int64_t>(channels.size()) !=
      cast<RankedTensorType>(input.getType()).getShape().back())
    return std::vector<float>();
  const double count = static_cast<double>(found->count) / static_cast<double>(channels.size());
  std::vector<float> powers(channels.size());
  for (size_t c = 0; c < powers.size(); ++c) {
    const double mean = channels.sum[c] / count;
    const double power = channels.sumOfSquares[c] / count - (corrected ? mean * mean : 0);
    powers[c] = static_cast<float>(std::max(power, 0.0));
  }
  return powers;
}

FailureOr<std::vector<float>> channelMeans(Operation *layer, const Statistics &statistics) {
  Value input = layer->getOperand(0);
  if (Operation *producer = input.getDefiningOp(); producer && isConstantExpression(producer))
    return std::vector<float>();
  FailureOr<ValueStatistics> found = statisticsOf(input, statistics);
  if (failed(found))
    return failure();
  const ChannelStatistics &channels = found->channels;
  auto type = cast<RankedTensorType>(input.getType());
  if (static_cast<int64_t>(channels.size()) != type.getShape().back())
    return layer->emitOpError("reads '")
           << sd::valueName(input) << "', of whose channels the statistics know " << channels.size()
           << " instead of " << type.getShape().back() << "; calibrate this function";
  std::vector<float> means(channels.size());
  const double count = static_cast<double>(found->count) / static_cast<double>(channels.size());
  for (size_t c = 0; c < means.size(); ++c)
    means[c] = static_cast<float>(channels.sum[c] / count);
  return means;
}

Shape groupShape(ArrayRef<int64_t> weights, const LayerRecipe &layer) {
  const WeightForm form = formOf(layer);
  const bool each = weights.size() == 4 && form.groupSize > 0 && !form.sharedTaps;
  return {weights[0], each ? weights[2] : 1, each ? weights[3] : 1, form.groups(weights[1])};
}

FailureOr<std::string> storedTensor(Location loc, const std::string &name, const Tensor &tensor) {
  WeightStore *store = sd::resources(loc.getContext()).overlay;
  if (!store)
    return emitError(loc, "there is no weight store to keep '") << name << "' in";
  std::span<const std::byte> bytes(tensor.bytes(), static_cast<size_t>(tensor.byteSize()));
  std::string key = name + "." + blake3Hex(bytes).substr(0, 16);
  if (absl::Status status = store->addOverlay(key, tensor); !status.ok())
    return emitError(loc) << std::string(status.message());
  return key;
}

FailureOr<Value> weightOf(OpBuilder &builder, Location loc, const std::string &key) {
  WeightStore *store = sd::resources(builder.getContext()).overlay;
  if (!store)
    return emitError(loc, "there is no weight store to read '") << key << "' from";
  absl::StatusOr<Tensor> tensor = store->get(key);
  absl::StatusOr<std::string> digest = tensor.ok() ? store->digest(key) : tensor.status();
  if (!digest.ok())
    return emitError(loc) << std::string(digest.status().message());
  Type element = builder.getF32Type();
  if (tensor->type() == ElementType::I8)
    element = builder.getI8Type();
  return sd::WeightOp::create(builder, loc, RankedTensorType::get(tensor->shape(), element), key,
                              *digest)
      .getResult();
}

FailureOr<std::string> storedImportance(Operation *layer, bool corrected,
                                        const Statistics &statistics) {
  Value input = layer->getOperand(0);
  if (Operation *producer = input.getDefiningOp(); producer && isConstantExpression(producer))
    return std::string();
  FailureOr<std::vector<float>> powers = channelPowers(input, corrected, statistics);
  if (failed(powers) || powers->empty())
    return failed(powers) ? FailureOr<std::string>() : std::string();
  const auto size = static_cast<int64_t>(powers->size());
  return storedTensor(sd::makeValueLoc(layer->getContext(), sd::valueName(input), {}),
                      sd::valueName(input) + (corrected ? ".variance" : ".power"),
                      Tensor::of<float>({size}, *powers));
}

FailureOr<Value> storedVector(OpBuilder &builder, const std::string &name,
                              const std::vector<float> &vector) {
  Location loc = sd::makeValueLoc(builder.getContext(), name, {});
  auto size = static_cast<int64_t>(vector.size());
  FailureOr<std::string> key = storedTensor(loc, name, Tensor::of<float>({size}, vector));
  return failed(key) ? FailureOr<Value>() : weightOf(builder, loc, *key);
}

} // namespace sdopt
