//===- StoredCodes.cpp - weights of a layer before packing -------------------===//

#include "compiler/reference/StoredCodes.h"

#include "compiler/kernels/FloatKernels.h"
#include "compiler/quantization/WeightQuantization.h"
#include "compiler/weights/WeightStore.h"

using namespace mlir;

namespace sdopt {

namespace {

/// Slices of constant expressions: entry i along `axis` is entry places[i] of the whole.
class SliceEvaluation {
public:
  SliceEvaluation(ArrayRef<int64_t> places, const EvaluationContext &context)
      : places_(ElementType::I64, {static_cast<int64_t>(places.size())}), context_(context) {
    std::ranges::copy(places, places_.mutableValues<int64_t>().begin());
  }

  FailureOr<std::optional<Tensor>> of(Value value, int64_t axis) const {
    Operation *op = value.getDefiningOp();
    if (isa<sd::WeightOp, sd::ConstantOp>(op))
      return sliced(value, axis);
    if (auto transpose = dyn_cast<sd::TransposeOp>(op))
      return map(of(transpose.getInput(), transpose.getPermutation()[axis]),
                 [&](const Tensor &x) { return sdopt::transpose(x, permutation(transpose)); });
    if (auto reshape = dyn_cast<sd::ReshapeOp>(op)) {
      ArrayRef<int64_t> from = shapeOf(reshape.getInput()), to = shapeOf(value);
      if (axis != 0 || from.empty() || from[0] != to[0])
        return nothing();
      Shape shape(to.begin(), to.end());
      shape[0] = places_.size();
      return map(of(reshape.getInput(), 0), [&](const Tensor &x) { return x.reshaped(shape); });
    }
    if (auto factor = dyn_cast<sd::BinaryOp>(op))
      return ofBinary(factor, axis);
    if (auto quantize = dyn_cast<sd::QuantizeWeightOp>(op))
      return ofQuantized(quantize, value, axis);
    return nothing();
  }

private:
  using Slice = FailureOr<std::optional<Tensor>>;

  static Slice nothing() { return Slice(std::optional<Tensor>()); }
  static ArrayRef<int64_t> shapeOf(Value value) {
    return cast<RankedTensorType>(value.getType()).getShape();
  }
  static std::span<const int64_t> permutation(sd::TransposeOp op) {
    return {op.getPermutation().data(), op.getPermutation().size()};
  }
  template <typename Function> static Slice map(const Slice &slice, Function function) {
    if (failed(slice) || !*slice)
      return slice;
    return std::optional<Tensor>(function(**slice));
  }

  Slice sliced(Value value, int64_t axis) const {
    FailureOr<Tensor> whole = evaluateConstant(value, context_);
    if (failed(whole))
      return failure();
    Tensor slice = gather(*whole, places_, axis);
    if (auto weight = value.getDefiningOp<sd::WeightOp>())
      context_.weights->release(weight.getKey().str());
    return std::optional<Tensor>(std::move(slice));
  }

  Slice ofBinary(sd::BinaryOp op, int64_t axis) const {
    const auto rank = static_cast<int64_t>(shapeOf(op.getResult()).size());
    SmallVector<Tensor, 2> operands;
    for (Value operand : op->getOperands()) {
      const int64_t own = axis - rank + static_cast<int64_t>(shapeOf(operand).size());
      if (own < 0 || shapeOf(operand)[own] == 1) {
        FailureOr<Tensor> whole = evaluateConstant(operand, context_);
        if (failed(whole))
          return failure();
        operands.push_back(*std::move(whole));
        continue;
      }
      Slice slice = of(operand, own);
      if (failed(slice) || !*slice)
        return slice;
      operands.push_back(**std::move(slice));
    }
    return std::optional<Tensor>(
        binary(static_cast<BinaryFunction>(op.getFunction()), operands[0], operands[1]));
  }

  Slice ofQuantized(sd::QuantizeWeightOp op, Value result, int64_t axis) const {
    if (result != op.getCodes() || op.getBits() != 8 || op.getOneScale() ||
        static_cast<int64_t>(op.getAxis()) != axis)
      return nothing();
    Slice weights = of(op.getWeight(), axis);
    if (failed(weights) || !*weights)
      return weights;
    QuantizedWeights quantized =
        quantizeWeights(**weights, axis, static_cast<RangeEstimator>(op.getRange()));
    return quantized.firstNonFinite >= 0 ? nothing()
                                         : std::optional<Tensor>(std::move(quantized.codes));
  }

  Tensor places_;
  const EvaluationContext &context_;
};

} // namespace

FailureOr<std::optional<Tensor>> weightsOfOutputs(Value weights, ArrayRef<int64_t> outputs,
                                                  const EvaluationContext &context) {
  return SliceEvaluation(outputs, context).of(weights, 0);
}

FailureOr<StoredCodes> storedCodes(Value weights, const EvaluationContext &context,
                                   ConstantCache &scales) {
  StoredCodes result;
  auto decode = weights.getDefiningOp<sd::DecodeWeightOp>();
  if (!decode) {
    FailureOr<Tensor> value = evaluateConstant(weights, context, scales);
    if (failed(value))
      return failure();
    result.meant = *value;
    result.parts = {*std::move(value)};
    result.weights.codes = result.parts[0].values<int8_t>();
    return result;
  }
  FailureOr<SmallVector<Tensor>> parts = evaluateOperands(decode, context, scales);
  if (failed(parts))
    return failure();
  result.parts = *std::move(parts);
  result.meant = decodedWeights(decode, result.parts);
  result.weights.codes = result.parts[0].values<int8_t>();
  if (decode.getGroupScales())
    result.weights.scales = result.parts[1].values<int8_t>();
  if (decode.getZeroPoints())
    result.weights.zeros = result.parts[2].values<int8_t>();
  if (decode.getPalettes())
    result.weights.palettes = result.parts[1].values<int8_t>();
  return result;
}

} // namespace sdopt
