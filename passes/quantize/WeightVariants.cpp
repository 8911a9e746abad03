//===- WeightVariants.cpp - one layer at other widths ------------------------===//

#include "passes/quantize/WeightVariants.h"

#include "dialects/sd/Sd.h"
#include "passes/quantize/LayerInputs.h"

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

int64_t weightCost(Operation *layer, const LayerRecipe &settings) {
  llvm::ArrayRef<int64_t> shape = weightType(layer).getShape();
  WeightExtent all{
      .outputs = shape[0], .taps = shape.size() == 4 ? shape[2] * shape[3] : 1, .inputs = shape[1]};
  const int64_t terms = settings.weightBits == 16 ? 2 : 1;
  return terms * (8 * storedBytes(formOf(settings), all) + kScaleBits * all.outputs);
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
      settings.oneScale);
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
