#include "tests/simulator/WholeTensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace sdopt::test {
namespace {

struct Evaluation {
  const Network &network;
  const Layer &layer;
  const std::vector<Tensor> &inputs;
  const ConstantBytes &constants;
  const IntegerKernels &kernels;
  const TensorInfo &out;
  Tensor y;

  const TensorInfo &info(size_t input) const { return network.tensors[layer.inputs[input]]; }
  int64_t batch() const { return out.dims[0]; }

  /// Codes of picture n of an input, from element `offset` on.
  Codes codes(size_t input, int64_t n, int64_t offset = 0) const {
    const TensorInfo &t = info(input);
    const int64_t elements = n * (t.elements() / t.dims[0]) + offset;
    return {inputs[input].bytes() + elements * byteWidth(t.type), t.format()};
  }
  std::byte *output(int64_t n, int64_t offset = 0) {
    const int64_t elements = n * (out.elements() / batch()) + offset;
    return y.mutableBytes() + elements * byteWidth(out.type);
  }
  template <typename T> const T *constant(ConstantId id) const {
    return reinterpret_cast<const T *>(constants[id].data());
  }
  template <typename T> std::span<const T> entries(ConstantId id) const {
    return {constant<T>(id), constants[id].size() / sizeof(T)};
  }
  static int64_t rows(const TensorInfo &t) { return t.dims[1] * t.dims[2]; }

  void operator()(const MatrixLayer &s) {
    const auto &x = info(0).dims;
    const ConvTile tile = {x[1],        x[2],           x[3],          out.dims[1], out.dims[2],
                           out.dims[3], s.kernelHeight, s.kernelWidth, s.strideH,   s.strideW,
                           s.dilationH, s.dilationW,    s.padTop,      s.padLeft};
    for (int64_t n = 0; n < batch(); ++n) {
      std::vector<int64_t> acc(static_cast<size_t>(rows(out) * out.dims[3]));
      if (s.winograd == WinogradForm::F4x4)
        naiveTapAccumulate(tile, codes(0, n), constant<int8_t>(s.weights), s.taps, acc.data());
      else
        kernels.convAccumulate(tile, codes(0, n), constant<int8_t>(s.weights), acc.data());
      kernels.requantize(acc.data(), rows(out), out.dims[3], constant<ChannelParams>(s.params),
                         out.format(), output(n));
    }
  }
  void operator()(const CombineLayer &s) {
    for (int64_t n = 0; n < batch(); ++n)
      kernels.combine(codes(0, n), inputs.size() > 1 ? codes(1, n) : Codes(), rows(out),
                      out.dims[3], s.params, out.format(), output(n));
  }
  void operator()(const TableLayer &s) {
    kernels.table(codes(0, 0), out.elements(), entries<int32_t>(s.table), out.format(), output(0));
  }
  void operator()(const GegluLayer &s) {
    kernels.geglu(codes(0, 0), batch() * rows(out), out.dims[3], entries<int32_t>(s.table),
                  s.params, out.format(), output(0));
  }
  void operator()(const NormLayer &s) {
    const int64_t channels = out.dims[3];
    const int64_t blocks = s.perRow ? rows(out) : 1, blockRows = rows(out) / blocks;
    const int64_t groups = s.perRow ? 1 : s.groups;
    for (int64_t n = 0; n < batch(); ++n)
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t at = b * blockRows * channels;
        std::vector<NormSums> sums(static_cast<size_t>(groups));
        kernels.normSums(codes(0, n, at), blockRows, channels, channels / groups, sums);
        kernels.normApply(codes(0, n, at), blockRows, channels, channels / groups, sums, s.params,
                          constant<NormChannel>(s.channels), out.format(), output(n, at));
      }
  }
  void operator()(const AttentionLayer &s) {
    const int64_t width = out.dims[3], headDim = width / s.heads;
    const int64_t queries = out.dims[2], keys = info(1).dims[2];
    const AttentionTile tile = {queries, keys, headDim, 0, 0, width, width};
    for (int64_t n = 0; n < batch(); ++n)
      for (int64_t head = 0; head < s.heads; ++head) {
        std::vector<int64_t> most(static_cast<size_t>(queries),
                                  std::numeric_limits<int64_t>::min());
        std::vector<int64_t> sum(static_cast<size_t>(queries));
        std::vector<int64_t> acc(static_cast<size_t>(queries * headDim));
        const int64_t at = head * headDim;
        kernels.attentionMaxima(tile, codes(0, n, at), codes(1, n, at), s.params, most.data());
        kernels.attentionAccumulate(tile, codes(0, n, at), codes(1, n, at), codes(2, n, at),
                                    s.params, most.data(), sum.data(), acc.data());
        kernels.attentionFinish(queries, headDim, sum.data(), acc.data(), s.params, out.format(),
                                width, output(n, at));
      }
  }
  /// Element by element: y[i] = x[source(i)].
  template <typename Source> void gatherElements(Source source) {
    const auto &d = out.dims;
    const int64_t width = byteWidth(out.type);
    int64_t i = 0;
    for (int64_t a = 0; a < d[0]; ++a)
      for (int64_t b = 0; b < d[1]; ++b)
        for (int64_t c = 0; c < d[2]; ++c)
          for (int64_t e = 0; e < d[3]; ++e, ++i)
            std::memcpy(y.mutableBytes() + i * width,
                        inputs[0].bytes() + source(std::array{a, b, c, e}) * width,
                        static_cast<size_t>(width));
  }
  int64_t flat(const std::array<int64_t, 4> &at) const {
    const auto &d = info(0).dims;
    return ((at[0] * d[1] + at[1]) * d[2] + at[2]) * d[3] + at[3];
  }
  void operator()(const UpsampleLayer &s) {
    gatherElements([&](std::array<int64_t, 4> at) {
      return flat({at[0], at[1] / s.factorH, at[2] / s.factorW, at[3]});
    });
  }
  void operator()(const PermuteLayer &s) {
    gatherElements([&](std::array<int64_t, 4> at) {
      std::array<int64_t, 4> from = {};
      for (int i = 0; i < 4; ++i)
        from[s.permutation[i]] = at[i];
      return flat(from);
    });
  }
  void operator()(const SliceLayer &s) {
    gatherElements([&](std::array<int64_t, 4> at) {
      for (int i = 0; i < 4; ++i)
        at[i] += s.starts[i];
      return flat(at);
    });
  }
  void operator()(const ConstantLayer &s) {
    std::memcpy(output(0), constant<std::byte>(s.codes), constants[s.codes].size());
  }
  void operator()(const ModulateLayer &s) {
    for (int64_t n = 0; n < batch(); ++n)
      kernels.modulate(codes(0, n), codes(1, n), inputs.size() > 2 ? codes(2, n) : Codes(),
                       rows(out), out.dims[3], s.params, out.format(), output(n));
  }
  void operator()(const EmbeddingLayer &s) {
    const int64_t channels = out.dims[3], tokens = out.dims[2];
    for (int64_t n = 0; n < batch(); ++n)
      for (int64_t t = 0; t < tokens; ++t) {
        const int64_t id =
            std::clamp<int64_t>(inputs[0].values<int32_t>()[n * tokens + t], 0, s.vocabulary - 1);
        kernels.embed(constant<int8_t>(s.tokens) + id * channels,
                      constant<int32_t>(s.tokenMultipliers) + id,
                      constant<int8_t>(s.positions) + t * channels,
                      constant<int32_t>(s.positionMultipliers) + t, s.shift, 1, channels,
                      out.format(), output(n, t * channels));
      }
  }
  void operator()(const TimeEmbeddingLayer &s) {
    const std::span<const int32_t> steps = inputs[0].values<int32_t>();
    for (int64_t n = 0; n < batch(); ++n)
      kernels.timeEmbedding(steps[steps.size() == 1 ? 0 : n], entries<uint32_t>(s.steps),
                            entries<int32_t>(s.sine), s.params, out.format(), output(n));
  }
  void operator()(const PoolTokenLayer &s) {
    const int64_t tokens = info(0).dims[2], channels = out.dims[3];
    for (int64_t n = 0; n < batch(); ++n) {
      const auto ids = inputs[1].values<int32_t>().subspan(n * tokens, tokens);
      const auto found = std::find(ids.begin(), ids.end(), s.token);
      const int64_t row = found == ids.end() ? 0 : found - ids.begin();
      std::memcpy(output(n), codes(0, n, row * channels).data,
                  static_cast<size_t>(channels * byteWidth(out.type)));
    }
  }
};

} // namespace

Tensor evaluateWhole(const Network &network, const Layer &layer, const std::vector<Tensor> &inputs,
                     const ConstantBytes &constants) {
  const TensorInfo &out = network.tensors[layer.output];
  Evaluation evaluation{network,
                        layer,
                        inputs,
                        constants,
                        naiveKernels(),
                        out,
                        Tensor(out.type, {out.dims.begin(), out.dims.end()})};
  std::visit(evaluation, layer.spec);
  return evaluation.y;
}

} // namespace sdopt::test
