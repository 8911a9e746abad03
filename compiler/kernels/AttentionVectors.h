//===- AttentionVectors.h - maxima and exponentials of scores ---*- C++ -*-===//
//
// What happens to the products of ByteAttention.cpp, a step of kKeyStep keys of sixteen queries at
// a time. Only for machines with AVX-512.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_ATTENTIONVECTORS_H
#define SDOPT_COMPILER_KERNELS_ATTENTIONVECTORS_H

#include "compiler/kernels/AttentionPanels.h"

namespace sdopt {

/// Products of bytes. Narrow: score = high + term of the key + term of the query. Wide: score =
/// 65536 * high + 256 * middle + low.
struct StepProducts {
  alignas(64) int32_t high[kByteGroup][kKeyStep];
  alignas(64) int32_t middle[kByteGroup][kKeyStep];
  alignas(64) int32_t low[kByteGroup][kKeyStep];
};

/// Wide: score = 65536 * high + low. Narrow: score = high + term of the query; no low.
struct StepScores {
  alignas(64) int32_t high[kByteGroup][kKeyStep];
  alignas(64) uint16_t low[kByteGroup][kKeyStep];
};

void wideScores(const StepProducts &products, StepScores &scores);
void narrowScores(const StepProducts &products, const int32_t *keyTerms, StepScores &scores);

/// Of the keys seen so far, by their number modulo 16: 65536 * high + low, or high alone.
class MaximumLanes {
public:
  MaximumLanes();
  /// `counts`: visible keys of each row in this step.
  void addWide(const StepScores &scores, const int64_t *counts);
  void addNarrow(const StepScores &scores, const int64_t *counts);
  /// False if a row has seen no key.
  bool wide(int64_t row, int64_t &maximum) const;
  bool narrow(int64_t row, int64_t &maximum) const;

private:
  alignas(64) int32_t high[kByteGroup][kByteLanes];
  alignas(64) int32_t low[kByteGroup][kByteLanes];
};

/// A block of exponentials E = 256 * high + low.
inline constexpr int64_t kKeyBlock = 256;
struct ExponentialDigits {
  alignas(64) uint8_t high[kByteGroup][kKeyBlock];
  alignas(64) uint8_t low[kByteGroup][kKeyBlock];
  alignas(64) int16_t whole[kByteGroup][kKeyBlock]; ///< E - 32768, where it is asked for
};

/// Distances from the maxima to E.
class Exponentials {
public:
  /// `areWhole`: digits have whole ones, too.
  Exponentials(const DotKernels &kernels, const AttentionParams &params, bool areWhole);

  struct Rows {
    const int64_t *maxima; ///< narrow: minus the term of the query
    const int64_t *counts; ///< visible keys in this step
    int64_t *sums;         ///< of E, added to
  };
  void wide(const StepScores &scores, const Rows &rows, int64_t column,
            ExponentialDigits &digits) const;
  void narrow(const StepScores &scores, const Rows &rows, int64_t column,
              ExponentialDigits &digits) const;

private:
  void exactRow(const int64_t *distances, int64_t row, const Rows &rows, int64_t column,
                ExponentialDigits &digits) const;

  const DotKernels &kernels;
  Scaling exponent;
  bool isRegular; ///< in the ranges of Scaling
  bool areWhole;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ATTENTIONVECTORS_H
