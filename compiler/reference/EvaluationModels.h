//===- EvaluationModels.h - how models are written --------------*- C++ -*-===//
//
// Inside compiler/reference only. A model is a struct with one static function:
//
//   struct SiluModel : Model<SiluModel, sd::SiluOp> {
//     static LogicalResult compute(sd::SiluOp op, Operands operands, Results &results,
//                                  const EvaluationContext &context);
//   };
//
// Operands have been checked against the operand types, results are checked by the Evaluator.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REFERENCE_EVALUATIONMODELS_H
#define SDOPT_COMPILER_REFERENCE_EVALUATIONMODELS_H

#include "compiler/kernels/FloatKernels.h"
#include "compiler/reference/Evaluator.h"

namespace sdopt {

using Operands = llvm::ArrayRef<Tensor>;
using Results = llvm::SmallVectorImpl<Tensor>;

template <typename Self, typename Op>
struct Model : sd::EvaluationInterface::ExternalModel<Self, Op> {
  using Operation = Op;
  mlir::LogicalResult evaluate(mlir::Operation *op, Operands operands, Results &results,
                               const EvaluationContext &context) const {
    return Self::compute(mlir::cast<Op>(op), operands, results, context);
  }
};

template <typename... Models> void attach(mlir::MLIRContext &context) {
  (Models::Operation::template attachInterface<Models>(context), ...);
}

/// One function per role, each in the file of that name.
void attachWeightModels(mlir::MLIRContext &context);
void attachPlainModels(mlir::MLIRContext &context);
void attachNamedModels(mlir::MLIRContext &context);
void attachConversionModels(mlir::MLIRContext &context);

inline mlir::LogicalResult give(Results &results, Tensor value) {
  results.push_back(std::move(value));
  return mlir::success();
}

inline Shape tensorShape(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType()).getShape().vec();
}

/// An axis in [-rank, rank) as one in [0, rank).
inline int64_t normalizedAxis(int64_t axis, int64_t rank) { return axis < 0 ? axis + rank : axis; }

inline PictureLayout pictureLayout(sd::Layout layout) {
  return layout == sd::Layout::nhwc ? PictureLayout::NHWC : PictureLayout::NCHW;
}

inline std::span<const int64_t> spanOf(llvm::ArrayRef<int64_t> values) {
  return {values.data(), values.size()};
}

/// True if any operand or result is quantized: the integer form applies.
bool hasQuantizedValues(mlir::Operation *op);

/// Weights as floats: codes times the scale of their index along axis 0; floats as they are.
Tensor dequantizedWeights(const Tensor &weights, const Tensor *scales);

/// Ids as I64 rows in [0, rows): one outside reads the nearest row.
Tensor clampedIds(const Tensor &ids, int64_t rows);

} // namespace sdopt

#endif // SDOPT_COMPILER_REFERENCE_EVALUATIONMODELS_H
