//===- ByteAttention.h - attention by products of bytes ---------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_BYTEATTENTION_H
#define SDOPT_COMPILER_KERNELS_BYTEATTENTION_H

#include "compiler/kernels/AttentionProducts.h"

namespace sdopt {

/// IntegerKernels::attentionMaxima by products that there are for these formats. Zero points are in
/// the range of their formats and 1 <= headDim <= kMaxByteHeadDim.
void byteAttentionMaxima(const DotKernels &kernels, const AttentionProducts &products,
                         const AttentionTile &tile, Codes q, Codes k, const AttentionParams &params,
                         int64_t *rowMax);

/// IntegerKernels::attentionAccumulate, likewise.
void byteAttentionAccumulate(const DotKernels &kernels, const AttentionProducts &products,
                             const AttentionTile &tile, Codes q, Codes k, Codes v,
                             const AttentionParams &params, const int64_t *rowMax, int64_t *rowSum,
                             int64_t *acc);

/// IntegerKernels::attention, likewise.
void byteAttention(const DotKernels &kernels, const AttentionProducts &products,
                   const AttentionTile &tile, Codes q, Codes k, Codes v,
                   const AttentionParams &params, int64_t *rowMax, int64_t *rowSum, int64_t *acc);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BYTEATTENTION_H
