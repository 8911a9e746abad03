// checkDataflow: what a program moves between tensors, byte by byte.

#include "absl/strings/str_cat.h"
#include "compiler/schedule/CheckCommand.h"
#include "compiler/schedule/CheckTapTiles.h"
#include "compiler/schedule/Plan.h"
#include "compiler/schedule/WinogradLayers.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

namespace sdopt {
namespace {

/// One bit for each byte of a tensor.
class ByteSet {
public:
  explicit ByteSet(int64_t size) : words((size + 63) / 64, 0) {}

  bool containsAll(int64_t begin, int64_t end) const {
    bool all = true;
    forWords(begin, end, [&](int64_t w, uint64_t mask) { all &= (words[w] & mask) == mask; });
    return all;
  }
  /// False if one of them was there.
  bool insert(int64_t begin, int64_t end) {
    bool fresh = true;
    forWords(begin, end, [&](int64_t w, uint64_t mask) {
      fresh &= (words[w] & mask) == 0;
      words[w] |= mask;
    });
    return fresh;
  }

private:
  template <typename Body> static void forWords(int64_t begin, int64_t end, Body body) {
    while (begin < end) {
      const int64_t bit = begin % 64, count = std::min<int64_t>(64 - bit, end - begin);
      const uint64_t ones = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
      body(begin / 64, ones << bit);
      begin += count;
    }
  }
  std::vector<uint64_t> words;
};

/// Calls body(begin, end) for each run of the DRAM side until it returns false.
template <typename Body> bool forRuns(int64_t dram, const DmaShape &shape, Body body) {
  for (int64_t i = 0; i < shape.counts[0]; ++i)
    for (int64_t j = 0; j < shape.counts[1]; ++j)
      for (int64_t k = 0; k < shape.counts[2]; ++k) {
        const int64_t begin =
            dram + i * shape.dramStrides[0] + j * shape.dramStrides[1] + k * shape.dramStrides[2];
        if (!body(begin, begin + shape.runBytes))
          return false;
      }
  return true;
}

int64_t lastByte(const DmaShape &shape) {
  int64_t bytes = shape.runBytes;
  for (int i = 0; i < 3; ++i)
    bytes += (shape.counts[i] - 1) * shape.dramStrides[i];
  return bytes;
}

std::vector<ConstantId> constantsOf(const Layer &layer) {
  if (const auto *s = std::get_if<MatrixLayer>(&layer.spec))
    return {s->weights, s->params};
  if (const auto *s = std::get_if<TableLayer>(&layer.spec))
    return {s->table};
  if (const auto *s = std::get_if<GegluLayer>(&layer.spec))
    return {s->table};
  if (const auto *s = std::get_if<NormLayer>(&layer.spec))
    return {s->channels};
  if (const auto *s = std::get_if<EmbeddingLayer>(&layer.spec))
    return {s->tokens, s->tokenMultipliers, s->positions, s->positionMultipliers};
  if (const auto *s = std::get_if<TimeEmbeddingLayer>(&layer.spec))
    return {s->steps, s->sine};
  if (const auto *s = std::get_if<ConstantLayer>(&layer.spec))
    return {s->codes};
  return {};
}

class Dataflow {
public:
  Dataflow(const Network &network, const Plan &plan, const std::vector<int64_t> &constantOffsets)
      : network(network), plan(plan), constantOffsets(constantOffsets) {
    for (size_t i = 0; i < network.tensors.size(); ++i)
      if (network.tensors[i].role == TensorRole::Input) {
        const int64_t bytes = network.tensors[i].bytes();
        written(owner(static_cast<TensorId>(i)), bytes).insert(0, bytes);
      }
  }

  std::string load(const Layer &layer, const DmaLoad &c) {
    if (c.region == Region::Constants)
      return constant(layer, c.dram, lastByte(c.shape));
    for (TensorId id : layer.inputs) {
      const int64_t offset = plan.offsets[id], bytes = network.tensors[id].bytes();
      if (offset == kNowhere || c.dram < offset || c.dram + lastByte(c.shape) > offset + bytes)
        continue;
      ByteSet &made = written(owner(id), bytes);
      const bool whole = forRuns(c.dram - offset, c.shape, [&](int64_t begin, int64_t end) {
        return made.containsAll(begin, end);
      });
      return whole ? ""
                   : absl::StrCat("reads bytes of '", network.tensors[id].name,
                                  "' that were never written");
    }
    return absl::StrCat("reads ", lastByte(c.shape), " bytes at ", c.dram,
                        ", which are of no input of its layer");
  }

  /// The blocks of its constant are cut and stored as the plan and its form say.
  std::string weights(const Layer &layer, const DmaWeights &c) {
    const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    if (!matrix || !(network.constants[matrix->weights].form == c.form))
      return "decodes weights in a form that is not its layer's";
    auto [blocks, isNew] = streams.try_emplace(&layer);
    if (isNew)
      for (const WeightBlock &block :
           weightBlocks(network, layer, plan.layers[&layer - network.layers.data()].tiling))
        blocks->second.emplace(constantOffsets[matrix->weights] + block.offset, block);
    const auto block = blocks->second.find(c.dram);
    if (block == blocks->second.end() || block->second.bytes != c.bytes ||
        !(block->second.extent == c.block))
      return absl::StrCat("reads ", c.bytes, " bytes of constants at ", c.dram,
                          ", which are no block of its layer's weights");
    return "";
  }

  std::string store(const Layer &layer, const DmaStore &c) {
    const TensorInfo &tensor = network.tensors[layer.output];
    const int64_t offset = plan.offsets[layer.output];
    if (offset == kNowhere || c.dram < offset ||
        c.dram + lastByte(c.shape) > offset + tensor.bytes())
      return absl::StrCat("writes ", lastByte(c.shape), " bytes at ", c.dram, ", outside '",
                          tensor.name, "'");
    ByteSet &made = written(owner(layer.output), tensor.bytes());
    const bool fresh = forRuns(c.dram - offset, c.shape,
                               [&](int64_t begin, int64_t end) { return made.insert(begin, end); });
    return fresh ? "" : absl::StrCat("writes bytes of '", tensor.name, "' twice");
  }

  std::string constant(const Layer &layer, int64_t dram, int64_t bytes) const {
    for (ConstantId id : constantsOf(layer))
      if (dram >= constantOffsets[id] &&
          dram + bytes <= constantOffsets[id] + packedBytes(network, plan, id))
        return "";
    return absl::StrCat("reads ", bytes, " bytes of constants at ", dram,
                        ", which are of no constant of its layer");
  }

  /// A tensor of DRAM that is not wholly written.
  std::optional<TensorId> incomplete() {
    for (size_t i = 0; i < network.layers.size(); ++i) {
      const Layer &layer = network.layers[i];
      if (plan.offsets[layer.output] == kNowhere)
        continue;
      const int64_t bytes = network.tensors[layer.output].bytes();
      if (!written(owner(layer.output), bytes).containsAll(0, bytes))
        return layer.output;
    }
    return std::nullopt;
  }

private:
  TensorId owner(TensorId id) const {
    while (network.tensors[id].aliasOf != kNone)
      id = network.tensors[id].aliasOf;
    return id;
  }
  ByteSet &written(TensorId id, int64_t bytes) { return sets.try_emplace(id, bytes).first->second; }

  const Network &network;
  const Plan &plan;
  const std::vector<int64_t> &constantOffsets;
  std::map<TensorId, ByteSet> sets;
  std::map<const Layer *, std::map<int64_t, WeightBlock>> streams; ///< by offset in the constants
};

/// Whose bytes lie where in SRAM. A group of layers reads its own, or those of a resident result
/// that it takes from there, and writes over nothing that others still take.
class SramFlow {
public:
  SramFlow(const Network &network, const Plan &plan)
      : network(network), plan(plan), leads(network.layers.size(), 0) {
    for (size_t i = 1; i < leads.size(); ++i)
      leads[i] = plan.layers[i].joined ? leads[i - 1] : i;
    for (size_t i = 0; i < network.layers.size(); ++i)
      if (plan.layers[i].resident.channels > 0)
        addStay(i);
  }

  std::string touch(const Command &command, std::span<const Footprint> footprints) {
    const auto own = static_cast<size_t>(command.layer);
    for (bool write : {false, true})
      for (const Footprint &f : footprints)
        if (f.sram && f.write == write)
          if (std::string problem = write ? written(own, f) : read(own, f); !problem.empty())
            return problem;
    return "";
  }

private:
  struct Stay {
    size_t maker;
    std::vector<size_t> takers;
    int64_t begin, end;
    bool isTakenBy(size_t layer) const {
      return std::find(takers.begin(), takers.end(), layer) != takers.end();
    }
  };

  void addStay(size_t maker) {
    const SramPlace &place = plan.layers[maker].resident;
    Stay stay{maker,
              {},
              place.offset,
              place.offset + network.tensors[network.layers[maker].output].bytes()};
    for (size_t i = 0; i < network.layers.size(); ++i)
      for (TensorId id : network.layers[i].inputs)
        if (owner(id) == owner(network.layers[maker].output) &&
            static_cast<int64_t>(stay.takers.size()) < place.readers)
          stay.takers.push_back(i);
    if (!stay.takers.empty())
      stays.push_back(std::move(stay));
  }
  TensorId owner(TensorId id) const {
    while (network.tensors[id].aliasOf != kNone)
      id = network.tensors[id].aliasOf;
    return id;
  }

  std::string read(size_t own, const Footprint &f) const {
    auto piece = pieces.upper_bound(f.begin);
    if (piece != pieces.begin())
      --piece;
    for (; piece != pieces.end() && piece->first < f.end; ++piece) {
      const auto &[end, writer] = piece->second;
      if (end <= f.begin || leads[writer] == leads[own])
        continue;
      const bool isTaken = std::any_of(stays.begin(), stays.end(), [&](const Stay &stay) {
        return stay.maker == writer && stay.isTakenBy(own) && stay.begin <= f.begin &&
               f.end <= stay.end;
      });
      if (!isTaken)
        return absl::StrCat("takes bytes ", f.begin, "..", f.end, " of sram, which are of layer '",
                            network.layers[writer].name, "'");
    }
    return "";
  }

  std::string written(size_t own, const Footprint &f) {
    for (const Stay &stay : stays)
      if (stay.maker != own && stay.begin < f.end && f.begin < stay.end &&
          leads[stay.maker] <= own && leads[own] <= leads[stay.takers.back()])
        return absl::StrCat("writes bytes ", f.begin, "..", f.end, " of sram, where layer '",
                            network.layers[stay.maker].name, "' is resident");
    auto piece = pieces.upper_bound(f.begin);
    if (piece != pieces.begin() && std::prev(piece)->second.first > f.begin)
      --piece;
    while (piece != pieces.end() && piece->first < f.end) {
      const auto [begin, old] = *piece;
      piece = pieces.erase(piece);
      if (begin < f.begin)
        pieces[begin] = {f.begin, old.second};
      if (old.first > f.end)
        piece = pieces.insert_or_assign(f.end, old).first;
    }
    pieces[f.begin] = {f.end, own};
    return "";
  }

  const Network &network;
  const Plan &plan;
  std::vector<size_t> leads; ///< by layer
  std::vector<Stay> stays;
  std::map<int64_t, std::pair<int64_t, size_t>> pieces; ///< end and layer that wrote it, by begin
};

} // namespace

absl::Status checkDataflow(const Network &network, const Plan &plan, const Program &program,
                           const std::vector<int64_t> &constantOffsets) {
  Dataflow flow(network, plan, constantOffsets);
  SramFlow sram(network, plan);
  TapTiles tapTiles(network, plan);
  std::vector<Footprint> footprints;
  if (program.phaseEnds.size() != kPhases)
    return absl::InvalidArgumentError(
        absl::StrCat("program has ", program.phaseEnds.size(), " phases; needs ", kPhases));
  for (size_t i = 0; i < program.commands.size(); ++i) {
    const Command &command = program.commands[i];
    if (command.layer < 0 || static_cast<size_t>(command.layer) >= network.layers.size())
      return absl::InvalidArgumentError(
          absl::StrCat("command ", i, " is of layer ", command.layer));
    const Layer &layer = network.layers[command.layer];
    const auto phase = static_cast<size_t>(layer.phase);
    std::string problem;
    if (i >= program.phaseEnds[phase] || (phase > 0 && i < program.phaseEnds[phase - 1]))
      problem = absl::StrCat("lies outside phase ", name(layer.phase));
    else if (const auto *load = std::get_if<DmaLoad>(&command.args))
      problem = flow.load(layer, *load);
    else if (const auto *weights = std::get_if<DmaWeights>(&command.args))
      problem = flow.weights(layer, *weights);
    else if (const auto *store = std::get_if<DmaStore>(&command.args))
      problem = flow.store(layer, *store);
    else if (const auto *conv = std::get_if<ConvCommand>(&command.args))
      problem = productsProblem(layer, *conv);
    else if (const auto *gather = std::get_if<DmaGather>(&command.args))
      problem = flow.constant(layer, gather->dram, gather->tableRows * gather->rowBytes);
    if (problem.empty())
      problem = commandProblem(command, program, program.sramBytes, footprints);
    if (problem.empty())
      problem = sram.touch(command, footprints);
    if (problem.empty())
      problem = tapTiles.check(command, footprints);
    if (!problem.empty())
      return absl::InvalidArgumentError(absl::StrCat("command ", i, " (", mnemonic(command),
                                                     ") of layer '", layer.name, "' ", problem));
  }
  if (std::optional<TensorId> id = flow.incomplete())
    return absl::InvalidArgumentError(
        absl::StrCat("'", network.tensors[*id].name, "' is not written completely"));
  return absl::OkStatus();
}

} // namespace sdopt
