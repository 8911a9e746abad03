//===- FloatNorms.cpp - norms and softmax in float ---------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"

#include <cmath>

namespace sdopt {

namespace {

struct Moments {
  double mean = 0;
  double inverseDeviation = 0;
};

// Two passes in double over the elements that visit(function) feeds, `count` of them.
template <typename Visit> Moments momentsOf(int64_t count, double epsilon, Visit visit) {
  double sum = 0, squares = 0;
  visit([&](float value) { sum += value; });
  double mean = sum / static_cast<double>(count);
  visit([&](float value) { squares += (value - mean) * (value - mean); });
  return {mean, 1.0 / std::sqrt(squares / static_cast<double>(count) + epsilon)};
}

float valueOr(const Tensor &tensor, int64_t index, float fallback) {
  return tensor.bytes() && tensor.size() > 0 ? tensor.values<float>()[index] : fallback;
}

} // namespace

Tensor groupNorm(const Tensor &x, const Tensor &gamma, const Tensor &beta, int64_t groups,
                 double epsilon, PictureLayout layout) {
  bool channelsLast = layout == PictureLayout::NHWC;
  int64_t channels = x.dim(channelsLast ? -1 : 1), batch = x.dim(0);
  Tensor y(ElementType::F32, x.shape());
  if (y.size() == 0)
    return y;
  int64_t space = x.size() / (batch * channels), width = channels / groups;
  int64_t channelStride = channelsLast ? 1 : space, spaceStride = channelsLast ? channels : 1;
  const float *input = x.values<float>().data();
  float *output = y.mutableValues<float>().data();
  int threads = kernelThreads();
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < batch * groups; ++item) {
    int64_t first = item % groups * width;
    int64_t base = item / groups * channels * space;
    // Channels inside, or space inside: whichever is dense in memory.
    int64_t outer = channelsLast ? space : width, inner = channelsLast ? width : space;
    int64_t outerStride = channelsLast ? spaceStride : channelStride;
    const float *start = input + base + first * channelStride;
    Moments moments = momentsOf(width * space, epsilon, [&](auto function) {
      for (int64_t i = 0; i < outer; ++i)
        for (int64_t j = 0; j < inner; ++j)
          function(start[i * outerStride + j]);
    });
    for (int64_t c = 0; c < width; ++c) {
      double scale = moments.inverseDeviation * valueOr(gamma, first + c, 1.0f);
      double offset = valueOr(beta, first + c, 0.0f) - moments.mean * scale;
      for (int64_t s = 0; s < space; ++s) {
        int64_t i = base + (first + c) * channelStride + s * spaceStride;
        output[i] = static_cast<float>(input[i] * scale + offset);
      }
    }
  }
  return y;
}

Tensor layerNorm(const Tensor &x, const Tensor &gamma, const Tensor &beta, double epsilon) {
  Tensor y(ElementType::F32, x.shape());
  if (y.size() == 0)
    return y;
  int64_t width = x.dim(-1), rows = x.size() / width;
  int threads = kernelThreads();
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < rows; ++row) {
    const float *input = x.values<float>().data() + row * width;
    float *output = y.mutableValues<float>().data() + row * width;
    Moments moments = momentsOf(width, epsilon, [&](auto function) {
      for (int64_t c = 0; c < width; ++c)
        function(input[c]);
    });
    for (int64_t c = 0; c < width; ++c)
      output[c] = static_cast<float>((input[c] - moments.mean) * moments.inverseDeviation *
                                         valueOr(gamma, c, 1.0f) +
                                     valueOr(beta, c, 0.0f));
  }
  return y;
}

Tensor softmax(const Tensor &x, int64_t axis) {
  if (axis < 0)
    axis += x.rank();
  Tensor y(ElementType::F32, x.shape());
  if (y.size() == 0)
    return y;
  int64_t count = x.rank() == 0 ? 1 : x.dim(axis), inner = 1;
  for (int64_t i = axis + 1; i < x.rank(); ++i)
    inner *= x.dim(i);
  for (int64_t line = 0; line < x.size() / count; ++line) {
    int64_t base = line / inner * count * inner + line % inner;
    const float *input = x.values<float>().data() + base;
    float *output = y.mutableValues<float>().data() + base;
    float best = input[0];
    for (int64_t i = 1; i < count; ++i)
      best = std::max(best, input[i * inner]);
    double sum = 0;
    for (int64_t i = 0; i < count; ++i)
      sum += output[i * inner] = std::exp(input[i * inner] - best);
    for (int64_t i = 0; i < count; ++i)
      output[i * inner] = static_cast<float>(output[i * inner] / sum);
  }
  return y;
}

} // namespace sdopt
