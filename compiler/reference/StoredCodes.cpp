//===- StoredCodes.cpp - weights of a layer before packing -------------------===//

#include "compiler/reference/StoredCodes.h"

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
