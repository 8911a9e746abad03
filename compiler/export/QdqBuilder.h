//===- QdqBuilder.h - values of a function as ONNX tensors ------*- C++ -*-===//
//
// Inside compiler/export only. An activation gets a float tensor as the IR lays it out, or, for
// pictures that the IR has as [b, h, w, c], one as ONNX has them, [b, c, h, w]; a Transpose makes
// the other one when somebody needs it. A quantized activation's float tensor is what
// DequantizeLinear gives.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_EXPORT_QDQBUILDER_H
#define SDOPT_COMPILER_EXPORT_QDQBUILDER_H

#include "compiler/export/OnnxGraph.h"
#include "compiler/reference/Evaluator.h"

#include "llvm/ADT/DenseMap.h"

namespace sdopt {

/// How a float tensor lies.
enum class Form : uint8_t {
  Plain,   ///< as in the IR
  Picture, ///< [b, c, h, w], where the IR has [b, h, w, c]
};

class QdqBuilder {
public:
  QdqBuilder(mlir::func::FuncOp function, const EvaluationContext &context);

  OnnxGraph &graph() { return graph_; }

  // Activations.

  /// The tensor of an activation.
  std::string tensor(mlir::Value value, Form form = Form::Plain);
  /// The form that is there; Picture if both are.
  Form formOf(mlir::Value value) const;
  /// Says what `value` is, as it was computed. If it is quantized, codes are made of it, and its
  /// tensor is what they stand for.
  void define(mlir::Value value, const std::string &computed, Form form = Form::Plain);
  /// The same for what already is a number that has a code.
  void defineMoved(mlir::Value value, const std::string &tensor, Form form = Form::Plain);
  /// A node whose only output is what `value` is computed as.
  void defineBy(mlir::Value value, const std::string &op, const std::vector<std::string> &inputs,
                Form form = Form::Plain);
  /// The name that `value` has in the source model, for what it is computed as.
  std::string nameOf(mlir::Value value);
  /// A tensor on the way to `value`.
  std::string partOf(mlir::Value value, const std::string &op,
                     const std::vector<std::string> &inputs, const std::string &suffix);
  /// Gives the function's result `index`.
  void defineResult(unsigned index, mlir::Value value);
  /// Codes that are known, as an activation.
  void defineKnownCodes(mlir::Value value, mlir::Value constant);

  // Constants.

  /// A constant expression, floats as float32.
  std::string constant(mlir::Value value);
  /// int8 weights [n, ...] with a scale for each n, dequantized; `transposed`: [k, n] of [n, k].
  std::string weights(mlir::Value codes, mlir::Value scales, bool transposed = false);
  /// Bias of a layer that reads `input`: int32 codes if that has 8-bit codes, else floats.
  std::string bias(mlir::Value bias, mlir::Value input, mlir::Value scales);
  std::string floats(const std::string &wanted, const std::vector<float> &values,
                     const Shape &shape);
  std::string scalar(const std::string &wanted, float value) { return floats(wanted, {value}, {}); }
  std::string integers(const std::string &wanted, const Shape &values);

private:
  struct Entry {
    std::string plain, picture;
    std::string codes; ///< of which one of them is made
    Form codesForm = Form::Plain;
    std::string scale, zeroPoint;
  };

  std::string dequantize(const Entry &entry, const std::string &wanted);
  void addFormat(mlir::Value value, const std::string &name, Entry &entry);
  OnnxGraph::Source evaluated(mlir::Value constant);
  mlir::func::FuncOp function_;
  EvaluationContext context_;
  std::shared_ptr<ConstantCache> cache_ = std::make_shared<ConstantCache>();
  OnnxGraph graph_;
  std::vector<std::string> results_;
  llvm::DenseMap<mlir::Value, Entry> entries_;
  llvm::DenseMap<mlir::Value, std::string> constants_;
  std::map<std::pair<void *, bool>, std::string> weights_;
};

/// Adds the nodes of one operation; an error is emitted on what ONNX cannot express.
mlir::LogicalResult exportOperation(mlir::Operation *op, QdqBuilder &builder);

/// Name of the initializer that a constant expression is made of: of codes and corrected biases,
/// that of the weights themselves.
std::string initializerName(mlir::Value constant);

inline Shape shapeOf(mlir::Value value) {
  return mlir::cast<mlir::RankedTensorType>(value.getType()).getShape().vec();
}

} // namespace sdopt

#endif // SDOPT_COMPILER_EXPORT_QDQBUILDER_H
