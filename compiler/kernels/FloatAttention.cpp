//===- FloatAttention.cpp - blockwise float attention ------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatMatmul.h"
#include "compiler/kernels/KernelThreads.h"

#include <cmath>

namespace sdopt {

namespace {

constexpr int64_t kQueryBlock = 64;

struct Problem {
  const Tensor &q, &k, &v;
  int64_t heads, headDim;
  double scale;
  bool causal;
  Tensor &y;

  int64_t queries() const { return q.dim(1); }
  int64_t keys() const { return k.dim(1); }
  int64_t width() const { return heads * headDim; }
};

// Softmax of the first `visible` values; the others become 0.
void softmaxRow(float *row, int64_t visible, int64_t count) {
  float best = row[0];
  for (int64_t j = 1; j < visible; ++j)
    best = std::max(best, row[j]);
  double sum = 0;
  for (int64_t j = 0; j < visible; ++j) {
    row[j] = std::exp(row[j] - best);
    sum += row[j];
  }
  float inverse = static_cast<float>(1.0 / sum);
  for (int64_t j = 0; j < visible; ++j)
    row[j] *= inverse;
  std::fill(row + visible, row + count, 0.0f);
}

void attendBlock(const Problem &problem, int64_t picture, int64_t head, int64_t firstQuery) {
  int64_t rows = std::min(kQueryBlock, problem.queries() - firstQuery), keys = problem.keys();
  int64_t width = problem.width(), column = head * problem.headDim;
  int64_t queryRow = picture * problem.queries() + firstQuery, keyRow = picture * keys;
  std::vector<float> scores(rows * keys);
  multiplyMatrices({.a = problem.q.values<float>().data() + queryRow * width + column,
                    .b = problem.k.values<float>().data() + keyRow * width + column,
                    .c = scores.data(),
                    .m = rows,
                    .n = keys,
                    .k = problem.headDim,
                    .aStride = width,
                    .bStride = width,
                    .cStride = keys,
                    .transposeB = true,
                    .alpha = static_cast<float>(problem.scale)});
  for (int64_t i = 0; i < rows; ++i)
    softmaxRow(scores.data() + i * keys, problem.causal ? std::min(keys, firstQuery + i + 1) : keys,
               keys);
  multiplyMatrices({.a = scores.data(),
                    .b = problem.v.values<float>().data() + keyRow * width + column,
                    .c = problem.y.mutableValues<float>().data() + queryRow * width + column,
                    .m = rows,
                    .n = problem.headDim,
                    .k = keys,
                    .aStride = keys,
                    .bStride = width,
                    .cStride = width});
}

} // namespace

Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v, int64_t heads, double scale,
                 bool causal) {
  Tensor y(ElementType::F32, q.shape());
  if (y.size() == 0 || k.size() == 0)
    return y;
  Problem problem{q, k, v, heads, q.dim(2) / heads, scale, causal, y};
  int64_t blocks = (problem.queries() + kQueryBlock - 1) / kQueryBlock;
  int64_t items = q.dim(0) * heads * blocks;
  int threads = kernelThreads();
  SingleThreadScope creation;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (int64_t item = 0; item < items; ++item) {
    SingleThreadScope execution;
    attendBlock(problem, item / (heads * blocks), item / blocks % heads,
                item % blocks * kQueryBlock);
  }
  return y;
}

} // namespace sdopt
