//===- AttentionProducts.h - what attention multiplies ----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_ATTENTIONPRODUCTS_H
#define SDOPT_COMPILER_KERNELS_ATTENTIONPRODUCTS_H

#include "compiler/kernels/AttentionVectors.h"

namespace sdopt {

/// Sums of E * v for sixteen dimensions; narrow values and whole codes have no middle.
struct ValueSums {
  alignas(64) int32_t high[kByteGroup][kByteLanes];
  alignas(64) int32_t middle[kByteGroup][kByteLanes];
  alignas(64) int32_t low[kByteGroup][kByteLanes];
};

/// Chunks of keys that lie one after the other in a panel; `low` are whole codes where the products
/// take those.
struct ValueChunks {
  const int8_t *high, *low;
  const int32_t *terms; ///< ValuePanels::terms()
  int64_t count;
};

/// One way to multiply; all give the same bits. Scores of `groups` panels of keys are set, sums of
/// values added to.
struct AttentionProducts {
  using Scores = void(const QueryRows &queries, const KeyPanels &keys, int64_t firstKey,
                      int64_t groups, StepProducts &scores);
  using Values = void(const ExponentialDigits &digits, const ValueChunks &values, ValueSums &sums);

  /// Around any number of calls of the others, in the same thread.
  void (*begin)();
  Scores *narrowScores, *wideScores;
  Values *narrowValues, *wideValues;
  void (*end)();
  WideForm wide;
};

/// Null where the machine has none.
const AttentionProducts *vnniAttentionProducts();
const AttentionProducts *amxAttentionProducts();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ATTENTIONPRODUCTS_H
