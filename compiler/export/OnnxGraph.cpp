//===- OnnxGraph.cpp - an ONNX model under construction -----------------------===//

#include "compiler/export/OnnxGraph.h"

#include "absl/strings/str_cat.h"

namespace sdopt {

namespace {

/// What is smaller stays in the model file.
constexpr int64_t kLeastExternalBytes = 1024;
/// Of tensors in the data file: a page, so that they can be mapped.
constexpr int64_t kDataAlignment = 4096;
/// The IR version that came with opset 21.
constexpr int64_t kIrVersion = 10;

void setShape(onnx::ValueInfoProto &info, const std::string &name, int32_t type,
              const Shape &shape) {
  info.set_name(name);
  onnx::TypeProto::Tensor &tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (int64_t dim : shape)
    tensor.mutable_shape()->add_dim()->set_dim_value(dim);
}

void addEntry(onnx::TensorProto &tensor, const std::string &key, const std::string &value) {
  onnx::StringStringEntryProto &entry = *tensor.add_external_data();
  entry.set_key(key);
  entry.set_value(value);
}

onnx::AttributeProto &attribute(onnx::NodeProto &node, const std::string &name,
                                onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto &attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

} // namespace

int32_t onnxTypeOf(ElementType type) {
  switch (type) {
  case ElementType::F32:
    return onnx::TensorProto::FLOAT;
  case ElementType::F16:
    return onnx::TensorProto::FLOAT16;
  case ElementType::BF16:
    return onnx::TensorProto::BFLOAT16;
  case ElementType::F64:
    return onnx::TensorProto::DOUBLE;
  case ElementType::I8:
    return onnx::TensorProto::INT8;
  case ElementType::U8:
    return onnx::TensorProto::UINT8;
  case ElementType::I16:
    return onnx::TensorProto::INT16;
  case ElementType::U16:
    return onnx::TensorProto::UINT16;
  case ElementType::I32:
    return onnx::TensorProto::INT32;
  case ElementType::I64:
    return onnx::TensorProto::INT64;
  case ElementType::Bool:
    return onnx::TensorProto::BOOL;
  }
  return onnx::TensorProto::UNDEFINED;
}

OnnxGraph::OnnxGraph(const std::string &name, int64_t opset) {
  model_.set_ir_version(kIrVersion);
  model_.set_producer_name("sdopt");
  model_.set_producer_version(SDOPT_VERSION);
  onnx::OperatorSetIdProto &domain = *model_.add_opset_import();
  domain.set_domain("");
  domain.set_version(opset);
  model_.mutable_graph()->set_name(name);
}

std::string OnnxGraph::tensorName(const std::string &wanted) {
  std::string name = wanted;
  for (int i = 2; name.empty() || !names_.insert(name).second; ++i)
    name = absl::StrCat(wanted, "~", i);
  return name;
}

void OnnxGraph::addInput(const std::string &name, int32_t type, const Shape &shape) {
  names_.insert(name);
  setShape(*model_.mutable_graph()->add_input(), name, type, shape);
}

void OnnxGraph::addOutput(const std::string &name, int32_t type, const Shape &shape) {
  names_.insert(name);
  setShape(*model_.mutable_graph()->add_output(), name, type, shape);
}

void OnnxGraph::addValueInfo(const std::string &name, int32_t type, const Shape &shape) {
  setShape(*model_.mutable_graph()->add_value_info(), name, type, shape);
}

onnx::NodeProto &OnnxGraph::add(const std::string &op, const std::vector<std::string> &inputs,
                                const std::vector<std::string> &outputs) {
  onnx::NodeProto &node = *model_.mutable_graph()->add_node();
  node.set_op_type(op);
  node.set_name(outputs.front());
  for (const std::string &input : inputs)
    node.add_input(input);
  for (const std::string &output : outputs)
    node.add_output(output);
  return node;
}

std::string OnnxGraph::add(const std::string &op, const std::vector<std::string> &inputs,
                           const std::string &wanted) {
  std::string name = tensorName(wanted);
  add(op, inputs, std::vector<std::string>{name});
  return name;
}

std::string OnnxGraph::addInitializer(const std::string &wanted, ElementType type,
                                      const Shape &shape, Source source) {
  onnx::TensorProto &tensor = *model_.mutable_graph()->add_initializer();
  tensor.set_name(tensorName(wanted));
  tensor.set_data_type(onnxTypeOf(type));
  for (int64_t dim : shape)
    tensor.add_dims(dim);
  sources_.push_back(std::move(source));
  return tensor.name();
}

std::string OnnxGraph::addConstant(const std::string &wanted, const Tensor &value) {
  return addInitializer(wanted, value.type(), value.shape(),
                        [value]() -> absl::StatusOr<Tensor> { return value; });
}

absl::Status OnnxGraph::write(AtomicFile &model, AtomicFile &data, const std::string &dataName) {
  static const std::string kZeros(kDataAlignment, '\0');
  for (size_t i = 0; i < sources_.size(); ++i) {
    onnx::TensorProto &tensor = *model_.mutable_graph()->mutable_initializer(static_cast<int>(i));
    absl::StatusOr<Tensor> value = sources_[i]();
    if (!value.ok())
      return value.status();
    if (onnxTypeOf(value->type()) != tensor.data_type() ||
        !std::equal(value->shape().begin(), value->shape().end(), tensor.dims().begin(),
                    tensor.dims().end()))
      return absl::InternalError(absl::StrCat("initializer '", tensor.name(), "' is ",
                                              toString(value->shape()), " of ", name(value->type()),
                                              ", not what was announced"));
    std::span<const std::byte> bytes(value->bytes(), value->byteSize());
    if (value->byteSize() < kLeastExternalBytes) {
      tensor.set_raw_data(reinterpret_cast<const char *>(bytes.data()), bytes.size());
      continue;
    }
    int64_t padding = (kDataAlignment - data.size() % kDataAlignment) % kDataAlignment;
    if (absl::Status status = data.write(std::string_view(kZeros).substr(0, padding)); !status.ok())
      return status;
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    addEntry(tensor, "location", dataName);
    addEntry(tensor, "offset", absl::StrCat(data.size()));
    addEntry(tensor, "length", absl::StrCat(value->byteSize()));
    if (absl::Status status = data.write(bytes); !status.ok())
      return status;
  }
  return model.write(model_.SerializeAsString());
}

void setAttribute(onnx::NodeProto &node, const std::string &name, int64_t value) {
  attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

void setAttribute(onnx::NodeProto &node, const std::string &name, float value) {
  attribute(node, name, onnx::AttributeProto::FLOAT).set_f(value);
}

void setAttribute(onnx::NodeProto &node, const std::string &name, const std::string &value) {
  attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}

void setAttribute(onnx::NodeProto &node, const std::string &name, const Shape &values) {
  onnx::AttributeProto &list = attribute(node, name, onnx::AttributeProto::INTS);
  for (int64_t value : values)
    list.add_ints(value);
}

} // namespace sdopt
