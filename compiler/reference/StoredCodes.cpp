//===- StoredCodes.cpp - weights of a layer before packing -------------------===//

#include "compiler/reference/StoredCodes.h"

#include "compiler/reference/NarrowWeights.h"

using namespace mlir;

namespace sdopt {

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
  const WeightForm form = weightForm(decode);
  const Tensor *groups = decode.getGroupScales() ? &result.parts[1] : nullptr;
  const Tensor *zeros = decode.getZeroPoints() ? &result.parts[2] : nullptr;
  result.meant = decodeWeightTensor(form, result.parts[0], groups, zeros, /*inputsLast=*/true);
  result.weights.codes = result.parts[0].values<int8_t>();
  if (groups)
    result.weights.scales = groups->values<int8_t>();
  if (zeros)
    result.weights.zeros = zeros->values<int8_t>();
  return result;
}

} // namespace sdopt
