//===- StoredTensors.cpp - tensors of a pass in the weight store ----------===//

#include "passes/quantize/StoredTensors.h"

#include "compiler/files/Blake3.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/Resources.h"
#include "dialects/sd/Sd.h"

using namespace mlir;

namespace sdopt {

FailureOr<std::string> storedTensor(Location loc, const std::string &name, const Tensor &tensor) {
  WeightStore *store = sd::resources(loc.getContext()).overlay;
  if (!store)
    return emitError(loc, "there is no weight store to keep '") << name << "' in";
  std::span<const std::byte> bytes(tensor.bytes(), static_cast<size_t>(tensor.byteSize()));
  std::string key = name + "." + blake3Hex(bytes).substr(0, 16);
  if (absl::Status status = store->addOverlay(key, tensor); !status.ok())
    return emitError(loc) << std::string(status.message());
  return key;
}

FailureOr<Value> weightOf(OpBuilder &builder, Location loc, const std::string &key) {
  WeightStore *store = sd::resources(builder.getContext()).overlay;
  if (!store)
    return emitError(loc, "there is no weight store to read '") << key << "' from";
  absl::StatusOr<Tensor> tensor = store->get(key);
  absl::StatusOr<std::string> digest = tensor.ok() ? store->digest(key) : tensor.status();
  if (!digest.ok())
    return emitError(loc) << std::string(digest.status().message());
  Type element = builder.getF32Type();
  if (tensor->type() == ElementType::I8)
    element = builder.getI8Type();
  return sd::WeightOp::create(builder, loc, RankedTensorType::get(tensor->shape(), element), key,
                              *digest)
      .getResult();
}

FailureOr<Value> storedVector(OpBuilder &builder, const std::string &name,
                              const std::vector<float> &vector) {
  Location loc = sd::makeValueLoc(builder.getContext(), name, {});
  auto size = static_cast<int64_t>(vector.size());
  FailureOr<std::string> key = storedTensor(loc, name, Tensor::of<float>({size}, vector));
  return failed(key) ? FailureOr<Value>() : weightOf(builder, loc, *key);
}

} // namespace sdopt
