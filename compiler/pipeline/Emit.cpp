//===- Emit.cpp - from scheduled npu IR to package sections -------------------===//

#include "compiler/pipeline/Emit.h"

#include <cstring>

using namespace mlir;

namespace sdopt {

namespace {

constexpr int64_t kConstantAlignment = 64;

/// The matrix layer that reads a Weights constant.
const Layer *readerOf(const Network &network, ConstantId id) {
  for (const Layer &layer : network.layers)
    if (auto *matrix = std::get_if<MatrixLayer>(&layer.spec); matrix && matrix->weights == id)
      return &layer;
  return nullptr;
}

} // namespace

absl::StatusOr<EmittableModule> prepareModule(func::FuncOp function, const Target &target) {
  FailureOr<NpuNetwork> npu = networkOf(function);
  if (failed(npu))
    return absl::InvalidArgumentError("");
  FailureOr<Plan> plan = planOf(*npu, function, target);
  if (failed(plan))
    return absl::InvalidArgumentError("");
  EmittableModule module;
  module.info.network = std::move(npu->network);
  module.info.plan = *std::move(plan);
  module.constants = std::move(npu->constants);
  int64_t offset = 0;
  for (size_t i = 0; i < module.constants.size(); ++i) {
    module.info.constantOffsets.push_back(offset);
    int64_t bytes = packedBytes(module.info.network, module.info.plan, static_cast<ConstantId>(i));
    offset = (offset + bytes + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment;
  }
  if (absl::Status status = checkPlan(module.info.network, module.info.plan, target); !status.ok())
    return status;
  absl::StatusOr<Program> program =
      expand(module.info.network, module.info.plan, target, module.info.constantOffsets, offset);
  if (!program.ok())
    return program.status();
  module.info.program = *std::move(program);
  for (const absl::Status &status :
       {checkProgram(module.info.program, target.sram.bytes),
        checkDataflow(module.info.network, module.info.plan, module.info.program,
                      module.info.constantOffsets)})
    if (!status.ok())
      return status;
  return module;
}

absl::Status packConstant(const EmittableModule &module, ConstantId id,
                          const EvaluationContext &context, std::span<std::byte> out) {
  const Network &network = module.info.network;
  FailureOr<Tensor> value = evaluateConstant(module.constants[id], context);
  if (failed(value))
    return absl::InvalidArgumentError("constant '" + network.constants[id].name +
                                      "' can't be evaluated");
  if (network.constants[id].kind != ConstantKind::Weights) {
    if (value->byteSize() > static_cast<int64_t>(out.size()))
      return absl::InternalError("constant '" + network.constants[id].name +
                                 "' is larger than planned");
    std::memcpy(out.data(), value->bytes(), value->byteSize());
    return absl::OkStatus();
  }
  const Layer *layer = readerOf(network, id);
  size_t index = layer - network.layers.data();
  packWeights(network, *layer, module.info.plan.layers[index].tiling,
              value->values<int8_t>().data(), out.data());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<LoadedModule>> loadModule(EmittableModule emittable,
                                                         const EvaluationContext &context) {
  auto loaded = std::make_unique<LoadedModule>();
  loaded->bytes.resize(emittable.info.program.constantsBytes);
  for (size_t i = 0; i < emittable.constants.size(); ++i) {
    ConstantId id = static_cast<ConstantId>(i);
    int64_t bytes = packedBytes(emittable.info.network, emittable.info.plan, id);
    std::span<std::byte> out(loaded->bytes.data() + emittable.info.constantOffsets[i], bytes);
    if (absl::Status status = packConstant(emittable, id, context, out); !status.ok())
      return status;
  }
  loaded->module.info = std::move(emittable.info);
  loaded->module.constants = loaded->bytes;
  return loaded;
}

} // namespace sdopt
