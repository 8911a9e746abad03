//===- float-speed.cpp - how fast the float kernels are on this machine -----===//
//
// usage: float-speed [threads [repetitions]]
//
// Layers of a full-size UNet and decoder. The best of several repetitions counts. Random values;
// run by hand, never by ctest.
//
//===----------------------------------------------------------------------===//

#include "RandomCodes.h"
#include "compiler/kernels/FloatKernels.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace sdopt {
namespace {

constexpr PictureLayout kLast = PictureLayout::NHWC;

Tensor randomTensor(Shape shape) {
  testing::Random random(1);
  Tensor tensor(ElementType::F32, std::move(shape));
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>(random.real(-1, 1));
  return tensor;
}

class Report {
public:
  explicit Report(int repetitions) : repetitions(repetitions) {}

  /// Prints the time of the fastest run and what that means for `work`, in billions.
  void line(const std::string &name, double work, const char *unit,
            const std::function<void()> &run) const {
    double least = 1e30;
    for (int i = 0; i < repetitions; ++i) {
      auto start = std::chrono::steady_clock::now();
      run();
      std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      least = std::min(least, taken.count());
    }
    std::printf("%-40s %9.3f ms %8.1f %s\n", name.c_str(), least * 1e3, work / least / 1e9, unit);
  }

  void convolution(int64_t inputs, int64_t outputs, int64_t side, int64_t kernel) const {
    Tensor x = randomTensor({1, side, side, inputs});
    Tensor w = randomTensor({outputs, inputs, kernel, kernel}), bias = randomTensor({outputs});
    int64_t pad = kernel / 2;
    ConvShape shape{.padTop = pad, .padLeft = pad, .padBottom = pad, .padRight = pad};
    double work = double(side * side * inputs) * double(outputs * kernel * kernel);
    line("conv " + toString({inputs, outputs, side, kernel}), work, "GMAC/s",
         [&] { conv2d(x, w, bias, shape, kLast); });
  }

  void linearLayer(int64_t rows, int64_t inputs, int64_t outputs, bool weightIsNK = true) const {
    Tensor x = randomTensor({1, rows, inputs}), bias = randomTensor({outputs});
    Tensor w = randomTensor(weightIsNK ? Shape{outputs, inputs} : Shape{inputs, outputs});
    line("linear " + toString({rows, inputs, outputs}) + (weightIsNK ? "" : " from columns"),
         double(rows * inputs) * double(outputs), "GMAC/s",
         [&] { linear(x, w, bias, weightIsNK); });
  }

  void attentionLayer(int64_t queries, int64_t keys, int64_t heads, int64_t dim) const {
    Tensor q = randomTensor({1, queries, heads * dim}), k = randomTensor({1, keys, heads * dim});
    line("attention " + toString({queries, keys, heads, dim}),
         2.0 * double(queries * keys) * double(heads * dim), "GMAC/s",
         [&] { attention(q, k, k, heads, 0.125, false); });
  }

  void rest(int64_t rows, int64_t channels) const {
    Tensor x = randomTensor({1, rows, 1, channels}), c = randomTensor({channels});
    Tensor row = randomTensor({1, 1, 1, channels});
    double values = double(rows * channels);
    std::string shape = " " + toString({rows, channels});
    line("group norm" + shape, values, "G/s", [&] { groupNorm(x, c, c, 32, 1e-5, kLast); });
    line("layer norm" + shape, values, "G/s", [&] { layerNorm(x, c, c, 1e-5); });
    line("silu" + shape, values, "G/s", [&] { unary(UnaryFunction::SiLU, x); });
    line("gelu" + shape, values, "G/s", [&] { unary(UnaryFunction::GELU, x); });
    line("geglu" + shape, values / 2, "G/s", [&] { geglu(x); });
    line("add" + shape, values, "G/s", [&] { binary(BinaryFunction::Add, x, x); });
    line("add row" + shape, values, "G/s", [&] { binary(BinaryFunction::Add, x, row); });
    const Tensor parts[] = {x, x};
    line("concat" + shape, 2 * values, "G/s", [&] { concat(parts, 3); });
    const int64_t swap[] = {3, 0, 1, 2};
    line("transpose" + shape, values, "G/s", [&] { transpose(x, swap); });
  }

private:
  int repetitions;
};

void measureAll(const Report &report) {
  report.convolution(320, 320, 64, 3);
  report.convolution(640, 320, 64, 3);
  report.convolution(960, 320, 64, 3);
  report.convolution(960, 320, 64, 1);
  report.convolution(640, 640, 32, 3);
  report.convolution(1920, 640, 32, 3);
  report.convolution(1280, 1280, 16, 3);
  report.convolution(2560, 1280, 16, 3);
  report.convolution(1280, 1280, 8, 3);
  report.convolution(2560, 1280, 8, 3);
  report.convolution(9, 320, 64, 3);
  report.convolution(320, 4, 64, 3);
  report.convolution(512, 512, 64, 3);
  report.convolution(512, 512, 128, 3);
  report.convolution(256, 256, 256, 3);
  report.convolution(128, 128, 512, 3);
  report.convolution(128, 3, 512, 3);
  report.linearLayer(4096, 320, 320);
  report.linearLayer(4096, 320, 2560);
  report.linearLayer(4096, 1280, 320);
  report.linearLayer(1024, 640, 640);
  report.linearLayer(1024, 640, 5120);
  report.linearLayer(256, 1280, 1280);
  report.linearLayer(256, 1280, 10240);
  report.linearLayer(256, 5120, 1280);
  report.linearLayer(64, 1280, 10240);
  report.linearLayer(64, 1280, 10240, false);
  report.linearLayer(1024, 640, 5120, false);
  report.linearLayer(77, 1024, 640);
  report.linearLayer(1, 1280, 1280);
  report.attentionLayer(4096, 4096, 5, 64);
  report.attentionLayer(4096, 77, 5, 64);
  report.attentionLayer(1024, 1024, 10, 64);
  report.attentionLayer(256, 256, 20, 64);
  report.attentionLayer(4096, 4096, 1, 512);
  report.rest(4096, 320);
  report.rest(256, 1280);
  report.rest(512 * 512, 128);
}

} // namespace
} // namespace sdopt

int main(int argc, char **argv) {
  auto number = [&](int index, int otherwise) {
    return argc > index ? static_cast<int>(std::strtol(argv[index], nullptr, 10)) : otherwise;
  };
  sdopt::setKernelThreads(number(1, 1));
  sdopt::measureAll(sdopt::Report(number(2, 3)));
  return 0;
}
