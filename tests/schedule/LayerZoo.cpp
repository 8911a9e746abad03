#include "tests/schedule/LayerZoo.h"

#include "absl/strings/str_cat.h"
#include "compiler/schedule/SramLayout.h"

namespace sdopt {
namespace {

int64_t pick(std::mt19937 &random, int64_t least, int64_t most) {
  return least + static_cast<int64_t>(random() % static_cast<uint32_t>(most - least + 1));
}

ElementType anyCode(std::mt19937 &random) {
  return random() % 2 ? ElementType::I8 : ElementType::I16;
}

} // namespace

TensorId NetworkBuilder::tensor(std::array<int64_t, 4> dims, ElementType type, TensorRole role) {
  TensorInfo info;
  info.name = absl::StrCat("t", network.tensors.size());
  info.dims = dims;
  info.type = type;
  info.role = role;
  network.tensors.push_back(info);
  return static_cast<TensorId>(network.tensors.size() - 1);
}

ConstantId NetworkBuilder::constant(ConstantKind kind, int64_t bytes) {
  network.constants.push_back({absl::StrCat("c", network.constants.size()), kind, bytes});
  return static_cast<ConstantId>(network.constants.size() - 1);
}

TensorId NetworkBuilder::layer(std::vector<TensorId> inputs, TensorId output, LayerSpec spec) {
  Layer layer;
  layer.name = network.tensors[output].name;
  layer.inputs = std::move(inputs);
  layer.output = output;
  layer.spec = std::move(spec);
  network.layers.push_back(std::move(layer));
  return output;
}

TensorId NetworkBuilder::conv(TensorId x, int64_t outputs, int64_t kernel, int64_t stride,
                              ElementType type, int64_t dilation) {
  const auto d = dims(x);
  MatrixLayer s;
  s.kernelHeight = s.kernelWidth = kernel;
  s.strideH = s.strideW = stride;
  s.dilationH = s.dilationW = dilation;
  const int64_t reach = (kernel - 1) * dilation + 1;
  s.padTop = s.padLeft = s.padBottom = s.padRight = reach / 2;
  const int64_t h = (d[1] + 2 * (reach / 2) - reach) / stride + 1;
  const int64_t w = (d[2] + 2 * (reach / 2) - reach) / stride + 1;
  s.weights = constant(ConstantKind::Weights, outputs * kernel * kernel * d[3]);
  s.params = constant(ConstantKind::ChannelParams, outputs * 16);
  return layer({x}, tensor({d[0], h, w, outputs}, type), s);
}

TensorId NetworkBuilder::winograd(TensorId x, int64_t outputs, std::array<int64_t, 4> padding,
                                  ElementType type) {
  const TensorId y = conv(x, outputs, 3, 1, type);
  auto &s = std::get<MatrixLayer>(network.layers.back().spec);
  s.winograd = WinogradForm::F2x2;
  const auto [top, left, bottom, right] = padding;
  s.padTop = top;
  s.padLeft = left;
  s.padBottom = bottom;
  s.padRight = right;
  network.tensors[y].dims[1] += top + bottom - 2;
  network.tensors[y].dims[2] += left + right - 2;
  return y;
}

TensorId NetworkBuilder::tapWise(TensorId x, int64_t outputs, std::array<int64_t, 4> padding,
                                 ElementType type) {
  const TensorId y = winograd(x, outputs, padding, type);
  auto &s = std::get<MatrixLayer>(network.layers.back().spec);
  s.winograd = WinogradForm::F4x4;
  for (size_t i = 0; i < s.taps.codes.size(); ++i) {
    s.taps.codes[i] = static_cast<uint8_t>(5 * i % 6);
    s.taps.weights[i] = static_cast<uint8_t>(7 * i % 4);
  }
  return y;
}

TensorId NetworkBuilder::linear(TensorId x, int64_t outputs, ElementType type) {
  return conv(x, outputs, 1, 1, type);
}

TensorId NetworkBuilder::combine(TensorId a, TensorId b, ElementType type) {
  CombineLayer s;
  std::vector<TensorId> inputs = {a};
  if (b != kNone) {
    inputs.push_back(b);
    s.params.broadcastRows = dims(b) != dims(a);
  }
  return layer(inputs, tensor(dims(a), type), s);
}

TensorId NetworkBuilder::table(TensorId x, ElementType type) {
  TableLayer s;
  const bool narrow = network.tensors[x].type == ElementType::I8;
  s.table = constant(ConstantKind::Table, 4 * (narrow ? kTableEntries8 : kTableKnots16));
  return layer({x}, tensor(dims(x), type), s);
}

TensorId NetworkBuilder::geglu(TensorId x, ElementType type) {
  GegluLayer s;
  const bool narrow = network.tensors[x].type == ElementType::I8;
  s.table = constant(ConstantKind::Table, 4 * (narrow ? kTableEntries8 : kTableKnots16));
  auto d = dims(x);
  d[3] /= 2;
  return layer({x}, tensor(d, type), s);
}

TensorId NetworkBuilder::groupNorm(TensorId x, int64_t groups, ElementType type) {
  const auto d = dims(x);
  NormLayer s;
  s.groups = groups;
  s.params.count = d[1] * d[2] * d[3] / groups;
  s.channels = constant(ConstantKind::NormChannels, d[3] * 16);
  return layer({x}, tensor(d, type), s);
}

TensorId NetworkBuilder::layerNorm(TensorId x, ElementType type) {
  const auto d = dims(x);
  NormLayer s;
  s.perRow = true;
  s.params.count = d[3];
  s.channels = constant(ConstantKind::NormChannels, d[3] * 16);
  return layer({x}, tensor(d, type), s);
}

TensorId NetworkBuilder::attention(TensorId q, TensorId k, TensorId v, int64_t heads, bool causal) {
  AttentionLayer s;
  s.heads = heads;
  s.params.causal = causal;
  return layer({q, k, v}, tensor(dims(q), network.tensors[q].type), s);
}

TensorId NetworkBuilder::upsample(TensorId x, int64_t factorH, int64_t factorW) {
  UpsampleLayer s;
  s.factorH = factorH;
  s.factorW = factorW;
  const auto d = dims(x);
  return layer({x}, tensor({d[0], d[1] * factorH, d[2] * factorW, d[3]}, network.tensors[x].type),
               s);
}

TensorId NetworkBuilder::permute(TensorId x, std::array<int32_t, 4> permutation) {
  PermuteLayer s;
  s.permutation = permutation;
  const auto d = dims(x);
  std::array<int64_t, 4> out;
  for (int i = 0; i < 4; ++i)
    out[i] = d[permutation[i]];
  return layer({x}, tensor(out, network.tensors[x].type), s);
}

TensorId NetworkBuilder::embedding(TensorId ids, int64_t vocabulary, int64_t channels) {
  const int64_t tokens = dims(ids)[2];
  EmbeddingLayer s;
  s.vocabulary = vocabulary;
  s.tokens = constant(ConstantKind::Rows, vocabulary * channels);
  s.tokenMultipliers = constant(ConstantKind::RowMultipliers, vocabulary * 4);
  s.positions = constant(ConstantKind::Rows, tokens * channels);
  s.positionMultipliers = constant(ConstantKind::RowMultipliers, tokens * 4);
  return layer({ids}, tensor({dims(ids)[0], 1, tokens, channels}, ElementType::I16), s);
}

TensorId NetworkBuilder::timeEmbedding(TensorId t, int64_t batch, int64_t halfDim) {
  TimeEmbeddingLayer s;
  s.params.halfDim = halfDim;
  s.steps = constant(ConstantKind::Table, 4 * halfDim);
  s.sine = constant(ConstantKind::Table, 4 * kTableKnots16);
  return layer({t}, tensor({batch, 1, 1, 2 * halfDim}, ElementType::I16), s);
}

TensorId NetworkBuilder::pool(TensorId hidden, TensorId ids) {
  const auto d = dims(hidden);
  return layer({hidden, ids}, tensor({d[0], 1, 1, d[3]}, network.tensors[hidden].type),
               PoolTokenLayer{.token = 7});
}

TensorId NetworkBuilder::modulate(TensorId x, TensorId scale, TensorId shift, ElementType type) {
  std::vector<TensorId> inputs = {x, scale};
  if (shift != kNone)
    inputs.push_back(shift);
  return layer(inputs, tensor(dims(x), type), ModulateLayer{{1 << 10, 1 << 20, 1 << 20, 20}});
}

TensorId NetworkBuilder::slice(TensorId x, std::array<int64_t, 4> starts,
                               std::array<int64_t, 4> dims) {
  return layer({x}, tensor(dims, network.tensors[x].type), SliceLayer{starts});
}

TensorId NetworkBuilder::codes(std::array<int64_t, 4> dims, ElementType type) {
  const TensorId y = tensor(dims, type);
  return layer({}, y, ConstantLayer{constant(ConstantKind::Codes, network.tensors[y].bytes())});
}

WeightForm randomForm(std::mt19937 &random) {
  WeightForm form;
  switch (random() % 3) {
  case 0:
    break;
  case 1:
    form = {WeightCoding::Grouped, pick(random, 2, 8), random() % 3 ? pick(random, 16, 80) : 0,
            random() % 2 == 0, random() % 2 == 0};
    break;
  default:
    form = {.coding = WeightCoding::Palette,
            .bits = pick(random, 1, 8),
            .paletteOutputs = random() % 2 ? 0 : pick(random, 1, 20)};
  }
  if (random() % 2)
    return form;
  form.zeros = static_cast<ZeroLayout>(random() % 4);
  form.lanes = random() % 2 ? 0 : pick(random, 1, 40);
  if (form.zeros == ZeroLayout::Structured) {
    form.run = pick(random, 2, kLargestRun);
    form.kept = pick(random, 1, form.run - 1);
  }
  return form;
}

Network randomLayer(int kind, std::mt19937 &random) {
  NetworkBuilder b;
  const int64_t batch = pick(random, 1, 2);
  const auto picture = [&](int64_t channels) {
    return b.tensor({batch, pick(random, 1, 13), pick(random, 1, 11), channels}, anyCode(random),
                    TensorRole::Input);
  };
  const auto tokens = [&](int64_t count, int64_t channels) {
    return b.tensor({batch, 1, count, channels}, anyCode(random), TensorRole::Input);
  };
  const ElementType to = anyCode(random);
  TensorId y = kNone;
  switch (kind) {
  case 0: { // a convolution whose window reaches beyond small pictures only by its padding
    const int64_t kernel = pick(random, 1, 3), stride = pick(random, 1, 3);
    const TensorId x =
        b.tensor({batch, pick(random, 5, 13), pick(random, 5, 11), pick(random, 1, 70)},
                 anyCode(random), TensorRole::Input);
    y = b.conv(x, pick(random, 1, 67), kernel, stride, to, pick(random, 1, 2));
    break;
  }
  case 1:
    y = b.linear(tokens(pick(random, 1, 31), pick(random, 1, 130)), pick(random, 1, 131), to);
    break;
  case 2: {
    const TensorId x = picture(pick(random, 1, 67));
    const TensorId other = b.tensor(b.dims(x), anyCode(random), TensorRole::Input);
    y = b.combine(x, random() % 3 ? other : kNone, to);
    break;
  }
  case 3: {
    const TensorId x = picture(pick(random, 1, 67));
    y = b.combine(x, b.tensor({batch, 1, 1, b.dims(x)[3]}, anyCode(random), TensorRole::Input), to);
    break;
  }
  case 4:
    y = b.table(picture(pick(random, 1, 67)), to);
    break;
  case 5:
    y = b.geglu(tokens(pick(random, 1, 31), 2 * pick(random, 1, 67)), to);
    break;
  case 6: {
    const int64_t groups = pick(random, 1, 8);
    y = b.groupNorm(picture(groups * pick(random, 1, 5)), groups, to);
    break;
  }
  case 7:
    y = b.layerNorm(tokens(pick(random, 1, 31), pick(random, 1, 67)), to);
    break;
  case 8: {
    const int64_t heads = pick(random, 1, 3), width = heads * pick(random, 1, 9);
    const bool causal = random() % 2;
    const int64_t queries = pick(random, 1, 29), keys = causal ? queries : pick(random, 1, 29);
    const TensorId q = tokens(queries, width), k = tokens(keys, width), v = tokens(keys, width);
    y = b.attention(q, k, v, heads, causal);
    break;
  }
  case 9:
    y = b.upsample(picture(pick(random, 1, 19)), pick(random, 1, 3), pick(random, 1, 3));
    break;
  case 10: {
    std::array<int32_t, 4> permutation = {0, 1, 2, 3};
    std::shuffle(permutation.begin(), permutation.end(), random);
    y = b.permute(picture(pick(random, 1, 19)), permutation);
    break;
  }
  case 11:
    y = b.embedding(
        b.tensor({batch, 1, pick(random, 1, 13), 1}, ElementType::I32, TensorRole::Input),
        pick(random, 1, 50), pick(random, 1, 67));
    break;
  case 12: {
    const int64_t values = random() % 2 ? 1 : batch;
    const TensorId t = b.tensor({values, 1, 1, 1}, ElementType::I32, TensorRole::Input);
    y = b.timeEmbedding(t, batch, pick(random, 1, 67));
    break;
  }
  case 13: {
    const TensorId x = picture(pick(random, 1, 67));
    const auto row = [&] {
      return b.tensor({batch, 1, 1, b.dims(x)[3]}, anyCode(random), TensorRole::Input);
    };
    const TensorId scale = row();
    y = b.modulate(x, scale, random() % 2 ? row() : kNone, to);
    break;
  }
  case 14: {
    const TensorId x = picture(pick(random, 1, 19));
    std::array<int64_t, 4> starts = {}, extent = {};
    for (int i = 0; i < 4; ++i) {
      extent[i] = pick(random, 1, b.dims(x)[i]);
      starts[i] = pick(random, 0, b.dims(x)[i] - extent[i]);
    }
    y = b.slice(x, starts, extent);
    break;
  }
  case 15:
    y = b.codes({1, pick(random, 1, 5), pick(random, 1, 31), pick(random, 1, 67)}, to);
    break;
  case kZooWinograd:
  case kZooTapWise: {
    const int64_t height = pick(random, 1, 13), width = pick(random, 1, 11);
    const TensorId x =
        b.tensor({batch, height, width, pick(random, 1, 70)}, anyCode(random), TensorRole::Input);
    std::array<int64_t, 4> padding = {1, 1, 1, 1};
    for (size_t side = 0; side < 4; ++side)
      if (b.dims(x)[1 + side % 2] > 2 && random() % 3 == 0)
        padding[side] = 0;
    const int64_t outputs = pick(random, 1, 67);
    y = kind == kZooTapWise ? b.tapWise(x, outputs, padding, to)
                            : b.winograd(x, outputs, padding, to);
    break;
  }
  default: {
    const int64_t count = pick(random, 1, 13);
    const TensorId hidden = tokens(count, pick(random, 1, 67));
    y = b.pool(hidden, b.tensor({batch, 1, count, 1}, ElementType::I32, TensorRole::Input));
  }
  }
  b.network.tensors[y].role = TensorRole::Output;
  b.network.name = "zoo";
  for (ConstantInfo &constant : b.network.constants)
    if (constant.kind == ConstantKind::Weights)
      constant.form = randomForm(random).plain();
  return b.network;
}

void fitForm(const Network &network, const Layer &layer, Tiling &tiling) {
  const auto *matrix = std::get_if<MatrixLayer>(&layer.spec);
  if (!matrix || matrix->winograd != WinogradForm::F4x4)
    return;
  const auto &y = network.tensors[layer.output].dims;
  if (tiling.height < y[1])
    tiling.height = std::min((tiling.height + 3) / 4 * 4, y[1]);
  tiling.width = std::min((tiling.width + 3) / 4 * 4, y[2]);
  tiling.buffers = bufferLevel(tiling);
}

Target smallTarget(int64_t sram) {
  Target target;
  target.name = "small";
  target.clock = 1e9;
  target.array = {.count = 1, .rows = 32, .columns = 32, .a16w8Rate = 0.5, .a16a16Rate = 0.25};
  target.array.multiplier = {.codes = 11, .weights = 12};
  target.vector.lanes = 64;
  target.sram = {.bytes = sram, .banks = 1, .alignment = 64};
  target.dram.bytes = int64_t{1} << 40;
  target.dram.bandwidth = 6.4e9;
  return target;
}

std::vector<int64_t> constantOffsets(const Network &network, const Plan &plan, int64_t &total) {
  std::vector<int64_t> offsets;
  total = 0;
  for (size_t i = 0; i < network.constants.size(); ++i) {
    offsets.push_back(total);
    total += (packedBytes(network, plan, static_cast<ConstantId>(i)) + 63) / 64 * 64;
  }
  return offsets;
}

} // namespace sdopt
