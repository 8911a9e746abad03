// Shapes of layers from the tensors and parameters of a network.

#include "compiler/schedule/LayerShapes.h"

namespace sdopt {
namespace {

int64_t widthOf(const TensorInfo &tensor) { return byteWidth(tensor.type); }

struct ShapeOf {
  const Network &network;
  const Layer &layer;

  const TensorInfo &input(int i = 0) const { return network.tensors[layer.inputs[i]]; }
  const TensorInfo &output() const { return network.tensors[layer.output]; }

  LayerShape operator()(const MatrixLayer &s) const {
    const auto &x = input().dims, &y = output().dims;
    MatrixShape shape;
    shape.batch = x[0];
    shape.vertical = {.input = x[1],
                      .output = y[1],
                      .kernel = s.kernelHeight,
                      .stride = s.strideH,
                      .dilation = s.dilationH,
                      .padBefore = s.padTop};
    shape.horizontal = {.input = x[2],
                        .output = y[2],
                        .kernel = s.kernelWidth,
                        .stride = s.strideW,
                        .dilation = s.dilationW,
                        .padBefore = s.padLeft};
    shape.inputChannels = x[3];
    shape.outputChannels = y[3];
    shape.inputBytes = widthOf(input());
    shape.outputBytes = widthOf(output());
    shape.wideInput = shape.inputBytes > 1;
    shape.winograd = s.winograd;
    const ConstantInfo &weights = network.constants[s.weights];
    shape.weights = weights.form;
    shape.weightShare = weights.share;
    shape.zeroWeights = weights.zeros;
    for (int64_t bytes : weights.blockBytes)
      shape.packedBytes += bytes;
    return shape;
  }

  /// All rows of the tensor are alike: one picture.
  RowsShape flatRows() const {
    const auto &y = output().dims;
    RowsShape shape;
    shape.rows = y[0] * y[1] * y[2];
    shape.channels = y[3];
    shape.inputBytes[0] = widthOf(input());
    shape.outputBytes = widthOf(output());
    return shape;
  }

  LayerShape operator()(const CombineLayer &s) const {
    RowsShape shape = flatRows();
    const auto &a = input().dims;
    shape.channels = a[3];
    if (layer.inputs.size() < 2)
      return shape;
    shape.passes = 2;
    if (!s.params.broadcastRows) {
      shape.inputBytes[1] = widthOf(input(1));
      return shape;
    }
    shape.pictures = a[0];
    shape.rows = a[1] * a[2];
    shape.broadcastBytes[0] = widthOf(input(1));
    return shape;
  }

  LayerShape operator()(const ModulateLayer &) const {
    RowsShape shape = flatRows();
    const auto &x = input().dims;
    shape.pictures = x[0];
    shape.rows = x[1] * x[2];
    shape.passes = 2;
    for (size_t i = 1; i < layer.inputs.size(); ++i)
      shape.broadcastBytes[i - 1] = widthOf(input(static_cast<int>(i)));
    return shape;
  }

  LayerShape operator()(const TableLayer &s) const {
    RowsShape shape = flatRows();
    shape.constantBytes = network.constants[s.table].bytes;
    return shape;
  }

  LayerShape operator()(const GegluLayer &s) const {
    RowsShape shape = flatRows();
    shape.inputBytes[0] *= 2;
    shape.constantBytes = network.constants[s.table].bytes;
    shape.passes = 2;
    return shape;
  }

  LayerShape operator()(const NormLayer &s) const {
    const auto &x = input().dims;
    if (s.perRow) {
      RowsShape shape = flatRows();
      shape.constantBytes = network.constants[s.channels].bytes;
      shape.passes = 2;
      shape.cutChannels = false;
      return shape;
    }
    return GroupNormShape{.pictures = x[0],
                          .rows = x[1] * x[2],
                          .channels = x[3],
                          .channelsPerGroup = x[3] / s.groups,
                          .inputBytes = widthOf(input()),
                          .outputBytes = widthOf(output())};
  }

  LayerShape operator()(const AttentionLayer &s) const {
    const auto &q = input(0).dims, &k = input(1).dims;
    return AttentionShape{.batch = q[0],
                          .heads = s.heads,
                          .queries = q[2],
                          .keys = k[2],
                          .headDim = q[3] / s.heads,
                          .qBytes = widthOf(input(0)),
                          .kBytes = widthOf(input(1)),
                          .vBytes = widthOf(input(2)),
                          .outputBytes = widthOf(output())};
  }

  LayerShape operator()(const UpsampleLayer &s) const {
    const auto &x = input().dims;
    return UpsampleShape{.pictures = x[0],
                         .height = x[1],
                         .width = x[2],
                         .pixelBytes = x[3] * widthOf(input()),
                         .factorH = s.factorH,
                         .factorW = s.factorW};
  }

  static std::array<int64_t, 4> denseStrides(const std::array<int64_t, 4> &dims) {
    return {dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
  }

  LayerShape operator()(const SliceLayer &s) const {
    PermuteShape shape;
    shape.dims = output().dims;
    shape.inputStrides = denseStrides(input().dims);
    for (int i = 0; i < 4; ++i)
      shape.first += s.starts[i] * shape.inputStrides[i];
    shape.elementBytes = widthOf(input());
    return shape;
  }

  LayerShape operator()(const ConstantLayer &) const {
    PermuteShape shape;
    shape.dims = output().dims;
    shape.inputStrides = denseStrides(shape.dims);
    shape.elementBytes = widthOf(output());
    return shape;
  }

  LayerShape operator()(const PermuteLayer &s) const {
    const std::array<int64_t, 4> strides = denseStrides(input().dims);
    PermuteShape shape;
    shape.dims = output().dims;
    for (int i = 0; i < 4; ++i)
      shape.inputStrides[i] = strides[s.permutation[i]];
    shape.elementBytes = widthOf(input());
    return shape;
  }

  LayerShape operator()(const EmbeddingLayer &) const {
    const auto &y = output().dims;
    return EmbeddingShape{
        .batch = y[0], .tokens = y[2], .channels = y[3], .outputBytes = widthOf(output())};
  }

  LayerShape operator()(const TimeEmbeddingLayer &s) const {
    return TimeEmbeddingShape{.batch = output().dims[0],
                              .inputs = input().elements(),
                              .halfDim = s.params.halfDim,
                              .outputBytes = widthOf(output())};
  }

  LayerShape operator()(const PoolTokenLayer &) const {
    const auto &x = input().dims;
    return PoolShape{
        .batch = x[0], .tokens = x[2], .channels = x[3], .elementBytes = widthOf(input())};
  }
};

void append(std::vector<int64_t> &out, const WindowAxis &a) {
  out.insert(out.end(), {a.input, a.output, a.kernel, a.stride, a.dilation, a.padBefore});
}

void append(std::vector<int64_t> &out, const Tails &tails) {
  out.push_back((tails.isLeadStored ? 1 : 0) + (tails.isLeadResident ? 2 : 0));
  out.push_back(static_cast<int64_t>(tails.layers.size()));
  for (const TailShape &tail : tails.layers)
    out.insert(out.end(),
               {tail.operandBytes, tail.rowBytes, tail.constantBytes, tail.outputBytes, tail.passes,
                (tail.isStored ? 1 : 0) + (tail.isResident ? 2 : 0), tail.isGated ? 1 : 0,
                tail.takesRows ? 1 : 0, tail.isOperandResident ? 1 : 0});
}

void append(std::vector<int64_t> &out, const std::vector<int64_t> &channelTiles) {
  out.insert(out.end(), channelTiles.begin(), channelTiles.end());
}

template <size_t N> int64_t bits(const std::array<bool, N> &flags) {
  int64_t value = 0;
  for (bool flag : flags)
    value = 2 * value + (flag ? 1 : 0);
  return value;
}

struct SignatureOf {
  std::vector<int64_t> &out;

  void operator()(const MatrixShape &s) {
    append(out, s.vertical);
    append(out, s.horizontal);
    out.insert(out.end(),
               {s.batch, s.inputChannels, s.outputChannels, s.inputBytes, s.outputBytes,
                static_cast<int64_t>(s.weights.coding), s.weights.bits, s.weights.groupSize,
                s.weights.symmetric ? 1 : 0, s.weights.sharedTaps ? 1 : 0, s.weights.paletteOutputs,
                static_cast<int64_t>(s.weights.zeros), s.weights.kept, s.weights.run,
                s.weights.lanes, s.weightShare, s.packedBytes, static_cast<int64_t>(s.winograd),
                s.inputBlock});
    append(out, s.tails);
    append(out, s.channelTiles);
  }
  void operator()(const RowsShape &s) {
    out.insert(out.end(), {s.pictures, s.rows, s.channels, s.inputBytes[0], s.inputBytes[1],
                           s.broadcastBytes[0], s.broadcastBytes[1], s.outputBytes, s.constantBytes,
                           s.passes, static_cast<int64_t>(s.cutChannels), bits(s.isInputResident),
                           s.isStored ? 1 : 0, s.isResident ? 1 : 0});
    append(out, s.channelTiles);
  }
  void operator()(const GroupNormShape &s) {
    out.insert(out.end(), {s.pictures, s.rows, s.channels, s.channelsPerGroup, s.inputBytes,
                           s.outputBytes, s.isInputResident ? 1 : 0});
    append(out, s.tails);
    append(out, s.channelTiles);
  }
  void operator()(const AttentionShape &s) {
    out.insert(out.end(),
               {s.batch, s.heads, s.queries, s.keys, s.headDim, s.qBytes, s.kBytes, s.vBytes,
                s.outputBytes, bits(s.isInputResident), s.isStored ? 1 : 0, s.isResident ? 1 : 0});
  }
  void operator()(const UpsampleShape &s) {
    out.insert(out.end(), {s.pictures, s.height, s.width, s.pixelBytes, s.factorH, s.factorW,
                           s.isInputResident ? 1 : 0});
  }
  void operator()(const PermuteShape &s) {
    out.insert(out.end(), s.dims.begin(), s.dims.end());
    out.insert(out.end(), s.inputStrides.begin(), s.inputStrides.end());
    out.push_back(s.elementBytes);
  }
  void operator()(const EmbeddingShape &s) {
    out.insert(out.end(), {s.batch, s.tokens, s.channels, s.outputBytes});
  }
  void operator()(const TimeEmbeddingShape &s) {
    out.insert(out.end(), {s.batch, s.inputs, s.halfDim, s.outputBytes});
  }
  void operator()(const PoolShape &s) {
    out.insert(out.end(), {s.batch, s.tokens, s.channels, s.elementBytes});
  }
};

} // namespace

InputSpan WindowAxis::span(int64_t firstOutput, int64_t outputs) const {
  const int64_t begin = firstOutput * stride - padBefore;
  const int64_t end = begin + (outputs - 1) * stride + (kernel - 1) * dilation + 1;
  const int64_t first = std::max<int64_t>(begin, 0);
  return {first, std::min(end, input) - first, first - begin};
}

LayerShape shapeOf(const Network &network, const Layer &layer) {
  return std::visit(ShapeOf{network, layer}, layer.spec);
}

std::vector<int64_t> signature(const LayerShape &shape) {
  std::vector<int64_t> out = {static_cast<int64_t>(shape.index())};
  std::visit(SignatureOf{out}, shape);
  return out;
}

TensorId rootOf(const Network &network, TensorId id) {
  while (network.tensors[id].aliasOf != kNone)
    id = network.tensors[id].aliasOf;
  return id;
}

} // namespace sdopt
