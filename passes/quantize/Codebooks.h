//===- Codebooks.h - shared weights that leave and come back ----*- C++ -*-===//
//
// Of each layer three tensors, by the name of its weights: weight = scale[o] * codebook[o][index].
//
//   NAME.codebook  I8 [outputs][2^bits]           the entries of the palette of an output channel
//   NAME.scale     F32 [outputs]
//   NAME.indices   U8, the shape of the weights   may be missing: nearest entries
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_PASSES_QUANTIZE_CODEBOOKS_H
#define SDOPT_PASSES_QUANTIZE_CODEBOOKS_H

#include "compiler/kernels/Tensor.h"
#include "dialects/sd/Sd.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <map>

namespace sdopt {

inline constexpr const char *kCodebookSuffix = ".codebook", *kScaleSuffix = ".scale",
                            *kIndicesSuffix = ".indices";

/// True of a layer whose codebook is among the resources.
bool hasImposedCodebook(mlir::Operation *layer);

/// exchangeName() of the layers of a float function by the names of their results: of those whose
/// weights no other layer reads, and which nothing scaled.
std::map<std::string, std::string> codebookNames(mlir::func::FuncOp function);

struct Codebooks {
  std::vector<std::pair<std::string, Tensor>> tensors = {};
  int64_t unnamed = 0; ///< layers with shared weights that have no name to come back by
};
/// The shared weights of a quantized function whose layers have these names.
mlir::FailureOr<Codebooks> codebooksOf(mlir::func::FuncOp function,
                                       const std::map<std::string, std::string> &names);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_CODEBOOKS_H
