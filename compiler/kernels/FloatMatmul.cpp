//===- FloatMatmul.cpp - float products in cache-sized pieces ---------------===//

#include "compiler/kernels/FloatMatmul.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/RecycledTensor.h"
#include "compiler/kernels/StridedLoop.h"

namespace sdopt {

namespace {

constexpr int64_t kDepthBlock = 1024;       // depths of all taps: one chain of additions
constexpr int64_t kGroupFloats = 128 << 10; // packed at a time by a thread: part of its L2 cache
constexpr int64_t kRangeRows = 768;
constexpr int64_t kFewestPieces = 8;

int64_t ceilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Piece {
  const FloatProduct *product;
  int64_t firstRow, rowCount, firstPanel, panelCount;
};

/// Depth of one tap that is packed at a time.
int64_t blockDepth(const FloatProduct &p) {
  return std::min(p.depth, std::max<int64_t>(16, kDepthBlock / p.taps / 16 * 16));
}

/// `count` things in `parts` parts that differ by one at most: the first of `part`.
int64_t firstOfPart(int64_t count, int64_t parts, int64_t part) {
  return count / parts * part + std::min(part, count % parts);
}

void cut(const FloatProduct &p, std::vector<Piece> &pieces) {
  int64_t panels = ceilDivide(p.n, kFloatLanes);
  int64_t panelFloats = std::max<int64_t>(1, p.taps * blockDepth(p) * kFloatLanes);
  int64_t groups = ceilDivide(panels, std::clamp<int64_t>(kGroupFloats / panelFloats, 1, panels));
  int64_t ranges = ceilDivide(p.m, kRangeRows);
  if (groups * ranges < kFewestPieces)
    ranges = std::max(ranges, std::min(ceilDivide(kFewestPieces, groups), p.m / 96));
  if (groups * ranges < kFewestPieces)
    groups = std::min(panels, ceilDivide(kFewestPieces, ranges));
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t range = 0; range < ranges; ++range) {
      int64_t row = firstOfPart(p.m, ranges, range), panel = firstOfPart(panels, groups, group);
      pieces.push_back({&p, row, firstOfPart(p.m, ranges, range + 1) - row, panel,
                        firstOfPart(panels, groups, group + 1) - panel});
    }
}

int64_t lanesOf(const FloatProduct &p, int64_t panel) {
  return std::min(kFloatLanes, p.n - panel * kFloatLanes);
}

// Depths [first, first + depth) of a piece's panels, one panel after another.
void pack(const Piece &piece, int64_t first, int64_t depth, float *packed) {
  const FloatProduct &p = *piece.product;
  int64_t column = piece.firstPanel * kFloatLanes;
  if (!p.columnsAreRows) {
    int64_t last = std::min(p.n, column + piece.panelCount * kFloatLanes);
    return packFloatColumns(p.columns + first * p.columnsStride + column, p.columnsStride,
                            last - column, depth, packed);
  }
  for (int64_t i = 0; i < piece.panelCount; ++i)
    packFloatRows(p.columns + (column + i * kFloatLanes) * p.columnsStride + first * p.taps,
                  p.columnsStride, lanesOf(p, piece.firstPanel + i), depth, p.taps,
                  packed + i * p.taps * depth * kFloatLanes);
}

void multiplyPiece(const Piece &piece, float *packed, std::vector<const float *> &pointers) {
  const FloatProduct &p = *piece.product;
  FloatTile tile{.taps = p.taps, .outStride = p.outStride};
  pointers.resize(p.taps * kFloatRows);
  tile.rows = pointers.data();
  int64_t tiles = ceilDivide(piece.rowCount, kFloatRows), block = blockDepth(p), first = 0;
  do {
    tile.offset = first;
    tile.depth = std::min(block, p.depth - first);
    tile.accumulate = first > 0;
    int64_t panelFloats = p.taps * tile.depth * kFloatLanes;
    pack(piece, first, tile.depth, packed);
    for (int64_t t = 0; t < tiles; ++t) {
      int64_t row = piece.firstRow + firstOfPart(piece.rowCount, tiles, t);
      tile.rowCount = piece.firstRow + firstOfPart(piece.rowCount, tiles, t + 1) - row;
      p.rows(row, tile.rowCount, pointers.data());
      for (int64_t i = 0; i < piece.panelCount; ++i) {
        int64_t column = (piece.firstPanel + i) * kFloatLanes;
        tile.panel = packed + i * panelFloats;
        tile.lanes = lanesOf(p, piece.firstPanel + i);
        tile.out = p.out + row * p.outStride + column;
        tile.bias = p.bias ? p.bias + column : nullptr;
        multiplyTile(tile);
      }
    }
    first += block;
  } while (first < p.depth);
}

int64_t packedFloats(const Piece &piece) {
  return piece.panelCount * piece.product->taps * blockDepth(*piece.product) * kFloatLanes;
}

} // namespace

std::function<void(int64_t, int64_t, const float **)> matrixRows(const float *base,
                                                                 int64_t stride) {
  return [base, stride](int64_t first, int64_t count, const float **pointers) {
    for (int64_t r = 0; r < count; ++r)
      pointers[r] = base + (first + r) * stride;
  };
}

void multiply(std::span<const FloatProduct> products) {
  std::vector<Piece> pieces;
  for (const FloatProduct &product : products)
    if (product.m > 0 && product.n > 0)
      cut(product, pieces);
  int64_t scratch = 0;
  for (const Piece &piece : pieces)
    scratch = std::max(scratch, packedFloats(piece));
  int threads = kernelThreads();
  std::vector<Tensor> packed(threads);
  for (Tensor &tensor : packed)
    tensor = recycledTensor(ElementType::F32, {scratch});
  parallelFor(static_cast<int64_t>(pieces.size()), [&](int64_t i, int thread) {
    thread_local std::vector<const float *> pointers;
    multiplyPiece(pieces[i], packed[thread].mutableValues<float>().data(), pointers);
  });
}

namespace {

Shape withoutLast(const Shape &shape, size_t count) {
  return Shape(shape.begin(), shape.end() - static_cast<int64_t>(count));
}

Tensor product(const Tensor &a, const Tensor &b, bool transposeB, const float *bias) {
  // Vectors are matrices of one row or one column, which the result drops again.
  bool vectorA = a.rank() == 1, vectorB = b.rank() == 1;
  Tensor left = vectorA ? a.reshaped({1, a.dim(0)}) : a;
  Tensor right = !vectorB ? b : b.reshaped(transposeB ? Shape{1, b.dim(0)} : Shape{b.dim(0), 1});
  int64_t m = left.dim(-2), k = left.dim(-1), n = right.dim(transposeB ? -2 : -1);
  Shape batchA = withoutLast(left.shape(), 2), batchB = withoutLast(right.shape(), 2);
  Shape batch = broadcastShape(batchA, batchB);
  Shape full = batch;
  full.insert(full.end(), {m, n});
  Tensor result = recycledTensor(ElementType::F32, full);
  FloatProduct p{
      .m = m, .n = n, .depth = k, .rows = {}, .columnsAreRows = transposeB, .bias = bias};
  p.columnsStride = transposeB ? k : n;
  p.outStride = n;
  const float *leftValues = left.values<float>().data();
  const float *rightValues = right.values<float>().data();
  float *values = result.mutableValues<float>().data();

  std::vector<FloatProduct> products;
  Shape stridesA = broadcastStrides(batchA, batch), stridesB = broadcastStrides(batchB, batch);
  if (elementCount(batchB) == 1) {
    // One right side for all: one tall product.
    p.m = m * elementCount(batchA);
    p.rows = matrixRows(leftValues, k);
    p.columns = rightValues;
    p.out = values;
    products.push_back(p);
  } else {
    stridedLoop<2>(batch, {stridesA, stridesB},
                   [&](int64_t output, const std::array<int64_t, 2> &offsets, int64_t count) {
                     for (int64_t i = 0; i < count; ++i) {
                       p.rows =
                           matrixRows(leftValues + (offsets[0] + i * stridesA.back()) * m * k, k);
                       p.columns = rightValues + (offsets[1] + i * stridesB.back()) * k * n;
                       p.out = values + (output + i) * m * n;
                       products.push_back(p);
                     }
                   });
  }
  multiply(products);

  Shape shape = batch;
  if (!vectorA)
    shape.push_back(m);
  if (!vectorB)
    shape.push_back(n);
  return result.reshaped(shape);
}

} // namespace

Tensor matmul(const Tensor &a, const Tensor &b, bool transposeB) {
  return product(a, b, transposeB, nullptr);
}

Tensor linear(const Tensor &x, const Tensor &w, const Tensor &bias, bool weightIsNK) {
  bool hasBias = bias.bytes() && bias.size() > 0;
  return product(x, w, weightIsNK, hasBias ? bias.values<float>().data() : nullptr);
}

} // namespace sdopt
