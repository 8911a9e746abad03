//===- ExportConstants.cpp - weights, biases, small numbers -------------------===//

#include "compiler/export/QdqBuilder.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/quantization/QuantizedParameters.h"
#include "dialects/sd/FormatNames.h"

#include "absl/strings/str_cat.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace sdopt {

std::string initializerName(Value constant) {
  Value value = constant;
  // Codes and corrected biases are called like what they are made of.
  while (Operation *op = value.getDefiningOp()) {
    bool corrected = isa<sd::BinaryOp>(op) && sd::valueName(value).ends_with(".corrected");
    if (!corrected && !isa<sd::QuantizeWeightOp, sd::DecodeWeightOp>(op))
      break;
    value = op->getOperand(0);
  }
  if (auto codes = value.getDefiningOp<sd::WeightOp>())
    if (auto name = codes->getAttrOfType<StringAttr>(kCodesOfAttribute))
      return name.str();
  return weightName(value);
}

OnnxGraph::Source QdqBuilder::evaluated(Value constant) {
  return [constant, context = context_, cache = cache_]() -> absl::StatusOr<Tensor> {
    FailureOr<Tensor> value = evaluateConstant(constant, context, *cache);
    if (failed(value))
      return absl::InvalidArgumentError("");
    return *value;
  };
}

std::string QdqBuilder::constant(Value value) {
  std::string &name = constants_[value];
  if (name.empty())
    name = graph_.addInitializer(initializerName(value), evaluatedType(value.getType()),
                                 shapeOf(value), evaluated(value));
  return name;
}

std::string QdqBuilder::weights(Value codes, Value scales, bool transposed) {
  std::string &real = weights_[{codes.getAsOpaquePointer(), transposed}];
  if (!real.empty())
    return real;
  std::string name = initializerName(codes);
  Shape shape = shapeOf(codes);
  OnnxGraph::Source source = evaluated(codes);
  if (transposed) {
    std::swap(shape[0], shape[1]);
    source = [source]() -> absl::StatusOr<Tensor> {
      absl::StatusOr<Tensor> value = source();
      if (!value.ok())
        return value;
      const int64_t order[] = {1, 0};
      return transpose(*value, order);
    };
  }
  std::string stored = graph_.addInitializer(name, ElementType::I8, shape, source);
  std::string scale = graph_.addInitializer(stored + ".scale", ElementType::F32, shapeOf(scales),
                                            evaluated(scales));
  real = graph_.add("DequantizeLinear", {stored, scale}, stored + ".real");
  setAttribute(graph_.last(), "axis", static_cast<int64_t>(transposed ? 1 : 0));
  return real;
}

namespace {

/// Real value of one unit of each channel's accumulator.
Tensor biasScales(const Tensor &scales, double inputScale) {
  Tensor units(ElementType::F32, scales.shape());
  for (int64_t i = 0; i < scales.size(); ++i)
    units.mutableValues<float>()[i] =
        static_cast<float>(inputScale * static_cast<double>(scales.values<float>()[i]));
  return units;
}

/// The integer program's biases; those beyond int32 are clamped (a layer that reads int8 has none).
Tensor biasCodes(const Tensor &bias, const Tensor &scales, double inputScale) {
  std::vector<ChannelParams> params =
      channelParams(scales.values<float>(), bias.values<float>(), inputScale, 1.0);
  Tensor codes(ElementType::I32, bias.shape());
  for (size_t i = 0; i < params.size(); ++i)
    codes.mutableValues<int32_t>()[i] = static_cast<int32_t>(std::clamp<int64_t>(
        params[i].bias, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
  return codes;
}

} // namespace

std::string QdqBuilder::bias(Value bias, Value input, Value scales) {
  if (codeFormat(input.getType()).type != ElementType::I8)
    return constant(bias);
  double inputScale = codeScale(input.getType());
  OnnxGraph::Source floats = evaluated(bias), weightScales = evaluated(scales);
  auto units = [weightScales, inputScale]() -> absl::StatusOr<Tensor> {
    absl::StatusOr<Tensor> value = weightScales();
    return value.ok() ? biasScales(*value, inputScale) : value;
  };
  auto codes = [floats, weightScales, inputScale]() -> absl::StatusOr<Tensor> {
    absl::StatusOr<Tensor> value = floats(), scale = weightScales();
    if (!value.ok() || !scale.ok())
      return value.ok() ? scale : value;
    return biasCodes(*value, *scale, inputScale);
  };
  std::string stored =
      graph_.addInitializer(initializerName(bias), ElementType::I32, shapeOf(bias), codes);
  std::string scale =
      graph_.addInitializer(stored + ".scale", ElementType::F32, shapeOf(bias), units);
  std::string real = graph_.add("DequantizeLinear", {stored, scale}, stored + ".real");
  setAttribute(graph_.last(), "axis", static_cast<int64_t>(0));
  return real;
}

std::string QdqBuilder::floats(const std::string &wanted, const std::vector<float> &values,
                               const Shape &shape) {
  return graph_.addConstant(wanted, Tensor::of<float>(shape, values));
}

std::string QdqBuilder::integers(const std::string &wanted, const Shape &values) {
  return graph_.addConstant(wanted,
                            Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

} // namespace sdopt
