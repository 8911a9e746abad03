//===- FloatAttention.cpp - blockwise float attention ------------------------===//
//
// Keys and values of each head are packed once; then threads share blocks of queries. Sums over
// keys are made in blocks of a fixed size.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/FloatMath.h"
#include "compiler/kernels/FloatPanels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/LaneSums.h"
#include "compiler/kernels/RecycledTensor.h"

namespace sdopt {

namespace {

constexpr int64_t kKeyBlock = 128;
constexpr int64_t kScoreFloats = 192 << 10; // of one block of queries: part of the L2 cache

int64_t panelsOf(int64_t columns) { return (columns + kFloatLanes - 1) / kFloatLanes; }

int64_t lanesOf(int64_t columns, int64_t panel) {
  return std::min(kFloatLanes, columns - panel * kFloatLanes);
}

struct Problem {
  const Tensor &q, &k, &v;
  int64_t heads, headDim;
  double scale;
  bool causal;
  Tensor &y;

  int64_t queries() const { return q.dim(1); }
  int64_t keys() const { return k.dim(1); }
  int64_t width() const { return heads * headDim; }
  // An odd number of lines: rows of a power of two would compete for the same places of a cache.
  int64_t scoreStride() const { return panelsOf(keys()) * kFloatLanes + 16; }
  int64_t keyFloats() const { return panelsOf(keys()) * kFloatLanes * headDim; }
  int64_t valueFloats() const { return panelsOf(headDim) * kFloatLanes * keys(); }
  int64_t blockRows() const {
    return std::clamp<int64_t>(kScoreFloats / scoreStride() / kFloatRows, 1, 8) * kFloatRows;
  }
  int64_t blocks() const { return (queries() + blockRows() - 1) / blockRows(); }
};

// Keys, times the scale, as columns of the first product and values as columns of the second.
void packHead(const Problem &p, int64_t picture, int64_t head, float *keyPanels,
              float *valuePanels) {
  int64_t first = picture * p.keys() * p.width() + head * p.headDim;
  const float *keys = p.k.values<float>().data() + first;
  const float *values = p.v.values<float>().data() + first;
  for (int64_t panel = 0; panel < panelsOf(p.keys()); ++panel)
    packFloatRows(keys + panel * kFloatLanes * p.width(), p.width(), lanesOf(p.keys(), panel),
                  p.headDim, 1, keyPanels + panel * kFloatLanes * p.headDim);
  float scale = static_cast<float>(p.scale);
  vectorLoop(p.keyFloats(), [=](int64_t i) SDOPT_INLINE { keyPanels[i] *= scale; });
  packFloatColumns(values, p.width(), p.headDim, p.keys(), valuePanels);
}

// Turns scores into e^(score - largest); those from `visible` on become 0. Returns their sum.
double exponentiate(float *row, int64_t visible, int64_t count) {
  float best = largestOf(row, visible);
  std::fill(row + visible, row + count, 0.0f);
  return sumOf(visible, [=](int64_t i) SDOPT_INLINE {
    row[i] = expOfNegative(row[i] - best);
    return row[i];
  });
}

// Calls body(first, count) for tiles of a block's rows.
template <typename Body> void forTiles(int64_t rows, Body body) {
  for (int64_t first = 0; first < rows; first += kFloatRows)
    body(first, std::min(kFloatRows, rows - first));
}

void attendBlock(const Problem &p, int64_t firstRow, int64_t head, int64_t firstQuery, int64_t rows,
                 const float *keyPanels, const float *valuePanels, float *scores) {
  int64_t stride = p.scoreStride(), column = head * p.headDim, width = p.width();
  const float *queries = p.q.values<float>().data() + firstRow * width + column;
  float *out = p.y.mutableValues<float>().data() + firstRow * width + column;
  const float *pointers[kFloatRows];
  FloatTile tile{.rows = pointers};
  auto pointAt = [&](const float *first, int64_t step, int64_t count) {
    for (int64_t r = 0; r < count; ++r)
      pointers[r] = first + r * step;
    tile.rowCount = count;
  };
  tile.depth = p.headDim;
  tile.outStride = stride;
  for (int64_t panel = 0; panel < panelsOf(p.keys()); ++panel)
    forTiles(rows, [&](int64_t first, int64_t count) {
      pointAt(queries + first * width, width, count);
      tile.lanes = lanesOf(p.keys(), panel);
      tile.panel = keyPanels + panel * kFloatLanes * p.headDim;
      tile.out = scores + first * stride + panel * kFloatLanes;
      multiplyTile(tile);
    });

  std::vector<float> inverses(rows);
  for (int64_t r = 0; r < rows; ++r) {
    int64_t visible = p.causal ? std::min(p.keys(), firstQuery + r + 1) : p.keys();
    inverses[r] = static_cast<float>(1.0 / exponentiate(scores + r * stride, visible, p.keys()));
  }

  tile.outStride = width;
  for (int64_t key = 0; key < p.keys(); key += kKeyBlock)
    for (int64_t panel = 0; panel < panelsOf(p.headDim); ++panel)
      forTiles(rows, [&](int64_t first, int64_t count) {
        pointAt(scores + first * stride + key, stride, count);
        tile.depth = std::min(kKeyBlock, p.keys() - key);
        tile.lanes = lanesOf(p.headDim, panel);
        tile.panel = valuePanels + (panel * p.keys() + key) * kFloatLanes;
        tile.out = out + first * width + panel * kFloatLanes;
        tile.accumulate = key > 0;
        multiplyTile(tile);
      });
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t d = 0; d < p.headDim; ++d)
      out[r * width + d] *= inverses[r];
}

} // namespace

Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v, int64_t heads, double scale,
                 bool causal) {
  if (q.size() == 0 || k.size() == 0)
    return Tensor(ElementType::F32, q.shape());
  Tensor y = recycledTensor(ElementType::F32, q.shape());
  Problem p{q, k, v, heads, q.dim(2) / heads, scale, causal, y};
  int64_t parts = q.dim(0) * heads, blocks = p.blocks(), rows = p.blockRows();
  Tensor keyPanels = recycledTensor(ElementType::F32, {parts, p.keyFloats()});
  Tensor valuePanels = recycledTensor(ElementType::F32, {parts, p.valueFloats()});
  float *packedKeys = keyPanels.mutableValues<float>().data();
  float *packedValues = valuePanels.mutableValues<float>().data();
  parallelFor(parts, [&](int64_t part, int /*thread*/) {
    packHead(p, part / heads, part % heads, packedKeys + part * p.keyFloats(),
             packedValues + part * p.valueFloats());
  });
  Tensor scores = recycledTensor(ElementType::F32, {kernelThreads(), rows * p.scoreStride()});
  float *allScores = scores.mutableValues<float>().data();
  parallelFor(parts * blocks, [&](int64_t item, int thread) {
    int64_t part = item / blocks, firstQuery = item % blocks * rows;
    attendBlock(p, part / heads * p.queries() + firstQuery, part % heads, firstQuery,
                std::min(rows, p.queries() - firstQuery), packedKeys + part * p.keyFloats(),
                packedValues + part * p.valueFloats(), allScores + thread * rows * p.scoreStride());
  });
  return y;
}

} // namespace sdopt
