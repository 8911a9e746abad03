//===- ScaleSearch.cpp - channel scales for the codes of weights -------------===//

#include "compiler/quantization/ScaleSearch.h"

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

/// Smaller channels are taken to be this large, relative to the largest.
constexpr double kSmallestChannel = 1e-4;

QuantizedWeights nearestCodes(const CodedLayer &layer, const Tensor &weights) {
  if (layer.form.coding == WeightCoding::Grouped)
    return quantizeNarrowWeights(weights, layer.form, layer.oneScale, layer.range, nullptr,
                                 nullptr);
  std::optional<Tensor> common;
  if (layer.oneScale)
    common = commonWeightScale(weights, 0, layer.range);
  return quantizeWeights(weights, 0, layer.range, common ? &*common : nullptr);
}

/// Sum over rows of row C row^T, and with means of (row mean)^2 too.
double powerOf(const Tensor &rows, const InputMoments &moments, bool withMeans) {
  double power = 0;
  for (const RowPower &row : rowPowers(rows, moments))
    power += row.variance + (withMeans ? row.mean * row.mean : 0);
  return power;
}

} // namespace

double sixteenthPower(double x, int sixteenths) {
  double result = 1, root = x;
  for (int bit = kExponentSteps; bit > 0; bit /= 2) {
    if (sixteenths & bit)
      result *= root;
    root = std::sqrt(root);
  }
  return result;
}

std::vector<float> awqScales(const InputMoments &moments, int sixteenths) {
  const double largest = moments.magnitude.empty() ? 0 : std::ranges::max(moments.magnitude);
  std::vector<float> scales(moments.magnitude.size(), 1.0f);
  for (size_t c = 0; c < scales.size() && largest > 0; ++c)
    scales[c] = static_cast<float>(
        sixteenthPower(std::max(moments.magnitude[c], kSmallestChannel * largest), sixteenths));
  return scales;
}

double codeError(const CodedLayer &layer, const InputMoments &moments,
                 std::span<const float> scales) {
  const int64_t outputs = layer.weights.dim(0), inputs = layer.weights.dim(1);
  std::span<const float> weights = layer.weights.values<float>();
  Tensor scaled(ElementType::F32, {outputs, inputs});
  std::span<float> to = scaled.mutableValues<float>();
  for (int64_t i = 0; i < outputs * inputs; ++i)
    to[i] = weights[i] * (scales.empty() ? 1.0f : scales[i % inputs]);
  const QuantizedWeights codes = nearestCodes(layer, scaled);
  const Tensor decoded =
      layer.form.coding == WeightCoding::Grouped
          ? decodeWeightTensor(layer.form, codes.codes,
                               codes.groupScales.bytes() ? &codes.groupScales : nullptr,
                               codes.zeroPoints.bytes() ? &codes.zeroPoints : nullptr,
                               /*inputsLast=*/false)
          : codes.codes;
  std::span<const float> rowScales = codes.scales.values<float>();
  std::span<const int8_t> bytes = decoded.values<int8_t>();
  for (int64_t i = 0; i < outputs * inputs; ++i) {
    const double meant = static_cast<double>(rowScales[i / inputs]) * bytes[i] /
                         (scales.empty() ? 1.0f : scales[i % inputs]);
    to[i] = static_cast<float>(weights[i] - meant);
  }
  return powerOf(scaled, moments, /*withMeans=*/!layer.corrected);
}

double outputPower(const CodedLayer &layer, const InputMoments &moments) {
  return powerOf(layer.weights, moments, /*withMeans=*/true);
}

} // namespace sdopt
