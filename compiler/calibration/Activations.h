//===- Activations.h - the values of a function that samples change -*- C++ -*-===//

#ifndef SDOPT_COMPILER_CALIBRATION_ACTIVATIONS_H
#define SDOPT_COMPILER_CALIBRATION_ACTIVATIONS_H

#include "compiler/reference/Evaluator.h"

namespace sdopt {

/// Calls visit(value) for arguments and results in program order, without constant expressions.
template <typename Visit> void forEachActivation(mlir::func::FuncOp function, Visit visit) {
  for (mlir::BlockArgument argument : function.getArguments())
    visit(argument);
  for (mlir::Operation &op : function.getBody().getOps())
    if (op.getNumResults() > 0 && !isConstantExpression(&op))
      for (mlir::Value result : op.getResults())
        visit(result);
}

inline bool isFloatTensor(mlir::Value value) {
  auto type = mlir::dyn_cast<mlir::RankedTensorType>(value.getType());
  return type && mlir::isa<mlir::FloatType>(type.getElementType());
}

/// True if channels, the last dimension, stay what they are.
inline bool keepsChannels(sd::ReshapeOp op) {
  auto before = mlir::cast<mlir::RankedTensorType>(op.getInput().getType());
  auto after = mlir::cast<mlir::RankedTensorType>(op.getType());
  return before.getRank() > 0 && after.getRank() > 0 &&
         before.getShape().back() == after.getShape().back();
}

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_ACTIVATIONS_H
