//===- Emit.cpp - from scheduled npu IR to package sections -------------------===//

#include "compiler/pipeline/Emit.h"

#include "compiler/reference/NarrowWeights.h"
#include "compiler/reference/QuantizedParameters.h"

#include <cstring>

using namespace mlir;

namespace sdopt {

namespace {

constexpr int64_t kConstantAlignment = 64;

absl::Status notEvaluated(const ConstantInfo &info) {
  return absl::InvalidArgumentError("constant '" + info.name + "' can't be evaluated");
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

ConstantPacker::ConstantPacker(const EmittableModule &module, const EvaluationContext &context)
    : module_(module), context_(context) {
  for (const Layer &layer : module.info.network.layers)
    if (auto *matrix = std::get_if<MatrixLayer>(&layer.spec)) {
      readers_.emplace(matrix->weights, &layer);
      readers_.emplace(matrix->params, &layer);
    }
}

absl::Status ConstantPacker::pack(ConstantId id, std::span<std::byte> out) {
  const ConstantInfo &info = module_.info.network.constants[id];
  if (info.kind == ConstantKind::Weights)
    return packWeights(id, out);
  FailureOr<Tensor> value = evaluateConstant(module_.constants[id], context_, scales_);
  if (failed(value))
    return notEvaluated(info);
  if (value->byteSize() > static_cast<int64_t>(out.size()))
    return absl::InternalError("constant '" + info.name + "' is larger than planned");
  std::memcpy(out.data(), value->bytes(), value->byteSize());
  if (info.kind != ConstantKind::ChannelParams)
    return absl::OkStatus();
  auto *params = reinterpret_cast<const ChannelParams *>(value->bytes());
  params_[id].assign(params, params + value->dim(0));
  return checkAccumulators(id);
}

absl::Status ConstantPacker::packWeights(ConstantId id, std::span<std::byte> out) {
  const Network &network = module_.info.network;
  const WeightForm &form = network.constants[id].form;
  Tensor weights;
  StoredWeights stored;
  FailureOr<SmallVector<Tensor>> parts = SmallVector<Tensor>();
  if (form.coding == WeightCoding::Raw) {
    FailureOr<Tensor> value = evaluateConstant(module_.constants[id], context_, scales_);
    if (failed(value))
      return notEvaluated(network.constants[id]);
    weights = *std::move(value);
    stored.codes = weights.values<int8_t>();
  } else {
    auto decode = module_.constants[id].getDefiningOp<sd::DecodeWeightOp>();
    parts = evaluateOperands(decode, context_, scales_);
    if (failed(parts))
      return notEvaluated(network.constants[id]);
    ArrayRef<Tensor> tensors = *parts;
    const Tensor *scales = decode.getGroupScales() ? &tensors[1] : nullptr;
    const Tensor *zeros = decode.getZeroPoints() ? &tensors[2] : nullptr;
    weights = decodeWeightTensor(form, tensors[0], scales, zeros, /*inputsLast=*/true);
    stored.codes = tensors[0].values<int8_t>();
    if (scales)
      stored.scales = scales->values<int8_t>();
    if (zeros)
      stored.zeros = zeros->values<int8_t>();
  }
  const Layer &layer = *readers_.lower_bound(id)->second;
  size_t index = &layer - network.layers.data();
  PackedWeights packed =
      sdopt::packWeights(network, layer, module_.info.plan.layers[index].tiling, stored);
  if (packed.bytes.size() != out.size())
    return absl::InternalError("constant '" + network.constants[id].name +
                               "' is not of the size that was planned");
  std::memcpy(out.data(), packed.bytes.data(), out.size());
  sums_[id] = magnitudeSums(weights.values<int8_t>(), weights.dim(0));
  return checkAccumulators(id);
}

absl::Status ConstantPacker::checkAccumulators(ConstantId id) const {
  auto [first, last] = readers_.equal_range(id);
  for (auto reader = first; reader != last; ++reader) {
    const Layer &layer = *reader->second;
    const auto &matrix = std::get<MatrixLayer>(layer.spec);
    auto sums = sums_.find(matrix.weights);
    auto params = params_.find(matrix.params);
    if (sums == sums_.end() || params == params_.end())
      continue;
    CodeFormat input = module_.info.network.tensors[layer.inputs[0]].format();
    if (auto channel = firstOverflowingChannel(sums->second, params->second, input))
      return absl::InvalidArgumentError(
          "layer '" + layer.name + "': accumulator of output channel " + std::to_string(*channel) +
          " can leave " + std::to_string(accumulatorBits(input)) + " bits" +
          (input.type == ElementType::I8 ? "; keep this layer's input at 16 bits" : ""));
  }
  return absl::OkStatus();
}

} // namespace sdopt
