//===- ImposedCodes.cpp - codes that were decided elsewhere -------------------===//

#include "passes/quantize/ImposedCodes.h"

#include "compiler/quantization/WeightQuantization.h"
#include "compiler/reference/Evaluator.h"
#include "dialects/sd/FormatNames.h"
#include "dialects/sd/Resources.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/StoredTensors.h"

#include <algorithm>
#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

const ImposedFormat *find(Value value, const std::string &name) {
  const ImposedFormats *imposed = sd::resources(value.getContext()).imposed;
  return imposed ? imposed->find(name) : nullptr;
}

InFlightDiagnostic refuse(Value value, const std::string &name, const absl::Status &status) {
  return emitError(value.getLoc(), "'")
         << sd::resources(value.getContext()).imposed->origin << "' gives '" << name << "' "
         << std::string(status.message());
}

absl::StatusOr<std::vector<float>> scalesOf(Value weights, const ImposedFormat &format) {
  auto type = cast<RankedTensorType>(weights.getType());
  return weightScales(format, type.getDimSize(0), areTransposed(weights) ? 1 : 0, type.getRank());
}

/// As QuantizeLinear makes them.
Tensor nearestCodes(const Tensor &weights, const std::vector<float> &scales) {
  Tensor codes(ElementType::I8, weights.shape());
  const int64_t size = weights.size() / static_cast<int64_t>(scales.size());
  for (int64_t i = 0; i < weights.size(); ++i) {
    const float code = std::nearbyint(weights.values<float>()[i] / scales[i / size]);
    codes.mutableValues<int8_t>()[i] = static_cast<int8_t>(std::clamp(code, -128.0f, 127.0f));
  }
  return codes;
}

} // namespace

FailureOr<std::optional<ActivationCode>> imposedCode(Value value, llvm::StringRef suffix) {
  std::string name = sd::valueName(value);
  if (Operation *producer = value.getDefiningOp(); producer && producer->hasAttr(kDividedAttribute))
    name += kSmoothSuffix;
  name += suffix;
  const ImposedFormat *format = find(value, name);
  if (!format)
    return std::optional<ActivationCode>();
  absl::StatusOr<ActivationCode> code = activationCode(*format);
  if (!code.ok())
    return refuse(value, name, code.status());
  return std::optional<ActivationCode>(*code);
}

bool hasImposedScales(Value weights) {
  const ImposedFormat *format = find(weights, weightName(weights));
  return format && (!format->exact || scalesOf(weights, *format).ok());
}

FailureOr<std::optional<ImposedScales>> imposedScales(Value weights) {
  if (!hasImposedScales(weights))
    return std::optional<ImposedScales>();
  const std::string name = weightName(weights);
  const ImposedFormat *format = find(weights, name);
  absl::StatusOr<std::vector<float>> scales = scalesOf(weights, *format);
  if (!scales.ok())
    return refuse(weights, name, scales.status());
  return std::optional(ImposedScales{*std::move(scales), format->exact});
}

bool hasImposedCode(Value value) {
  const std::string name = sd::valueName(value);
  return find(value, name) && !find(value, name + kSmoothSuffix.str());
}

namespace {

FailureOr<QuantizedWeights> codesWith(Value weights, const ImposedScales &imposed, Value means) {
  const EvaluationContext &context = sd::resources(weights.getContext()).evaluation;
  FailureOr<Tensor> values = evaluateConstant(weights, context);
  if (failed(values))
    return failure();
  if (int64_t at = firstNonFiniteWeight(*values); at >= 0)
    return emitError(weights.getLoc(), "weight element ") << at << " is not finite";
  Tensor known = Tensor::of<float>({values->dim(0)}, imposed.scales);
  if (imposed.exact)
    return QuantizedWeights{.codes = nearestCodes(*values, imposed.scales), .scales = known};
  FailureOr<Tensor> inputMeans =
      means ? evaluateConstant(means, context) : FailureOr<Tensor>(Tensor());
  if (failed(inputMeans))
    return failure();
  return quantizeWeights(*values, 0, RangeEstimator::MinMax, &known,
                         means ? &*inputMeans : nullptr);
}

} // namespace

FailureOr<std::optional<WeightCodes>> imposedWeights(Value weights, Value means) {
  FailureOr<std::optional<ImposedScales>> imposed = imposedScales(weights);
  if (failed(imposed) || !*imposed)
    return failed(imposed) ? FailureOr<std::optional<WeightCodes>>() : std::optional<WeightCodes>();
  FailureOr<QuantizedWeights> quantized = codesWith(weights, **imposed, means);
  if (failed(quantized))
    return failure();
  OpBuilder builder(weights.getContext());
  builder.setInsertionPointAfterValue(weights);
  Location loc = sd::renamedLoc(weights.getLoc(), ".codes");
  const std::string name = weightName(weights);
  // Both are called like the results of sd.quantize_weight.
  auto stored = [&](const std::string &key, const Tensor &tensor) -> FailureOr<Value> {
    FailureOr<std::string> digested = storedTensor(loc, key, tensor);
    return failed(digested) ? FailureOr<Value>() : weightOf(builder, loc, *digested);
  };
  FailureOr<Value> codes = stored(sd::valueName(weights) + ".codes", quantized->codes);
  FailureOr<Value> scales =
      failed(codes) ? FailureOr<Value>() : stored(name + ".scales", quantized->scales);
  if (failed(scales))
    return failure();
  markCodes(*codes, weights);
  WeightCodes result{*codes, *scales, Value()};
  if (!quantized->correction.bytes())
    return std::optional(result);
  std::span<const float> correction = quantized->correction.values<float>();
  FailureOr<Value> vector =
      storedVector(builder, name + ".correction", {correction.begin(), correction.end()});
  if (failed(vector))
    return failure();
  result.correction = *vector;
  return std::optional(result);
}

} // namespace sdopt
