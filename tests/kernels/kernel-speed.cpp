//===- kernel-speed.cpp - how fast the exact kernels are on this machine ----===//
//
// usage: kernel-speed [threads [repetitions]]
//
// Layers of a full-size UNet and decoder as whole tensors and as tiles of 1-2 MiB. The best of
// several repetitions counts. Random codes; run by hand, never by ctest.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/IntegerWinograd.h"
#include "compiler/kernels/TapWinograd.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace sdopt {
namespace {

const CodeFormat kFormats[] = {{ElementType::I8, -13}, {ElementType::I16, 0}};

/// Bytes of a fixed sequence.
Tensor randomTensor(ElementType type, int64_t count) {
  Tensor tensor(type, {count});
  uint64_t state = 12345;
  std::byte *bytes = tensor.mutableBytes();
  for (int64_t i = 0; i < tensor.byteSize(); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    bytes[i] = static_cast<std::byte>(state >> 56);
  }
  return tensor;
}

class Clock {
public:
  explicit Clock(int repetitions) : repetitions(repetitions) {}

  /// Seconds of the fastest run.
  double best(const std::function<void()> &run) const {
    double least = 1e30;
    for (int i = 0; i < repetitions; ++i) {
      auto start = std::chrono::steady_clock::now();
      run();
      std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      least = std::min(least, taken.count());
    }
    return least;
  }

private:
  int repetitions;
};

struct Layer {
  const char *name;
  ConvTile tile;
};

constexpr ConvTile picture(int64_t side, int64_t inputs, int64_t outputs) {
  return {side, side, inputs, side, side, outputs, 3, 3, 1, 1, 1, 1, 1, 1};
}

constexpr ConvTile linear(int64_t rows, int64_t inputs, int64_t outputs) {
  return {1, rows, inputs, 1, rows, outputs};
}

constexpr Layer kLayers[] = {
    {"conv 64x64 4->320", picture(64, 4, 320)},
    {"conv 64x64 320->320", picture(64, 320, 320)},
    {"conv 64x64 960->320", picture(64, 960, 320)},
    {"conv 64x64/2 320->320", {64, 64, 320, 32, 32, 320, 3, 3, 2, 2, 1, 1, 1, 1}},
    {"conv 32x32 640->640", picture(32, 640, 640)},
    {"conv 16x16 1280->1280", picture(16, 1280, 1280)},
    {"conv 8x8 1280->1280", picture(8, 1280, 1280)},
    {"conv 256x256 256->256", picture(256, 256, 256)},
    {"linear 4096 320->320", linear(4096, 320, 320)},
    {"linear 4096 320->2560", linear(4096, 320, 2560)},
    {"linear 1024 640->640", linear(1024, 640, 640)},
    {"linear 1024 2560->640", linear(1024, 2560, 640)},
    {"linear 256 1280->1280", linear(256, 1280, 1280)},
    {"linear 77 1024->1280", linear(77, 1024, 1280)},
    {"linear 1 1280->1280", linear(1, 1280, 1280)},
    {"tile 8x64 320->64", {10, 64, 320, 8, 64, 64, 3, 3, 1, 1, 1, 1, 0, 1}},
    {"tile 16x16 256->64", {18, 16, 256, 16, 16, 64, 3, 3, 1, 1, 1, 1, 0, 1}},
    {"tile 512 320->128", linear(512, 320, 128)},
    {"tile 256 640->256", linear(256, 640, 256)},
};

void measureLayers(const Clock &clock) {
  std::printf("%-28s %10s %10s %10s %10s %10s %10s %10s %10s\n", "GMAC/s (of 9 taps)", "A8 sums",
              "A8 layer", "A8 F(2x2)", "A8 F(4x4)", "A16 sums", "A16 layer", "A16 F(2x2)",
              "A16 F(4x4)");
  TapShifts shifts;
  shifts.codes.fill(5);
  shifts.weights.fill(2);
  for (const Layer &layer : kLayers) {
    const ConvTile &t = layer.tile;
    int64_t depth = t.kernelHeight * t.kernelWidth * t.inputChannels;
    int64_t outputs = t.outputHeight * t.outputWidth * t.outputChannels;
    Tensor weights = randomTensor(ElementType::I8, t.outputChannels * depth);
    std::vector<int64_t> acc(outputs);
    std::vector<ChannelParams> params(t.outputChannels, {5000, 1 << 30, 40});
    std::printf("%-28s", layer.name);
    for (CodeFormat format : kFormats) {
      Tensor x = randomTensor(format.type, t.inputHeight * t.inputWidth * t.inputChannels);
      double seconds = clock.best([&] {
        fastKernels().convAccumulate(t, {x.bytes(), format}, weights.values<int8_t>().data(),
                                     acc.data());
      });
      Tensor y(format.type, {outputs});
      double direct = clock.best([&] {
        convolve(fastKernels(), t, {x.bytes(), format}, weights.values<int8_t>().data(),
                 params.data(), format, y.mutableBytes());
      });
      double products = static_cast<double>(outputs * depth) * 1e-9;
      std::printf(" %10.1f %10.1f", products / seconds, products / direct);
      if (!hasWinogradForm(t)) {
        std::printf(" %10s %10s", "", "");
        continue;
      }
      double winograd = clock.best([&] {
        winogradAccumulate(fastKernels(), t, {x.bytes(), format}, weights.values<int8_t>().data(),
                           acc.data());
      });
      double taps = clock.best([&] {
        tapAccumulate(fastKernels(), t, {x.bytes(), format}, weights.values<int8_t>().data(),
                      shifts, acc.data());
      });
      std::printf(" %10.1f %10.1f", products / winograd, products / taps);
    }
    std::printf("\n");
  }
}

struct Heads {
  const char *name;
  int64_t queries, keys, headDim;
};

const Heads kHeads[] = {
    {"head 4096x4096x64", 4096, 4096, 64},   {"head 1024x1024x64", 1024, 1024, 64},
    {"head 256x256x64", 256, 256, 64},       {"head 4096x77x64", 4096, 77, 64},
    {"head 1024x4096x512", 1024, 4096, 512}, {"tile 64x512x64", 64, 512, 64},
};

void measureAttention(const Clock &clock) {
  std::printf("\n%-28s %12s %12s %12s %12s %12s\n", "attention (ns per score)", "A8 maxima",
              "A8 sums", "A16 maxima", "A16 sums", "finish/elem");
  for (const Heads &heads : kHeads) {
    AttentionTile tile{.queries = heads.queries,
                       .keys = heads.keys,
                       .headDim = heads.headDim,
                       .queryStride = heads.headDim,
                       .keyStride = heads.headDim};
    double scores = static_cast<double>(heads.queries * heads.keys);
    std::vector<int64_t> rowMax(heads.queries), rowSum(heads.queries),
        acc(heads.queries * heads.headDim);
    AttentionParams params{{}, scalingFor(0.37), false};
    std::printf("%-28s", heads.name);
    for (CodeFormat format : kFormats) {
      Tensor q = randomTensor(format.type, heads.queries * heads.headDim);
      Tensor kv = randomTensor(format.type, heads.keys * heads.headDim);
      Codes query{q.bytes(), format}, key{kv.bytes(), format};
      params.exponent = scalingFor(format.type == ElementType::I8 ? 0.1 : 2e-6);
      double maxima = clock.best([&] {
        std::fill(rowMax.begin(), rowMax.end(), INT64_MIN);
        fastKernels().attentionMaxima(tile, query, key, params, rowMax.data());
      });
      double sums = clock.best([&] {
        fastKernels().attentionAccumulate(tile, query, key, key, params, rowMax.data(),
                                          rowSum.data(), acc.data());
      });
      std::printf(" %12.3f %12.3f", maxima / scores * 1e9, sums / scores * 1e9);
    }
    std::vector<int16_t> y(heads.queries * heads.headDim);
    double finish = clock.best([&] {
      fastKernels().attentionFinish(heads.queries, heads.headDim, rowSum.data(), acc.data(), params,
                                    kFormats[1], heads.headDim, y.data());
    });
    std::printf(" %12.3f\n", finish / static_cast<double>(y.size()) * 1e9);
  }
}

void printRate(const char *name, double first, double second, double third) {
  std::printf("%-28s %12.3f %12.3f %12.3f\n", name, first, second, third);
}

/// Pointwise operations from and to codes of one format.
void measurePointwise(const Clock &clock, CodeFormat format) {
  std::printf("\n%-28s %12s %12s %12s\n",
              format.type == ElementType::I8 ? "A8 (ns per element)" : "A16 (ns per element)",
              "4096x320", "64x1280", "65536x256");
  const std::pair<int64_t, int64_t> shapes[] = {{4096, 320}, {64, 1280}, {65536, 256}};
  using Run = std::function<void(int64_t rows, int64_t channels)>;
  int64_t most = 65536 * 256;
  Tensor x = randomTensor(format.type, 2 * most), y(ElementType::I16, {most});
  std::vector<int64_t> acc(most, 123456);
  std::vector<ChannelParams> params(1280, {5000, 1 << 30, 40});
  std::vector<NormChannel> norms(1280, {1 << 20, 1 << 12, 0});
  std::vector<int32_t> table = makeTable(TableFunction::GELU, format, 1e-3, 1e-3);
  Codes a{x.bytes(), format};
  Codes b{x.bytes() + most, format};
  std::vector<NormSums> sums(32);
  auto row = [&](const char *name, const Run &run) {
    double rates[3];
    for (int i = 0; i < 3; ++i) {
      auto [rows, channels] = shapes[i];
      double seconds = clock.best([&, r = rows, c = channels] { run(r, c); });
      rates[i] = seconds / static_cast<double>(rows * channels) * 1e9;
    }
    printRate(name, rates[0], rates[1], rates[2]);
  };
  const IntegerKernels &kernels = fastKernels();
  row("requantize", [&](int64_t rows, int64_t channels) {
    kernels.requantize(acc.data(), rows, channels, params.data(), format, y.mutableBytes());
  });
  row("combine", [&](int64_t rows, int64_t channels) {
    kernels.combine(a, b, rows, channels, {pairScalingFor(0.7, 0.4), false}, format,
                    y.mutableBytes());
  });
  row("rescale", [&](int64_t rows, int64_t channels) {
    kernels.combine(a, {}, rows, channels, {pairScalingFor(0.7, 0), false}, format,
                    y.mutableBytes());
  });
  row("table", [&](int64_t rows, int64_t channels) {
    kernels.table(a, rows * channels, table, format, y.mutableBytes());
  });
  row("geglu (per output)", [&](int64_t rows, int64_t channels) {
    kernels.geglu(a, rows, channels, table, {scalingFor(1e-5)}, format, y.mutableBytes());
  });
  row("normSums", [&](int64_t rows, int64_t channels) {
    std::fill(sums.begin(), sums.end(), NormSums());
    kernels.normSums(a, rows, channels, channels / 32, sums);
  });
  row("normApply", [&](int64_t rows, int64_t channels) {
    std::fill(sums.begin(), sums.end(), NormSums());
    kernels.normSums(a, rows, channels, channels / 32, sums);
    kernels.normApply(a, rows, channels, channels / 32, sums, {rows * channels / 32, 1000, 30},
                      norms.data(), format, y.mutableBytes());
  });
  row("layer norm, row by row", [&](int64_t rows, int64_t channels) {
    for (int64_t r = 0; r < rows; ++r) {
      Codes line{x.bytes() + r * channels * byteWidth(format.type), format};
      sums[0] = {};
      kernels.normSums(line, 1, channels, channels, sums);
      kernels.normApply(line, 1, channels, channels, sums, {channels, 1000, 30}, norms.data(),
                        format, y.mutableBytes() + r * channels * byteWidth(format.type));
    }
  });
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) {
  auto number = [&](int i, long preset) {
    return static_cast<int>(std::max(1L, argc > i ? std::strtol(argv[i], nullptr, 10) : preset));
  };
  int threads = number(1, 1), repetitions = number(2, 5);
  sdopt::setKernelThreads(threads);
  std::printf("level %s, %d threads, best of %d\n\n", sdopt::dotKernels().name, threads,
              repetitions);
  sdopt::Clock clock(repetitions);
  sdopt::measureLayers(clock);
  sdopt::measureAttention(clock);
  for (sdopt::CodeFormat format : sdopt::kFormats)
    sdopt::measurePointwise(clock, format);
  return 0;
}
