//===- CollectFormats.cpp - the code formats of a quantized module ------------===//

#include "compiler/export/CollectFormats.h"

#include "compiler/export/QdqBuilder.h"
#include "dialects/sd/FormatNames.h"

using namespace mlir;

namespace sdopt {

namespace {

/// The value whose code another one carries in another shape.
Value codeSource(Value value) {
  Operation *op = value.getDefiningOp();
  while (op &&
         isa<sd::ReshapeOp, sd::TransposeOp, sd::UpsampleOp, sd::PoolTokenOp, sd::SliceOp>(op)) {
    value = op->getOperand(0);
    op = value.getDefiningOp();
  }
  return value;
}

class Collector {
public:
  explicit Collector(const EvaluationContext &context) : context_(context) {}

  absl::Status add(Operation &op) {
    if (isTerm(op)) // which the recipe makes again
      return absl::OkStatus();
    for (Value result : op.getResults())
      addActivation(result);
    if (auto conv = dyn_cast<sd::Conv2dOp>(op))
      return addWeights(conv.getWeights(), conv.getWeightScales());
    if (auto linear = dyn_cast<sd::LinearOp>(op))
      return addWeights(linear.getWeights(), linear.getWeightScales());
    if (auto embedding = dyn_cast<sd::EmbeddingOp>(op)) {
      absl::Status status = addWeights(embedding.getTokens(), embedding.getTokenScales());
      return status.ok() ? addWeights(embedding.getPositions(), embedding.getPositionScales())
                         : status;
    }
    return absl::OkStatus();
  }

  CollectedFormats take() { return std::move(collected_); }

private:
  /// Of a layer with 16-bit weights.
  static bool isTerm(Operation &op) {
    if (!isa<sd::Conv2dOp, sd::LinearOp>(op))
      return false;
    const std::string value = sd::valueName(op.getResult(0));
    llvm::StringRef name = value;
    return name.ends_with(kCoarseSuffix) || name.ends_with(kFineSuffix);
  }

  void addActivation(Value value) {
    Operation *op = value.getDefiningOp();
    if (!isQuantized(value.getType()) || isConstantExpression(op) || codeSource(value) != value)
      return;
    CodeFormat format = codeFormat(value.getType());
    if (format.type == ElementType::I32)
      return; // timesteps
    auto requantize = dyn_cast<sd::RequantizeOp>(op);
    Value source = requantize ? codeSource(requantize.getInput()) : value;
    std::string name = sd::valueName(source);
    if (Operation *producer = source.getDefiningOp();
        producer && producer->hasAttr(kSmoothedAttribute))
      name += kSmoothSuffix;
    if (requantize)
      name += kNarrowSuffix;
    collected_.formats.tensors[name] = {.bits = format.type == ElementType::I8 ? 8 : 16,
                                        .scales = {codeScale(value.getType())},
                                        .zeroPoints = {format.zeroPoint}};
  }

  absl::Status addWeights(Value codes, Value scales) {
    // Codes of fewer bits have more than one scale for a channel: the recipe makes them again.
    if (!scales || codes.getDefiningOp<sd::DecodeWeightOp>())
      return absl::OkStatus();
    FailureOr<Tensor> values = evaluateConstant(scales, context_);
    if (failed(values))
      return absl::InvalidArgumentError("");
    std::string name = initializerName(codes);
    std::span<const float> numbers = values->values<float>();
    collected_.formats.tensors[name] = {.bits = 8,
                                        .scales = {numbers.begin(), numbers.end()},
                                        .zeroPoints = std::vector<int64_t>(numbers.size()),
                                        .axis = areTransposed(codes) ? 1 : 0};
    collected_.weights.insert(name);
    return absl::OkStatus();
  }

  EvaluationContext context_;
  CollectedFormats collected_;
};

} // namespace

absl::StatusOr<CollectedFormats> collectFormats(func::FuncOp function,
                                                const EvaluationContext &context) {
  Collector collector(context);
  for (Operation &op : function.getBody().front())
    if (absl::Status status = collector.add(op); !status.ok())
      return status;
  return collector.take();
}

} // namespace sdopt
