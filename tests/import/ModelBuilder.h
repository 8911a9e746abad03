//===- ModelBuilder.h - small ONNX models for tests -------------*- C++ -*-===//

#ifndef SDOPT_TESTS_IMPORT_MODELBUILDER_H
#define SDOPT_TESTS_IMPORT_MODELBUILDER_H

#include "compiler/kernels/Tensor.h"

#include "onnx/onnx_pb.h"

#include <string>
#include <vector>

namespace sdopt {

/// Builds a model step by step; files go to a folder of their own that is removed at the end.
class ModelBuilder {
public:
  explicit ModelBuilder(int opset = 17);
  ~ModelBuilder();

  onnx::ModelProto model;
  onnx::GraphProto &graph() { return *model.mutable_graph(); }

  /// A dimension of -1 is symbolic without a name.
  void input(const std::string &name, const Shape &shape, int type = onnx::TensorProto::FLOAT);
  onnx::TensorShapeProto::Dimension &dimension(int input, int axis);
  void output(const std::string &name);
  onnx::NodeProto &node(const std::string &type, const std::vector<std::string> &inputs,
                        const std::vector<std::string> &outputs, const std::string &name = "");
  static void setInteger(onnx::NodeProto &node, const std::string &name, int64_t value);
  static void setText(onnx::NodeProto &node, const std::string &name, const std::string &value);
  static void setIntegers(onnx::NodeProto &node, const std::string &name,
                          const std::vector<int64_t> &values);
  /// Floats counting 0, 1, 2, ... as raw data.
  onnx::TensorProto &weights(const std::string &name, const Shape &shape);
  onnx::TensorProto &integers(const std::string &name, const std::vector<int64_t> &values);
  onnx::TensorProto &external(const std::string &name, const Shape &shape,
                              const std::string &location, const std::string &offset,
                              const std::string &length);

  std::string folder() const { return folder_; }
  std::string path() const { return folder_ + "/model.onnx"; }
  /// Writes the model, cut to `bytes` if given.
  std::string write(int64_t bytes = -1) const;

private:
  std::string folder_;
};

} // namespace sdopt

#endif // SDOPT_TESTS_IMPORT_MODELBUILDER_H
