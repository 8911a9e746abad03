// Weights in the order in which tiles fetch them.

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/Plan.h"

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
  const int64_t taps = matrix.kernelHeight * matrix.kernelWidth;
  std::vector<WeightBlock> blocks;
  int64_t offset = 0;
  for (int64_t o = 0; o < outputs.tiles; ++o)
    for (int64_t i = 0; i < inputs.tiles; ++i) {
      const int64_t bytes = outputs.extent(o) * taps * inputs.extent(i);
      blocks.push_back({.firstOutput = outputs.first(o),
                        .outputs = outputs.extent(o),
                        .firstInput = inputs.first(i),
                        .inputs = inputs.extent(i),
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

void packWeights(const Network &network, const Layer &layer, const Tiling &tiling,
                 const int8_t *weights, std::byte *out) {
  const MatrixLayer &matrix = std::get<MatrixLayer>(layer.spec);
  const int64_t channels = network.tensors[layer.inputs[0]].dims[3];
  const int64_t taps = matrix.kernelHeight * matrix.kernelWidth;
  for (const WeightBlock &block : weightBlocks(network, layer, tiling)) {
    std::byte *to = out + block.offset;
    for (int64_t o = block.firstOutput; o < block.firstOutput + block.outputs; ++o)
      for (int64_t tap = 0; tap < taps; ++tap) {
        std::memcpy(to, weights + (o * taps + tap) * channels + block.firstInput, block.inputs);
        to += block.inputs;
      }
    std::memset(to, 0, padded(block.bytes) - block.bytes);
  }
}

} // namespace sdopt
