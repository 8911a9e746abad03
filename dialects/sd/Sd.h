//===- Sd.h - the sd dialect ------------------------------------*- C++ -*-===//

#ifndef SDOPT_DIALECTS_SD_SD_H
#define SDOPT_DIALECTS_SD_SD_H

#include "dialects/sd/EvaluationContext.h"
#include "dialects/sd/Resources.h"
#include "dialects/sd/ValueNames.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Quant/IR/Quant.h"
#include "mlir/Dialect/Quant/IR/QuantTypes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace sdopt {

struct TapShifts;

namespace sd {

/// True if both lists hold ranked tensors of pairwise equal shapes.
bool haveSameShapes(mlir::TypeRange lhs, mlir::TypeRange rhs);

/// The shape two tensors broadcast to (NumPy), or failure.
mlir::FailureOr<llvm::SmallVector<int64_t>> broadcastShapes(llvm::ArrayRef<int64_t> lhs,
                                                            llvm::ArrayRef<int64_t> rhs);

/// Fraction bits of numbers in fixed point (32-bit codes of scale 2^-f without zero point), or
/// none.
std::optional<int32_t> fractionBits(mlir::Type tensorType);

} // namespace sd
} // namespace sdopt

#include "dialects/sd/SdDialect.h.inc"
#include "dialects/sd/SdEnums.h.inc"

#include "dialects/sd/EvaluationInterface.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/sd/SdAttrs.h.inc"

#define GET_OP_CLASSES
#include "dialects/sd/SdOps.h.inc"

namespace sdopt::sd {

/// Why a convolution of this window has no tap shifts, as the rest of a sentence about it; empty if
/// it can have them.
std::string tapProblem(llvm::ArrayRef<int64_t> window, llvm::ArrayRef<int64_t> strides,
                       llvm::ArrayRef<int64_t> dilations, int64_t groups);

/// What a concatenation multiplies the elements of part `index` by: 2^exponents[index].
double partFactor(ConcatOp concat, size_t index);

} // namespace sdopt::sd

#endif // SDOPT_DIALECTS_SD_SD_H
