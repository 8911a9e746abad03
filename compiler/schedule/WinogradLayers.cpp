#include "compiler/schedule/WinogradLayers.h"

#include "absl/strings/str_cat.h"
#include "compiler/schedule/SramLayout.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"

#include <algorithm>

namespace sdopt {
namespace {

/// F(2x2, 3x3): trees over 4 codes and 9 weights, then to the sum; 8 terms in each dimension make
/// the 4 codes of a tile, and the 4 weights, and each sum has part in 6 / 4 outputs.
///
/// F(4x4, 3x3): trees over 16 codes and 9 weights and a half for each, then to the sum; in each
/// dimension 24 terms make the 6 codes (5 x counts as 4 x + x) and 16 the weights (3 x as 2 x + x),
/// and the 6 sums have part in 18 outputs.
constexpr WinogradWork kWork[] = {
    {.outputs = 1,
     .products = 0,
     .codeTerms = 0,
     .weightTerms = 0,
     .sumTerms = 0,
     .roundings = 0,
     .depth = 0,
     .codeBits = 8,
     .weightBits = 8,
     .isLossy = false},
    {.outputs = kWinogradOutputs,
     .products = kWinogradProducts,
     .codeTerms = 8 * 8,
     .weightTerms = 8 * 8,
     .sumTerms = 6 * 6,
     .roundings = 0,
     .depth = 2 + 4 + 1,
     .codeBits = kWinogradCodeBits,
     .weightBits = kWinogradWeightBits,
     .isLossy = false},
    {.outputs = kTapOutputs,
     .products = kTapProducts,
     .codeTerms = 24 * 24,
     .weightTerms = 16 * 16,
     .sumTerms = 18 * 18,
     .roundings = kTapProducts,
     .depth = 4 + 1 + 4 + 1 + 1,
     .codeBits = kTapCodeBits,
     .weightBits = kTapWeightBits,
     .isLossy = true},
};

/// Of a layer in that form, at the tiling that searchTiles() finds; nothing where none fits.
std::optional<Estimate> bestEstimate(MatrixShape shape, WinogradForm form, const Target &target) {
  shape.winograd = form;
  const TileChoice choice = searchTiles(shape, target);
  if (!choice.plan)
    return std::nullopt;
  return estimate(shape, choice.plan->tiling, target);
}

} // namespace

const WinogradWork &workOf(WinogradForm form) { return kWork[static_cast<size_t>(form)]; }

int64_t winogradTiles(WinogradForm form, int64_t height, int64_t width) {
  const int64_t outputs = workOf(form).outputs;
  return ceilDiv(height, outputs) * ceilDiv(width, outputs);
}

std::string winogradProblem(WinogradForm form, const MatrixLayer &layer,
                            const ConstantInfo &weights, int64_t inputChannels) {
  if (form == WinogradForm::None)
    return "";
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
  if (form == WinogradForm::F2x2 && inputChannels > kWinogradChannels)
    return absl::StrCat("has ", inputChannels, " input channels; winograd needs at most ",
                        kWinogradChannels);
  return "";
}

std::string productsProblem(const Layer &layer, const ConvCommand &command) {
  static constexpr const char *kForms[] = {"not by winograd", "by winograd",
                                           "by winograd of 4x4 outputs"};
  const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
  const WinogradForm form = matrix ? matrix->winograd : WinogradForm::None;
  if (command.winograd != form)
    return absl::StrCat("is ", kForms[static_cast<size_t>(command.winograd)], "; its layer is ",
                        kForms[static_cast<size_t>(form)]);
  if (form != WinogradForm::F4x4)
    return "";
  const auto differs = [](const char *what, const auto &own, const auto &layers) -> std::string {
    const auto [at, other] = std::ranges::mismatch(own, layers);
    if (at == own.end())
      return "";
    const int64_t place = at - own.begin();
    return absl::StrCat("has shift ", *at, " of ", what, " at row ", place / kTapInputs,
                        ", column ", place % kTapInputs, "; its layer has ", *other);
  };
  std::string problem = differs("codes", command.taps.codes, matrix->taps.codes);
  return problem.empty() ? differs("weights", command.taps.weights, matrix->taps.weights) : problem;
}

bool multipliesTransformed(WinogradForm form, const MultiplierTarget &multiplier) {
  return multiplier.codes >= workOf(form).codeBits && multiplier.weights >= workOf(form).weightBits;
}

std::string winogradTilingProblem(const MatrixShape &shape, const Tiling &tiling) {
  const WinogradWork &work = workOf(shape.winograd);
  if (!work.isLossy)
    return "";
  const auto isCut = [&](int64_t size, int64_t tile) {
    return tile < size && tile % work.outputs != 0;
  };
  if (isCut(shape.vertical.output, tiling.height) || isCut(shape.horizontal.output, tiling.width))
    return absl::StrCat("has tiles of ", tiling.height, "x", tiling.width, " of ",
                        shape.vertical.output, "x", shape.horizontal.output,
                        "; winograd of 4x4 outputs needs multiples of ", work.outputs);
  if (tiling.buffers > kHaloKept)
    return "keeps rows in a ring, whose end windows of winograd of 4x4 outputs would run over";
  return "";
}

std::optional<int64_t> winogradCycles(MatrixShape shape, WinogradForm form, const Target &target) {
  const std::optional<Estimate> best = bestEstimate(std::move(shape), form, target);
  return best ? std::optional(best->cycles) : std::nullopt;
}

WinogradChoice winogradChoice(const Network &network, const Layer &layer, const Target &target) {
  const auto shape = std::get<MatrixShape>(shapeOf(network, layer));
  WinogradChoice choice;
  if (const auto direct = bestEstimate(shape, WinogradForm::None, target)) {
    choice.direct = direct->cycles;
    choice.directWork = direct->cost.computeCycles;
  }
  if (const auto winograd = bestEstimate(shape, WinogradForm::F2x2, target)) {
    choice.winograd = winograd->cycles;
    choice.winogradWork = winograd->cost.computeCycles;
  }
  return choice;
}

absl::Status checkWinograd(const Network &network, const MultiplierTarget &multiplier) {
  for (const Layer &layer : network.layers) {
    const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    if (!matrix || matrix->winograd == WinogradForm::None ||
        multipliesTransformed(matrix->winograd, multiplier))
      continue;
    const WinogradWork &work = workOf(matrix->winograd);
    return absl::FailedPreconditionError(
        absl::StrCat("module '", network.name, "': layer '", layer.name, "' needs multipliers of ",
                     work.codeBits, "x", work.weightBits, " for winograd; the target has ",
                     multiplier.codes, "x", multiplier.weights));
  }
  return absl::OkStatus();
}

} // namespace sdopt
