//===- FaultyKernels.h - fast kernels with a planted fault ------*- C++ -*-===//

#ifndef SDOPT_TESTS_PIPELINE_FAULTYKERNELS_H
#define SDOPT_TESTS_PIPELINE_FAULTYKERNELS_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt::test {

/// fastKernels() in all that a fault does not override.
class FastKernels : public IntegerKernels {
public:
  void convAccumulate(const ConvTile &tile, Codes x, const int8_t *weights,
                      int64_t *acc) const override {
    fastKernels().convAccumulate(tile, x, weights, acc);
  }
  void requantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                  CodeFormat format, void *y) const override {
    fastKernels().requantize(acc, rows, channels, params, format, y);
  }
  void combine(Codes a, Codes b, int64_t rows, int64_t channels, const CombineParams &params,
               CodeFormat format, void *y) const override {
    fastKernels().combine(a, b, rows, channels, params, format, y);
  }
  void table(Codes x, int64_t count, std::span<const int32_t> entries, CodeFormat format,
             void *y) const override {
    fastKernels().table(x, count, entries, format, y);
  }
  void geglu(Codes x, int64_t rows, int64_t channels, std::span<const int32_t> entries,
             const GegluParams &params, CodeFormat format, void *y) const override {
    fastKernels().geglu(x, rows, channels, entries, params, format, y);
  }
  void modulate(Codes x, Codes scale, Codes shift, int64_t rows, int64_t channels,
                const ModulateParams &params, CodeFormat format, void *y) const override {
    fastKernels().modulate(x, scale, shift, rows, channels, params, format, y);
  }
  void normSums(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                std::span<NormSums> sums) const override {
    fastKernels().normSums(x, rows, channels, channelsPerGroup, sums);
  }
  void normApply(Codes x, int64_t rows, int64_t channels, int64_t channelsPerGroup,
                 std::span<const NormSums> sums, const NormParams &params,
                 const NormChannel *channelParams, CodeFormat format, void *y) const override {
    fastKernels().normApply(x, rows, channels, channelsPerGroup, sums, params, channelParams,
                            format, y);
  }
  void attentionMaxima(const AttentionTile &tile, Codes q, Codes k, const AttentionParams &params,
                       int64_t *rowMax) const override {
    fastKernels().attentionMaxima(tile, q, k, params, rowMax);
  }
  void attentionAccumulate(const AttentionTile &tile, Codes q, Codes k, Codes v,
                           const AttentionParams &params, const int64_t *rowMax, int64_t *rowSum,
                           int64_t *acc) const override {
    fastKernels().attentionAccumulate(tile, q, k, v, params, rowMax, rowSum, acc);
  }
  void attentionFinish(int64_t queries, int64_t headDim, const int64_t *rowSum, const int64_t *acc,
                       const AttentionParams &params, CodeFormat format, int64_t outputStride,
                       void *y) const override {
    fastKernels().attentionFinish(queries, headDim, rowSum, acc, params, format, outputStride, y);
  }
  void timeEmbedding(int32_t timestep, std::span<const uint32_t> steps,
                     std::span<const int32_t> sine, const TimeEmbeddingParams &params,
                     CodeFormat format, void *y) const override {
    fastKernels().timeEmbedding(timestep, steps, sine, params, format, y);
  }
  void embed(const int8_t *token, const int32_t *tokenMultiplier, const int8_t *position,
             const int32_t *positionMultiplier, int32_t shift, int64_t rows, int64_t channels,
             CodeFormat format, void *y) const override {
    fastKernels().embed(token, tokenMultiplier, position, positionMultiplier, shift, rows, channels,
                        format, y);
  }
};

/// Off by one in the last element of each tile, as a vector loop's remainder may be.
class WrongLastElement : public FastKernels {
public:
  void table(Codes x, int64_t count, std::span<const int32_t> entries, CodeFormat format,
             void *y) const override {
    fastKernels().table(x, count, entries, format, y);
    if (format.type == ElementType::I16)
      static_cast<int16_t *>(y)[count - 1] ^= 1;
  }
};

/// Sums of 16-bit codes stop one code short of the ends of the range.
class WrongLowestCode : public FastKernels {
public:
  void combine(Codes a, Codes b, int64_t rows, int64_t channels, const CombineParams &params,
               CodeFormat format, void *y) const override {
    fastKernels().combine(a, b, rows, channels, params, format, y);
    if (format.type != ElementType::I16)
      return;
    auto *codes = static_cast<int16_t *>(y);
    for (int64_t i = 0; i < rows * channels; ++i)
      if (codes[i] == format.min())
        codes[i] += 1;
  }
};

} // namespace sdopt::test

#endif // SDOPT_TESTS_PIPELINE_FAULTYKERNELS_H
