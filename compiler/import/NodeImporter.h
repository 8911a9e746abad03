//===- NodeImporter.h - one ONNX node on its way to sd ----------*- C++ -*-===//
//
// What a converter sees: inputs as values, attributes with defaults, outputs to define. Errors
// stick (ExpressionBuilder.h): after one, getters return empty values; a converter that indexes
// into what it got asks ok() first.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_IMPORT_NODEIMPORTER_H
#define SDOPT_COMPILER_IMPORT_NODEIMPORTER_H

#include "compiler/encodings/ImposedFormats.h"
#include "compiler/import/ExpressionBuilder.h"
#include "compiler/import/GraphStructure.h"

#include <optional>

namespace sdopt {

/// What QuantizeLinear and DequantizeLinear say.
struct QuantizedTensors {
  ImposedFormats imposed;
  /// Tensors that are codes in the model. Their values here are the real numbers.
  std::map<std::string, ImposedFormat> codes;
};

class NodeImporter {
public:
  /// `inputs`: null where an optional one is absent. `used`: tensors somebody reads.
  NodeImporter(const GraphNode &node, int opset, std::vector<mlir::Value> inputs,
               ExpressionBuilder &builder, ConstantReader &constants,
               const std::set<std::string> &used, QuantizedTensors &quantized);

  const std::string &type() const { return node_.proto->op_type(); }
  int opset() const { return opset_; }
  ExpressionBuilder &build() { return builder_; }

  bool ok() const { return builder_.ok(); }
  /// The model is right but sdopt cannot do it; `reason` says what is there: "3-d input".
  void unsupported(const std::string &reason);
  /// The model is wrong.
  void invalid(const std::string &reason);

  int inputCount() const { return static_cast<int>(inputs_.size()); }
  bool has(int i) const { return i >= 0 && i < inputCount() && inputs_[i]; }
  mlir::Value input(int i) const { return has(i) ? inputs_[i] : mlir::Value(); }
  Shape shape(int i) const { return has(i) ? shapeOfValue(inputs_[i]) : Shape(); }
  int64_t rank(int i) const { return static_cast<int64_t>(shape(i).size()); }
  mlir::Type element(int i) const { return has(i) ? elementOfValue(inputs_[i]) : mlir::Type(); }

  /// The value of an input that must be constant; `what` names it: "pads".
  Tensor constantInput(int i, const char *what);
  /// The same as integers, flattened.
  std::vector<int64_t> integerInput(int i, const char *what);
  /// True if all of these inputs (those present) are constant; else unsupported.
  bool requireConstant(std::initializer_list<int> inputs, const char *what);

  /// True if the input is a float (float, int32, int64); else unsupported.
  bool requireFloat(int i);
  bool requireNumber(int i);
  bool requireBool(int i);

  bool hasAttribute(const std::string &name) const;
  int64_t integer(const std::string &name, int64_t defaultValue);
  double real(const std::string &name, double defaultValue);
  std::string text(const std::string &name, const std::string &defaultValue);
  std::optional<std::vector<int64_t>> integers(const std::string &name);
  std::vector<float> reals(const std::string &name);
  /// A tensor attribute; INVALID_ARGUMENT in the node if it is broken.
  Tensor tensor(const std::string &name);

  /// Axes from the attribute "axes" or from input i, each in [0, rank); nothing if neither is
  /// there.
  std::optional<std::vector<int64_t>> axes(int i, int64_t rank);
  /// `axis` in [-rank, rank) (rank itself too if `atEnd`) as one in [0, rank]; else invalid and 0.
  int64_t normalizedAxis(int64_t axis, int64_t rank, bool atEnd = false);

  /// Keeps the codes that a value has; of codes that contradict each other the first ones.
  void impose(mlir::Value value, const ImposedFormat &format);
  /// A constant whose codes this compiler does not have: its real numbers are all that is kept.
  void leaveCodes(mlir::Value value);
  /// Says what codes output 0 is.
  void defineCodes(const ImposedFormat &format);
  /// What codes input 0 is; null if it is none that QuantizeLinear gave.
  const ImposedFormat *codes() const;

  int outputCount() const { return node_.proto->output_size(); }
  /// True if output i is listed and somebody reads it.
  bool isUsed(int i) const;
  void define(int i, mlir::Value value);
  /// Null where nothing was defined.
  const std::vector<mlir::Value> &outputs() const { return outputs_; }

private:
  const onnx::AttributeProto *attribute(const std::string &name,
                                        onnx::AttributeProto::AttributeType type);
  bool requireElement(int i, bool fits);

  const GraphNode &node_;
  int opset_;
  std::vector<mlir::Value> inputs_;
  std::vector<mlir::Value> outputs_;
  ExpressionBuilder &builder_;
  ConstantReader &constants_;
  const std::set<std::string> &used_;
  QuantizedTensors &quantized_;
};

/// "float", "int64", "bool" for people.
std::string elementText(mlir::Type element);

} // namespace sdopt

#endif // SDOPT_COMPILER_IMPORT_NODEIMPORTER_H
