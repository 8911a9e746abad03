//===- WeightVariants.cpp - one layer at other widths ------------------------===//

#include "passes/quantize/WeightVariants.h"

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
  return 8 * storedBytes(formOf(settings), all) + kScaleBits * all.outputs;
}

LogicalResult narrowWeights(Operation *layer, const LayerRecipe &settings) {
  OpOperand &weights = weightsOf(layer);
  RankedTensorType type = weightType(layer);
  llvm::ArrayRef<int64_t> shape = type.getShape();
  WeightForm form = formOf(settings);
  OpBuilder builder(layer);
  Location loc = weights.get().getLoc();
  Type i8 = builder.getI8Type();
  auto perChannel = RankedTensorType::get({shape[0]}, builder.getF32Type());
  Type groups = RankedTensorType::get(groupShape(shape, settings), i8);
  bool narrow = form.coding == WeightCoding::Grouped;
  auto codes = sd::QuantizeWeightOp::create(
      builder, loc, type.clone(i8), perChannel, narrow && form.hasScales() ? groups : Type(),
      narrow && !form.symmetric ? groups : Type(), Type(), weights.get(), Value(), /*axis=*/0,
      form.bits, static_cast<sd::Range>(settings.weightRange), form.groupSize, form.symmetric,
      form.sharedTaps, settings.oneScale);
  Value decoded = codes.getCodes();
  if (narrow)
    decoded = sd::DecodeWeightOp::create(builder, loc, type.clone(i8), codes.getCodes(),
                                         codes.getGroupScales(), codes.getZeroPoints(), /*axis=*/1,
                                         form.bits, form.groupSize, form.sharedTaps);
  SmallVector<int64_t> column(shape.size(), 1);
  column[0] = shape[0];
  Value scales = sd::ReshapeOp::create(
      builder, loc, RankedTensorType::get(column, builder.getF32Type()), codes.getScales());
  Value whole = sd::CastOp::create(builder, loc, type, decoded);
  weights.set(sd::BinaryOp::create(builder, loc, type, sd::BinaryKind::mul, whole, scales));
  return success();
}

} // namespace sdopt
