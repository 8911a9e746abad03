#include "compiler/simulator/PassedResults.h"

#include "compiler/package/CommandOperands.h"
#include "compiler/schedule/JoinedLayers.h"

#include <cstring>

namespace sdopt {

PassedResults::PassedResults(const ModuleInfo &module)
    : module_(module), residents_(module.network, module.plan),
      parts_(module.network.layers.size()), codes_(module.network.layers.size()) {
  for (size_t lead = 0; lead < module.network.layers.size(); lead = groupEnd(module.plan, lead))
    for (size_t i = lead; i < groupEnd(module.plan, lead); ++i) {
      isStored_.push_back(residents_.isStored(i));
      leaders_.push_back(lead);
    }
}

Tensor PassedResults::result(size_t layer) const {
  const TensorInfo &info = module_.network.tensors[module_.network.layers[layer].output];
  Tensor tensor(info.type, {info.dims.begin(), info.dims.end()});
  std::copy_n(codes_[layer].begin(),
              std::min(codes_[layer].size(), static_cast<size_t>(info.bytes())),
              reinterpret_cast<std::byte *>(tensor.mutableBytes()));
  return tensor;
}

void PassedResults::take(size_t layer, SramOffset at, int64_t bytes, bool half,
                         const MemoryImages &memory) {
  const auto from = memory.sram.begin() + at;
  parts_[layer].push_back({.codes = {from, from + bytes}, .half = half});
}

void PassedResults::note(const Command &command, const MemoryImages &memory) {
  const auto layer = static_cast<size_t>(command.layer);
  if (const auto *store = std::get_if<DmaStore>(&command.args)) {
    if (isLast(layer))
      place(storedRanges(*store, layer), layer);
    return;
  }
  if (command.queue != Queue::Vector)
    return;
  if (!isStored_[layer] && residents_.ofResult(layer))
    takeResident(command, layer, memory);
  if (leaders_[layer] == layer)
    return;
  if (!isStored_[layer - 1] && !residents_.ofResult(layer - 1))
    takeOperands(command, layer, memory);
  if (isLast(layer) && !isStored_[layer])
    place(residentRanges(command, layer), layer);
}

void PassedResults::takeOperands(const Command &command, size_t layer, const MemoryImages &memory) {
  const TensorInfo &made = module_.network.tensors[module_.network.layers[layer - 1].output];
  const int64_t width = byteWidth(made.type);
  if (const auto *c = std::get_if<CombineCommand>(&command.args))
    take(layer - 1, residents_.joinedLayers().carriedInput(layer) == 0 ? c->a : c->b,
         c->rows * c->channels * width, false, memory);
  else if (const auto *c = std::get_if<TableCommand>(&command.args))
    take(layer - 1, c->input, c->count * width, false, memory);
  else if (const auto *c = std::get_if<NormApplyCommand>(&command.args))
    take(layer - 1, c->input, c->rows * c->channels * width, false, memory);
  else if (const auto *c = std::get_if<GegluCommand>(&command.args)) {
    take(layer - 1, c->input, c->rows * c->channels * width, false, memory);
    take(layer - 1, c->gate, c->rows * c->channels * width, true, memory);
  }
}

std::vector<PassedResults::Range> PassedResults::storedRanges(const DmaStore &store,
                                                              size_t layer) const {
  const TensorId id = module_.network.layers[layer].output;
  const int64_t width = byteWidth(module_.network.tensors[id].type);
  const DmaShape &s = store.shape;
  std::vector<Range> ranges;
  for (int64_t i = 0; i < s.counts[0]; ++i)
    for (int64_t j = 0; j < s.counts[1]; ++j)
      for (int64_t k = 0; k < s.counts[2]; ++k)
        ranges.push_back({(store.dram + i * s.dramStrides[0] + j * s.dramStrides[1] +
                           k * s.dramStrides[2] - module_.plan.offsets[id]) /
                              width,
                          s.runBytes / width});
  return ranges;
}

/// Of results in blocks of channels: what the command writes where its result is resident.
std::vector<PassedResults::Range> PassedResults::residentRanges(const Command &command,
                                                                size_t layer) const {
  const TensorInfo &info = module_.network.tensors[module_.network.layers[layer].output];
  const SramPlace &place = *residents_.ofResult(layer);
  const int64_t width = byteWidth(info.type), channels = info.dims[3], run = place.channels;
  const int64_t pixels = info.elements() / channels;
  std::vector<Range> ranges;
  for (const SramOperand &operand : sramOperands(command.args)) {
    if (!operand.written || operand.offset < place.offset ||
        operand.offset + operand.bytes > place.offset + info.bytes())
      continue;
    const int64_t end = (operand.offset + operand.bytes - place.offset) / width;
    for (int64_t at = (operand.offset - place.offset) / width, count = 0; at < end; at += count) {
      count = std::min(run - at % run, end - at);
      ranges.push_back(
          {at / run % pixels * channels + at / (run * pixels) * run + at % run, count});
    }
  }
  return ranges;
}

/// Later commands may write over the first tiles of a result before its last one is done.
void PassedResults::takeResident(const Command &command, size_t layer, const MemoryImages &memory) {
  const TensorInfo &info = module_.network.tensors[module_.network.layers[layer].output];
  const int64_t width = byteWidth(info.type);
  codes_[layer].resize(static_cast<size_t>(info.bytes()));
  for (const SramOperand &operand : sramOperands(command.args)) {
    if (!operand.written)
      continue;
    int64_t from = operand.offset;
    for (const Range &range : residentRanges(command, layer)) {
      std::memcpy(codes_[layer].data() + range.first * width, memory.sram.data() + from,
                  static_cast<size_t>(range.count * width));
      from += range.count * width;
    }
  }
}

/// The last result of a tile tells which pixels and channels all results before it are of.
void PassedResults::place(const std::vector<Range> &ranges, size_t layer) {
  const Network &network = module_.network;
  const TensorInfo &last = network.tensors[network.layers[layer].output];
  const auto *combine = std::get_if<CombineLayer>(&network.layers[layer].spec);
  const int64_t firstChannel = combine ? combine->channelOffset : 0;
  for (size_t from = leaders_[layer]; from < layer; ++from) {
    const TensorInfo &made = network.tensors[network.layers[from].output];
    const int64_t element = byteWidth(made.type);
    // Both halves of gated channels belong to one tile.
    const bool isGated = std::holds_alternative<GegluLayer>(network.layers[from + 1].spec);
    for (int half = 0; !isStored_[from] && !residents_.ofResult(from) && half <= (isGated ? 1 : 0);
         ++half) {
      if (parts_[from].empty())
        return;
      const Part part = std::move(parts_[from].front());
      parts_[from].pop_front();
      std::vector<std::byte> &codes = codes_[from];
      codes.resize(static_cast<size_t>(made.bytes()));
      int64_t done = 0;
      for (auto [first, count] : ranges)
        while (count > 0) {
          const int64_t pixel = first / last.dims[3], channel = first % last.dims[3] - firstChannel;
          const int64_t run = std::min(count, last.dims[3] - first % last.dims[3]);
          const int64_t to = pixel * made.dims[3] + channel + (part.half ? made.dims[3] / 2 : 0);
          const int64_t at = to * element, bytes = run * element;
          if (at >= 0 && at + bytes <= static_cast<int64_t>(codes.size()) &&
              done + bytes <= static_cast<int64_t>(part.codes.size()))
            std::memcpy(codes.data() + at, part.codes.data() + done, static_cast<size_t>(bytes));
          done += bytes;
          first += run;
          count -= run;
        }
    }
  }
}

} // namespace sdopt
