// Weights in the order in which tiles fetch them.

#include "compiler/kernels/KernelThreads.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"
#include "compiler/schedule/ResidentTensors.h"

#include <cstring>

namespace sdopt {
namespace {

constexpr int64_t kBlockAlignment = 16;

int64_t padded(int64_t bytes) { return ceilDiv(bytes, kBlockAlignment) * kBlockAlignment; }

} // namespace

std::vector<WeightBlock> weightBlocks(const Network &network, const Layer &layer,
                                      const Tiling &tiling) {
  const MatrixLayer &matrix = std::get<MatrixLayer>(layer.spec);
  const AxisCut outputs(network.tensors[layer.output].dims[3], tiling.outputChannels);
  const AxisCut inputs(network.tensors[layer.inputs[0]].dims[3], tiling.inputChannels);
  const ConstantInfo &weights = network.constants[matrix.weights];
  const auto shape = std::get<MatrixShape>(shapeOf(network, layer));
  const bool areKnown =
      static_cast<int64_t>(weights.blockBytes.size()) == outputs.tiles * inputs.tiles;
  const int64_t taps = matrix.kernelHeight * matrix.kernelWidth;
  std::vector<WeightBlock> blocks;
  int64_t offset = 0;
  for (int64_t o = 0; o < outputs.tiles; ++o)
    for (int64_t i = 0; i < inputs.tiles; ++i) {
      const WeightExtent extent = blockAt(weights.form, outputs.first(o), inputs.first(i),
                                          outputs.extent(o), taps, inputs.extent(i));
      const int64_t bytes =
          areKnown ? weights.blockBytes[blocks.size()] : shape.expectedBytes(extent);
      blocks.push_back({.firstOutput = outputs.first(o),
                        .firstInput = inputs.first(i),
                        .extent = extent,
                        .offset = offset,
                        .bytes = bytes});
      offset += padded(bytes);
    }
  return blocks;
}

int64_t packedBytes(const Network &network, const Plan &plan, ConstantId constant) {
  if (network.constants[constant].kind == ConstantKind::Weights)
    for (size_t i = 0; i < network.layers.size(); ++i) {
      const auto *matrix = std::get_if<MatrixLayer>(&network.layers[i].spec);
      if (!matrix || matrix->weights != constant)
        continue;
      const WeightBlock last =
          weightBlocks(network, network.layers[i], plan.layers[i].tiling).back();
      return last.offset + padded(last.bytes);
    }
  return network.constants[constant].bytes;
}

PackedWeights packWeights(const Network &network, const Layer &layer, const Tiling &tiling,
                          const StoredWeights &weights) {
  const MatrixLayer &matrix = std::get<MatrixLayer>(layer.spec);
  const WeightForm &form = network.constants[matrix.weights].form;
  const std::vector<WeightBlock> blocks = weightBlocks(network, layer, tiling);
  // Each block where it would be if no stream before it were shorter than it can be.
  std::vector<int64_t> places;
  int64_t end = 0;
  for (const WeightBlock &block : blocks) {
    places.push_back(end);
    end += padded(storedBytes(form, block.extent));
  }
  PackedWeights packed{.bytes = std::vector<std::byte>(static_cast<size_t>(end)),
                       .blockBytes = std::vector<int64_t>(blocks.size())};
  parallelFor(static_cast<int64_t>(blocks.size()), [&](int64_t i, int) {
    const WeightBlock &block = blocks[i];
    const WeightWindow window{.outputs = network.tensors[layer.output].dims[3],
                              .taps = matrix.kernelHeight * matrix.kernelWidth,
                              .inputs = network.tensors[layer.inputs[0]].dims[3],
                              .firstOutput = block.firstOutput,
                              .firstInput = block.firstInput};
    packed.blockBytes[i] =
        encodeWeights(form, weights, window, block.extent, packed.bytes.data() + places[i]);
  });
  end = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int64_t bytes = packed.blockBytes[i], whole = padded(bytes);
    std::byte *to = packed.bytes.data() + end;
    std::memmove(to, packed.bytes.data() + places[i], static_cast<size_t>(bytes));
    std::memset(to + bytes, 0, static_cast<size_t>(whole - bytes));
    end += whole;
  }
  packed.bytes.resize(static_cast<size_t>(end));
  return packed;
}

void noteStreams(Network &network, Plan &plan, size_t layer, const PackedWeights &packed,
                 const Target &target) {
  const ConstantId weights = std::get<MatrixLayer>(network.layers[layer].spec).weights;
  if (!network.constants[weights].form.varies())
    return;
  network.constants[weights].blockBytes = packed.blockBytes;
  const ResidentTensors residents(network, plan);
  for (size_t i = 0; i < network.layers.size(); ++i)
    if (const auto *matrix = std::get_if<MatrixLayer>(&network.layers[i].spec);
        matrix && matrix->weights == weights)
      noteGroupCosts(network, residents, plan, leaderOf(plan, i), target);
}

} // namespace sdopt
