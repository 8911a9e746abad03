//===- model-speed.cpp - how long whole models keep the exact kernels busy --===//
//
// usage: model-speed [threads [level]]
//
// The layers of one call of the Stable Diffusion 2 UNet (64x64) and of one decoded picture
// (512x512), as whole tensors of random codes. `level` is a name of dotKernelLevels(). Run by hand,
// never by ctest.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FloatKernels.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace sdopt {
namespace {

constexpr int64_t kMostElements = 512 * 512 * 256;
constexpr int64_t kWeightBytes = 900 << 20;
constexpr int64_t kMostChannels = 10240;

Tensor randomTensor(ElementType type, int64_t count) {
  Tensor tensor(type, {count});
  uint64_t state = 12345;
  std::byte *bytes = tensor.mutableBytes();
  for (int64_t i = 0; i + 8 <= tensor.byteSize(); i += 8) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::memcpy(bytes + i, &state, 8);
  }
  return tensor;
}

/// Runs layers and adds up what they take.
class Stopwatch {
public:
  Stopwatch(const IntegerKernels &kernels, CodeFormat format)
      : kernels(kernels), format(format), x(randomTensor(format.type, kMostElements)),
        y(format.type, {kMostElements}), weights(randomTensor(ElementType::I8, kWeightBytes)),
        params(kMostChannels, {5000, 1 << 30, 40}), norms(kMostChannels, {1 << 20, 1 << 12, 0}),
        table(makeTable(TableFunction::SiLU, format, 1e-3, 1e-3)) {}

  void conv(int64_t side, int64_t inputs, int64_t outputs, int64_t stride = 1) {
    matrix({side, side, inputs, side / stride, side / stride, outputs, 3, 3, stride, stride, 1, 1,
            1, 1},
           convolutions);
  }

  void linear(int64_t rows, int64_t inputs, int64_t outputs) {
    matrix({1, rows, inputs, 1, rows, outputs}, linears);
  }

  void attention(int64_t queries, int64_t keys, int64_t heads, int64_t headDim) {
    AttentionTile tile{.queries = queries,
                       .keys = keys,
                       .headDim = headDim,
                       .queryStride = heads * headDim,
                       .keyStride = heads * headDim};
    double factor = format.type == ElementType::I8 ? 0.1 : 2e-6;
    AttentionParams attention{scalingFor(factor), scalingFor(0.37), false};
    products += 2e-9 * static_cast<double>(queries * keys * heads * headDim);
    timed(attentions, [&] {
      for (int64_t head = 0; head < heads; ++head) {
        std::vector<int64_t> rowMax(queries, INT64_MIN), rowSum(queries), acc(queries * headDim);
        kernels.attention(tile, codes(), codes(), codes(), attention, rowMax.data(), rowSum.data(),
                          acc.data());
        kernels.attentionFinish(queries, headDim, rowSum.data(), acc.data(), attention, format,
                                heads * headDim, y.mutableBytes());
      }
    });
  }

  void groupNorm(int64_t rows, int64_t channels) {
    timed(pointwise, [&] {
      std::vector<NormSums> sums(32);
      kernels.normSums(codes(), rows, channels, channels / 32, sums);
      kernels.normApply(codes(), rows, channels, channels / 32, sums,
                        {rows * channels / 32, 1000, 30}, norms.data(), format, y.mutableBytes());
    });
  }

  void layerNorm(int64_t rows, int64_t channels) {
    int64_t width = byteWidth(format.type);
    timed(pointwise, [&] {
      for (int64_t i = 0; i < rows * channels; i += channels) {
        NormSums sums;
        Codes row{x.bytes() + i * width, format};
        kernels.normSums(row, 1, channels, channels, {&sums, 1});
        kernels.normApply(row, 1, channels, channels, {&sums, 1}, {channels, 1000, 30},
                          norms.data(), format, y.mutableBytes() + i * width);
      }
    });
  }

  void silu(int64_t count) {
    timed(pointwise, [&] { kernels.table(codes(), count, table, format, y.mutableBytes()); });
  }

  void add(int64_t rows, int64_t channels, bool broadcast = false) {
    timed(pointwise, [&] {
      kernels.combine(codes(), codes(), rows, channels, {pairScalingFor(0.7, 0.4), broadcast},
                      format, y.mutableBytes());
    });
  }

  void geglu(int64_t rows, int64_t channels) {
    timed(pointwise, [&] {
      kernels.geglu(codes(), rows, channels, table, {scalingFor(1e-5)}, format, y.mutableBytes());
    });
  }

  void print(const char *model) const {
    std::printf("%-12s %-4s %8.1f %8.3f %8.3f %10.3f %10.3f %8.3f\n", model,
                format.type == ElementType::I8 ? "A8" : "A16", products, convolutions, linears,
                attentions, pointwise, convolutions + linears + attentions + pointwise);
  }

private:
  Codes codes() const { return {x.bytes(), format}; }

  template <typename Run> void timed(double &sum, Run run) {
    auto start = std::chrono::steady_clock::now();
    run();
    sum += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void matrix(const ConvTile &t, double &sum) {
    int64_t size = t.outputChannels * t.kernelHeight * t.kernelWidth * t.inputChannels;
    // Every layer has weights of its own: they come from memory.
    if (nextWeight + size > kWeightBytes)
      nextWeight = 0;
    const int8_t *w = weights.values<int8_t>().data() + nextWeight;
    nextWeight += size;
    products += 1e-9 * static_cast<double>(t.outputHeight * t.outputWidth * size);
    timed(sum, [&] { convolve(kernels, t, codes(), w, params.data(), format, y.mutableBytes()); });
  }

  const IntegerKernels &kernels;
  CodeFormat format;
  Tensor x, y, weights;
  std::vector<ChannelParams> params;
  std::vector<NormChannel> norms;
  std::vector<int32_t> table;
  int64_t nextWeight = 0;
  double products = 0; ///< 10^9
  double convolutions = 0, linears = 0, attentions = 0, pointwise = 0;
};

void resnet(Stopwatch &s, int64_t side, int64_t inputs, int64_t outputs, bool timed) {
  int64_t pixels = side * side;
  s.groupNorm(pixels, inputs);
  s.silu(pixels * inputs);
  s.conv(side, inputs, outputs);
  if (timed) {
    s.linear(1, 1280, outputs);
    s.add(pixels, outputs, true);
  }
  s.groupNorm(pixels, outputs);
  s.silu(pixels * outputs);
  s.conv(side, outputs, outputs);
  if (inputs != outputs)
    s.linear(pixels, inputs, outputs);
  s.add(pixels, outputs);
}

void transformer(Stopwatch &s, int64_t side, int64_t channels) {
  const int64_t tokens = side * side, words = 77, wordChannels = 1024, headDim = 64;
  int64_t heads = channels / headDim;
  s.groupNorm(tokens, channels);
  s.linear(tokens, channels, channels);
  for (bool cross : {false, true}) {
    int64_t keys = cross ? words : tokens;
    s.layerNorm(tokens, channels);
    s.linear(tokens, channels, channels);
    s.linear(keys, cross ? wordChannels : channels, channels);
    s.linear(keys, cross ? wordChannels : channels, channels);
    s.attention(tokens, keys, heads, headDim);
    s.linear(tokens, channels, channels);
    s.add(tokens, channels);
  }
  s.layerNorm(tokens, channels);
  s.linear(tokens, channels, 8 * channels);
  s.geglu(tokens, 4 * channels);
  s.linear(tokens, 4 * channels, channels);
  s.add(tokens, channels);
  s.linear(tokens, channels, channels);
  s.add(tokens, channels);
}

void unet(Stopwatch &s) {
  const int64_t widths[] = {320, 640, 1280, 1280};
  std::vector<int64_t> skips = {320};
  s.conv(64, 4, 320);
  int64_t channels = 320;
  for (int level = 0; level < 4; ++level) {
    int64_t side = 64 >> level;
    for (int i = 0; i < 2; ++i) {
      resnet(s, side, channels, widths[level], true);
      channels = widths[level];
      if (level < 3)
        transformer(s, side, channels);
      skips.push_back(channels);
    }
    if (level < 3) {
      s.conv(side, channels, channels, 2);
      skips.push_back(channels);
    }
  }
  resnet(s, 8, channels, channels, true);
  transformer(s, 8, channels);
  resnet(s, 8, channels, channels, true);
  for (int level = 3; level >= 0; --level) {
    int64_t side = 64 >> level;
    for (int i = 0; i < 3; ++i) {
      resnet(s, side, channels + skips.back(), widths[level], true);
      skips.pop_back();
      channels = widths[level];
      if (level < 3)
        transformer(s, side, channels);
    }
    if (level > 0)
      s.conv(2 * side, channels, channels);
  }
  s.groupNorm(64 * 64, 320);
  s.silu(64 * 64 * 320);
  s.conv(64, 320, 4);
}

void decoder(Stopwatch &s) {
  const int64_t widths[] = {512, 512, 256, 128};
  s.conv(64, 4, 512);
  resnet(s, 64, 512, 512, false);
  s.groupNorm(64 * 64, 512);
  for (int i = 0; i < 4; ++i)
    s.linear(64 * 64, 512, 512);
  s.attention(64 * 64, 64 * 64, 1, 512);
  resnet(s, 64, 512, 512, false);
  int64_t channels = 512;
  for (int level = 0; level < 4; ++level) {
    int64_t side = 64 << level;
    for (int i = 0; i < 3; ++i) {
      resnet(s, side, channels, widths[level], false);
      channels = widths[level];
    }
    if (level < 3)
      s.conv(2 * side, channels, channels);
  }
  s.groupNorm(512 * 512, 128);
  s.silu(512 * 512 * 128);
  s.conv(512, 128, 3);
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) {
  using namespace sdopt;
  setKernelThreads(argc > 1 ? std::max(1, static_cast<int>(std::strtol(argv[1], nullptr, 10))) : 1);
  std::span<const DotKernels> levels = dotKernelLevels();
  size_t level = levels.size() - 1;
  for (size_t i = 0; argc > 2 && i < levels.size(); ++i)
    if (std::strcmp(levels[i].name, argv[2]) == 0)
      level = i;
  std::printf("level %s, seconds\n\n%-12s %-4s %8s %8s %8s %10s %10s %8s\n", levels[level].name, "",
              "", "GMAC", "conv", "linear", "attention", "pointwise", "all");
  for (CodeFormat format : {CodeFormat{ElementType::I8, -13}, CodeFormat{ElementType::I16, 0}}) {
    for (auto [name, model] : {std::pair{"UNet", &unet}, std::pair{"decoder", &decoder}}) {
      Stopwatch stopwatch(*fastKernelLevels()[level], format);
      model(stopwatch);
      stopwatch.print(name);
    }
  }
  return 0;
}
