//===- LayerStatistics.cpp - statistics of values as they are now ---------===//

#include "passes/quantize/LayerStatistics.h"

#include "compiler/recipe/Recipe.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/Resources.h"
#include "dialects/sd/Sd.h"
#include "passes/quantize/CodeRoots.h"
#include "passes/quantize/StoredTensors.h"

#include <algorithm>

using namespace mlir;

namespace sdopt {

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

} // namespace sdopt
