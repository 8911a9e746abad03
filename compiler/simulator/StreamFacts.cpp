#include "compiler/simulator/StreamFacts.h"

#include <algorithm>

namespace sdopt {

StreamFacts sparseFacts(const WeightExtent &block, std::span<const int8_t> weights,
                        const ArrayTarget &array) {
  StreamFacts facts{.isSparse = true};
  const int64_t windows = (block.inputs + array.sparseWindow - 1) / array.sparseWindow;
  std::vector<int64_t> fullest(static_cast<size_t>(windows));
  for (int64_t first = 0; first < block.outputs; first += array.columns) {
    const int64_t last = std::min(first + array.columns, block.outputs);
    int64_t tiles = 0;
    for (int64_t tap = 0; tap < block.taps; ++tap) {
      // The column with the most weights in a window decides how many rows it takes.
      std::fill(fullest.begin(), fullest.end(), 0);
      for (int64_t o = first; o < last; ++o) {
        const int8_t *row = weights.data() + (o * block.taps + tap) * block.inputs;
        for (int64_t w = 0; w < windows; ++w) {
          const int64_t begin = w * array.sparseWindow,
                        end = std::min(begin + array.sparseWindow, block.inputs);
          const int64_t count = end - begin - std::count(row + begin, row + end, int8_t{0});
          facts.nonzeros += count;
          fullest[w] = std::max(fullest[w], count);
        }
      }
      int64_t rows = 0;
      for (int64_t count : fullest)
        rows += count;
      facts.rows += rows;
      tiles += (rows + array.rows - 1) / array.rows;
    }
    facts.tiles.push_back(tiles);
  }
  return facts;
}

ProgramStreams::ProgramStreams(const Program &program, std::span<const std::byte> constants,
                               const ArrayTarget &array)
    : program_(program), constants_(constants), array_(array),
      feeders_(program.commands.size(), -1) {
  std::map<SramOffset, int32_t> newest;
  for (size_t i = 0; i < program.commands.size(); ++i) {
    const CommandArgs &args = program.commands[i].args;
    if (const auto *weights = std::get_if<DmaWeights>(&args)) {
      newest[weights->sram] = static_cast<int32_t>(i);
      feeders_[i] = static_cast<int32_t>(i);
    } else if (const auto *load = std::get_if<DmaLoad>(&args)) {
      newest.erase(load->sram);
    } else if (const auto *conv = std::get_if<ConvCommand>(&args)) {
      const auto found = newest.find(conv->weights);
      if (found == newest.end())
        continue;
      const ConvTile &t = conv->tile;
      const WeightExtent &block = std::get<DmaWeights>(program.commands[found->second].args).block;
      if (block.outputs == t.outputChannels && block.inputs == t.inputChannels &&
          block.taps == t.kernelHeight * t.kernelWidth)
        feeders_[i] = found->second;
    }
  }
}

const DmaWeights *ProgramStreams::streamOf(int32_t command) const {
  const int32_t feeder = feeders_[command];
  if (feeder < 0)
    return nullptr;
  const auto &stream = std::get<DmaWeights>(program_.commands[feeder].args);
  return stream.bytes < storedBytes(stream.form, stream.block) ? &stream : nullptr;
}

const StreamFacts *ProgramStreams::facts(int32_t command) {
  const DmaWeights *stream = streamOf(command);
  if (!stream || (!stream->form.tellsZeros() && stream->form.lanes == 0))
    return nullptr;
  const auto [known, isNew] = known_.try_emplace(stream->dram);
  if (!isNew)
    return &known->second;
  const auto bytes =
      constants_.subspan(static_cast<size_t>(stream->dram), static_cast<size_t>(stream->bytes));
  StreamFacts &facts = known->second;
  if (stream->form.tellsZeros()) {
    std::vector<int8_t> weights(static_cast<size_t>(stream->block.weights()));
    if (decodeWeights(stream->form, stream->block, bytes, weights.data()))
      facts = sparseFacts(stream->block, weights, array_);
  }
  facts.codes = codedCodes(stream->form, stream->block, bytes);
  return &facts;
}

} // namespace sdopt
