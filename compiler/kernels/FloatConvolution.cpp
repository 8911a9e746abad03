//===- FloatConvolution.cpp - float convolution by oneDNN -------------------===//
//
// The work is cut into pictures, whatever the thread count, and each picture is one single-threaded
// oneDNN convolution: threads share pictures, never sums.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"

#include <dnnl.hpp>
#include <exception>

namespace sdopt {

namespace {

using Dims = dnnl::memory::dims;
using Descriptor = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

struct Geometry {
  int64_t batch, inputChannels, inputHeight, inputWidth;
  int64_t outputChannels, kernelHeight, kernelWidth, outputHeight, outputWidth;
};

Geometry geometryOf(const Tensor &x, const Tensor &w, const ConvShape &shape,
                    PictureLayout layout) {
  bool channelsLast = layout == PictureLayout::NHWC;
  Geometry g;
  g.batch = x.dim(0);
  g.inputChannels = x.dim(channelsLast ? 3 : 1);
  g.inputHeight = x.dim(channelsLast ? 1 : 2);
  g.inputWidth = x.dim(channelsLast ? 2 : 3);
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

// One picture's convolution; weights and bias in oneDNN's layout are shared by all pictures.
class PictureConvolution {
public:
  PictureConvolution(const Tensor &w, const Tensor &bias, const Geometry &g, const ConvShape &shape,
                     PictureLayout layout)
      : engine(dnnl::engine::kind::cpu, 0) {
    constexpr auto kF32 = dnnl::memory::data_type::f32;
    Tag picture = layout == PictureLayout::NHWC ? Tag::nhwc : Tag::nchw;
    // A plain NCHW convolution is slow: oneDNN may choose its own blocking there.
    Tag wanted = layout == PictureLayout::NHWC ? Tag::nhwc : Tag::any;
    Dims inputDims = {1, g.inputChannels, g.inputHeight, g.inputWidth};
    Dims outputDims = {1, g.outputChannels, g.outputHeight, g.outputWidth};
    bool grouped = shape.groups > 1;
    Dims weightDims = {g.outputChannels, g.inputChannels / shape.groups, g.kernelHeight,
                       g.kernelWidth};
    if (grouped)
      weightDims = {shape.groups, g.outputChannels / shape.groups, g.inputChannels / shape.groups,
                    g.kernelHeight, g.kernelWidth};
    input = Descriptor(inputDims, kF32, picture);
    output = Descriptor(outputDims, kF32, picture);
    bool hasBias = bias.bytes() && bias.size() > 0;
    Descriptor biasDescriptor({g.outputChannels}, kF32, Tag::x);
    Descriptor anyWeights(weightDims, kF32, Tag::any);
    Descriptor wantedInput(inputDims, kF32, wanted), wantedOutput(outputDims, kF32, wanted);
    Dims strides = {shape.strideH, shape.strideW};
    Dims dilations = {shape.dilationH - 1, shape.dilationW - 1};
    Dims padsBefore = {shape.padTop, shape.padLeft}, padsAfter = {shape.padBottom, shape.padRight};
    constexpr auto kForward = dnnl::prop_kind::forward_inference;
    constexpr auto kDirect = dnnl::algorithm::convolution_direct;
    using Description = dnnl::convolution_forward::desc;
    Description description =
        hasBias ? Description(kForward, kDirect, wantedInput, anyWeights, biasDescriptor,
                              wantedOutput, strides, dilations, padsBefore, padsAfter)
                : Description(kForward, kDirect, wantedInput, anyWeights, wantedOutput, strides,
                              dilations, padsBefore, padsAfter);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    primitiveDescriptor = {description, attributes, engine};
    convolution = dnnl::convolution_forward(primitiveDescriptor);

    Descriptor plainWeights(weightDims, kF32, grouped ? Tag::goihw : Tag::oihw);
    dnnl::stream stream(engine);
    weights = reordered(view(plainWeights, w.bytes()), primitiveDescriptor.weights_desc(), stream);
    if (hasBias)
      biasMemory = view(biasDescriptor, bias.bytes());
    stream.wait();
  }

  void run(const std::byte *x, std::byte *y) const {
    dnnl::stream stream(engine);
    dnnl::memory source = reordered(view(input, x), primitiveDescriptor.src_desc(), stream);
    dnnl::memory plain = view(output, y);
    bool direct = primitiveDescriptor.dst_desc() == output;
    dnnl::memory target = direct ? plain : dnnl::memory(primitiveDescriptor.dst_desc(), engine);
    dnnl::memory scratchpad(primitiveDescriptor.scratchpad_desc(), engine);
    std::unordered_map<int, dnnl::memory> arguments = {{DNNL_ARG_SRC, source},
                                                       {DNNL_ARG_WEIGHTS, weights},
                                                       {DNNL_ARG_DST, target},
                                                       {DNNL_ARG_SCRATCHPAD, scratchpad}};
    if (biasMemory)
      arguments.insert({DNNL_ARG_BIAS, biasMemory});
    convolution.execute(stream, arguments);
    if (!direct)
      dnnl::reorder(target, plain).execute(stream, target, plain);
    stream.wait();
  }

private:
  dnnl::memory view(const Descriptor &descriptor, const std::byte *bytes) const {
    return dnnl::memory(descriptor, engine, const_cast<std::byte *>(bytes));
  }

  dnnl::memory reordered(dnnl::memory from, const Descriptor &wanted, dnnl::stream &stream) const {
    if (from.get_desc() == wanted)
      return from;
    dnnl::memory to(wanted, engine);
    dnnl::reorder(from, to).execute(stream, from, to);
    return to;
  }

  dnnl::engine engine;
  Descriptor input, output;
  dnnl::convolution_forward::primitive_desc primitiveDescriptor;
  dnnl::convolution_forward convolution;
  dnnl::memory weights, biasMemory;
};

void convolvePictures(const Tensor &x, const Tensor &w, const Tensor &bias, const Geometry &g,
                      const ConvShape &shape, PictureLayout layout, Tensor &y) {
  SingleThreadScope creation;
  PictureConvolution convolution(w, bias, g, shape, layout);
  int64_t inputBytes = x.byteSize() / g.batch, outputBytes = y.byteSize() / g.batch;
  int threads = kernelThreads();
  std::exception_ptr failure;
#pragma omp parallel for num_threads(threads) if (threads > 1 && g.batch > 1)
  for (int64_t n = 0; n < g.batch; ++n) {
    try {
      SingleThreadScope execution;
      convolution.run(x.bytes() + n * inputBytes, y.mutableBytes() + n * outputBytes);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure)
    std::rethrow_exception(failure);
}

} // namespace

Tensor conv2d(const Tensor &x, const Tensor &w, const Tensor &bias, const ConvShape &shape,
              PictureLayout layout) {
  Geometry g = geometryOf(x, w, shape, layout);
  Tensor y(ElementType::F32, layout == PictureLayout::NHWC
                                 ? Shape{g.batch, g.outputHeight, g.outputWidth, g.outputChannels}
                                 : Shape{g.batch, g.outputChannels, g.outputHeight, g.outputWidth});
  if (y.size() == 0)
    return y;
  try {
    convolvePictures(x, w, bias, g, shape, layout, y);
  } catch (const dnnl::error &) {
    // Geometry that oneDNN does not take.
    return naive::conv2d(x, w, bias, shape, layout);
  }
  return y;
}

} // namespace sdopt
