// Bytes that no schedule of a layer can do without.

#include "compiler/schedule/TrafficModel.h"

#include <cmath>
#include <set>

namespace sdopt {
namespace {

/// Input positions of one axis that some output reads, and the (output, tap) pairs that hit the
/// picture.
struct Touched {
  int64_t positions = 0, pairs = 0;
};

Touched touched(const WindowAxis &axis) {
  std::vector<bool> seen(axis.input, false);
  Touched result;
  for (int64_t o = 0; o < axis.output; ++o)
    for (int64_t k = 0; k < axis.kernel; ++k) {
      const int64_t i = o * axis.stride + k * axis.dilation - axis.padBefore;
      if (i < 0 || i >= axis.input)
        continue;
      ++result.pairs;
      result.positions += !seen[i];
      seen[i] = true;
    }
  return result;
}

/// Chen, Demmel, Dinh, Haberle, Holtz, PASC 2022, with bytes for words: 2 sqrt(pI pF pO) G / sqrt(R
/// S) - 2 S. G leaves out products with padding, which need no byte. Weights count with the bytes
/// that they take in DRAM; that they take more in SRAM only adds to the truth.
int64_t reuseBound(const MatrixShape &s, int64_t products, int64_t sramBytes) {
  const double reuse =
      std::max(1.0, static_cast<double>(s.taps()) /
                        static_cast<double>(s.vertical.stride * s.horizontal.stride));
  const double widths = static_cast<double>(s.inputBytes * s.outputBytes) *
                        static_cast<double>(s.leastWeightBytes()) /
                        static_cast<double>(s.weightCount());
  const double bytes = 2.0 * std::sqrt(widths) * static_cast<double>(products) /
                           std::sqrt(reuse * static_cast<double>(sramBytes)) -
                       2.0 * static_cast<double>(sramBytes);
  return bytes > 0 ? static_cast<int64_t>(bytes) : 0;
}

struct BoundOf {
  const Network &network;
  const Layer &layer;
  int64_t sram;
  const OnChip &onChip;

  /// Every byte of every distinct input once, the output once.
  int64_t tensors() const {
    std::set<TensorId> inputs;
    for (size_t i = 0; i < layer.inputs.size(); ++i)
      if (!onChip.inputs[i])
        inputs.insert(rootOf(network, layer.inputs[i]));
    int64_t bytes = 0;
    for (TensorId id : inputs)
      bytes += network.tensors[id].bytes();
    return bytes;
  }
  int64_t output() const {
    if (onChip.result)
      return 0;
    const TensorInfo &y = network.tensors[layer.output];
    if (!std::holds_alternative<CombineLayer>(layer.spec))
      return y.bytes();
    // A combine may fill a slice only.
    const TensorInfo &a = network.tensors[layer.inputs[0]];
    return a.elements() * byteWidth(y.type);
  }
  int64_t constant(ConstantId id) const { return network.constants[id].bytes; }

  int64_t operator()(const MatrixLayer &) const {
    const auto s = std::get<MatrixShape>(shapeOf(network, layer));
    const Touched rows = touched(s.vertical), columns = touched(s.horizontal);
    const int64_t compulsory = (onChip.inputs[0] ? 0
                                                 : s.batch * rows.positions * columns.positions *
                                                       s.inputChannels * s.inputBytes) +
                               s.leastWeightBytes() + s.outputChannels * 16 + output();
    // The other bound is of convolutions that make every product of their definition and store
    // every sum.
    if (s.winograd != WinogradForm::None || onChip.result || onChip.inputs[0])
      return compulsory;
    const int64_t all = s.batch * rows.pairs * columns.pairs * s.inputChannels * s.outputChannels;
    // Products with zeros that the array skips are not made: at most one for each output that a
    // weight has part in.
    const int64_t skipped = s.zeroWeights * s.batch * s.vertical.output * s.horizontal.output;
    const int64_t products = std::max<int64_t>(all - skipped, 0);
    return std::max(compulsory, reuseBound(s, products, sram));
  }
  int64_t operator()(const TableLayer &s) const { return tensors() + constant(s.table) + output(); }
  int64_t operator()(const GegluLayer &s) const { return tensors() + constant(s.table) + output(); }
  int64_t operator()(const NormLayer &s) const {
    return tensors() + constant(s.channels) + output();
  }
  int64_t operator()(const EmbeddingLayer &) const {
    // All ids may name one row.
    const auto &y = network.tensors[layer.output].dims;
    return tensors() + (y[2] + 1) * (y[3] + 4) + output();
  }
  int64_t operator()(const TimeEmbeddingLayer &s) const {
    return tensors() + constant(s.steps) + constant(s.sine) + output();
  }
  int64_t operator()(const PoolTokenLayer &) const {
    return network.tensors[layer.inputs[1]].bytes() + 2 * output();
  }
  int64_t operator()(const SliceLayer &) const { return 2 * output(); }
  int64_t operator()(const ConstantLayer &) const { return 2 * output(); }
  template <typename Other> int64_t operator()(const Other &) const { return tensors() + output(); }
};

} // namespace

int64_t lowerBoundBytes(const Network &network, const Layer &layer, int64_t sramBytes) {
  return lowerBoundBytes(network, layer, sramBytes, {});
}

int64_t lowerBoundBytes(const Network &network, const Layer &layer, int64_t sramBytes,
                        const OnChip &onChip) {
  return std::visit(BoundOf{network, layer, sramBytes, onChip}, layer.spec);
}

} // namespace sdopt
