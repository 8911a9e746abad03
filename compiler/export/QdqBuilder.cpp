//===- QdqBuilder.cpp - values of a function as ONNX tensors -----------------===//

#include "compiler/export/QdqBuilder.h"

#include "absl/strings/str_cat.h"

using namespace mlir;

namespace sdopt {

namespace {

/// The first with int4 and int16 codes.
constexpr int64_t kOpset = 21;

} // namespace

QdqBuilder::QdqBuilder(func::FuncOp function, const EvaluationContext &context)
    : function_(function), context_(context), graph_(function.getName().str(), kOpset) {
  for (BlockArgument argument : function.getArguments()) {
    std::string name = sd::valueName(argument);
    graph_.addInput(name, onnxTypeOf(evaluatedType(argument.getType())), shapeOf(argument));
    entries_[argument].plain = name;
  }
  Operation *terminator = function.getBody().front().getTerminator();
  for (auto [i, operand] : llvm::enumerate(terminator->getOperands())) {
    auto name = function.getResultAttrOfType<StringAttr>(i, sd::SdDialect::kNameAttr);
    results_.push_back(name ? name.str() : absl::StrCat("result", i));
    graph_.addOutput(results_.back(), onnxTypeOf(evaluatedType(operand.getType())),
                     shapeOf(operand));
  }
}

Form QdqBuilder::formOf(Value value) const {
  auto found = entries_.find(value);
  bool picture = found != entries_.end() && !found->second.picture.empty();
  return picture ? Form::Picture : Form::Plain;
}

std::string QdqBuilder::tensor(Value value, Form form) {
  Entry &entry = entries_[value];
  std::string &wanted = form == Form::Plain ? entry.plain : entry.picture;
  if (wanted.empty()) {
    bool toPlain = form == Form::Plain;
    wanted = graph_.add("Transpose", {toPlain ? entry.picture : entry.plain},
                        sd::valueName(value) + (toPlain ? ".nhwc" : ".nchw"));
    setAttribute(graph_.last(), "perm", toPlain ? Shape{0, 2, 3, 1} : Shape{0, 3, 1, 2});
  }
  return wanted;
}

std::string QdqBuilder::nameOf(Value value) { return graph_.tensorName(sd::valueName(value)); }

std::string QdqBuilder::partOf(Value value, const std::string &op,
                               const std::vector<std::string> &inputs, const std::string &suffix) {
  return graph_.add(op, inputs, absl::StrCat(sd::valueName(value), ".", suffix));
}

std::string QdqBuilder::dequantize(const Entry &entry, const std::string &name) {
  graph_.add("DequantizeLinear", {entry.codes, entry.scale, entry.zeroPoint},
             std::vector<std::string>{name});
  return name;
}

void QdqBuilder::addFormat(Value value, const std::string &name, Entry &entry) {
  CodeFormat format = codeFormat(value.getType());
  entry.scale = scalar(name + ".scale", static_cast<float>(codeScale(value.getType())));
  Tensor zero = format.type == ElementType::I8
                    ? Tensor::scalar<uint8_t>(static_cast<uint8_t>(format.zeroPoint + 128))
                    : Tensor::scalar<int16_t>(static_cast<int16_t>(format.zeroPoint));
  entry.zeroPoint = graph_.addConstant(name + ".zero_point", zero);
}

void QdqBuilder::defineMoved(Value value, const std::string &tensor, Form form) {
  (form == Form::Plain ? entries_[value].plain : entries_[value].picture) = tensor;
}

void QdqBuilder::define(Value value, const std::string &computed, Form form) {
  if (!isQuantized(value.getType()))
    return defineMoved(value, computed, form);
  std::string name = sd::valueName(value);
  Entry &entry = entries_[value];
  addFormat(value, name, entry);
  entry.codesForm = form;
  entry.codes =
      graph_.add("QuantizeLinear", {computed, entry.scale, entry.zeroPoint}, name + ".codes");
  Shape shape = shapeOf(value);
  if (form == Form::Picture)
    shape = {shape[0], shape[3], shape[1], shape[2]};
  bool narrow = codeFormat(value.getType()).type == ElementType::I8;
  graph_.addValueInfo(entry.codes, onnxTypeOf(narrow ? ElementType::U8 : ElementType::I16), shape);
  defineMoved(value, dequantize(entry, graph_.tensorName(name + ".real")), form);
}

void QdqBuilder::defineKnownCodes(Value value, Value constant) {
  std::string name = sd::valueName(value);
  Entry &entry = entries_[value];
  addFormat(value, name, entry);
  entry.codes = graph_.addInitializer(name, evaluatedType(value.getType()), shapeOf(value),
                                      evaluated(constant));
  entry.plain = dequantize(entry, graph_.tensorName(name + ".real"));
}

void QdqBuilder::defineBy(Value value, const std::string &op,
                          const std::vector<std::string> &inputs, Form form) {
  std::string name = nameOf(value);
  graph_.add(op, inputs, std::vector<std::string>{name});
  define(value, name, form);
}

void QdqBuilder::defineResult(unsigned index, Value value) {
  const std::string &name = results_[index];
  Value source = value;
  if (auto op = value.getDefiningOp<sd::DequantizeOp>())
    source = op.getInput();
  if (Entry &entry = entries_[source]; !entry.codes.empty() && entry.codesForm == Form::Plain) {
    dequantize(entry, name);
    return;
  }
  graph_.add("Identity", {tensor(source)}, std::vector<std::string>{name});
}

} // namespace sdopt
