//===- FastAttention.h - exact integer attention at speed -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_FASTATTENTION_H
#define SDOPT_COMPILER_KERNELS_FASTATTENTION_H

#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// IntegerKernels::attentionMaxima with one level's inner loops.
void fastAttentionMaxima(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                         const AttentionParams &params, int64_t *rowMax);

/// IntegerKernels::attentionAccumulate with one level's inner loops.
void fastAttentionAccumulate(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                             Codes v, const AttentionParams &params, const int64_t *rowMax,
                             int64_t *rowSum, int64_t *acc);

/// IntegerKernels::attention with one level's inner loops.
void fastAttention(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k, Codes v,
                   const AttentionParams &params, int64_t *rowMax, int64_t *rowSum, int64_t *acc);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FASTATTENTION_H
