#include "compiler/schedule/WinogradLayers.h"

#include "absl/strings/str_cat.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"

namespace sdopt {

std::string winogradProblem(const MatrixLayer &layer, const ConstantInfo &weights,
                            int64_t inputChannels) {
  if (!hasWinogradForm({.kernelHeight = layer.kernelHeight,
                        .kernelWidth = layer.kernelWidth,
                        .strideH = layer.strideH,
                        .strideW = layer.strideW,
                        .dilationH = layer.dilationH,
                        .dilationW = layer.dilationW}))
    return absl::StrCat("has a window of ", layer.kernelHeight, "x", layer.kernelWidth,
                        " with stride ", layer.strideH, "x", layer.strideW, " and dilation ",
                        layer.dilationH, "x", layer.dilationW,
                        "; winograd needs 3x3 with 1x1 and 1x1");
  if (weights.form.tellsZeros())
    return absl::StrCat("skips zeros of constant '", weights.name,
                        "'; winograd needs weights whose form tells none");
  if (inputChannels > kWinogradChannels)
    return absl::StrCat("has ", inputChannels, " input channels; winograd needs at most ",
                        kWinogradChannels);
  return "";
}

bool multipliesTransformed(const MultiplierTarget &multiplier) {
  return multiplier.codes >= kWinogradCodeBits && multiplier.weights >= kWinogradWeightBits;
}

WinogradChoice winogradChoice(const Network &network, const Layer &layer, const Target &target) {
  auto shape = std::get<MatrixShape>(shapeOf(network, layer));
  const auto cycles = [&](bool winograd) -> std::optional<int64_t> {
    shape.winograd = winograd;
    const TileChoice choice = searchTiles(shape, target);
    if (!choice.plan)
      return std::nullopt;
    return estimate(shape, choice.plan->tiling, target).cycles;
  };
  return {cycles(false), cycles(true)};
}

absl::Status checkWinograd(const Network &network, const MultiplierTarget &multiplier) {
  if (multipliesTransformed(multiplier))
    return absl::OkStatus();
  for (const Layer &layer : network.layers)
    if (const auto *matrix = std::get_if<MatrixLayer>(&layer.spec); matrix && matrix->winograd)
      return absl::FailedPreconditionError(absl::StrCat(
          "module '", network.name, "': layer '", layer.name, "' needs multipliers of ",
          kWinogradCodeBits, "x", kWinogradWeightBits, " for winograd; the target has ",
          multiplier.codes, "x", multiplier.weights));
  return absl::OkStatus();
}

} // namespace sdopt
