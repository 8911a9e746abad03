//===- Import.cpp - ONNX to sd -----------------------------------------------===//

#include "compiler/import/Import.h"

#include "compiler/files/Blake3.h"
#include "compiler/import/GraphStructure.h"
#include "compiler/import/InputShapes.h"
#include "compiler/import/NodeImporter.h"
#include "compiler/import/OperatorRules.h"
#include "compiler/import/UnsupportedParts.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/reference/Evaluator.h"

#include "absl/strings/str_cat.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"

#include <algorithm>
#include <future>

using namespace mlir;
using onnx::AttributeProto;

namespace sdopt {

namespace {

class GraphImporter {
public:
  GraphImporter(const OnnxFile &file, const ImportOptions &options, MLIRContext &context,
                WeightStore &weights)
      : file_(file), graph_(file.model.graph()), options_(options), context_(context),
        weights_(weights), constants_(file) {}

  absl::StatusOr<ImportedModel> run();

private:
  template <typename... Parts> absl::Status invalid(const Parts &...parts) const {
    return absl::InvalidArgumentError(absl::StrCat("'", file_.path, "': ", parts...));
  }

  void checkModel();
  void checkNode(const GraphNode &node);
  absl::Status checkInputCount(const GraphNode &node, const OperatorRule &rule) const;
  absl::Status defineInputs();
  absl::StatusOr<Value> find(const std::string &tensor);
  absl::Status importNode(const GraphNode &node);
  bool followCodes(const GraphNode &node);
  void defineOutputs(const GraphNode &node, const OperatorRule &rule, NodeImporter &importer);
  absl::Status importOutputs();
  absl::Status checkOutput(const onnx::ValueInfoProto &output, Value value) const;
  std::map<std::string, std::string> digests() const;

  const OnnxFile &file_;
  const onnx::GraphProto &graph_;
  const ImportOptions &options_;
  MLIRContext &context_;
  WeightStore &weights_;
  ConstantReader constants_;
  GraphStructure structure_;
  UnsupportedParts unsupported_;
  int opset_ = 0;
  OwningOpRef<ModuleOp> module_;
  func::FuncOp function_;
  std::optional<ExpressionBuilder> builder_;
  QuantizedTensors quantized_;
  std::map<std::string, const Initializer *> initializers_;
  /// By tensor name; null for what an unsupported node would have defined.
  std::map<std::string, Value> values_;
};

bool isOnnxDomain(const std::string &domain) { return domain.empty() || domain == "ai.onnx"; }

/// ONNX Runtime has QuantizeLinear and DequantizeLinear of its own, with 16-bit codes before ONNX
/// had them.
bool isKnownDomain(const onnx::NodeProto &node) {
  return isOnnxDomain(node.domain()) ||
         (node.domain() == "com.microsoft" &&
          (node.op_type() == "QuantizeLinear" || node.op_type() == "DequantizeLinear"));
}

/// Opset and parts of the model beside its nodes.
void GraphImporter::checkModel() {
  for (const onnx::OperatorSetIdProto &opset : file_.model.opset_import())
    if (isOnnxDomain(opset.domain()))
      opset_ = static_cast<int>(std::clamp<int64_t>(opset.version(), 0, 1 << 20));
  if (opset_ != 0 && (opset_ < kLowestOpset || opset_ > kHighestOpset))
    unsupported_.add("model", absl::StrCat("opset ", opset_), file_.name,
                     absl::StrCat("opset ", kLowestOpset, " to ", kHighestOpset));
  for (const onnx::FunctionProto &function : file_.model.functions())
    unsupported_.add("model", "functions", function.name(), "graphs with functions inlined");
  for (const onnx::SparseTensorProto &sparse : graph_.sparse_initializer())
    unsupported_.add("initializer", "sparse tensors", sparse.values().name(), "dense tensors");
}

/// Everything about a node that can be told without its inputs.
void GraphImporter::checkNode(const GraphNode &node) {
  const onnx::NodeProto &proto = *node.proto;
  if (!isKnownDomain(proto)) {
    unsupported_.add(proto.op_type(), absl::StrCat("operator of domain '", proto.domain(), "'"),
                     node.name, "operators of ONNX itself");
    return;
  }
  const OperatorRule *rule = findOperatorRule(proto.op_type());
  if (!rule) {
    unsupported_.add(proto.op_type(), std::string(kUnknownOperator), node.name);
    return;
  }
  std::string support(rule->support);
  if (opset_ != 0 && opset_ < rule->lowestOpset)
    unsupported_.add(proto.op_type(), absl::StrCat("opset ", opset_), node.name,
                     absl::StrCat("opset ", rule->lowestOpset, " to ", kHighestOpset));
  llvm::SmallVector<llvm::StringRef> known;
  llvm::StringRef(rule->attributes).split(known, ' ');
  for (const AttributeProto &attribute : proto.attribute()) {
    bool holdsGraph =
        attribute.type() == AttributeProto::GRAPH || attribute.type() == AttributeProto::GRAPHS;
    if (holdsGraph || !llvm::is_contained(known, attribute.name()))
      unsupported_.add(proto.op_type(),
                       absl::StrCat(holdsGraph ? "subgraph in attribute '" : "attribute '",
                                    attribute.name(), "'"),
                       node.name, support);
  }
}

absl::Status GraphImporter::checkInputCount(const GraphNode &node, const OperatorRule &rule) const {
  int count = node.proto->input_size();
  bool fits = count >= rule.fewestInputs && (rule.mostInputs < 0 || count <= rule.mostInputs);
  std::string missing;
  for (int i = 0; fits && i < rule.fewestInputs; ++i)
    if (node.proto->input(i).empty())
      missing = absl::StrCat("input ", i, " is missing");
  if (!fits)
    missing = absl::StrCat(
        "has ", count, " inputs but needs ", rule.mostInputs < 0 ? "at least " : "",
        rule.fewestInputs,
        rule.mostInputs > rule.fewestInputs ? absl::StrCat(" to ", rule.mostInputs) : "");
  if (missing.empty())
    return absl::OkStatus();
  return invalid("node '", node.name, "' (", node.proto->op_type(), "): ", missing);
}

absl::Status GraphImporter::defineInputs() {
  auto shapes = bindInputShapes(file_, options_);
  if (!shapes.ok())
    return shapes.status();
  SmallVector<Type> types;
  for (const auto &[input, shape] : *shapes) {
    int32_t dataType = input->type().tensor_type().elem_type();
    std::optional<ElementType> type = elementTypeOfOnnx(dataType);
    if (!input->type().has_tensor_type() || !type)
      unsupported_.add("input",
                       input->type().has_tensor_type()
                           ? absl::StrCat("elements of type ", nameOfOnnxType(dataType))
                           : "a sequence, map or optional",
                       input->name(), "tensors of floats, 8- to 64-bit integers, bool");
    types.push_back(
        RankedTensorType::get(shape, mlirElementType(&context_, type.value_or(ElementType::F32))));
  }
  OpBuilder builder(&context_);
  Location location = NameLoc::get(builder.getStringAttr(options_.name));
  module_ = ModuleOp::create(location, options_.name);
  builder.setInsertionPointToEnd(module_->getBody());
  function_ =
      func::FuncOp::create(builder, location, options_.name, builder.getFunctionType(types, {}));
  Block *body = function_.addEntryBlock();
  builder.setInsertionPointToEnd(body);
  builder_.emplace(builder, options_.name);
  for (const auto &[i, entry] : llvm::enumerate(*shapes)) {
    const std::string &name = entry.first->name();
    function_.setArgAttr(i, sd::SdDialect::kNameAttr, builder.getStringAttr(name));
    body->getArgument(i).setLoc(NameLoc::get(builder.getStringAttr(name)));
    bool known = elementTypeOfOnnx(entry.first->type().tensor_type().elem_type()).has_value();
    values_[name] = known ? Value(body->getArgument(i)) : Value();
  }
  return absl::OkStatus();
}

/// The value of a tensor; initializers are read at their first use.
absl::StatusOr<Value> GraphImporter::find(const std::string &tensor) {
  if (auto found = values_.find(tensor); found != values_.end())
    return found->second;
  absl::StatusOr<ConstantData> data = constants_.read(*initializers_.at(tensor));
  Value value;
  if (data.ok()) {
    builder_->startNode(tensor, {});
    value = builder_->constant(*data, /*isInitializer=*/true);
    builder_->rename(value, tensor);
  } else if (absl::IsUnimplemented(data.status())) {
    unsupported_.add("initializer", std::string(data.status().message()), tensor,
                     "floats, 8- to 64-bit integers, bool");
  } else {
    return data.status();
  }
  values_[tensor] = value;
  return value;
}

/// Keeps track of codes: what moves them gives the same codes, DequantizeLinear ends them. False if
/// the node computes with them, which is then unsupported.
bool GraphImporter::followCodes(const GraphNode &node) {
  constexpr std::string_view kMoves[] = {"Flatten", "Identity", "Reshape",   "Slice",
                                         "Split",   "Squeeze",  "Transpose", "Unsqueeze"};
  const onnx::NodeProto &proto = *node.proto;
  auto isCodes = [&](const std::string &tensor) { return quantized_.codes.count(tensor) > 0; };
  if (std::none_of(proto.input().begin(), proto.input().end(), isCodes) ||
      proto.op_type() == "DequantizeLinear")
    return true;
  if (llvm::is_contained(kMoves, std::string_view(proto.op_type())) && isCodes(proto.input(0))) {
    for (const std::string &output : proto.output())
      quantized_.codes[output] = quantized_.codes.at(proto.input(0));
    return true;
  }
  unsupported_.add(proto.op_type(), "codes of QuantizeLinear", node.name,
                   "DequantizeLinear before it");
  return false;
}

absl::Status GraphImporter::importNode(const GraphNode &node) {
  const onnx::NodeProto &proto = *node.proto;
  const OperatorRule *rule = isKnownDomain(proto) ? findOperatorRule(proto.op_type()) : nullptr;
  bool skipped = !followCodes(node) || !rule;
  if (rule)
    if (absl::Status status = checkInputCount(node, *rule); !status.ok())
      return status;
  std::vector<Value> inputs;
  for (const std::string &input : proto.input()) {
    if (input.empty()) {
      inputs.emplace_back();
      continue;
    }
    absl::StatusOr<Value> value = find(input);
    if (!value.ok())
      return value.status();
    skipped |= !*value;
    inputs.push_back(*value);
  }
  if (skipped) {
    for (const std::string &output : proto.output())
      values_[output] = Value();
    return absl::OkStatus();
  }
  std::string first = proto.output_size() > 0 ? proto.output(0) : node.name;
  builder_->startNode(first.empty() ? node.name : first, {node.name});
  NodeImporter importer(node, opset_, std::move(inputs), *builder_, constants_, structure_.used,
                        quantized_);
  rule->convert(importer);
  for (int i = 0; i < importer.outputCount(); ++i)
    if (importer.ok() && importer.isUsed(i) && !importer.outputs()[i])
      importer.unsupported(absl::StrCat("output ", i));
  defineOutputs(node, *rule, importer);
  absl::Status status = builder_->status();
  builder_->clearError();
  if (status.ok() || absl::IsUnimplemented(status))
    return absl::OkStatus();
  return absl::Status(status.code(), absl::StrCat("'", file_.path, "': node '", node.name, "' (",
                                                  proto.op_type(), "): ", status.message()));
}

void GraphImporter::defineOutputs(const GraphNode &node, const OperatorRule &rule,
                                  NodeImporter &importer) {
  const absl::Status &status = builder_->status();
  if (absl::IsUnimplemented(status))
    unsupported_.add(importer.type(), std::string(status.message()), node.name,
                     std::string(rule.support));
  for (int i = 0; i < importer.outputCount(); ++i)
    if (!node.proto->output(i).empty())
      values_[node.proto->output(i)] = status.ok() ? importer.outputs()[i] : Value();
}

/// A declared static shape must be the one found.
absl::Status GraphImporter::checkOutput(const onnx::ValueInfoProto &output, Value value) const {
  if (!output.type().tensor_type().has_shape())
    return absl::OkStatus();
  const onnx::TensorShapeProto &declared = output.type().tensor_type().shape();
  Shape shape = shapeOfValue(value);
  bool fits = declared.dim_size() == static_cast<int>(shape.size());
  std::string text;
  for (int i = 0; i < declared.dim_size(); ++i) {
    const auto &dim = declared.dim(i);
    absl::StrAppend(&text, i == 0 ? "" : "x",
                    dim.has_dim_value() ? absl::StrCat(dim.dim_value()) : "?");
    fits = fits && (!dim.has_dim_value() || dim.dim_value() == shape[i]);
  }
  if (fits)
    return absl::OkStatus();
  return invalid("output '", output.name(), "' is declared as ", text.empty() ? "scalar" : text,
                 " but has shape ", toString(shape));
}

absl::Status GraphImporter::importOutputs() {
  SmallVector<Value> values;
  SmallVector<Type> types;
  for (const onnx::ValueInfoProto &output : graph_.output()) {
    absl::StatusOr<Value> value = find(output.name());
    if (!value.ok())
      return value.status();
    if (quantized_.codes.count(output.name()) > 0)
      unsupported_.add("output", "codes of QuantizeLinear", output.name(), "real numbers");
    if (!*value)
      continue; // an unsupported node defines it
    if (absl::Status status = checkOutput(output, *value); !status.ok())
      return status;
    values.push_back(*value);
    types.push_back(value->getType());
  }
  if (!unsupported_.empty())
    return unsupported_.status(file_.path);
  OpBuilder &builder = builder_->builder();
  func::ReturnOp::create(builder, function_.getLoc(), values);
  function_.setFunctionType(builder.getFunctionType(function_.getArgumentTypes(), types));
  for (int i = 0; i < graph_.output_size(); ++i)
    function_.setResultAttr(i, sd::SdDialect::kNameAttr,
                            builder.getStringAttr(graph_.output(i).name()));
  return absl::OkStatus();
}

std::string digestOf(const MappedFile &file) {
  constexpr size_t kBlock = size_t(8) << 20;
  Blake3 digest;
  std::span<const std::byte> bytes = file.bytes();
  for (size_t offset = 0; offset < bytes.size(); offset += kBlock) {
    size_t size = std::min(kBlock, bytes.size() - offset);
    digest.update(bytes.subspan(offset, size));
    file.release(static_cast<int64_t>(offset), static_cast<int64_t>(size));
  }
  return digest.hex();
}

std::map<std::string, std::string> GraphImporter::digests() const {
  std::map<std::string, std::string> result{{file_.name, digestOf(*file_.mapping)}};
  for (const auto &[name, file] : constants_.externalFiles())
    result[name] = digestOf(*file);
  return result;
}

absl::StatusOr<ImportedModel> GraphImporter::run() {
  absl::StatusOr<GraphStructure> structure = graphStructure(file_);
  if (!structure.ok())
    return structure.status();
  structure_ = *structure;
  checkModel();
  for (const Initializer &initializer : file_.initializers)
    initializers_.emplace(initializer.header.name(), &initializer);
  for (const GraphNode &node : structure_.nodes)
    checkNode(node);
  if (opset_ == 0 && unsupported_.empty())
    return invalid("the model names no opset of ONNX's own operators");
  if (absl::Status status = defineInputs(); !status.ok())
    return unsupported_.empty() ? status : unsupported_.status(file_.path);
  for (const GraphNode &node : structure_.nodes)
    if (absl::Status status = importNode(node); !status.ok())
      return unsupported_.empty() ? status : unsupported_.status(file_.path);
  if (absl::Status status = importOutputs(); !status.ok())
    return status;
  quantized_.imposed.origin = file_.path;
  // Digests of files are taken while those of their tensors are.
  auto files = std::async(kernelThreads() > 1 ? std::launch::async : std::launch::deferred,
                          [this] { return digests(); });
  absl::StatusOr<WeightTotals> totals = builder_->finish(function_, weights_);
  if (!totals.ok())
    return totals.status();
  if (failed(verify(*module_)))
    return absl::InternalError(
        absl::StrCat("'", file_.path, "': the imported module is not valid"));
  return ImportedModel{.module = std::move(module_),
                       .parameters = totals->parameters,
                       .fp32Bytes = 4 * totals->parameters,
                       .digests = files.get(),
                       .imposed = std::move(quantized_.imposed),
                       .dimensionNames = dimensionNames(file_)};
}

} // namespace

absl::StatusOr<ImportedModel> importOnnx(const std::string &path, const ImportOptions &options,
                                         MLIRContext &context, WeightStore &weights) {
  DialectRegistry registry;
  registry.insert<sd::SdDialect, func::FuncDialect>();
  registerEvaluationModels(registry);
  context.appendDialectRegistry(registry);
  context.loadDialect<sd::SdDialect, func::FuncDialect>();
  absl::StatusOr<OnnxFile> file = readOnnxFile(path);
  if (!file.ok())
    return file.status();
  return GraphImporter(*file, options, context, weights).run();
}

absl::StatusOr<std::vector<std::string>> layerNamesOfFile(const std::string &path,
                                                          const std::string &module) {
  absl::StatusOr<OnnxFile> file = readOnnxFile(path);
  if (!file.ok())
    return file.status();
  std::vector<std::string> names;
  for (const onnx::NodeProto &node : file->model.graph().node()) {
    names.push_back(node.name());
    names.insert(names.end(), node.output().begin(), node.output().end());
  }
  for (const Initializer &initializer : file->initializers)
    names.push_back(absl::StrCat(module, "/", initializer.header.name()));
  return names;
}

} // namespace sdopt
