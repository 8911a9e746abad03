//===- SdVerifiers.cpp - constraints beyond shape inference -----------------===//

#include "dialects/sd/Sd.h"

#include <cmath>

using namespace mlir;
using namespace sdopt::sd;

namespace {

quant::UniformQuantizedType quantizedElement(Value value) {
  return dyn_cast<quant::UniformQuantizedType>(
      cast<RankedTensorType>(value.getType()).getElementType());
}

bool isFloat(Value value) {
  return isa<FloatType>(cast<RankedTensorType>(value.getType()).getElementType());
}

constexpr int64_t kLeastGroup = 16, kLargestGroup = 256;

LogicalResult checkGroupSize(Operation *op, int64_t groupSize) {
  if (groupSize == 0 || (groupSize >= kLeastGroup && groupSize <= kLargestGroup))
    return success();
  return op->emitOpError("group_size is ") << groupSize << " but must be 0 or 16 to 256";
}

/// Shape of the group scales of codes whose input channels are dimension `axis`, 1 or the last.
SmallVector<int64_t> groupShape(RankedTensorType codes, int64_t axis, int64_t groupSize,
                                bool sharedTaps) {
  int64_t height = 1, width = 1, first = axis == 1 ? 2 : 1;
  if (!sharedTaps && groupSize > 0 && codes.getRank() == 4) {
    height = codes.getDimSize(first);
    width = codes.getDimSize(first + 1);
  }
  int64_t inputs = codes.getDimSize(axis);
  return {codes.getDimSize(0), height, width,
          groupSize == 0 ? 1 : (inputs + groupSize - 1) / groupSize};
}

LogicalResult checkGroups(Operation *op, const char *what, Value value, ArrayRef<int64_t> shape) {
  if (!value)
    return success();
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getElementType().isSignlessInteger(8) && type.getShape() == shape)
    return success();
  return op->emitOpError() << what << " are " << type << " but must be "
                           << type.clone(shape, IntegerType::get(op->getContext(), 8));
}

/// Of sd.share_weight and of sd.decode_weight with palettes.
LogicalResult checkPaletteBits(Operation *op, uint64_t bits, int64_t outputs) {
  if (bits < 1 || bits > 8)
    return op->emitOpError("bits are ") << bits << " but must be 1 to 8 with palettes";
  if (outputs < 0)
    return op->emitOpError("'palette_outputs' is ") << outputs << " but must not be negative";
  return success();
}

LogicalResult checkPalettes(Operation *op, Value palettes, int64_t outputs, int64_t bits,
                            int64_t paletteOutputs) {
  const int64_t count = paletteOutputs == 0 ? 1 : (outputs + paletteOutputs - 1) / paletteOutputs;
  auto type = cast<RankedTensorType>(palettes.getType());
  if (!type.getElementType().isSignlessInteger(8) ||
      type.getShape() != ArrayRef<int64_t>({count, int64_t{1} << bits}))
    return op->emitOpError("palettes are ")
           << type << " but must be i8 [" << count << ", " << (int64_t{1} << bits) << "]";
  return success();
}

} // namespace

std::optional<int32_t> sdopt::sd::fractionBits(Type tensorType) {
  auto tensor = dyn_cast<RankedTensorType>(tensorType);
  auto type = tensor ? dyn_cast<quant::UniformQuantizedType>(tensor.getElementType())
                     : quant::UniformQuantizedType();
  if (!type || type.getStorageTypeIntegralWidth() != 32 || type.getZeroPoint() != 0)
    return std::nullopt;
  for (int32_t bits = 0; bits <= 30; ++bits)
    if (type.getScale() == std::ldexp(1.0, -bits))
      return bits;
  return std::nullopt;
}

LogicalResult ConstantOp::verify() {
  int64_t count = getValue().getNumElements();
  if (count > 64)
    return emitOpError("has ") << count << " elements but at most 64 fit; use the weight store";
  return success();
}

LogicalResult PruneWeightOp::verify() {
  auto weight = cast<RankedTensorType>(getWeight().getType());
  auto mask = cast<RankedTensorType>(getMask().getType());
  if (!isa<FloatType>(weight.getElementType()) || (weight.getRank() != 2 && weight.getRank() != 4))
    return emitOpError("needs float weights of 2 or 4 dimensions, not ") << weight;
  if (getResult().getType() != weight || (getValues() && getValues().getType() != weight))
    return emitOpError("needs values and a result of the weights' type ") << weight;
  const int64_t bytes = (weight.getNumElements() + 7) / 8;
  if (mask.getElementType().isSignlessInteger(8) && mask.getShape() == ArrayRef<int64_t>{bytes})
    return success();
  return emitOpError("mask is ") << mask << " but must be "
                                 << mask.clone({bytes}, IntegerType::get(getContext(), 8));
}

LogicalResult QuantizeWeightOp::verify() {
  auto weight = cast<RankedTensorType>(getWeight().getType());
  auto codes = cast<RankedTensorType>(getCodes().getType());
  auto scales = cast<RankedTensorType>(getScales().getType());
  int64_t axis = getAxis();
  if (axis < 0 || axis >= weight.getRank())
    return emitOpError("axis ") << axis << " is outside a tensor of rank " << weight.getRank();
  if (getBits() < 2 || getBits() > 8)
    return emitOpError("bits are ") << getBits() << " but must be 2 to 8";
  if (failed(checkGroupSize(*this, getGroupSize())))
    return failure();
  if (getBits() == 8 && (getGroupSize() != 0 || !getSymmetric() || getSharedTaps()))
    return emitOpError("codes of 8 bits have neither groups nor zero points");
  if (getBits() < 8 && (axis != 0 || (weight.getRank() != 2 && weight.getRank() != 4)))
    return emitOpError("codes of ") << getBits() << " bits need axis 0 of 2 or 4 dimensions";
  if (!isa<FloatType>(weight.getElementType()) || !codes.getElementType().isSignlessInteger(8) ||
      codes.getShape() != weight.getShape() || !scales.getElementType().isF32() ||
      scales.getRank() != 1 || scales.getDimSize(0) != weight.getDimSize(axis))
    return emitOpError(
               "needs float weights, i8 codes of the same shape and one f32 scale for each of ")
           << weight.getDimSize(axis) << " channels";
  if (getBits() < 8) {
    bool zeros = !getSymmetric(), groups = zeros || getGroupSize() > 0;
    if (groups != static_cast<bool>(getGroupScales()) ||
        zeros != static_cast<bool>(getZeroPoints()))
      return emitOpError("gives group scales if there are groups or zero points, and zero points "
                         "if it is not symmetric");
    SmallVector<int64_t> shape = groupShape(weight, 1, getGroupSize(), getSharedTaps());
    if (failed(checkGroups(*this, "group scales", getGroupScales(), shape)) ||
        failed(checkGroups(*this, "zero points", getZeroPoints(), shape)))
      return failure();
  } else if (getGroupScales() || getZeroPoints()) {
    return emitOpError("codes of 8 bits have neither groups nor zero points");
  }
  if (!getMeans() && !getCorrection())
    return success();
  if (!getMeans() || !getCorrection() || axis != 0 || weight.getRank() < 2 ||
      getCorrection().getType() != scales ||
      getMeans().getType() != scales.clone({weight.getDimSize(1)}))
    return emitOpError(
        "corrects along axis 0, from one f32 mean for each of dimension 1 to one f32 "
        "correction for each of dimension 0");
  return success();
}

LogicalResult ShareWeightOp::verify() {
  auto weight = cast<RankedTensorType>(getWeight().getType());
  if (!weight.getElementType().isF32() || (weight.getRank() != 2 && weight.getRank() != 4))
    return emitOpError("needs f32 weights of 2 or 4 dimensions");
  if (failed(checkPaletteBits(*this, getBits(), getPaletteOutputs())))
    return failure();
  if (const double bits = getCodedBits().convertToDouble(); !(bits >= 0 && bits <= 8))
    return emitOpError("coded bits must be 0 to 8");
  const auto perOutput = weight.clone({weight.getDimSize(0)});
  const auto perInput = weight.clone({weight.getDimSize(1)});
  Type i8 = IntegerType::get(getContext(), 8);
  if (getCodes().getType() != weight.clone(i8) || getScales().getType() != perOutput)
    return emitOpError("gives i8 codes of the weights' shape and one f32 scale for each of ")
           << weight.getDimSize(0) << " output channels";
  if (failed(checkPalettes(*this, getPalettes(), weight.getDimSize(0), getBits(),
                           getPaletteOutputs())))
    return failure();
  if (getImportance() && getImportance().getType() != perInput)
    return emitOpError("needs one f32 importance for each of ")
           << weight.getDimSize(1) << " input channels";
  if (static_cast<bool>(getMeans()) != static_cast<bool>(getCorrection()) ||
      (getMeans() && (getMeans().getType() != perInput || getCorrection().getType() != perOutput)))
    return emitOpError("corrects from one f32 mean for each input channel to one f32 correction "
                       "for each output channel");
  return success();
}

LogicalResult DecodeWeightOp::verify() {
  auto codes = cast<RankedTensorType>(getCodes().getType());
  int64_t rank = codes.getRank();
  if (getPalettes() &&
      (getGroupScales() || getZeroPoints() || getGroupSize() != 0 || getSharedTaps()))
    return emitOpError("takes palettes or groups and zero points, not both");
  if (!getPalettes() && getPaletteOutputs() != 0)
    return emitOpError("has 'palette_outputs' without palettes");
  if (!getPalettes() && (getBits() < 2 || getBits() > 8))
    return emitOpError("bits are ") << getBits() << " but must be 2 to 8";
  if (failed(checkGroupSize(*this, getGroupSize())))
    return failure();
  if ((rank != 2 && rank != 4) || (getAxis() != 1 && getAxis() != rank - 1))
    return emitOpError("needs codes of 2 or 4 dimensions with the input channels in dimension 1 or "
                       "the last, not ")
           << getAxis() << " of " << rank;
  if (!codes.getElementType().isSignlessInteger(8) || getResult().getType() != codes)
    return emitOpError("needs i8 codes and gives i8 weights of the same shape");
  if (getPalettes())
    return failed(checkPaletteBits(*this, getBits(), getPaletteOutputs()))
               ? failure()
               : checkPalettes(*this, getPalettes(), codes.getDimSize(0), getBits(),
                               getPaletteOutputs());
  if ((getZeroPoints() || getGroupSize() > 0) != static_cast<bool>(getGroupScales()))
    return emitOpError("takes group scales if there are groups or zero points");
  SmallVector<int64_t> shape = groupShape(codes, getAxis(), getGroupSize(), getSharedTaps());
  if (failed(checkGroups(*this, "group scales", getGroupScales(), shape)) ||
      failed(checkGroups(*this, "zero points", getZeroPoints(), shape)))
    return failure();
  return success();
}

std::string sdopt::sd::tapProblem(ArrayRef<int64_t> window, ArrayRef<int64_t> strides,
                                  ArrayRef<int64_t> dilations, int64_t groups) {
  const auto isOne = [](int64_t number) { return number == 1; };
  if (window == ArrayRef<int64_t>{3, 3} && llvm::all_of(strides, isOne) &&
      llvm::all_of(dilations, isOne) && groups == 1)
    return "";
  std::string text;
  llvm::raw_string_ostream out(text);
  out << "has a window of " << window[0] << "x" << window[1] << " with stride " << strides[0] << "x"
      << strides[1] << ", dilation " << dilations[0] << "x" << dilations[1] << " and " << groups
      << (groups == 1 ? " group" : " groups") << "; tap shifts need 3x3 with 1x1, 1x1 and 1 group";
  return text;
}

LogicalResult Conv2dOp::verify() {
  if (!getTapShifts())
    return success();
  if (!quantizedElement(getInput()) || !quantizedElement(getResult()) || !getWeightScales())
    return emitOpError("has tap shifts but is not quantized");
  const std::string problem =
      tapProblem(cast<RankedTensorType>(getWeights().getType()).getShape().drop_front(2),
                 getStrides(), getDilations(), static_cast<int64_t>(getGroups()));
  return problem.empty() ? success() : emitOpError() << problem;
}

double sdopt::sd::partFactor(ConcatOp concat, size_t index) {
  std::optional<ArrayRef<int64_t>> exponents = concat.getExponents();
  return exponents ? std::ldexp(1.0, static_cast<int>((*exponents)[index])) : 1.0;
}

LogicalResult ConcatOp::verify() {
  constexpr int64_t kLargestExponent = 24;
  std::optional<ArrayRef<int64_t>> exponents = getExponents();
  if (!exponents)
    return success();
  if (exponents->size() != getParts().size())
    return emitOpError("has ") << exponents->size() << " exponents but " << getParts().size()
                               << " parts; each needs one";
  for (int64_t exponent : *exponents)
    if (exponent < -kLargestExponent || exponent > kLargestExponent)
      return emitOpError("exponent ")
             << exponent << " is outside [-" << kLargestExponent << ", " << kLargestExponent << "]";
  if (!isFloat(getResult()) && !isa<quant::QuantizedType>(getElementTypeOrSelf(getResult())))
    return emitOpError("has exponents but its parts are neither floats nor codes");
  return success();
}

LogicalResult ReshapeOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getNumElements() != result.getNumElements())
    return emitOpError("input has ")
           << input.getNumElements() << " elements but the result " << result.getNumElements();
  if (input.getElementType() != result.getElementType())
    return emitOpError("element types differ");
  return success();
}

LogicalResult ExpandOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  auto shape = broadcastShapes(input.getShape(), result.getShape());
  if (failed(shape) || ArrayRef<int64_t>(*shape) != result.getShape() ||
      input.getElementType() != result.getElementType())
    return emitOpError("input does not broadcast to the result");
  return success();
}

LogicalResult TimeEmbeddingOp::verify() {
  auto input = cast<RankedTensorType>(getTimesteps().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getRank() != 1 || result.getRank() != 2 || result.getDimSize(1) % 2 != 0 ||
      (input.getDimSize(0) != 1 && input.getDimSize(0) != result.getDimSize(0)))
    return emitOpError("needs timesteps [1] or [batch] and a result [batch, even]");
  if (!isa<IntegerType, FloatType>(input.getElementType()) && !fractionBits(input))
    return emitOpError("timesteps must be integers, floats or 32-bit codes of a scale 2^-f with f "
                       "in 0 ... 30, found ")
           << input;
  return success();
}

LogicalResult QuantizeOp::verify() {
  if (!isFloat(getInput()) || !quantizedElement(getResult()))
    return emitOpError("needs a float input and a per-tensor quantized result");
  return success();
}

LogicalResult DequantizeOp::verify() {
  if (!quantizedElement(getInput()) || !isFloat(getResult()))
    return emitOpError("needs a per-tensor quantized input and a float result");
  return success();
}

LogicalResult RequantizeOp::verify() {
  if (!quantizedElement(getInput()) || !quantizedElement(getResult()))
    return emitOpError("needs per-tensor quantized types on both sides");
  return success();
}
