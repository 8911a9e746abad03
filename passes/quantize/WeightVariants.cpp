//===- WeightVariants.cpp - one layer at other widths ------------------------===//

#include "passes/quantize/WeightVariants.h"

#include "compiler/reference/StoredCodes.h"
#include "compiler/schedule/WeightStorage.h"
#include "dialects/sd/Resources.h"
#include "dialects/sd/Sd.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/StoredTensors.h"

using namespace mlir;

namespace sdopt {

namespace {

constexpr int64_t kScaleBits = 32;

OpOperand &weightsOf(Operation *layer) {
  if (auto conv = dyn_cast<sd::Conv2dOp>(layer))
    return conv.getWeightsMutable();
  return cast<sd::LinearOp>(layer).getWeightsMutable();
}

RankedTensorType weightType(Operation *layer) {
  return cast<RankedTensorType>(weightsOf(layer).get().getType());
}

} // namespace

bool hasWeights(Operation *layer) {
  return isa<sd::Conv2dOp, sd::LinearOp>(layer) && weightType(layer).getElementType().isF32();
}

int64_t weightCount(Operation *layer) { return weightType(layer).getNumElements(); }

namespace {

WeightExtent extentOf(Operation *layer) {
  llvm::ArrayRef<int64_t> shape = weightType(layer).getShape();
  return {
      .outputs = shape[0], .taps = shape.size() == 4 ? shape[2] * shape[3] : 1, .inputs = shape[1]};
}

/// [outputs][inputs][taps] as [outputs][taps][inputs].
std::vector<int8_t> tapsFirst(std::span<const int8_t> weights, const WeightExtent &layer) {
  std::vector<int8_t> result(weights.size());
  for (int64_t o = 0; o < layer.outputs; ++o) {
    const int64_t row = o * layer.taps * layer.inputs;
    for (int64_t i = 0; i < layer.inputs; ++i)
      for (int64_t t = 0; t < layer.taps; ++t)
        result[row + t * layer.inputs + i] = weights[row + i * layer.taps + t];
  }
  return result;
}

/// By F(2x2, 3x3) or F(4x4, 3x3), if that turns out to be faster.
bool mayBeWinograd(Operation *layer, const LayerRecipe &settings, const Recipe &recipe) {
  auto conv = dyn_cast<sd::Conv2dOp>(layer);
  if (!conv || (!recipe.winograd && settings.winogradMinSqnr == 0))
    return false;
  llvm::ArrayRef<int64_t> shape = weightType(layer).getShape();
  return shape[2] == 3 && shape[3] == 3 &&
         llvm::all_of(conv.getStrides(), [](int64_t stride) { return stride == 1; });
}

/// What narrowWeights() put around the codes.
Value codesOf(Operation *layer) {
  auto scaled = weightsOf(layer).get().getDefiningOp<sd::BinaryOp>();
  auto whole = scaled ? scaled.getLhs().getDefiningOp<sd::CastOp>() : nullptr;
  return whole ? whole.getInput() : Value();
}

} // namespace

FailureOr<int64_t> weightCost(Operation *layer, const LayerRecipe &settings) {
  const Resources &resources = sd::resources(layer->getContext());
  const WeightExtent extent = extentOf(layer);
  const int64_t scales = kScaleBits * extent.outputs;
  const WeightForm form = formOf(settings);
  Value codes = codesOf(layer);
  const int64_t terms = settings.weightBits == 16 ? 2 : 1;
  if (!resources.target || !codes || settings.storage == "plain")
    return terms * (8 * storedBytes(form, extent) + scales);
  ConstantCache constants;
  FailureOr<StoredCodes> stored = storedCodes(codes, resources.evaluation, constants);
  if (failed(stored))
    return failure();
  const std::vector<int8_t> ordered = tapsFirst(stored->weights.codes, extent),
                            meant = tapsFirst(stored->meant.values<int8_t>(), extent);
  StoredWeights weights = stored->weights;
  weights.codes = ordered;
  const int64_t positions =
      cast<RankedTensorType>(layer->getResult(0).getType()).getNumElements() / extent.outputs;
  const std::optional<Storage> storage = parseStorage(settings.storage);
  int64_t bytes = 0;
  for (WinogradForm winograd : {WinogradForm::None, WinogradForm::F2x2}) {
    if (winograd != WinogradForm::None && !mayBeWinograd(layer, settings, *resources.recipe))
      continue;
    const WeightUse use =
        weightUse(static_cast<double>(positions) * static_cast<double>(extent.weights()),
                  settings.activationBits == 16, winograd, *resources.target);
    const StorageChoice choice =
        chooseStorage(form, weights, meant, extent, *storage, use, *resources.target);
    if (winograd == WinogradForm::None || !isMostlyZeros(choice.zeros, extent.weights()))
      bytes = std::max(bytes, choice.best().bytes);
  }
  return 8 * bytes + scales;
}

namespace {

/// What the codes of a layer's weights are, and the scales of its output channels.
struct Narrowed {
  Value decoded, scales;
};

Narrowed uniformWeights(OpBuilder &builder, Value weights, const WeightForm &form,
                        const LayerRecipe &settings) {
  auto type = cast<RankedTensorType>(weights.getType());
  llvm::ArrayRef<int64_t> shape = type.getShape();
  Location loc = weights.getLoc();
  Type i8 = builder.getI8Type();
  auto perChannel = RankedTensorType::get({shape[0]}, builder.getF32Type());
  Type groups = RankedTensorType::get(groupShape(shape, settings), i8);
  bool narrow = form.coding == WeightCoding::Grouped;
  auto codes = sd::QuantizeWeightOp::create(
      builder, loc, type.clone(i8), perChannel, narrow && form.hasScales() ? groups : Type(),
      narrow && !form.symmetric ? groups : Type(), Type(), weights, Value(), /*axis=*/0, form.bits,
      static_cast<sd::Range>(settings.weightRange), form.groupSize, form.symmetric, form.sharedTaps,
      settings.oneScale);
  Value decoded = codes.getCodes();
  if (narrow)
    decoded = sd::DecodeWeightOp::create(builder, loc, type.clone(i8), codes.getCodes(),
                                         codes.getGroupScales(), codes.getZeroPoints(), Value(),
                                         /*axis=*/1, form.bits, form.groupSize, form.sharedTaps, 0);
  return {decoded, codes.getScales()};
}

Narrowed sharedWeights(OpBuilder &builder, Value weights, Value importance, const WeightForm &form,
                       const LayerRecipe &settings) {
  auto type = cast<RankedTensorType>(weights.getType());
  Type i8 = builder.getI8Type();
  auto codes = sd::ShareWeightOp::create(
      builder, weights.getLoc(), type.clone(i8),
      RankedTensorType::get({type.getDimSize(0)}, builder.getF32Type()),
      RankedTensorType::get({form.palettes(type.getDimSize(0)), form.paletteEntries()}, i8), Type(),
      weights, importance, Value(), form.bits, form.paletteOutputs, isPruned(weights),
      settings.oneScale, llvm::APFloat(settings.codedBits));
  Value decoded = sd::DecodeWeightOp::create(
      builder, weights.getLoc(), type.clone(i8), codes.getCodes(), Value(), Value(),
      codes.getPalettes(), /*axis=*/1, form.bits, 0, false, form.paletteOutputs);
  return {decoded, codes.getScales()};
}

} // namespace

LogicalResult narrowWeights(Operation *layer, const LayerRecipe &settings,
                            const std::string &importanceKey) {
  if (settings.weightBits == 16)
    return success(); // as good as exact beside the others
  OpOperand &weights = weightsOf(layer);
  RankedTensorType type = weightType(layer);
  WeightForm form = formOf(settings);
  OpBuilder builder(layer);
  Location loc = weights.get().getLoc();
  Narrowed narrowed;
  if (form.coding == WeightCoding::Palette) {
    FailureOr<Value> importance =
        importanceKey.empty() ? Value() : weightOf(builder, loc, importanceKey);
    if (failed(importance))
      return failure();
    narrowed = sharedWeights(builder, weights.get(), *importance, form, settings);
  } else {
    narrowed = uniformWeights(builder, weights.get(), form, settings);
  }
  SmallVector<int64_t> column(type.getRank(), 1);
  column[0] = type.getDimSize(0);
  Value scales = sd::ReshapeOp::create(
      builder, loc, RankedTensorType::get(column, builder.getF32Type()), narrowed.scales);
  Value whole = sd::CastOp::create(builder, loc, type, narrowed.decoded);
  weights.set(sd::BinaryOp::create(builder, loc, type, sd::BinaryKind::mul, whole, scales));
  return success();
}

} // namespace sdopt
