//===- AttentionAmx.h - attention by tiles ----------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_ATTENTIONAMX_H
#define SDOPT_COMPILER_KERNELS_ATTENTIONAMX_H

#include "compiler/kernels/DotPanels.h"

namespace sdopt {

/// IntegerKernels::attentionMaxima on a machine with tiles. Zero points are in the range of their
/// formats and 1 <= headDim <= kMaxByteHeadDim.
void amxAttentionMaxima(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                        const AttentionParams &params, int64_t *rowMax);

/// IntegerKernels::attentionAccumulate, likewise.
void amxAttentionAccumulate(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                            Codes v, const AttentionParams &params, const int64_t *rowMax,
                            int64_t *rowSum, int64_t *acc);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_ATTENTIONAMX_H
