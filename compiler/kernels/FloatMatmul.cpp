//===- FloatMatmul.cpp - float matrix products by oneDNN --------------------===//
//
// Rows are cut into blocks of a fixed size, whatever the thread count, and each block is one
// single-threaded oneDNN product: threads share blocks, never sums.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FloatMatmul.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/StridedLoop.h"

#include <dnnl.h>

namespace sdopt {

void multiplyMatrices(const MatrixProduct &p) {
  if (p.m == 0 || p.n == 0)
    return;
  dnnl_status_t status = p.k == 0
                             ? dnnl_invalid_arguments
                             : dnnl_sgemm('N', p.transposeB ? 'T' : 'N', p.m, p.n, p.k, p.alpha,
                                          p.a, p.aStride, p.b, p.bStride, 0.0f, p.c, p.cStride);
  if (status == dnnl_success)
    return;
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      float sum = 0;
      for (int64_t l = 0; l < p.k; ++l)
        sum += p.a[i * p.aStride + l] *
               (p.transposeB ? p.b[j * p.bStride + l] : p.b[l * p.bStride + j]);
      p.c[i * p.cStride + j] = p.alpha * sum;
    }
}

namespace {

constexpr int64_t kRowBlock = 128;

void multiplyAll(const std::vector<MatrixProduct> &products) {
  std::vector<MatrixProduct> blocks;
  for (const MatrixProduct &product : products)
    for (int64_t row = 0; row < product.m; row += kRowBlock) {
      MatrixProduct block = product;
      block.a += row * product.aStride;
      block.c += row * product.cStride;
      block.m = std::min(kRowBlock, product.m - row);
      blocks.push_back(block);
    }
  int threads = kernelThreads();
  SingleThreadScope creation;
#pragma omp parallel for num_threads(threads) if (threads > 1 && blocks.size() > 1)
  for (size_t i = 0; i < blocks.size(); ++i) {
    SingleThreadScope execution;
    multiplyMatrices(blocks[i]);
  }
}

Shape withoutLast(const Shape &shape, size_t count) {
  return Shape(shape.begin(), shape.end() - static_cast<int64_t>(count));
}

} // namespace

Tensor matmul(const Tensor &a, const Tensor &b, bool transposeB) {
  // Vectors are matrices of one row or one column, which the result drops again.
  bool vectorA = a.rank() == 1, vectorB = b.rank() == 1;
  Tensor left = vectorA ? a.reshaped({1, a.dim(0)}) : a;
  Tensor right = !vectorB ? b : b.reshaped(transposeB ? Shape{1, b.dim(0)} : Shape{b.dim(0), 1});
  int64_t m = left.dim(-2), k = left.dim(-1), n = right.dim(transposeB ? -2 : -1);
  Shape batchA = withoutLast(left.shape(), 2), batchB = withoutLast(right.shape(), 2);
  Shape batch = broadcastShape(batchA, batchB);
  Shape full = batch;
  full.insert(full.end(), {m, n});
  Tensor result(ElementType::F32, full);

  MatrixProduct product{.m = m, .n = n, .k = k, .transposeB = transposeB};
  product.aStride = k;
  product.bStride = transposeB ? k : n;
  product.cStride = n;
  std::vector<MatrixProduct> products;
  Shape stridesA = broadcastStrides(batchA, batch), stridesB = broadcastStrides(batchB, batch);
  stridedLoop<2>(batch, {stridesA, stridesB},
                 [&](int64_t output, const std::array<int64_t, 2> &offsets, int64_t count) {
                   int64_t stepA = stridesA.empty() ? 0 : stridesA.back();
                   int64_t stepB = stridesB.empty() ? 0 : stridesB.back();
                   for (int64_t i = 0; i < count; ++i) {
                     product.a = left.values<float>().data() + (offsets[0] + i * stepA) * m * k;
                     product.b = right.values<float>().data() + (offsets[1] + i * stepB) * k * n;
                     product.c = result.mutableValues<float>().data() + (output + i) * m * n;
                     products.push_back(product);
                   }
                 });
  // One product with a shared right side is one tall product.
  if (elementCount(batchB) == 1 && elementCount(batchA) > 1) {
    product = products.front();
    product.m = m * elementCount(batchA);
    products = {product};
  }
  multiplyAll(products);

  Shape shape = batch;
  if (!vectorA)
    shape.push_back(m);
  if (!vectorB)
    shape.push_back(n);
  return result.reshaped(shape);
}

Tensor linear(const Tensor &x, const Tensor &w, const Tensor &bias, bool weightIsNK) {
  Tensor result = matmul(x, w, weightIsNK);
  if (!bias.bytes() || bias.size() == 0)
    return result;
  int64_t n = result.dim(-1);
  std::span<const float> offsets = bias.values<float>();
  std::span<float> values = result.mutableValues<float>();
  for (size_t row = 0; row < values.size(); row += n)
    for (int64_t j = 0; j < n; ++j)
      values[row + j] += offsets[j];
  return result;
}

} // namespace sdopt
