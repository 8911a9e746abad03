//===- IntegerKernels.h - the arithmetic of the NPU, tile by tile -*- C++ -*-===//
//
// Every method works on packed channel-last tiles (rows x channels, channel innermost) and is
// exact, so that a result does not depend on how a tensor was cut. A whole tensor is one tile. Two
// implementations: fastKernels() and naiveKernels() (loops that mirror docs/spec.md, used by
// `--verify=spec` and as the oracle in tests). Tests derive from IntegerKernels to plant faults.
//
// Codes are I8 or I16; "code - zeroPoint" is the integer that takes part. Half-up rounding
// everywhere (FixedPoint.h).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_INTEGERKERNELS_H
#define SDOPT_COMPILER_KERNELS_INTEGERKERNELS_H

#include "compiler/kernels/FixedPoint.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sdopt {

/// A packed block of codes and how to read them.
struct Codes {
  const void *data = nullptr;
  CodeFormat format;
};

/// One tile of a 2-D convolution. A linear layer is the 1x1 case with inputWidth = outputWidth =
/// rows. Output pixel (oh, ow) reads input pixel (oh * strideH + kh * dilationH - padTop, ...) of
/// the tile; pixels outside the tile contribute zero (they are padding: their code is the zero
/// point).
struct ConvTile {
  int64_t inputHeight = 1, inputWidth = 1, inputChannels = 1;
  int64_t outputHeight = 1, outputWidth = 1, outputChannels = 1;
  int64_t kernelHeight = 1, kernelWidth = 1;
  int64_t strideH = 1, strideW = 1;
  int64_t dilationH = 1, dilationW = 1;
  int64_t padTop = 0, padLeft = 0;
};

/// Elements of an activation table for I16 input: 1,024 segments of 64 codes, 1,025 knots; for I8
/// input: 256. Entries are output codes without zero point, with 8 fraction bits.
inline constexpr int64_t kTableKnots16 = 1025;
inline constexpr int64_t kTableEntries8 = 256;

/// Sum of up to two scaled inputs: y = saturate(((a - za) * ma + (b - zb) * mb + 2^(s-1)) >> s).
struct CombineParams {
  PairScaling scaling;
  bool broadcastRows = false; ///< b has one row, used for every row of a
};

/// x is [rows, 2 * channels]: y = (x_left - z) * gelu(x_right), with gelu from a table whose
/// entries are in units of the *input* scale: g = table with 8 fraction bits (I16: (T[i]*(64-f) +
/// T[i+1]*f + 32) >> 6), y = saturate(scaled(left * g, scaling)).
struct GegluParams {
  Scaling scaling; ///< inputScale^2 / 2^8 / outputScale
};

/// A gain and an offset for each channel, from operands with one row for all rows of x (adaptive
/// norms, gates). With the integers s = scale - zero point and h = shift - zero point (0 without):
///
///   y = saturate(((x - zx) * (s * a + b) + h * d + 2^(t-1)) >> t)
///
/// with 0 <= a <= 2^28, 0 <= b <= 2^44, 0 <= d <= 2^44, 1 <= t <= 61: the sum fits 64 bits.
struct ModulateParams {
  int64_t scaleMultiplier = 0; ///< a: inputScale * scaleScale / outputScale * 2^t
  int64_t unit = 0;            ///< b: offset * inputScale / outputScale * 2^t
  int64_t shiftMultiplier = 0; ///< d: shiftScale / outputScale * 2^t
  int32_t shift = 1;           ///< t
  friend bool operator==(const ModulateParams &, const ModulateParams &) = default;
};
inline constexpr int64_t kLargestScaleMultiplier = int64_t(1) << 28;
inline constexpr int64_t kLargestModulation = int64_t(1) << 44; ///< of b and d
inline constexpr int32_t kLargestModulateShift = 61;

/// Normalization over groups of N = count codes, 1 <= N < 2^31. x is the stored code: its zero
/// point cancels. With S1 = sum x and S2 = sum x^2 over the group, all quantities integers:
///
///   V    = N*S2 - S1^2 + ((N*N*epsilon + 2^31) >> 32)     (128 bits)
///   mean = floor((S1 * 2^15 + N) / (2*N))                 (14 fraction bits, half up, 32 bits)
///   xc   = x * 2^14 - mean
///
/// The factor N / sqrt(V) = M * 2^-e has a 31-bit M and a relative error <= 2^-29:
///
///   r = floor(V / 4^j), with the j that brings r into [2^30, 2^32)   (j < 0: exact)
///   q = floor(sqrt(floor(2^94 / r)))                                 (in [2^31, 2^32])
///   M = floor(q * N / 2^h), with the h that brings M into [2^30, 2^31)
///   e = 47 + j - h
///
///   z = floor(xc * M / 2^k + 1/2), k = e - 10       (24 fraction bits; k <= 0 multiplies)
///   z clamped to [-2^38, 2^38 - 1]; V <= 0 (a constant group without epsilon) gives z = 0
///   y = saturate((z * gamma[c] + beta[c] + 2^(shift-1)) >> shift)
///
/// with |gamma| < 2^24, |beta| < 2^61, 1 <= shift <= 61. Not `centered` (root mean square alone):
/// S1 = 0, S2 = sum (x - zero point)^2, mean = zero point * 2^14.
struct NormParams {
  int64_t count = 0;    ///< N: elements of one group
  uint64_t epsilon = 0; ///< round(eps / inputScale^2 * 2^32)
  int32_t shift = 24;   ///< fraction bits of z * gamma
  bool centered = true; ///< subtract the mean
};

/// Sums of one group.
struct NormSums {
  int64_t sum = 0;
  int64_t squares = 0;
};

/// With acc = sum (q - zq)(k - zk), the exponent of a key in units of 2^-12 of a power of two is
///
///   t = clamp(scaled(rowMax - acc, exponent), 0, 17 * 4096) = 4096 a + 64 b + c
///   E = min(65535, (P[b] * Q[c] + 2^(43+a)) >> (44+a)), 0 for a >= 17
///   P[b] = round(2^30 * 2^(-b/64)), Q[c] = round(2^30 * 2^(-c/4096))
///
/// and with L = sum E, O = sum E * (v - zv), {m, s} = output:
///
///   y = saturate(floor(O * m / (L * 2^s) + 1/2)); a row that saw no key (L = 0) gives saturate(0)
struct AttentionParams {
  Scaling exponent;    ///< qScale * kScale * softmaxScale * log2(e) * 4096
  Scaling output;      ///< vScale / outputScale
  bool causal = false; ///< query i sees keys j <= i
  friend bool operator==(const AttentionParams &, const AttentionParams &) = default;
};

/// Which rows of the whole problem an attention tile holds (needed for the causal mask).
struct AttentionTile {
  int64_t queries = 0, keys = 0, headDim = 0;
  int64_t firstQuery = 0, firstKey = 0;
  int64_t queryStride = 0, keyStride = 0; ///< elements from one row to the next (>= headDim)
  friend bool operator==(const AttentionTile &, const AttentionTile &) = default;
};

/// Sinusoidal embedding of timesteps, integers or fixed point, by a sine table of 1,025 knots over
/// one turn. With F = fractionBits:
///
///   phase_i = uint32((t * step[i] + half) >> F), half = 2^(F-1), or 0 for F = 0
///   segment i = phase >> 22, position f = (phase >> 10) & 4095
///   sin(phase) = saturate((T[i] * (4096 - f) + T[i+1] * f + 2^19) >> 20)
///   cos(phase) = sin(phase + 2^30)
///
/// 12 bits of f: with the 6 of the activation tables the phase alone would cost 3 codes of I16.
struct TimeEmbeddingParams {
  int64_t halfDim = 0;
  bool cosFirst = true;     ///< diffusers flip_sin_to_cos
  int32_t fractionBits = 0; ///< of t, 0 ... 30
};

class IntegerKernels {
public:
  virtual ~IntegerKernels() = default;

  /// acc[outputHeight][outputWidth][outputChannels] += sum over (kh, kw, ci) of (x - zero point) *
  /// w. x: [inputHeight][inputWidth][inputChannels]; weights:
  /// [outputChannels][kh][kw][inputChannels].
  virtual void convAccumulate(const ConvTile &tile, Codes x, const int8_t *weights,
                              int64_t *acc) const = 0;

  /// y[r][c] = saturate(scaled(acc[r][c] + bias[c], {multiplier[c], shift[c]})).
  virtual void requantize(const int64_t *acc, int64_t rows, int64_t channels,
                          const ChannelParams *params, CodeFormat format, void *y) const = 0;

  /// b may be null (a plain change of scale). All tiles [rows][channels].
  virtual void combine(Codes a, Codes b, int64_t rows, int64_t channels,
                       const CombineParams &params, CodeFormat format, void *y) const = 0;

  /// Pointwise table: I8 input: y = saturate((T[x + 128] + 128) >> 8); I16: u = x + 32768, i = u >>
  /// 6, f = u & 63, y = saturate((T[i]*(64-f) + T[i+1]*f + 2^13) >> 14).
  virtual void table(Codes x, int64_t count, std::span<const int32_t> entries, CodeFormat format,
                     void *y) const = 0;

  /// x: [rows][2*channels], y: [rows][channels].
  virtual void geglu(Codes x, int64_t rows, int64_t channels, std::span<const int32_t> entries,
                     const GegluParams &params, CodeFormat format, void *y) const = 0;

  /// x: [rows][channels]; scale and shift: [channels], shift may be null.
  virtual void modulate(Codes x, Codes scale, Codes shift, int64_t rows, int64_t channels,
                        const ModulateParams &params, CodeFormat format, void *y) const = 0;

  /// Adds the tile's stored codes (no zero point) to sums[g], g = channel / channelsPerGroup. x:
  /// [rows][channels].
  virtual void normSums(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                        std::span<NormSums> sums) const = 0;

  virtual void normApply(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                         std::span<const NormSums> sums, const NormParams &params,
                         const NormChannel *channelParams, CodeFormat format, void *y) const = 0;

  /// rowMax[i] = max(rowMax[i], acc[i][j] over visible keys j). Start from INT64_MIN.
  virtual void attentionMaxima(const AttentionTile &tile, Codes q, Codes k,
                               const AttentionParams &params, int64_t *rowMax) const = 0;

  /// rowSum[i] += sum_j E, acc[i][d] += sum_j E * (v - zv); acc: [queries][headDim].
  virtual void attentionAccumulate(const AttentionTile &tile, Codes q, Codes k, Codes v,
                                   const AttentionParams &params, const int64_t *rowMax,
                                   int64_t *rowSum, int64_t *acc) const = 0;

  /// attentionMaxima, and attentionAccumulate with what it leaves in rowMax.
  virtual void attention(const AttentionTile &tile, Codes q, Codes k, Codes v,
                         const AttentionParams &params, int64_t *rowMax, int64_t *rowSum,
                         int64_t *acc) const {
    attentionMaxima(tile, q, k, params, rowMax);
    attentionAccumulate(tile, q, k, v, params, rowMax, rowSum, acc);
  }

  /// y rows are `outputStride` elements apart.
  virtual void attentionFinish(int64_t queries, int64_t headDim, const int64_t *rowSum,
                               const int64_t *acc, const AttentionParams &params, CodeFormat format,
                               int64_t outputStride, void *y) const = 0;

  /// steps: uint32 phase increments per unit of time [halfDim]; sine: kTableKnots16 entries; y:
  /// [2*halfDim].
  virtual void timeEmbedding(int32_t timestep, std::span<const uint32_t> steps,
                             std::span<const int32_t> sine, const TimeEmbeddingParams &params,
                             CodeFormat format, void *y) const = 0;

  /// Embedding rows: y[r][c] = saturate((token[r][c] * tokenMultiplier[r] + position[r][c] *
  /// positionMultiplier[r] + 2^(s-1)) >> s).
  virtual void embed(const int8_t *token, const int32_t *tokenMultiplier, const int8_t *position,
                     const int32_t *positionMultiplier, int32_t shift, int64_t rows,
                     int64_t channels, CodeFormat format, void *y) const = 0;
};

/// Vectorized, exact; safe to call from several threads.
const IntegerKernels &fastKernels();
/// Plain loops that mirror docs/spec.md.
const IntegerKernels &naiveKernels();

/// Functions that activation tables are made of. Evaluated with + - * / and sqrt on IEEE doubles
/// only.
enum class TableFunction : uint8_t { SiLU, GELU, QuickGELU, Sigmoid, GELUTanh };

/// Table for y = f(x): knots at the codes' real values, entries round(f / outputScale * 2^8).
/// I8 input: 256 entries; I16 input: 1,025 knots.
std::vector<int32_t> makeTable(TableFunction function, CodeFormat input, double inputScale,
                               double outputScale);

/// 1,025 knots of sin over one turn, round(sin / outputScale * 2^8).
std::vector<int32_t> makeSineTable(double outputScale);

/// Phase increments round(2^32 * maxPeriod^(-i / (halfDim - shift)) / (2 pi)) of the sinusoidal
/// time embedding.
std::vector<uint32_t> makeTimeSteps(int64_t halfDim, double frequencyShift, double maxPeriod);

/// The exponent tables P (64) and Q (64) of attention.
const std::array<int32_t, 64> &exponentTableHigh();
const std::array<int32_t, 64> &exponentTableLow();

/// Deterministic elementary functions (own polynomials, relative error <= 1e-14), the same bits on
/// every machine.
double deterministicExp(double x);
double deterministicErf(double x);
double deterministicSin(double x);
double deterministicLog2(double x);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_INTEGERKERNELS_H
