//===- OnnxGraph.h - an ONNX model under construction -----------*- C++ -*-===//
//
// Nodes and initializers in the order they are added. An initializer is described first (name,
// type, shape) and computed when the model is written, one at a time: large ones go to a data file
// beside the model, so that nothing of the model's size is ever in memory.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_EXPORT_ONNXGRAPH_H
#define SDOPT_COMPILER_EXPORT_ONNXGRAPH_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/files/AtomicFile.h"
#include "compiler/kernels/Tensor.h"

#include "onnx/onnx_pb.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace sdopt {

/// TensorProto.DataType of an element type.
int32_t onnxTypeOf(ElementType type);

class OnnxGraph {
public:
  /// Operators are those of `opset`; the graph and its folder are called `name`.
  OnnxGraph(const std::string &name, int64_t opset);

  /// Tells readers of the model what a tensor between nodes is.
  void addValueInfo(const std::string &name, int32_t type, const Shape &shape);

  /// A name that no tensor has yet: `wanted`, or `wanted` with a number behind it.
  std::string tensorName(const std::string &wanted);

  void addInput(const std::string &name, int32_t type, const Shape &shape);
  void addOutput(const std::string &name, int32_t type, const Shape &shape);

  /// A node; its name is that of its first output. Attributes are added to what is returned.
  onnx::NodeProto &add(const std::string &op, const std::vector<std::string> &inputs,
                       const std::vector<std::string> &outputs);
  /// A node with one output called like `wanted`, which is returned.
  std::string add(const std::string &op, const std::vector<std::string> &inputs,
                  const std::string &wanted);
  onnx::NodeProto &last() { return *model_.mutable_graph()->mutable_node()->rbegin(); }

  using Source = std::function<absl::StatusOr<Tensor>()>;
  /// A tensor called like `wanted`, computed by `source` when the model is written.
  std::string addInitializer(const std::string &wanted, ElementType type, const Shape &shape,
                             Source source);
  /// A tensor that is known and small.
  std::string addConstant(const std::string &wanted, const Tensor &value);

  /// Computes the initializers in order, writes large ones to `data` (called `dataName` in the
  /// model) and then the model itself. Errors of the sources are handed on; INTERNAL names an
  /// initializer that is not what was announced.
  absl::Status write(AtomicFile &model, AtomicFile &data, const std::string &dataName);

private:
  onnx::ModelProto model_;
  std::set<std::string> names_;
  std::vector<Source> sources_; ///< parallel to the initializers
};

void setAttribute(onnx::NodeProto &node, const std::string &name, int64_t value);
void setAttribute(onnx::NodeProto &node, const std::string &name, float value);
void setAttribute(onnx::NodeProto &node, const std::string &name, const std::string &value);
void setAttribute(onnx::NodeProto &node, const std::string &name, const Shape &values);

} // namespace sdopt

#endif // SDOPT_COMPILER_EXPORT_ONNXGRAPH_H
