#include "compiler/simulator/PassedResults.h"

#include "compiler/schedule/JoinedLayers.h"

#include <cstring>

namespace sdopt {

PassedResults::PassedResults(const ModuleInfo &module)
    : module_(module), parts_(module.network.layers.size()) {
  const JoinedLayers joined(module.network);
  for (size_t lead = 0; lead < module.network.layers.size(); lead = groupEnd(module.plan, lead))
    for (size_t i = lead; i < groupEnd(module.plan, lead); ++i) {
      isStored_.push_back(joined.isStored(i, groupEnd(module.plan, lead)));
      leaders_.push_back(lead);
    }
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
      place(*store, layer, memory);
    return;
  }
  if (command.queue != Queue::Vector || leaders_[layer] == layer || isStored_[layer - 1])
    return;
  const TensorInfo &made = module_.network.tensors[module_.network.layers[layer - 1].output];
  const int64_t width = byteWidth(made.type);
  if (const auto *c = std::get_if<CombineCommand>(&command.args))
    take(layer - 1, JoinedLayers(module_.network).carriedInput(layer) == 0 ? c->a : c->b,
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

/// The last store of a tile tells which pixels and channels all results before it are of.
void PassedResults::place(const DmaStore &store, size_t layer, const MemoryImages &memory) {
  const Network &network = module_.network;
  const TensorInfo &last = network.tensors[network.layers[layer].output];
  const auto *combine = std::get_if<CombineLayer>(&network.layers[layer].spec);
  const int64_t width = byteWidth(last.type), firstChannel = combine ? combine->channelOffset : 0;
  for (size_t from = leaders_[layer]; from < layer; ++from) {
    const TensorInfo &made = network.tensors[network.layers[from].output];
    const int64_t offset = module_.plan.offsets[network.layers[from].output];
    const int64_t element = byteWidth(made.type);
    // Both halves of gated channels belong to one store.
    const bool isGated = std::holds_alternative<GegluLayer>(network.layers[from + 1].spec);
    for (int half = 0; !isStored_[from] && half <= (isGated ? 1 : 0); ++half) {
      if (parts_[from].empty())
        return;
      const Part part = std::move(parts_[from].front());
      parts_[from].pop_front();
      int64_t done = 0;
      const auto put = [&](int64_t first, int64_t count) { // elements of the last tensor
        while (count > 0) {
          const int64_t pixel = first / last.dims[3], channel = first % last.dims[3] - firstChannel;
          const int64_t run = std::min(count, last.dims[3] - first % last.dims[3]);
          const int64_t to = pixel * made.dims[3] + channel + (part.half ? made.dims[3] / 2 : 0);
          const int64_t at = offset + to * element, bytes = run * element;
          if (at >= 0 && at + bytes <= static_cast<int64_t>(memory.arena.size()) &&
              done + bytes <= static_cast<int64_t>(part.codes.size()))
            std::memcpy(memory.arena.data() + at, part.codes.data() + done,
                        static_cast<size_t>(bytes));
          done += bytes;
          first += run;
          count -= run;
        }
      };
      const DmaShape &s = store.shape;
      for (int64_t i = 0; i < s.counts[0]; ++i)
        for (int64_t j = 0; j < s.counts[1]; ++j)
          for (int64_t k = 0; k < s.counts[2]; ++k)
            put((store.dram + i * s.dramStrides[0] + j * s.dramStrides[1] + k * s.dramStrides[2] -
                 module_.plan.offsets[network.layers[layer].output]) /
                    width,
                s.runBytes / width);
    }
  }
}

} // namespace sdopt
