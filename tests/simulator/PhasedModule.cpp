#include "tests/simulator/PhasedModule.h"

#include "tests/schedule/LayerZoo.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>

namespace sdopt::test {

namespace {

constexpr int64_t kChannels = 16;

Network denoiser() {
  NetworkBuilder b;
  const auto input = [&](const char *name, std::array<int64_t, 4> dims, ElementType type) {
    const TensorId id = b.tensor(dims, type, TensorRole::Input);
    TensorInfo &info = b.network.tensors[id];
    info.name = name;
    info.logicalShape.assign(dims.begin(), dims.end());
    if (type == ElementType::I32)
      info.logicalShape = {1};
    return id;
  };
  const TensorId text = input("text", {1, 1, 9, 24}, ElementType::I16);
  const TensorId time = input("time", {1, 1, 1, 1}, ElementType::I32);
  const TensorId picture = input("picture", {1, 1, 30, kChannels}, ElementType::I16);
  const TensorId wide = b.linear(b.linear(text, 40), 24);
  const TensorId key = b.linear(wide, kChannels), value = b.linear(wide, kChannels);
  const size_t promptLayers = b.network.layers.size();
  const TensorId shift = b.linear(b.linear(b.timeEmbedding(time, 1, 12), 33), kChannels);
  const size_t scheduleLayers = b.network.layers.size();
  const TensorId seen = b.attention(b.linear(picture, kChannels), key, value, 2);
  const TensorId shifted = b.tensor(b.dims(seen), ElementType::I16);
  CombineLayer add;
  add.params.scaling = {1 << 29, 1 << 29, 30};
  add.params.broadcastRows = true;
  const TensorId out = b.linear(b.layer({seen, shift}, shifted, add), kChannels);
  TensorInfo &result = b.network.tensors[out];
  result.role = TensorRole::Output;
  result.logicalShape.assign(result.dims.begin(), result.dims.end());
  b.network.name = "denoiser";
  for (size_t i = 0; i < b.network.layers.size(); ++i) {
    Layer &layer = b.network.layers[i];
    layer.phase = i < promptLayers     ? Phase::Prompt
                  : i < scheduleLayers ? Phase::Schedule
                                       : Phase::Step;
    if (auto *attention = std::get_if<AttentionLayer>(&layer.spec)) {
      attention->params.exponent = {1 << 30, 45};
      attention->params.output = {1 << 30, 31};
    }
  }
  return b.network;
}

void fill(const ConstantInfo &info, std::mt19937 &random, std::byte *to) {
  for (int64_t i = 0; i < info.bytes; ++i)
    to[i] = static_cast<std::byte>(random());
  if (info.kind == ConstantKind::ChannelParams)
    for (int64_t i = 0; i < info.bytes; i += static_cast<int64_t>(sizeof(ChannelParams))) {
      const ChannelParams params{static_cast<int64_t>(random() % 1000), 1 << 30, 38};
      std::memcpy(to + i, &params, sizeof(params));
    }
}

} // namespace

std::unique_ptr<PhasedModule> PhasedModule::create(const std::vector<int32_t> &buckets) {
  auto result = std::make_unique<PhasedModule>();
  result->target = smallTarget(6144);
  ModuleInfo &info = result->module.info;
  info.network = denoiser();
  auto plan = planNetwork(info.network, result->target);
  if (!plan.ok())
    throw std::runtime_error(plan.status().ToString());
  info.plan = *std::move(plan);
  int64_t bytes = 0;
  info.constantOffsets = constantOffsets(info.network, info.plan, bytes);
  auto program = expand(info.network, info.plan, result->target, info.constantOffsets, bytes);
  if (!program.ok())
    throw std::runtime_error(program.status().ToString());
  info.program = *std::move(program);
  for (int32_t first : buckets) {
    ModuleInfo bucket = info;
    bucket.buckets.clear();
    bucket.firstTimestep = first;
    for (Layer &layer : bucket.network.layers)
      if (auto *combine = std::get_if<CombineLayer>(&layer.spec)) {
        combine->params.scaling.multiplierB = (1 << 29) + 1000 * first;
        bucket.network.tensors[layer.inputs[1]].scale = 1 + 0.1f * static_cast<float>(first);
      }
    bucket.program =
        *expand(bucket.network, info.plan, result->target, info.constantOffsets, bytes);
    info.buckets.push_back(std::move(bucket));
  }
  result->constants.resize(static_cast<size_t>(bytes));
  std::mt19937 random(5);
  for (size_t i = 0; i < info.network.constants.size(); ++i)
    fill(info.network.constants[i], random, result->constants.data() + info.constantOffsets[i]);
  result->module.constants = result->constants;
  return result;
}

std::map<std::string, Tensor> PhasedModule::inputs(uint32_t text, uint32_t time,
                                                   uint32_t picture) const {
  std::map<std::string, Tensor> result;
  for (const TensorInfo &info : module.info.network.tensors) {
    if (info.role != TensorRole::Input)
      continue;
    Tensor codes(info.type, {info.dims.begin(), info.dims.end()});
    std::mt19937 random(info.name == "text" ? text : picture);
    if (info.type == ElementType::I32)
      codes.mutableValues<int32_t>()[0] = static_cast<int32_t>(time);
    else
      for (int16_t &code : codes.mutableValues<int16_t>())
        code = static_cast<int16_t>(random());
    result.emplace(info.name, std::move(codes));
  }
  return result;
}

const std::string &PhasedModule::outputName() const {
  const std::vector<TensorInfo> &tensors = module.info.network.tensors;
  return std::ranges::find(tensors, TensorRole::Output, &TensorInfo::role)->name;
}

} // namespace sdopt::test
