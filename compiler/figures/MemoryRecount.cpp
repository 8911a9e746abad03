#include "compiler/figures/MemoryRecount.h"

#include "compiler/figures/UnitRecount.h"

#include <algorithm>
#include <map>
#include <set>

namespace sdopt {

namespace {

constexpr int64_t kTensorUnit = 64, kBlockUnit = 16; ///< bytes

int64_t roundedUp(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

TensorId ownerOf(const Network &network, TensorId id) {
  while (network.tensors[id].aliasOf != kNone)
    id = network.tensors[id].aliasOf;
  return id;
}

bool touches(const Network &network, const Layer &layer, TensorId owner) {
  return ownerOf(network, layer.output) == owner ||
         std::ranges::any_of(layer.inputs,
                             [&](TensorId id) { return ownerOf(network, id) == owner; });
}

/// Does a later phase, or the host, read what this phase makes?
bool isKept(const Network &network, TensorId owner, Phase phase) {
  if (phase == Phase::Step)
    return false;
  bool made = false, needed = false;
  for (const Layer &layer : network.layers) {
    made |= layer.phase == phase && ownerOf(network, layer.output) == owner;
    needed |= layer.phase > phase && touches(network, layer, owner);
  }
  for (size_t id = 0; id < network.tensors.size(); ++id)
    needed |= network.tensors[id].role == TensorRole::Output &&
              ownerOf(network, static_cast<TensorId>(id)) == owner;
  return made && needed;
}

} // namespace

int64_t keptBytes(const Network &network, Phase phase) {
  int64_t bytes = 0;
  for (size_t id = 0; id < network.tensors.size(); ++id)
    if (network.tensors[id].aliasOf == kNone && isKept(network, static_cast<TensorId>(id), phase))
      bytes += network.tensors[id].bytes();
  return bytes;
}

std::vector<TensorRecount> recountTensors(const ModuleInfo &info) {
  const Network &network = info.network;
  const auto count = static_cast<int64_t>(network.layers.size());
  std::vector<TensorRecount> result;
  for (size_t k = 0; k < network.tensors.size(); ++k) {
    const auto owner = static_cast<TensorId>(k);
    if (network.tensors[k].aliasOf != kNone || info.plan.offsets[k] == kNowhere)
      continue;
    std::set<int64_t> alive;
    for (int64_t i = 0; i < count; ++i) {
      if (!touches(network, network.layers[i], owner))
        continue;
      // All layers that are joined with this one.
      int64_t first = i, last = i;
      while (first > 0 && info.plan.layers[first].joined)
        --first;
      while (last + 1 < count && info.plan.layers[last + 1].joined)
        ++last;
      alive.insert(first);
      alive.insert(last);
    }
    bool isLast = isKept(network, owner, Phase::Prompt) || isKept(network, owner, Phase::Schedule);
    for (size_t id = 0; id < network.tensors.size(); ++id) {
      if (ownerOf(network, static_cast<TensorId>(id)) != owner)
        continue;
      isLast |= network.tensors[id].role == TensorRole::Output;
      if (network.tensors[id].role == TensorRole::Input)
        alive.insert(0);
    }
    if (isLast)
      alive.insert(std::max<int64_t>(count - 1, 0));
    if (!alive.empty())
      result.push_back({owner, *alive.begin(), *alive.rbegin()});
  }
  std::ranges::stable_sort(result, {}, [&](const TensorRecount &tensor) {
    return std::pair(info.plan.offsets[tensor.tensor], tensor.first);
  });
  return result;
}

int64_t mostLiveBytes(const ModuleInfo &info, const std::vector<TensorRecount> &tensors) {
  int64_t most = 0;
  for (size_t i = 0; i < info.network.layers.size(); ++i) {
    int64_t live = 0;
    for (const TensorRecount &tensor : tensors)
      if (tensor.first <= static_cast<int64_t>(i) && static_cast<int64_t>(i) <= tensor.last)
        live += info.network.tensors[tensor.tensor].bytes();
    most = std::max(most, live);
  }
  return most;
}

int64_t endOfArena(const ModuleInfo &info, const std::vector<TensorRecount> &tensors) {
  int64_t end = 0;
  for (const TensorRecount &tensor : tensors)
    end = std::max(end,
                   info.plan.offsets[tensor.tensor] + info.network.tensors[tensor.tensor].bytes());
  return roundedUp(end, kTensorUnit);
}

std::vector<int64_t> recountSram(const ModuleInfo &info) {
  // Where so many extents begin, less those that end.
  std::vector<std::map<int64_t, std::set<int64_t>>> extents(info.network.layers.size());
  for (const Command &command : info.program.commands)
    for (const SramExtent &extent : sramExtents(command.args))
      extents[command.layer][extent.first].insert(extent.first + extent.bytes);
  std::vector<int64_t> touched;
  for (const auto &layer : extents) {
    std::map<int64_t, int64_t> change;
    for (const auto &[first, ends] : layer)
      for (int64_t end : ends) {
        ++change[first];
        --change[end];
      }
    int64_t bytes = 0, open = 0, from = 0;
    for (const auto &[at, difference] : change) {
      if (open > 0)
        bytes += at - from;
      open += difference;
      from = at;
    }
    touched.push_back(bytes);
  }
  return touched;
}

int64_t endOfSram(const ModuleInfo &info) {
  int64_t end = 0;
  for (const Command &command : info.program.commands)
    for (const SramExtent &extent : sramExtents(command.args))
      end = std::max(end, extent.first + extent.bytes);
  return end;
}

std::vector<ConstantRecount> recountConstants(const ModuleInfo &info) {
  // What commands read of the constants, each place once: its bytes.
  std::map<int64_t, int64_t> reads;
  for (const Command &command : info.program.commands) {
    if (const auto *weights = std::get_if<DmaWeights>(&command.args))
      reads[weights->dram] = weights->bytes;
    const auto *load = std::get_if<DmaLoad>(&command.args);
    if (load && load->region == Region::Constants) {
      int64_t &bytes = reads[load->dram];
      bytes = std::max(bytes, load->shape.bytes());
    }
  }
  std::vector<ConstantRecount> result;
  for (size_t i = 0; i < info.network.constants.size(); ++i) {
    const ConstantInfo &constant = info.network.constants[i];
    if (constant.kind != ConstantKind::Weights) {
      result.push_back({constant.bytes, constant.bytes});
      continue;
    }
    const auto first = reads.lower_bound(info.constantOffsets[i]);
    const auto last = i + 1 < info.constantOffsets.size()
                          ? reads.lower_bound(info.constantOffsets[i + 1])
                          : reads.end();
    ConstantRecount sum;
    for (auto read = first; read != last; ++read) {
      sum.bytes += read->second;
      sum.padded += roundedUp(read->second, kBlockUnit);
    }
    result.push_back(sum);
  }
  return result;
}

} // namespace sdopt
