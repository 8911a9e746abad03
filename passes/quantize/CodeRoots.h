//===- CodeRoots.h - whose codes a value carries ----------------*- C++ -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_CODEROOTS_H
#define SDOPT_PASSES_QUANTIZE_CODEROOTS_H

#include "mlir/IR/Value.h"

namespace sdopt {

/// True if the result has the code of operand 0.
bool keepsCode(mlir::Operation *op);
/// The value whose code `value` carries.
mlir::Value codeRoot(mlir::Value value);

} // namespace sdopt

#endif // SDOPT_PASSES_QUANTIZE_CODEROOTS_H
