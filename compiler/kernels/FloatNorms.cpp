//===- FloatNorms.cpp - norms and softmax in float ---------------------------===//
//
// Sums are made in blocks of a size that depends on the shape alone: in float within a block, in
// double over the blocks.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatMath.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/LaneSums.h"
#include "compiler/kernels/RecycledTensor.h"

namespace sdopt {

namespace {

float valueOr(const Tensor &tensor, int64_t index, float fallback) {
  return tensor.bytes() && tensor.size() > 0 ? tensor.values<float>()[index] : fallback;
}

// A mean that floats hold in two parts: x - mean keeps its digits where the mean is large.
struct SplitMean {
  explicit SplitMean(double mean)
      : high(static_cast<float>(mean)), low(static_cast<float>(mean - high)) {}
  float high, low;
};

// Values of one group in one block of pixels: their sum, and that of squared distances to `near`,
// a float close to the block's mean.
struct BlockMoments {
  double sum = 0, squares = 0;
  float near = 0;
};

// Group norm of pictures [batch][pixels][channels].
class GroupNorm {
public:
  GroupNorm(const Tensor &x, int64_t groups, double epsilon, Tensor &y)
      : input(x.values<float>().data()), output(y.mutableValues<float>().data()), batch(x.dim(0)),
        pixels(x.dim(1)), channels(x.dim(2)), groups(groups), width(channels / groups),
        blockPixels(std::clamp<int64_t>(kBlockFloats / channels, 8, 64)),
        blocks((pixels + blockPixels - 1) / blockPixels), epsilon(epsilon) {}

  void run(const Tensor &gamma, const Tensor &beta) {
    moments.resize(batch * blocks * groups);
    parallelFor(batch * blocks, [&](int64_t block, int /*thread*/) { measure(block); });
    high.resize(batch * channels);
    low.resize(batch * channels);
    scale.resize(batch * channels);
    shift.resize(channels);
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t g = 0; g < groups; ++g)
        finish(n, g, gamma);
    for (int64_t c = 0; c < channels; ++c)
      shift[c] = valueOr(beta, c, 0.0f);
    parallelFor(batch * blocks, [&](int64_t block, int /*thread*/) { apply(block); });
  }

private:
  static constexpr int64_t kBlockFloats = 32 << 10;

  int64_t pixelsOf(int64_t block) const {
    return std::min(blockPixels, pixels - block % blocks * blockPixels);
  }
  int64_t offsetOf(int64_t block) const {
    return (block / blocks * pixels + block % blocks * blockPixels) * channels;
  }

  void measure(int64_t block) {
    const float *first = input + offsetOf(block);
    int64_t rows = pixelsOf(block);
    std::vector<float> storage(2 * channels);
    float *sums = storage.data(), *nears = sums + channels;
    for (int64_t row = 0; row < rows; ++row)
      vectorLoop(channels, [=, values = first + row * channels](int64_t c)
                               SDOPT_INLINE { sums[c] += values[c]; });
    BlockMoments *results = moments.data() + block * groups;
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t c = g * width; c < (g + 1) * width; ++c)
        results[g].sum += sums[c];
      results[g].near = static_cast<float>(results[g].sum / static_cast<double>(rows * width));
      std::fill_n(nears + g * width, width, results[g].near);
    }
    std::fill_n(sums, channels, 0.0f);
    for (int64_t row = 0; row < rows; ++row)
      vectorLoop(channels, [=, values = first + row * channels](int64_t c) SDOPT_INLINE {
        float distance = values[c] - nears[c];
        sums[c] = std::fma(distance, distance, sums[c]);
      });
    for (int64_t c = 0; c < channels; ++c)
      results[c / width].squares += sums[c];
  }

  void finish(int64_t n, int64_t g, const Tensor &gamma) {
    double sum = 0, squares = 0, count = static_cast<double>(pixels * width);
    for (int64_t block = n * blocks; block < (n + 1) * blocks; ++block)
      sum += moments[block * groups + g].sum;
    double mean = sum / count;
    for (int64_t block = n * blocks; block < (n + 1) * blocks; ++block) {
      // Squared distances to another point than the mean, moved to the mean.
      const BlockMoments &m = moments[block * groups + g];
      double size = static_cast<double>(pixelsOf(block) * width), blockMean = m.sum / size;
      double toMean = blockMean - mean, toNear = blockMean - m.near;
      squares += m.squares + size * (toMean * toMean - toNear * toNear);
    }
    double inverse = 1.0 / std::sqrt(std::max(squares, 0.0) / count + epsilon);
    SplitMean split(mean);
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      high[n * channels + c] = split.high;
      low[n * channels + c] = split.low;
      scale[n * channels + c] = static_cast<float>(inverse * valueOr(gamma, c, 1.0f));
    }
  }

  void apply(int64_t block) const {
    int64_t picture = block / blocks * channels;
    const float *highs = high.data() + picture, *lows = low.data() + picture;
    const float *scales = scale.data() + picture, *shifts = shift.data();
    for (int64_t row = 0; row < pixelsOf(block); ++row) {
      const float *in = input + offsetOf(block) + row * channels;
      float *out = output + offsetOf(block) + row * channels;
      vectorLoop(channels, [=](int64_t c) SDOPT_INLINE {
        out[c] = std::fma((in[c] - highs[c]) - lows[c], scales[c], shifts[c]);
      });
    }
  }

  const float *input;
  float *output;
  int64_t batch, pixels, channels, groups, width, blockPixels, blocks;
  double epsilon;
  std::vector<BlockMoments> moments;
  std::vector<float> high, low, scale, shift;
};

} // namespace

Tensor groupNorm(const Tensor &x, const Tensor &gamma, const Tensor &beta, int64_t groups,
                 double epsilon, PictureLayout layout) {
  if (x.size() == 0)
    return Tensor(ElementType::F32, x.shape());
  int64_t batch = x.dim(0);
  if (layout == PictureLayout::NCHW) {
    constexpr int64_t kSwap[] = {0, 2, 1};
    Tensor last = transpose(x.reshaped({batch, x.dim(1), x.size() / (batch * x.dim(1))}), kSwap);
    last = groupNorm(last, gamma, beta, groups, epsilon, PictureLayout::NHWC);
    return transpose(last, kSwap).reshaped(x.shape());
  }
  int64_t channels = x.dim(-1);
  Tensor y = recycledTensor(ElementType::F32, x.shape());
  GroupNorm(x.reshaped({batch, x.size() / (batch * channels), channels}), groups, epsilon, y)
      .run(gamma, beta);
  return y;
}

Tensor layerNorm(const Tensor &x, const Tensor &gamma, const Tensor &beta, double epsilon) {
  if (x.size() == 0)
    return Tensor(ElementType::F32, x.shape());
  Tensor y = recycledTensor(ElementType::F32, x.shape());
  int64_t width = x.dim(-1), rows = x.size() / width;
  std::vector<float> gammas(width), betas(width);
  for (int64_t c = 0; c < width; ++c) {
    gammas[c] = valueOr(gamma, c, 1.0f);
    betas[c] = valueOr(beta, c, 0.0f);
  }
  const float *inputs = x.values<float>().data();
  float *outputs = y.mutableValues<float>().data();
  int64_t grain = std::max<int64_t>(1, (16 << 10) / width);
  parallelRanges(rows, grain, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float *in = inputs + row * width, *g = gammas.data(), *b = betas.data();
      float *out = outputs + row * width;
      auto count = static_cast<double>(width);
      SplitMean mean(sumOf(width, [=](int64_t c) SDOPT_INLINE { return in[c]; }) / count);
      double squares = sumOf(width, [=](int64_t c) SDOPT_INLINE {
        float distance = (in[c] - mean.high) - mean.low;
        return distance * distance;
      });
      auto inverse = static_cast<float>(1.0 / std::sqrt(squares / count + epsilon));
      vectorLoop(width, [=](int64_t c) SDOPT_INLINE {
        out[c] = std::fma(((in[c] - mean.high) - mean.low) * inverse, g[c], b[c]);
      });
    }
  });
  return y;
}

Tensor rmsNorm(const Tensor &x, const Tensor &gamma, double epsilon) {
  if (x.size() == 0)
    return Tensor(ElementType::F32, x.shape());
  Tensor y = recycledTensor(ElementType::F32, x.shape());
  int64_t width = x.dim(-1), rows = x.size() / width;
  const float *inputs = x.values<float>().data(), *g = gamma.values<float>().data();
  float *outputs = y.mutableValues<float>().data();
  int64_t grain = std::max<int64_t>(1, (16 << 10) / width);
  parallelRanges(rows, grain, [=](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float *in = inputs + row * width;
      float *out = outputs + row * width;
      double squares = sumOf(width, [=](int64_t c) SDOPT_INLINE { return in[c] * in[c]; });
      auto inverse =
          static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(width) + epsilon));
      vectorLoop(width, [=](int64_t c) SDOPT_INLINE { out[c] = in[c] * inverse * g[c]; });
    }
  });
  return y;
}

Tensor softmax(const Tensor &x, int64_t axis) {
  if (axis < 0)
    axis += x.rank();
  if (x.size() == 0)
    return Tensor(ElementType::F32, x.shape());
  if (x.rank() > 0 && axis != x.rank() - 1) {
    std::vector<int64_t> swap(x.rank());
    for (int64_t i = 0; i < x.rank(); ++i)
      swap[i] = i;
    std::swap(swap[axis], swap.back());
    return transpose(softmax(transpose(x, swap), -1), swap);
  }
  Tensor y = recycledTensor(ElementType::F32, x.shape());
  int64_t count = x.rank() == 0 ? 1 : x.dim(-1);
  const float *inputs = x.values<float>().data();
  float *outputs = y.mutableValues<float>().data();
  int64_t grain = std::max<int64_t>(1, (16 << 10) / count);
  parallelRanges(x.size() / count, grain, [=](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      const float *in = inputs + row * count;
      float *out = outputs + row * count;
      float best = largestOf(in, count);
      vectorLoop(count, [=](int64_t i) SDOPT_INLINE { out[i] = expOfNegative(in[i] - best); });
      auto inverse =
          static_cast<float>(1.0 / sumOf(count, [=](int64_t i) SDOPT_INLINE { return out[i]; }));
      vectorLoop(count, [=](int64_t i) SDOPT_INLINE { out[i] *= inverse; });
    }
  });
  return y;
}

} // namespace sdopt
