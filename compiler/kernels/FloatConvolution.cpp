//===- FloatConvolution.cpp - float convolution -----------------------------===//
//
// A product without a matrix of patches: a row is an output pixel, a tap a position of the kernel,
// and the pointer of a row and tap shows where that pixel's channels are in the input.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatMatmul.h"
#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/FloatWinograd.h"
#include "compiler/kernels/RecycledTensor.h"

#include <optional>

namespace sdopt {

namespace {

struct Geometry {
  int64_t batch, inputChannels, inputHeight, inputWidth;
  int64_t outputChannels, kernelHeight, kernelWidth, outputHeight, outputWidth;
};

Geometry geometryOf(const Tensor &x, const Tensor &w, const ConvShape &shape) {
  Geometry g;
  g.batch = x.dim(0);
  g.inputHeight = x.dim(1);
  g.inputWidth = x.dim(2);
  g.inputChannels = x.dim(3);
  g.outputChannels = w.dim(0);
  g.kernelHeight = w.dim(2);
  g.kernelWidth = w.dim(3);
  auto extent = [](int64_t input, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride) {
    return std::max<int64_t>(0, (input + pads - (kernel - 1) * dilation - 1) / stride + 1);
  };
  g.outputHeight = extent(g.inputHeight, shape.padTop + shape.padBottom, g.kernelHeight,
                          shape.dilationH, shape.strideH);
  g.outputWidth = extent(g.inputWidth, shape.padLeft + shape.padRight, g.kernelWidth,
                         shape.dilationW, shape.strideW);
  return g;
}

/// Finds the input of output pixels.
class PixelRows {
public:
  PixelRows(const float *input, const float *zeros, const Geometry &geometry,
            const ConvShape &shape)
      : input(input), zeros(zeros), g(geometry), shape(shape) {}

  void operator()(int64_t first, int64_t count, const float **pointers) const {
    int64_t ow = first % g.outputWidth, line = first / g.outputWidth;
    for (int64_t r = 0; r < count; ++r) {
      int64_t top = line % g.outputHeight * shape.strideH - shape.padTop;
      const float *picture =
          input + line / g.outputHeight * g.inputHeight * g.inputWidth * g.inputChannels;
      fillTaps(picture, top, ow * shape.strideW - shape.padLeft, pointers + r);
      if (++ow == g.outputWidth) {
        ow = 0;
        ++line;
      }
    }
  }

private:
  void fillTaps(const float *picture, int64_t top, int64_t left, const float **pointers) const {
    for (int64_t kh = 0; kh < g.kernelHeight; ++kh)
      for (int64_t kw = 0; kw < g.kernelWidth; ++kw, pointers += kFloatRows) {
        int64_t ih = top + kh * shape.dilationH, iw = left + kw * shape.dilationW;
        bool inside = ih >= 0 && ih < g.inputHeight && iw >= 0 && iw < g.inputWidth;
        *pointers = inside ? picture + (ih * g.inputWidth + iw) * g.inputChannels : zeros;
      }
  }

  const float *input, *zeros;
  Geometry g;
  ConvShape shape;
};

/// What of a group of channels Winograd's form needs, or none if it has to be computed directly.
std::optional<WinogradShape> winogradShape(const Geometry &g, const ConvShape &shape) {
  if (g.kernelHeight != 3 || g.kernelWidth != 3 || shape.strideH != 1 || shape.strideW != 1 ||
      shape.dilationH != 1 || shape.dilationW != 1)
    return std::nullopt;
  WinogradShape out{.batch = g.batch,
                    .inputHeight = g.inputHeight,
                    .inputWidth = g.inputWidth,
                    .outputHeight = g.outputHeight,
                    .outputWidth = g.outputWidth,
                    .padTop = shape.padTop,
                    .padLeft = shape.padLeft,
                    .inputs = g.inputChannels / shape.groups,
                    .outputs = g.outputChannels / shape.groups,
                    .inputStride = g.inputChannels,
                    .outputStride = g.outputChannels};
  return winogradPays(out) ? std::optional(out) : std::nullopt;
}

Tensor convolveChannelsLast(const Tensor &x, const Tensor &w, const Tensor &bias,
                            const ConvShape &shape) {
  Geometry g = geometryOf(x, w, shape);
  Tensor y =
      recycledTensor(ElementType::F32, {g.batch, g.outputHeight, g.outputWidth, g.outputChannels});
  if (y.size() == 0)
    return y;
  int64_t inputs = w.dim(1), outputs = g.outputChannels / shape.groups;
  int64_t taps = g.kernelHeight * g.kernelWidth;
  const float *input = x.values<float>().data(), *weights = w.values<float>().data();
  const float *biases = bias.bytes() && bias.size() > 0 ? bias.values<float>().data() : nullptr;
  float *output = y.mutableValues<float>().data();
  auto biasOf = [&](int64_t group) { return biases ? biases + group * outputs : nullptr; };
  if (std::optional<WinogradShape> winograd = winogradShape(g, shape)) {
    for (int64_t group = 0; group < shape.groups; ++group)
      convolveWinograd(*winograd, input + group * inputs, weights + group * outputs * inputs * taps,
                       biasOf(group), output + group * outputs);
    return y;
  }
  std::vector<float> zeros(inputs, 0.0f);
  std::vector<FloatProduct> products;
  for (int64_t group = 0; group < shape.groups; ++group)
    products.push_back({.m = g.batch * g.outputHeight * g.outputWidth,
                        .n = outputs,
                        .depth = inputs,
                        .taps = taps,
                        .rows = PixelRows(input + group * inputs, zeros.data(), g, shape),
                        .columns = weights + group * outputs * inputs * taps,
                        .columnsStride = inputs * taps,
                        .columnsAreRows = true,
                        .bias = biasOf(group),
                        .out = output + group * outputs,
                        .outStride = g.outputChannels});
  multiply(products);
  return y;
}

} // namespace

Tensor conv2d(const Tensor &x, const Tensor &w, const Tensor &bias, const ConvShape &shape,
              PictureLayout layout) {
  if (layout == PictureLayout::NHWC)
    return convolveChannelsLast(x, w, bias, shape);
  constexpr int64_t kToLast[] = {0, 2, 3, 1}, kToFirst[] = {0, 3, 1, 2};
  return transpose(convolveChannelsLast(transpose(x, kToLast), w, bias, shape), kToFirst);
}

} // namespace sdopt
