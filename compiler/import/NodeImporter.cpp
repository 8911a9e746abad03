//===- NodeImporter.cpp - one ONNX node on its way to sd ---------------------===//

#include "compiler/import/NodeImporter.h"

#include "absl/strings/str_cat.h"

#include <algorithm>

using namespace mlir;
using onnx::AttributeProto;

namespace sdopt {

NodeImporter::NodeImporter(const GraphNode &node, int opset, std::vector<Value> inputs,
                           ExpressionBuilder &builder, ConstantReader &constants,
                           const std::set<std::string> &used, QuantizedTensors &quantized)
    : node_(node), opset_(opset), inputs_(std::move(inputs)), outputs_(node.proto->output_size()),
      builder_(builder), constants_(constants), used_(used), quantized_(quantized) {}

void NodeImporter::unsupported(const std::string &reason) {
  builder_.fail(absl::UnimplementedError(reason));
}

void NodeImporter::invalid(const std::string &reason) {
  builder_.fail(absl::InvalidArgumentError(reason));
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

Tensor NodeImporter::constantInput(int i, const char *what) {
  if (!has(i)) {
    invalid(absl::StrCat("input ", i, " (", what, ") is missing"));
    return {};
  }
  if (!builder_.isConstant(inputs_[i])) {
    unsupported(absl::StrCat(what, " computed at run time"));
    return {};
  }
  return builder_.evaluate(inputs_[i]);
}

std::vector<int64_t> NodeImporter::integerInput(int i, const char *what) {
  Tensor value = constantInput(i, what);
  if (!ok())
    return {};
  if (value.type() == ElementType::F32) {
    invalid(absl::StrCat("input ", i, " (", what, ") must be integers"));
    return {};
  }
  Tensor wide = value.converted(ElementType::I64);
  return {wide.values<int64_t>().begin(), wide.values<int64_t>().end()};
}

bool NodeImporter::requireConstant(std::initializer_list<int> inputs, const char *what) {
  for (int i : inputs)
    if (has(i) && !builder_.isConstant(inputs_[i]))
      unsupported(absl::StrCat(what, " computed at run time"));
  return ok();
}

bool NodeImporter::requireElement(int i, bool fits) {
  if (has(i) && !fits)
    unsupported(absl::StrCat("elements of type ", elementText(element(i))));
  return ok();
}

bool NodeImporter::requireFloat(int i) {
  return requireElement(i, has(i) && isa<FloatType>(element(i)));
}

bool NodeImporter::requireNumber(int i) {
  return requireElement(i,
                        has(i) && (isa<FloatType>(element(i)) || element(i).isSignlessInteger(32) ||
                                   element(i).isSignlessInteger(64)));
}

bool NodeImporter::requireBool(int i) {
  return requireElement(i, has(i) && element(i).isInteger(1));
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

const AttributeProto *NodeImporter::attribute(const std::string &name,
                                              AttributeProto::AttributeType type) {
  for (const AttributeProto &attribute : node_.proto->attribute()) {
    if (attribute.name() != name)
      continue;
    if (attribute.type() == type)
      return &attribute;
    invalid(absl::StrCat("attribute '", name, "' must be of type ",
                         AttributeProto::AttributeType_Name(type)));
    return nullptr;
  }
  return nullptr;
}

bool NodeImporter::hasAttribute(const std::string &name) const {
  return std::any_of(node_.proto->attribute().begin(), node_.proto->attribute().end(),
                     [&](const AttributeProto &attribute) { return attribute.name() == name; });
}

int64_t NodeImporter::integer(const std::string &name, int64_t defaultValue) {
  const AttributeProto *found = attribute(name, AttributeProto::INT);
  return found ? found->i() : defaultValue;
}

double NodeImporter::real(const std::string &name, double defaultValue) {
  const AttributeProto *found = attribute(name, AttributeProto::FLOAT);
  return found ? static_cast<double>(found->f()) : defaultValue;
}

std::string NodeImporter::text(const std::string &name, const std::string &defaultValue) {
  const AttributeProto *found = attribute(name, AttributeProto::STRING);
  return found ? found->s() : defaultValue;
}

std::optional<std::vector<int64_t>> NodeImporter::integers(const std::string &name) {
  const AttributeProto *found = attribute(name, AttributeProto::INTS);
  if (!found)
    return std::nullopt;
  return std::vector<int64_t>(found->ints().begin(), found->ints().end());
}

std::vector<float> NodeImporter::reals(const std::string &name) {
  const AttributeProto *found = attribute(name, AttributeProto::FLOATS);
  return found ? std::vector<float>(found->floats().begin(), found->floats().end())
               : std::vector<float>();
}

Tensor NodeImporter::tensor(const std::string &name) {
  const AttributeProto *found = attribute(name, AttributeProto::TENSOR);
  if (!found)
    return {};
  absl::StatusOr<Tensor> value =
      constants_.read(found->t(), absl::StrCat("attribute '", name, "'"));
  if (!value.ok()) {
    builder_.fail(value.status());
    return {};
  }
  return *value;
}

std::optional<std::vector<int64_t>> NodeImporter::axes(int i, int64_t rank) {
  std::optional<std::vector<int64_t>> result = integers("axes");
  if (has(i))
    result = integerInput(i, "axes");
  if (!result || !ok())
    return std::nullopt;
  for (int64_t &axis : *result)
    axis = normalizedAxis(axis, rank);
  std::vector<int64_t> sorted = *result;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    invalid("an axis is given twice");
  if (!ok())
    return std::nullopt;
  return result;
}

int64_t NodeImporter::normalizedAxis(int64_t axis, int64_t rank, bool atEnd) {
  if (axis >= -rank && axis < rank + (atEnd ? 1 : 0))
    return axis < 0 ? axis + rank : axis;
  invalid(absl::StrCat("axis ", axis, " is outside a tensor of rank ", rank));
  return 0;
}

//===----------------------------------------------------------------------===//
// Outputs
//===----------------------------------------------------------------------===//

bool NodeImporter::isUsed(int i) const {
  return i < outputCount() && !node_.proto->output(i).empty() &&
         used_.count(node_.proto->output(i)) > 0;
}

void NodeImporter::define(int i, Value value) {
  if (!ok() || i >= outputCount())
    return;
  outputs_[i] = value;
  if (value)
    builder_.rename(value, node_.proto->output(i));
}

void NodeImporter::impose(Value value, const ImposedFormat &format) {
  if (!ok())
    return;
  auto [entry, added] = quantized_.imposed.tensors.try_emplace(sd::valueName(value), format);
  if (!added && entry->second != format)
    quantized_.imposed.codedTwice.insert(entry->first);
}

void NodeImporter::leaveCodes(Value value) {
  if (ok())
    quantized_.imposed.notKept.insert(sd::valueName(value));
}

void NodeImporter::defineCodes(const ImposedFormat &format) {
  if (ok())
    quantized_.codes[node_.proto->output(0)] = format;
}

const ImposedFormat *NodeImporter::codes() const {
  auto found = quantized_.codes.find(node_.proto->input(0));
  return found == quantized_.codes.end() ? nullptr : &found->second;
}

std::string elementText(Type element) {
  if (!element)
    return "nothing";
  if (isa<FloatType>(element))
    return "float";
  if (element.isInteger(1))
    return "bool";
  return absl::StrCat(element.isUnsignedInteger() ? "uint" : "int",
                      element.getIntOrFloatBitWidth());
}

} // namespace sdopt
