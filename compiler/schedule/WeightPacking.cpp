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
  const WeightForm &form = network.constants[matrix.weights].form;
  const int64_t taps = matrix.kernelHeight * matrix.kernelWidth;
  std::vector<WeightBlock> blocks;
  int64_t offset = 0;
  for (int64_t o = 0; o < outputs.tiles; ++o)
    for (int64_t i = 0; i < inputs.tiles; ++i) {
      const WeightExtent extent{.outputs = outputs.extent(o),
                                .taps = taps,
                                .inputs = inputs.extent(i),
                                .firstInGroup =
                                    form.groupSize > 0 ? inputs.first(i) % form.groupSize : 0};
      const int64_t bytes = storedBytes(form, extent);
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

void packWeights(const Network &network, const Layer &layer, const Tiling &tiling,
                 const StoredWeights &weights, std::byte *out) {
  const MatrixLayer &matrix = std::get<MatrixLayer>(layer.spec);
  WeightWindow window{.outputs = network.tensors[layer.output].dims[3],
                      .taps = matrix.kernelHeight * matrix.kernelWidth,
                      .inputs = network.tensors[layer.inputs[0]].dims[3]};
  for (const WeightBlock &block : weightBlocks(network, layer, tiling)) {
    window.firstOutput = block.firstOutput;
    window.firstInput = block.firstInput;
    encodeWeights(network.constants[matrix.weights].form, weights, window, block.extent,
                  out + block.offset);
    std::memset(out + block.offset + block.bytes, 0, padded(block.bytes) - block.bytes);
  }
}

} // namespace sdopt
