//===- EvaluateNamed.cpp - the operators that normalization makes ------------===//

#include "compiler/reference/EvaluateQuantized.h"
#include "compiler/reference/EvaluationModels.h"

#include <cstring>

using namespace mlir;

namespace sdopt {

Tensor dequantizedWeights(const Tensor &weights, const Tensor *scales) {
  if (!scales)
    return weights;
  Tensor result(ElementType::F32, weights.shape());
  std::span<float> values = result.mutableValues<float>();
  std::span<const int8_t> codes = weights.values<int8_t>();
  std::span<const float> scale = scales->values<float>();
  size_t channelSize = scale.empty() ? 0 : codes.size() / scale.size();
  for (size_t i = 0; i < codes.size(); ++i)
    values[i] = scale[i / channelSize] * static_cast<float>(codes[i]);
  return result;
}

Tensor clampedIds(const Tensor &ids, int64_t rows) {
  Tensor wide = ids.converted(ElementType::I64);
  Tensor result(ElementType::I64, ids.shape());
  std::span<int64_t> clamped = result.mutableValues<int64_t>();
  for (size_t i = 0; i < clamped.size(); ++i)
    clamped[i] = std::clamp<int64_t>(wide.values<int64_t>()[i], 0, rows - 1);
  return result;
}

namespace {

/// A model that refuses empty tensors: a mean over nothing has no value.
template <typename Self, typename Op> struct NamedModel : Model<Self, Op> {
  LogicalResult evaluate(Operation *op, Operands operands, Results &results,
                         const EvaluationContext &context) const {
    for (auto [i, operand] : llvm::enumerate(operands))
      if (operand.size() == 0)
        return op->emitOpError() << "operand " << i << " of shape " << toString(operand.shape())
                                 << " is empty";
    return Self::compute(cast<Op>(op), operands, results, context);
  }
};

/// The tensor of an optional operand, or null.
const Tensor *optional(Operands operands, Operation *op, Value value) {
  if (!value)
    return nullptr;
  for (auto [operand, tensor] : llvm::zip(op->getOperands(), operands))
    if (operand == value)
      return &tensor;
  return nullptr;
}

Tensor orEmpty(const Tensor *tensor) { return tensor ? *tensor : Tensor(); }

ConvShape convShape(sd::Conv2dOp op) {
  return {.strideH = op.getStrides()[0],
          .strideW = op.getStrides()[1],
          .dilationH = op.getDilations()[0],
          .dilationW = op.getDilations()[1],
          .padTop = op.getPadding()[0],
          .padLeft = op.getPadding()[1],
          .padBottom = op.getPadding()[2],
          .padRight = op.getPadding()[3],
          .groups = static_cast<int64_t>(op.getGroups())};
}

struct Conv2dModel : NamedModel<Conv2dModel, sd::Conv2dOp> {
  static LogicalResult compute(sd::Conv2dOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    Tensor weights = dequantizedWeights(operands[1], optional(operands, op, op.getWeightScales()));
    Tensor bias = orEmpty(optional(operands, op, op.getBias()));
    PictureLayout layout = pictureLayout(op.getLayout());
    return give(results, context.naiveFloat
                             ? naive::conv2d(operands[0], weights, bias, convShape(op), layout)
                             : conv2d(operands[0], weights, bias, convShape(op), layout));
  }
};

Tensor naiveLinear(const Tensor &x, const Tensor &weights, const Tensor &bias) {
  Shape shape = x.shape();
  int64_t inputs = shape.back();
  shape.back() = weights.dim(0);
  Tensor rows = x.reshaped({inputs ? x.size() / inputs : 0, inputs});
  Tensor product = naive::matmul(rows, weights, /*transposeB=*/true).reshaped(shape);
  return bias.bytes() ? binary(BinaryFunction::Add, product, bias) : product;
}

struct LinearModel : NamedModel<LinearModel, sd::LinearOp> {
  static LogicalResult compute(sd::LinearOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    Tensor weights = dequantizedWeights(operands[1], optional(operands, op, op.getWeightScales()));
    Tensor bias = orEmpty(optional(operands, op, op.getBias()));
    return give(results, context.naiveFloat
                             ? naiveLinear(operands[0], weights, bias)
                             : linear(operands[0], weights, bias, /*weightIsNK=*/true));
  }
};

struct GroupNormModel : NamedModel<GroupNormModel, sd::GroupNormOp> {
  static LogicalResult compute(sd::GroupNormOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    return give(results,
                groupNorm(operands[0], operands[1], operands[2], op.getGroups(),
                          op.getEpsilon().convertToDouble(), pictureLayout(op.getLayout())));
  }
};

struct LayerNormModel : NamedModel<LayerNormModel, sd::LayerNormOp> {
  static LogicalResult compute(sd::LayerNormOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    Tensor beta = operands.size() > 2 ? operands[2] : Tensor();
    return give(results,
                layerNorm(operands[0], operands[1], beta, op.getEpsilon().convertToDouble()));
  }
};

struct AttentionModel : NamedModel<AttentionModel, sd::AttentionOp> {
  static LogicalResult compute(sd::AttentionOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    auto function = context.naiveFloat ? naive::attention : attention;
    return give(results, function(operands[0], operands[1], operands[2], op.getHeads(),
                                  op.getScale().convertToDouble(), op.getCausal()));
  }
};

template <typename Op, UnaryFunction Float, TableFunction Integer>
struct ActivationModel : NamedModel<ActivationModel<Op, Float, Integer>, Op> {
  static LogicalResult compute(Op op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeTable(op, Integer, operands, results, context);
    return give(results, unary(Float, operands[0]));
  }
};
using SiluModel = ActivationModel<sd::SiluOp, UnaryFunction::SiLU, TableFunction::SiLU>;
using GeluModel = ActivationModel<sd::GeluOp, UnaryFunction::GELU, TableFunction::GELU>;
using QuickGeluModel =
    ActivationModel<sd::QuickGeluOp, UnaryFunction::QuickGELU, TableFunction::QuickGELU>;
using GeluTanhModel =
    ActivationModel<sd::GeluTanhOp, UnaryFunction::GELUTanh, TableFunction::GELUTanh>;
using SigmoidModel = ActivationModel<sd::SigmoidOp, UnaryFunction::Sigmoid, TableFunction::Sigmoid>;

struct GegluModel : NamedModel<GegluModel, sd::GegluOp> {
  static LogicalResult compute(sd::GegluOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    return give(results, geglu(operands[0]));
  }
};

struct AddModel : NamedModel<AddModel, sd::AddOp> {
  static LogicalResult compute(sd::AddOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    return give(results, binary(BinaryFunction::Add, operands[0], operands[1]));
  }
};

struct RmsNormModel : NamedModel<RmsNormModel, sd::RmsNormOp> {
  static LogicalResult compute(sd::RmsNormOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    return give(results, rmsNorm(operands[0], operands[1], op.getEpsilon().convertToDouble()));
  }
};

struct ModulateModel : NamedModel<ModulateModel, sd::ModulateOp> {
  static LogicalResult compute(sd::ModulateOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    auto offset = static_cast<float>(op.getOffset().convertToDouble());
    Tensor gain = offset == 0 ? operands[1]
                              : binary(BinaryFunction::Add, operands[1],
                                       Tensor::of<float>({}, std::span<const float>(&offset, 1)));
    Tensor product = binary(BinaryFunction::Mul, operands[0], gain);
    return give(results,
                op.getShift() ? binary(BinaryFunction::Add, product, operands[2]) : product);
  }
};

struct UpsampleModel : NamedModel<UpsampleModel, sd::UpsampleOp> {
  static LogicalResult compute(sd::UpsampleOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (hasQuantizedValues(op) && getElementTypeOrSelf(op.getInput()) != getElementTypeOrSelf(op))
      return op.emitOpError("moves codes, so the element types of input and result must be equal");
    return give(results, upsampleNearest(operands[0], op.getFactors()[0], op.getFactors()[1],
                                         pictureLayout(op.getLayout())));
  }

private:
  static Type getElementTypeOrSelf(Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType();
  }
};

struct TimeEmbeddingModel : NamedModel<TimeEmbeddingModel, sd::TimeEmbeddingOp> {
  static LogicalResult compute(sd::TimeEmbeddingOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    Shape shape = tensorShape(op.getResult());
    Tensor rows = timeEmbedding(operands[0], shape[1] / 2, op.getCosFirst(),
                                op.getFrequencyShift().convertToDouble(),
                                op.getMaxPeriod().convertToDouble());
    return give(results, rows.shape() == shape ? rows : expand(rows, shape));
  }
};

struct EmbeddingModel : NamedModel<EmbeddingModel, sd::EmbeddingOp> {
  static LogicalResult compute(sd::EmbeddingOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    Tensor tokens = dequantizedWeights(operands[1], optional(operands, op, op.getTokenScales()));
    Tensor positions =
        dequantizedWeights(operands[2], optional(operands, op, op.getPositionScales()));
    Tensor ids = clampedIds(operands[0], tokens.dim(0));
    return give(results, binary(BinaryFunction::Add, gather(tokens, ids, 0), positions));
  }
};

struct PoolTokenModel : NamedModel<PoolTokenModel, sd::PoolTokenOp> {
  static LogicalResult compute(sd::PoolTokenOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    const Tensor &hidden = operands[0];
    if (operands[1].type() != ElementType::I64 && operands[1].type() != ElementType::I32)
      return op.emitOpError() << "ids are " << name(operands[1].type())
                              << " but must be i32 or i64";
    if (cast<RankedTensorType>(op.getHidden().getType()).getElementType() !=
        cast<RankedTensorType>(op.getType()).getElementType())
      return op.emitOpError("moves rows, so the element types of hidden and result must be equal");
    Tensor ids = operands[1].converted(ElementType::I64);
    int64_t batch = hidden.dim(0), tokens = hidden.dim(1);
    Tensor result(hidden.type(), {batch, hidden.dim(2)});
    size_t rowBytes = hidden.dim(2) * byteWidth(hidden.type());
    for (int64_t b = 0; b < batch; ++b) {
      auto row = ids.values<int64_t>().subspan(b * tokens, tokens);
      auto found = std::find(row.begin(), row.end(), static_cast<int64_t>(op.getToken()));
      int64_t index = found == row.end() ? 0 : found - row.begin();
      std::memcpy(result.mutableBytes() + b * rowBytes,
                  hidden.bytes() + (b * tokens + index) * rowBytes, tokens ? rowBytes : 0);
    }
    return give(results, result);
  }
};

} // namespace

void attachNamedModels(MLIRContext &context) {
  attach<Conv2dModel, LinearModel, GroupNormModel, LayerNormModel, AttentionModel, SiluModel,
         GeluModel, GeluTanhModel, QuickGeluModel, SigmoidModel, GegluModel, AddModel, RmsNormModel,
         ModulateModel, UpsampleModel, TimeEmbeddingModel, EmbeddingModel, PoolTokenModel>(context);
}

} // namespace sdopt
