//===- Emit.cpp - from scheduled npu IR to package sections -------------------===//

#include "compiler/pipeline/Emit.h"

#include "compiler/pipeline/BucketNetworks.h"

#include "compiler/kernels/EntropyCoder.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/quantization/QuantizedParameters.h"
#include "compiler/quantization/TapConvolution.h"
#include "compiler/reference/StoredCodes.h"
#include "compiler/simulator/ScheduleTable.h"
#include "dialects/sd/BucketFunctions.h"

#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

absl::Status notEvaluated(const ConstantInfo &info) {
  return absl::InvalidArgumentError("constant '" + info.name + "' can't be evaluated");
}

double entropyBytes(std::span<const int8_t> codes, CodeAlphabet alphabet) {
  constexpr size_t kPart = size_t{1} << 20;
  std::vector<SymbolCounts> parts(codes.size() / kPart + 1);
  parallelFor(static_cast<int64_t>(parts.size()), [&](int64_t i, int) {
    const size_t first = static_cast<size_t>(i) * kPart;
    parts[i] = {};
    countSymbols(codes.subspan(first, std::min(kPart, codes.size() - first)), alphabet, parts[i]);
  });
  for (size_t i = 1; i < parts.size(); ++i)
    for (size_t symbol = 0; symbol < parts[i].size(); ++symbol)
      parts[0][symbol] += parts[i][symbol];
  return zeroOrderEntropy(parts[0]) / 8;
}

/// Commands and their checks, once the constants have their places.
absl::Status completeBucket(ModuleInfo &info, const Target &target, int64_t constantsBytes) {
  if (absl::Status status = checkPlan(info.network, info.plan, target); !status.ok())
    return status;
  absl::StatusOr<Program> program =
      expand(info.network, info.plan, target, info.constantOffsets, constantsBytes);
  if (!program.ok())
    return program.status();
  info.program = *std::move(program);
  for (const absl::Status &status :
       {checkProgram(info.program, target.sram.bytes),
        checkDataflow(info.network, info.plan, info.program, info.constantOffsets)})
    if (!status.ok())
      return status;
  return absl::OkStatus();
}

/// Networks of later buckets; their constants are added to those of `npu`.
LogicalResult addBuckets(ArrayRef<func::FuncOp> functions, NpuNetwork &npu, ModuleInfo &info) {
  for (func::FuncOp function : functions.drop_front()) {
    FailureOr<Network> network = bucketNetwork(function, npu);
    if (failed(network))
      return failure();
    const TensorId input = timestepInput(*network);
    if (input == kNone)
      return function.emitOpError("is for some timesteps but has no input that says which");
    const double code =
        std::floor(sd::firstTimestep(function) / network->tensors[input].scale + 0.5);
    ModuleInfo &bucket = info.buckets.emplace_back();
    bucket.network = *std::move(network);
    bucket.firstTimestep = static_cast<int32_t>(code);
  }
  return success();
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
  if (failed(addBuckets(sd::bucketFunctions(function), *npu, module.info)))
    return absl::InvalidArgumentError("");
  module.info.network = std::move(npu->network);
  module.info.plan = *std::move(plan);
  module.constants = std::move(npu->constants);
  return module;
}

absl::Status completeModule(EmittableModule &module, const Target &target,
                            std::vector<int64_t> constantOffsets, int64_t constantsBytes) {
  ModuleInfo &info = module.info;
  info.constantOffsets = std::move(constantOffsets);
  absl::Status status = completeBucket(info, target, constantsBytes);
  for (ModuleInfo &bucket : info.buckets) {
    bucket.network.constants = info.network.constants;
    bucket.plan = info.plan;
    bucket.constantOffsets = info.constantOffsets;
    if (status.ok())
      status = completeBucket(bucket, target, constantsBytes);
  }
  return status;
}

absl::StatusOr<std::vector<std::byte>> packInMemory(EmittableModule &module, const Target &target,
                                                    const EvaluationContext &context) {
  ConstantPacker packer(module, target, context);
  std::vector<std::byte> bytes;
  std::vector<int64_t> offsets;
  for (size_t i = 0; i < module.constants.size(); ++i) {
    absl::StatusOr<std::vector<std::byte>> packed = packer.pack(static_cast<ConstantId>(i));
    if (!packed.ok())
      return packed.status();
    offsets.push_back(static_cast<int64_t>(bytes.size()));
    bytes.insert(bytes.end(), packed->begin(), packed->end());
    bytes.resize((bytes.size() + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment);
  }
  if (absl::Status status =
          completeModule(module, target, offsets, static_cast<int64_t>(bytes.size()));
      !status.ok())
    return status;
  return bytes;
}

absl::StatusOr<TimedConstants> TimedConstants::create(EmittableModule &module, const Target &target,
                                                      const EvaluationContext &context) {
  ConstantPacker packer(module, target, context);
  std::vector<std::vector<std::byte>> packed(module.constants.size());
  std::vector<int64_t> offsets;
  int64_t size = 0;
  for (size_t i = 0; i < packed.size(); ++i) {
    const auto id = static_cast<ConstantId>(i);
    if (module.info.network.constants[i].form.varies()) {
      absl::StatusOr<std::vector<std::byte>> bytes = packer.pack(id);
      if (!bytes.ok())
        return bytes.status();
      packed[i] = *std::move(bytes);
    }
    size = (size + kConstantAlignment - 1) / kConstantAlignment * kConstantAlignment;
    offsets.push_back(size);
    size += packedBytes(module.info.network, module.info.plan, id);
  }
  TimedConstants constants;
  constants.size_ = static_cast<size_t>(size);
  constants.bytes_.reset(static_cast<std::byte *>(std::calloc(constants.size_ + 1, 1)));
  if (!constants.bytes_)
    return absl::ResourceExhaustedError("cannot allocate " + std::to_string(size) +
                                        " bytes of constants");
  for (size_t i = 0; i < packed.size(); ++i)
    std::ranges::copy(packed[i], constants.bytes_.get() + offsets[i]);
  if (absl::Status status = completeModule(module, target, std::move(offsets), size); !status.ok())
    return status;
  return constants;
}

ConstantPacker::ConstantPacker(EmittableModule &module, const Target &target,
                               const EvaluationContext &context)
    : module_(module), target_(target), context_(context) {
  addReaders(module.info.network);
  for (const ModuleInfo &bucket : module.info.buckets)
    addReaders(bucket.network);
}

void ConstantPacker::addReaders(const Network &network) {
  for (const Layer &layer : network.layers)
    if (auto *matrix = std::get_if<MatrixLayer>(&layer.spec))
      for (ConstantId id : {matrix->weights, matrix->params})
        readers_.emplace(id, Reader{&layer, network.tensors[layer.inputs[0]].format()});
}

absl::StatusOr<std::vector<std::byte>> ConstantPacker::pack(ConstantId id) {
  const ConstantInfo &info = module_.info.network.constants[id];
  if (info.kind == ConstantKind::Weights)
    return packWeights(id);
  FailureOr<Tensor> value = evaluateConstant(module_.constants[id], context_, scales_);
  if (failed(value))
    return notEvaluated(info);
  std::vector<std::byte> bytes(value->bytes(), value->bytes() + value->byteSize());
  if (value->byteSize() != info.bytes)
    return absl::InternalError("constant '" + info.name + "' is not of the size that was planned");
  if (info.kind != ConstantKind::ChannelParams)
    return bytes;
  auto *params = reinterpret_cast<const ChannelParams *>(value->bytes());
  params_[id].assign(params, params + value->dim(0));
  absl::Status status = checkAccumulators(id);
  return status.ok() ? absl::StatusOr<std::vector<std::byte>>(std::move(bytes)) : status;
}

absl::StatusOr<std::vector<std::byte>> ConstantPacker::packWeights(ConstantId id) {
  Network &network = module_.info.network;
  FailureOr<StoredCodes> codes = storedCodes(module_.constants[id], context_, scales_);
  if (failed(codes))
    return notEvaluated(network.constants[id]);
  const WeightForm &form = network.constants[id].form;
  const Layer &layer = *readers_.lower_bound(id)->second.layer;
  size_t index = &layer - network.layers.data();
  Plan &plan = module_.info.plan;
  PackedWeights packed =
      sdopt::packWeights(network, layer, plan.layers[index].tiling, codes->weights);
  noteStreams(network, plan, index, packed, target_);
  module_.entropies[id] = entropyBytes(
      codes->weights.codes, {.bits = form.bits, .isSigned = form.coding != WeightCoding::Palette});
  const std::span<const int8_t> meant = codes->meant.values<int8_t>();
  sums_[id] = magnitudeSums(meant, codes->meant.dim(0));
  for (auto [reader, last] = readers_.equal_range(id); reader != last; ++reader) {
    const auto &[source, input] = reader->second;
    if (const auto &matrix = std::get<MatrixLayer>(source->spec);
        matrix.winograd == WinogradForm::F4x4)
      bounds_[source] = tapAccumulatorBound(meant, codes->meant.dim(0), input, matrix.taps);
  }
  absl::Status status = checkAccumulators(id);
  return status.ok() ? absl::StatusOr<std::vector<std::byte>>(std::move(packed.bytes)) : status;
}

absl::Status ConstantPacker::checkAccumulators(ConstantId id) const {
  auto [first, last] = readers_.equal_range(id);
  for (auto reader = first; reader != last; ++reader) {
    const auto &[source, input] = reader->second;
    const Layer &layer = *source;
    const auto &matrix = std::get<MatrixLayer>(layer.spec);
    auto sums = sums_.find(matrix.weights);
    auto params = params_.find(matrix.params);
    if (sums == sums_.end() || params == params_.end())
      continue;
    const bool hasTaps = matrix.winograd == WinogradForm::F4x4;
    const auto channel = hasTaps ? firstOverflowingTapChannel(bounds_.at(&layer), params->second)
                                 : firstOverflowingChannel(sums->second, params->second, input);
    if (!channel)
      continue;
    const char *hint = input.type == ElementType::I8 ? "; keep this layer's input at 16 bits" : "";
    return absl::InvalidArgumentError(
        "layer '" + layer.name + "': accumulator of output channel " + std::to_string(*channel) +
        " can leave " + std::to_string(hasTaps ? kTapAccumulatorBits : accumulatorBits(input)) +
        " bits" + (hasTaps ? "; leave out tap shifts" : hint));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> bakeSchedule(const ModuleInfo &info, const Target &target,
                                     std::span<const double> timesteps, PackageWriter &writer) {
  if (timesteps.empty() || scheduleInput(info.network) == kNone)
    return 0;
  const absl::StatusOr<PackageModule> module = writer.readBack(info);
  if (!module.ok())
    return module.status();
  const absl::StatusOr<ScheduleTable> table = scheduleTable(*module, target, timesteps);
  if (!table.ok())
    return table.status();
  if (table->timesteps.empty())
    return 0;
  const absl::Status added = writer.addSchedule(table->timesteps, table->rows);
  return added.ok() ? absl::StatusOr<int64_t>(static_cast<int64_t>(table->rows.size())) : added;
}

} // namespace sdopt
