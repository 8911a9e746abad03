//===- NaiveFloatKernels.cpp - float kernels as plain loops ------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/StridedLoop.h"

#include <cmath>

namespace sdopt::naive {

namespace {

// Element (n, c, h, w) of a picture in either layout.
class Picture {
public:
  Picture(const Shape &shape, PictureLayout layout) : channelsLast(layout == PictureLayout::NHWC) {
    channels = shape[channelsLast ? 3 : 1];
    height = shape[channelsLast ? 1 : 2];
    width = shape[channelsLast ? 2 : 3];
  }
  int64_t index(int64_t n, int64_t c, int64_t h, int64_t w) const {
    return channelsLast ? ((n * height + h) * width + w) * channels + c
                        : ((n * channels + c) * height + h) * width + w;
  }
  bool channelsLast;
  int64_t channels, height, width;
};

double convolutionSum(const Tensor &x, const Tensor &w, const ConvShape &shape, const Picture &in,
                      const std::array<int64_t, 4> &output) {
  auto [n, co, oh, ow] = output;
  int64_t width = w.dim(1), firstChannel = co / (w.dim(0) / shape.groups) * width;
  double sum = 0;
  for (int64_t ci = 0; ci < width; ++ci)
    for (int64_t kh = 0; kh < w.dim(2); ++kh)
      for (int64_t kw = 0; kw < w.dim(3); ++kw) {
        int64_t ih = oh * shape.strideH + kh * shape.dilationH - shape.padTop;
        int64_t iw = ow * shape.strideW + kw * shape.dilationW - shape.padLeft;
        if (ih < 0 || ih >= in.height || iw < 0 || iw >= in.width)
          continue;
        int64_t weight = ((co * width + ci) * w.dim(2) + kh) * w.dim(3) + kw;
        sum += static_cast<double>(x.values<float>()[in.index(n, firstChannel + ci, ih, iw)]) *
               w.values<float>()[weight];
      }
  return sum;
}

} // namespace

Tensor conv2d(const Tensor &x, const Tensor &w, const Tensor &bias, const ConvShape &shape,
              PictureLayout layout) {
  Picture in(x.shape(), layout);
  int64_t height =
      in.height + shape.padTop + shape.padBottom - (w.dim(2) - 1) * shape.dilationH - 1;
  int64_t width = in.width + shape.padLeft + shape.padRight - (w.dim(3) - 1) * shape.dilationW - 1;
  height = height < 0 ? 0 : height / shape.strideH + 1;
  width = width < 0 ? 0 : width / shape.strideW + 1;
  Shape outputShape = in.channelsLast ? Shape{x.dim(0), height, width, w.dim(0)}
                                      : Shape{x.dim(0), w.dim(0), height, width};
  Tensor y(ElementType::F32, outputShape);
  Picture out(outputShape, layout);
  bool hasBias = bias.bytes() && bias.size() > 0;
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t co = 0; co < w.dim(0); ++co)
      for (int64_t oh = 0; oh < height; ++oh)
        for (int64_t ow = 0; ow < width; ++ow)
          y.mutableValues<float>()[out.index(n, co, oh, ow)] =
              static_cast<float>(convolutionSum(x, w, shape, in, {n, co, oh, ow}) +
                                 (hasBias ? bias.values<float>()[co] : 0.0f));
  return y;
}

Tensor matmul(const Tensor &a, const Tensor &b, bool transposeB) {
  Tensor left = a.rank() == 1 ? a.reshaped({1, a.dim(0)}) : a;
  Tensor right =
      b.rank() > 1 ? b : b.reshaped(transposeB ? Shape{1, b.dim(0)} : Shape{b.dim(0), 1});
  int64_t m = left.dim(-2), k = left.dim(-1), n = right.dim(transposeB ? -2 : -1);
  Shape batchA(left.shape().begin(), left.shape().end() - 2);
  Shape batchB(right.shape().begin(), right.shape().end() - 2);
  Shape shape = broadcastShape(batchA, batchB);
  shape.insert(shape.end(), {m, n, k});
  // Index space [batch..., m, n, k]: a repeats along n, b along m.
  Shape stridesA = broadcastStrides(batchA, Shape(shape.begin(), shape.end() - 3));
  Shape stridesB = broadcastStrides(batchB, Shape(shape.begin(), shape.end() - 3));
  for (int64_t &stride : stridesA)
    stride *= m * k;
  for (int64_t &stride : stridesB)
    stride *= k * n;
  int64_t stepB = transposeB ? 1 : n;
  stridesA.insert(stridesA.end(), {k, 0, 1});
  stridesB.insert(stridesB.end(), {0, transposeB ? k : 1, stepB});
  Tensor y(ElementType::F32, Shape(shape.begin(), shape.end() - 1));
  stridedLoop<2>(shape, {stridesA, stridesB},
                 [&](int64_t output, const std::array<int64_t, 2> &offsets, int64_t count) {
                   double sum = 0;
                   for (int64_t l = 0; l < count; ++l)
                     sum += static_cast<double>(left.values<float>()[offsets[0] + l]) *
                            right.values<float>()[offsets[1] + l * stepB];
                   y.mutableValues<float>()[output / k] = static_cast<float>(sum);
                 });
  Shape result(shape.begin(), shape.end() - 3);
  if (a.rank() > 1)
    result.push_back(m);
  if (b.rank() > 1)
    result.push_back(n);
  return y.reshaped(result);
}

Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v, int64_t heads, double scale,
                 bool causal) {
  Tensor y(ElementType::F32, q.shape());
  int64_t queries = q.dim(1), keys = k.dim(1), width = q.dim(2), headDim = width / heads;
  for (int64_t n = 0; n < q.dim(0); ++n)
    for (int64_t head = 0; head < heads; ++head)
      for (int64_t i = 0; i < queries; ++i) {
        const float *query = q.values<float>().data() + (n * queries + i) * width + head * headDim;
        int64_t visible = causal ? std::min(keys, i + 1) : keys;
        std::vector<double> weights(visible), sums(headDim, 0.0);
        double best = -INFINITY, total = 0;
        for (int64_t j = 0; j < visible; ++j) {
          const float *key = k.values<float>().data() + (n * keys + j) * width + head * headDim;
          for (int64_t d = 0; d < headDim; ++d)
            weights[j] += static_cast<double>(query[d]) * key[d];
          weights[j] *= scale;
          best = std::max(best, weights[j]);
        }
        for (int64_t j = 0; j < visible; ++j) {
          const float *value = v.values<float>().data() + (n * keys + j) * width + head * headDim;
          double weight = std::exp(weights[j] - best);
          total += weight;
          for (int64_t d = 0; d < headDim; ++d)
            sums[d] += weight * value[d];
        }
        for (int64_t d = 0; d < headDim; ++d)
          y.mutableValues<float>()[(n * queries + i) * width + head * headDim + d] =
              static_cast<float>(sums[d] / total);
      }
  return y;
}

} // namespace sdopt::naive
