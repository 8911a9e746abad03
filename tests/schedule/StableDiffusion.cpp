#include "tests/schedule/StableDiffusion.h"

#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/WinogradLayers.h"
#include "tests/schedule/LayerZoo.h"

#include <algorithm>
#include <map>

namespace sdopt {
namespace {

constexpr TensorId kText = 1;

struct Model {
  NetworkBuilder b;
  ElementType type;

  TensorId silu(TensorId x) { return b.table(x, type); }
  TensorId conv3(TensorId x, int64_t channels, int64_t stride = 1) {
    return b.conv(x, channels, 3, stride, type);
  }
  TensorId add(TensorId x, TensorId y) { return b.combine(x, y, type); }

  /// `time` may be kNone (VAE).
  TensorId residual(TensorId x, TensorId time, int64_t channels) {
    TensorId h = conv3(silu(b.groupNorm(x, 32, type)), channels);
    if (time != kNone)
      h = add(h, b.linear(time, channels, type));
    h = conv3(silu(b.groupNorm(h, 32, type)), channels);
    const TensorId skip = b.dims(x)[3] == channels ? x : b.conv(x, channels, 1, 1, type);
    return add(h, skip);
  }

  /// The same bytes as a sequence of tokens, or back as a picture.
  TensorId view(TensorId x, std::array<int64_t, 4> dims) {
    const TensorId y = b.tensor(dims, type);
    b.network.tensors[y].aliasOf = x;
    return y;
  }

  TensorId transformer(TensorId x, TensorId text, int64_t headDim) {
    const auto d = b.dims(x);
    const int64_t c = d[3], heads = c / headDim;
    TensorId h = b.linear(view(b.groupNorm(x, 32, type), {d[0], 1, d[1] * d[2], c}), c, type);
    TensorId n = b.layerNorm(h, type);
    const TensorId q = b.linear(n, c, type), k = b.linear(n, c, type), v = b.linear(n, c, type);
    h = add(h, b.linear(b.attention(q, k, v, heads), c, type));
    n = b.layerNorm(h, type);
    const TensorId q2 = b.linear(n, c, type);
    const TensorId k2 = b.linear(text, c, type), v2 = b.linear(text, c, type);
    h = add(h, b.linear(b.attention(q2, k2, v2, heads), c, type));
    n = b.layerNorm(h, type);
    h = add(h, b.linear(b.geglu(b.linear(n, 8 * c, type), type), c, type));
    return add(view(b.linear(h, c, type), d), x);
  }

  /// [left | right] along the channels.
  TensorId concat(TensorId left, TensorId right) {
    auto d = b.dims(left);
    const int64_t split = d[3];
    d[3] += b.dims(right)[3];
    const TensorId y = b.tensor(d, type);
    b.layer({left}, y, CombineLayer{});
    b.layer({right}, y, CombineLayer{.params = {}, .channelOffset = split});
    return y;
  }
};

} // namespace

Network unet(int64_t size, ElementType type, int64_t pictures) {
  Model m{.b = {}, .type = type};
  m.b.network.name = "unet";
  const TensorId x = m.b.tensor({pictures, size, size, 9}, type, TensorRole::Input);
  const TensorId text = m.b.tensor({pictures, 1, 77, 1024}, type, TensorRole::Input); // kText
  const TensorId step = m.b.tensor({1, 1, 1, 1}, ElementType::I32, TensorRole::Input);
  TensorId time = m.b.timeEmbedding(step, pictures, 160);
  time = m.silu(m.b.linear(time, 1280, type));
  time = m.silu(m.b.linear(time, 1280, type));

  const std::array<int64_t, 4> widths = {320, 640, 1280, 1280};
  TensorId h = m.conv3(x, 320);
  std::vector<TensorId> skips = {h};
  for (int level = 0; level < 4; ++level) {
    for (int block = 0; block < 2; ++block) {
      h = m.residual(h, time, widths[level]);
      if (level < 3)
        h = m.transformer(h, text, 64);
      skips.push_back(h);
    }
    if (level < 3)
      skips.push_back(h = m.conv3(h, widths[level], 2));
  }
  h = m.residual(h, time, 1280);
  h = m.transformer(h, text, 64);
  h = m.residual(h, time, 1280);
  for (int level = 3; level >= 0; --level) {
    for (int block = 0; block < 3; ++block) {
      h = m.residual(m.concat(h, skips.back()), time, widths[level]);
      skips.pop_back();
      if (level < 3)
        h = m.transformer(h, text, 64);
    }
    if (level > 0)
      h = m.conv3(m.b.upsample(h, 2, 2), widths[level]);
  }
  h = m.conv3(m.silu(m.b.groupNorm(h, 32, type)), 4);
  m.b.network.tensors[h].role = TensorRole::Output;
  return m.b.network;
}

Network inPhases(const Network &unet) {
  Network network = unet;
  std::vector<Phase> phases; // by tensor
  for (const TensorInfo &tensor : network.tensors)
    phases.push_back(tensor.type == ElementType::I32      ? Phase::Schedule
                     : &tensor == &network.tensors[kText] ? Phase::Prompt
                                                          : Phase::Step);
  for (Layer &layer : network.layers) {
    layer.phase = phases[layer.inputs[0]];
    for (TensorId id : layer.inputs)
      if (phases[id] != layer.phase)
        layer.phase = Phase::Step;
    phases[layer.output] = layer.phase;
  }
  std::stable_sort(network.layers.begin(), network.layers.end(),
                   [](const Layer &a, const Layer &b) { return a.phase < b.phase; });
  return network;
}

Network fourBits(Network network) {
  for (ConstantInfo &constant : network.constants)
    if (constant.kind == ConstantKind::Weights)
      constant.form = {.coding = WeightCoding::Grouped, .bits = 4, .groupSize = 64};
  return network;
}

Windows useWinograd(Network &network, const Target &target, bool onlyPaying) {
  Windows windows;
  std::map<std::vector<int64_t>, bool> known;
  for (Layer &layer : network.layers) {
    auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    const auto channels = [&] { return network.tensors[layer.inputs[0]].dims[3]; };
    if (!matrix || !winogradProblem(WinogradForm::F2x2, *matrix, network.constants[matrix->weights],
                                    channels())
                        .empty())
      continue;
    const auto [pays, isNew] = known.try_emplace(signature(shapeOf(network, layer)), true);
    if (isNew && onlyPaying)
      pays->second = winogradChoice(network, layer, target).pays();
    matrix->winograd = pays->second ? WinogradForm::F2x2 : WinogradForm::None;
    ++windows.all;
    windows.paying += pays->second;
  }
  return windows;
}

int useFastestForms(Network &network, const Target &target) {
  std::map<std::vector<int64_t>, WinogradForm> known;
  int tapWise = 0;
  for (Layer &layer : network.layers) {
    auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
    if (!matrix || !winogradProblem(WinogradForm::F2x2, *matrix, network.constants[matrix->weights],
                                    network.tensors[layer.inputs[0]].dims[3])
                        .empty())
      continue;
    const auto shape = std::get<MatrixShape>(shapeOf(network, layer));
    const auto [fastest, isNew] = known.try_emplace(signature(shape), WinogradForm::None);
    if (isNew) {
      const WinogradChoice exact = winogradChoice(network, layer, target);
      const std::optional<int64_t> least = exact.pays() ? exact.winograd : exact.direct;
      const std::optional<int64_t> taps = winogradCycles(shape, WinogradForm::F4x4, target);
      fastest->second = taps && (!least || *taps < *least) ? WinogradForm::F4x4
                        : exact.pays()                     ? WinogradForm::F2x2
                                                           : WinogradForm::None;
    }
    matrix->winograd = fastest->second;
    tapWise += matrix->winograd == WinogradForm::F4x4;
  }
  return tapWise;
}

Network vaeDecoder(int64_t size, ElementType type, int64_t pictures) {
  Model m{.b = {}, .type = type};
  m.b.network.name = "vae_decoder";
  TensorId h = m.b.tensor({pictures, size, size, 4}, type, TensorRole::Input);
  h = m.conv3(m.b.conv(h, 4, 1, 1, type), 512);
  h = m.residual(h, kNone, 512);
  const auto d = m.b.dims(h);
  const TensorId n = m.view(m.b.groupNorm(h, 32, type), {d[0], 1, d[1] * d[2], 512});
  const TensorId q = m.b.linear(n, 512, type), k = m.b.linear(n, 512, type),
                 v = m.b.linear(n, 512, type);
  h = m.add(m.view(m.b.linear(m.b.attention(q, k, v, 1), 512, type), d), h);
  h = m.residual(h, kNone, 512);
  for (int64_t channels : {512, 512, 256, 128}) {
    for (int block = 0; block < 3; ++block)
      h = m.residual(h, kNone, channels);
    if (channels != 128)
      h = m.conv3(m.b.upsample(h, 2, 2), channels);
    else
      break;
  }
  h = m.conv3(m.silu(m.b.groupNorm(h, 32, type)), 3);
  m.b.network.tensors[h].role = TensorRole::Output;
  return m.b.network;
}

} // namespace sdopt
