//===- FloatKernels.h - float32 tensors, for import folding and calibration -*- C++ -*-===//
//
// Whole-tensor float kernels that use the calling thread and those set by setKernelThreads().
// Convolution, matrix product and attention each have a naive twin in namespace sdopt::naive, its
// oracle in tests. Results depend neither on the number of threads nor on the vector instructions
// of the machine: sums are cut by shape alone and made of the same fused multiply-adds everywhere.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_FLOATKERNELS_H
#define SDOPT_COMPILER_KERNELS_FLOATKERNELS_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// Geometry of a whole convolution, with padding on four sides and groups.
struct ConvShape {
  int64_t strideH = 1, strideW = 1, dilationH = 1, dilationW = 1;
  int64_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;
  int64_t groups = 1;
};

/// Memory layout of a picture's dimensions.
enum class PictureLayout : uint8_t { NCHW, NHWC };

/// x: NCHW or NHWC; w: [co, ci/groups, kh, kw]; bias [co] or empty Tensor (size 0, null bytes).
/// Result in x's layout.
Tensor conv2d(const Tensor &x, const Tensor &w, const Tensor &bias, const ConvShape &shape,
              PictureLayout layout);

/// Batched matrix product with NumPy broadcasting of the leading dimensions; transposeB: b is [...,
/// n, k].
Tensor matmul(const Tensor &a, const Tensor &b, bool transposeB = false);

/// x: [..., k], w: [n, k] or [k, n] (transposed = false), bias [n] or empty.
Tensor linear(const Tensor &x, const Tensor &w, const Tensor &bias, bool weightIsNK);

/// Group norm over channels/groups x space, per picture; gamma, beta [c].
Tensor groupNorm(const Tensor &x, const Tensor &gamma, const Tensor &beta, int64_t groups,
                 double epsilon, PictureLayout layout);

/// Layer norm over the last dimension. beta may be empty.
Tensor layerNorm(const Tensor &x, const Tensor &gamma, const Tensor &beta, double epsilon);

/// q: [b, tq, heads*d], k, v: [b, tk, heads*d]; softmax(scale * q k^T [+ causal mask]) v, blockwise
/// over queries: never a score matrix larger than one block of rows.
Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v, int64_t heads, double scale,
                 bool causal);

/// x / sqrt(mean(x^2) + epsilon) * gamma over the last dimension.
Tensor rmsNorm(const Tensor &x, const Tensor &gamma, double epsilon);
/// Softmax over `axis`.
Tensor softmax(const Tensor &x, int64_t axis);

enum class UnaryFunction : uint8_t {
  Neg,
  Abs,
  Sqrt,
  Exp,
  Log,
  Reciprocal,
  Erf,
  Sin,
  Cos,
  Tanh,
  Sigmoid,
  Relu,
  SiLU,
  GELU,
  GELUTanh,
  QuickGELU,
  Floor,
  Ceil,
  Round,
  Not
};
/// Element by element, F32 (Neg, Abs also integers, Not on Bool).
Tensor unary(UnaryFunction function, const Tensor &x);

/// x: [..., 2n]; the first half of the last dimension times GELU of the second: [..., n], F32.
Tensor geglu(const Tensor &x);

enum class BinaryFunction : uint8_t {
  Add,
  Sub,
  Mul,
  Div,
  Pow,
  Min,
  Max,
  Mod,
  Equal,
  Less,
  LessOrEqual,
  Greater,
  GreaterOrEqual,
  And,
  Or
};
/// NumPy broadcasting; comparisons give Bool; operands have one type (F32, F64, I32, I64; Bool for
/// And, Or, Equal). Integer Div truncates towards zero; division by zero of integers gives 0.
Tensor binary(BinaryFunction function, const Tensor &a, const Tensor &b);

// Layout and indexing, any element type.
Tensor where(const Tensor &condition, const Tensor &a, const Tensor &b);
Tensor transpose(const Tensor &x, std::span<const int64_t> permutation);
Tensor concat(std::span<const Tensor> parts, int64_t axis);
/// NumPy slice; starts/ends already clamped, steps may be negative; one entry for each axis of x.
Tensor slice(const Tensor &x, std::span<const int64_t> starts, std::span<const int64_t> ends,
             std::span<const int64_t> steps);
Tensor expand(const Tensor &x, const Shape &shape);
/// ONNX Gather; indices I32/I64, negative from the end, out of range clamps.
Tensor gather(const Tensor &x, const Tensor &indices, int64_t axis);
/// ONNX GatherND.
Tensor gatherNd(const Tensor &x, const Tensor &indices, int64_t batchDims);
/// Constant padding; before/after for each axis, negative crops.
Tensor pad(const Tensor &x, std::span<const int64_t> before, std::span<const int64_t> after,
           double value);
/// Nearest neighbour by integer factors, NCHW or NHWC.
Tensor upsampleNearest(const Tensor &x, int64_t factorH, int64_t factorW, PictureLayout layout);
Tensor argMax(const Tensor &x, int64_t axis, bool keepDims, bool selectLast);
enum class Reduction : uint8_t { Sum, Mean, Max, Min, Prod };
Tensor reduce(Reduction reduction, const Tensor &x, std::span<const int64_t> axes, bool keepDims);

/// Sinusoidal time embedding in float: [n, 2*halfDim] of timesteps [n] (any integer or float type).
Tensor timeEmbedding(const Tensor &timesteps, int64_t halfDim, bool cosFirst, double frequencyShift,
                     double maxPeriod);

/// Real values to codes and back: q = clamp(floor(x / scale + 0.5) + zeroPoint) computed in double;
/// x = scale * (q - zp).
Tensor quantizeCodes(const Tensor &x, double scale, CodeFormat format);
Tensor dequantizeCodes(const Tensor &codes, double scale, int32_t zeroPoint);

/// Threads that a kernel may use in this process (default 1).
void setKernelThreads(int threads);

namespace naive {
Tensor conv2d(const Tensor &x, const Tensor &w, const Tensor &bias, const ConvShape &shape,
              PictureLayout layout);
Tensor matmul(const Tensor &a, const Tensor &b, bool transposeB = false);
Tensor attention(const Tensor &q, const Tensor &k, const Tensor &v, int64_t heads, double scale,
                 bool causal);
} // namespace naive

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FLOATKERNELS_H
