//===- ModelBuilder.cpp - small ONNX models for tests ------------------------===//

#include "tests/import/ModelBuilder.h"

#include "gtest/gtest.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sdopt {

namespace {

onnx::AttributeProto &attribute(onnx::NodeProto &node, const std::string &name,
                                onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto &attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

} // namespace

ModelBuilder::ModelBuilder(int opset) {
  folder_ = testing::TempDir() + "/sdopt-import-XXXXXX";
  if (!mkdtemp(folder_.data()))
    ADD_FAILURE() << "no temporary folder";
  model.set_ir_version(8);
  model.add_opset_import()->set_version(opset);
  graph().set_name("test");
}

ModelBuilder::~ModelBuilder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void ModelBuilder::input(const std::string &name, const Shape &shape, int type) {
  onnx::ValueInfoProto &input = *graph().add_input();
  input.set_name(name);
  onnx::TypeProto::Tensor &tensor = *input.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (int64_t dim : shape) {
    auto &dimension = *tensor.mutable_shape()->add_dim();
    if (dim != -1)
      dimension.set_dim_value(dim);
  }
}

onnx::TensorShapeProto::Dimension &ModelBuilder::dimension(int input, int axis) {
  return *graph()
              .mutable_input(input)
              ->mutable_type()
              ->mutable_tensor_type()
              ->mutable_shape()
              ->mutable_dim(axis);
}

void ModelBuilder::output(const std::string &name) { graph().add_output()->set_name(name); }

onnx::NodeProto &ModelBuilder::node(const std::string &type, const std::vector<std::string> &inputs,
                                    const std::vector<std::string> &outputs,
                                    const std::string &name) {
  onnx::NodeProto &node = *graph().add_node();
  node.set_op_type(type);
  node.set_name(name);
  for (const std::string &input : inputs)
    node.add_input(input);
  for (const std::string &output : outputs)
    node.add_output(output);
  return node;
}

void ModelBuilder::setInteger(onnx::NodeProto &node, const std::string &name, int64_t value) {
  attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

void ModelBuilder::setText(onnx::NodeProto &node, const std::string &name,
                           const std::string &value) {
  attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}

void ModelBuilder::setIntegers(onnx::NodeProto &node, const std::string &name,
                               const std::vector<int64_t> &values) {
  onnx::AttributeProto &list = attribute(node, name, onnx::AttributeProto::INTS);
  for (int64_t value : values)
    list.add_ints(value);
}

onnx::TensorProto &ModelBuilder::weights(const std::string &name, const Shape &shape) {
  onnx::TensorProto &tensor = *graph().add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  for (int64_t dim : shape)
    tensor.add_dims(dim);
  std::vector<float> values(elementCount(shape));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i);
  tensor.set_raw_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

onnx::TensorProto &ModelBuilder::integers(const std::string &name,
                                          const std::vector<int64_t> &values) {
  onnx::TensorProto &tensor = *graph().add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::INT64);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (int64_t value : values)
    tensor.add_int64_data(value);
  return tensor;
}

onnx::TensorProto &ModelBuilder::external(const std::string &name, const Shape &shape,
                                          const std::string &location, const std::string &offset,
                                          const std::string &length) {
  onnx::TensorProto &tensor = *graph().add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  for (int64_t dim : shape)
    tensor.add_dims(dim);
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (auto [key, value] : {std::pair("location", location), std::pair("offset", offset),
                            std::pair("length", length)}) {
    onnx::StringStringEntryProto &entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  return tensor;
}

std::string ModelBuilder::write(int64_t bytes) const {
  std::string text = model.SerializeAsString();
  std::ofstream(path(), std::ios::binary) << text.substr(0, bytes < 0 ? text.size() : bytes);
  return path();
}

} // namespace sdopt
