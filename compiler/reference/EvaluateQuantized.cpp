//===- EvaluateQuantized.cpp - integer forms of the operations ---------------===//

#include "compiler/reference/EvaluateQuantized.h"

#include "compiler/kernels/Convolve.h"
#include "compiler/quantization/QuantizedParameters.h"
#include "compiler/quantization/TapConvolution.h"

#include <cstring>
#include <limits>
#include <numeric>

using namespace mlir;

namespace sdopt {

namespace {

/// A quantized activation: what it holds and how to read it.
struct Activation {
  Tensor tensor;
  CodeFormat format;
  double scale = 1.0;

  Codes codes(int64_t offset = 0) const {
    return {tensor.bytes() + offset * byteWidth(format.type), format};
  }
};

Activation activation(Value value, const Tensor &tensor) {
  return {tensor, codeFormat(value.getType()), codeScale(value.getType())};
}

/// An activation to be written.
Activation output(Value value, Shape shape) {
  Activation result{{}, codeFormat(value.getType()), codeScale(value.getType())};
  result.tensor = Tensor(result.format.type, std::move(shape));
  return result;
}

void *at(Activation &y, int64_t offset) {
  return y.tensor.mutableBytes() + offset * byteWidth(y.format.type);
}

LogicalResult requireQuantized(Operation *op, ValueRange values) {
  for (Value value : values)
    if (!isQuantized(value.getType()))
      return op->emitOpError() << "mixes quantized values with one of type " << value.getType();
  return success();
}

LogicalResult requireFloatOperand(Operation *op, const Tensor &tensor, llvm::StringRef what) {
  if (tensor.type() == ElementType::F32)
    return success();
  return op->emitOpError() << what << " must be float, found " << name(tensor.type());
}

std::span<const float> floats(const Tensor *tensor) {
  return tensor ? tensor->values<float>() : std::span<const float>();
}

/// NCHW, or [b, c, ...], to channel-last and back.
SmallVector<int64_t> channelLastOrder(int64_t rank) {
  SmallVector<int64_t> order{0};
  for (int64_t axis = 2; axis < rank; ++axis)
    order.push_back(axis);
  order.push_back(1);
  return order;
}

SmallVector<int64_t> channelSecondOrder(int64_t rank) {
  SmallVector<int64_t> order{0, rank - 1};
  for (int64_t axis = 1; axis + 1 < rank; ++axis)
    order.push_back(axis);
  return order;
}

Tensor toChannelLast(const Tensor &x, sd::Layout layout) {
  return layout == sd::Layout::nhwc ? x : transpose(x, spanOf(channelLastOrder(x.rank())));
}

Tensor fromChannelLast(const Tensor &x, sd::Layout layout) {
  return layout == sd::Layout::nhwc ? x : transpose(x, spanOf(channelSecondOrder(x.rank())));
}

//===----------------------------------------------------------------------===//
// Convolution and linear layers
//===----------------------------------------------------------------------===//

/// The channels [first, first + count) of a channel-last tensor.
Tensor channelSlice(const Tensor &x, int64_t first, int64_t count) {
  Shape starts(x.rank(), 0), ends = x.shape(), steps(x.rank(), 1);
  starts.back() = first;
  ends.back() = first + count;
  return slice(x, starts, ends, steps);
}

ConvTile convTile(sd::Conv2dOp op, const Shape &x, const Shape &weights, const Shape &y) {
  return {.inputHeight = x[1],
          .inputWidth = x[2],
          .inputChannels = weights[3],
          .outputHeight = y[1],
          .outputWidth = y[2],
          .outputChannels = weights[0],
          .kernelHeight = weights[1],
          .kernelWidth = weights[2],
          .strideH = op.getStrides()[0],
          .strideW = op.getStrides()[1],
          .dilationH = op.getDilations()[0],
          .dilationW = op.getDilations()[1],
          .padTop = op.getPadding()[0],
          .padLeft = op.getPadding()[1]};
}

/// y = requantized x * w for channel-last x [b, h, w, ci] and weights [co, kh, kw, ci].
void convolve(const ConvTile &tile, const Activation &x, const Tensor &weights,
              const ChannelParams *params, const IntegerKernels &kernels, Activation &y,
              sd::TapShiftsAttr shifts = {}) {
  int64_t inputSize = tile.inputHeight * tile.inputWidth * tile.inputChannels;
  int64_t outputSize = tile.outputHeight * tile.outputWidth * tile.outputChannels;
  const int8_t *codes = weights.values<int8_t>().data();
  for (int64_t b = 0; b < x.tensor.dim(0); ++b) {
    const Codes picture = x.codes(b * inputSize);
    void *result = at(y, b * outputSize);
    if (shifts)
      tapConvolve(kernels, tile, picture, codes, shifts.getValue(), params, y.format, result);
    else
      sdopt::convolve(kernels, tile, picture, codes, params, y.format, result);
  }
}

/// Operands of a layer with constant weights, checked.
struct MatrixOperands {
  Activation x;
  Tensor weights;
  std::vector<ChannelParams> params;
};

LogicalResult accumulatorError(Operation *op, int64_t channel, int bits) {
  return op->emitOpError() << "accumulator of output channel " << channel << " may leave " << bits
                           << " bits";
}

template <typename Op>
FailureOr<MatrixOperands> matrixOperands(Op op, Operands operands, sd::TapShiftsAttr shifts = {}) {
  if (failed(requireQuantized(op, {op.getInput(), op.getResult()})))
    return failure();
  if (!op.getWeightScales())
    return op.emitOpError("is quantized, so its weights must be int8 codes with scales");
  if (operands[1].type() != ElementType::I8)
    return op.emitOpError() << "weights are " << name(operands[1].type()) << " but must be i8";
  const Tensor *bias = op.getBias() ? &operands[3] : nullptr;
  if (failed(requireFloatOperand(op, operands[2], "weight scales")) ||
      (bias && failed(requireFloatOperand(op, *bias, "bias"))))
    return failure();
  Activation x = activation(op.getInput(), operands[0]);
  double outputScale = codeScale(op.getType());
  std::vector<ChannelParams> params = channelParams(
      floats(&operands[2]), floats(bias), shifts ? x.scale / kTapScale : x.scale, outputScale);
  // Of taps once the weights are in order.
  if (!shifts)
    if (auto channel =
            firstOverflowingChannel(operands[1].template values<int8_t>(), params, x.format))
      return accumulatorError(op, *channel, accumulatorBits(x.format));
  return MatrixOperands{x, operands[1], std::move(params)};
}

} // namespace

LogicalResult computeQuantized(sd::Conv2dOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  const sd::TapShiftsAttr shifts = op.getTapShiftsAttr();
  FailureOr<MatrixOperands> layer = matrixOperands(op, operands, shifts);
  if (failed(layer))
    return failure();
  Activation x = layer->x;
  x.tensor = toChannelLast(x.tensor, op.getLayout());
  const int64_t order[] = {0, 2, 3, 1};
  Tensor weights = transpose(layer->weights, order);
  if (shifts)
    if (auto channel =
            firstOverflowingTapChannel(tapAccumulatorBound(weights.values<int8_t>(), weights.dim(0),
                                                           x.format, shifts.getValue()),
                                       layer->params))
      return accumulatorError(op, *channel, kTapAccumulatorBits);
  Shape shape = tensorShape(op.getResult());
  if (op.getLayout() == sd::Layout::nchw)
    shape = {shape[0], shape[2], shape[3], shape[1]};
  int64_t groups = op.getGroups(), outputs = weights.dim(0) / groups;
  int64_t inputs = weights.dim(3), weightSize = weights.size() / groups;
  SmallVector<Tensor> parts;
  for (int64_t g = 0; g < groups; ++g) {
    Activation part = x, y = output(op.getResult(), {shape[0], shape[1], shape[2], outputs});
    if (groups > 1)
      part.tensor = channelSlice(x.tensor, g * inputs, inputs);
    Tensor groupWeights =
        Tensor::of<int8_t>({outputs, weights.dim(1), weights.dim(2), inputs},
                           weights.values<int8_t>().subspan(g * weightSize, weightSize));
    ConvTile tile = convTile(op, part.tensor.shape(), groupWeights.shape(), y.tensor.shape());
    convolve(tile, part, groupWeights, layer->params.data() + g * outputs, *context.kernels, y,
             shifts);
    parts.push_back(y.tensor);
  }
  Tensor joined = groups == 1 ? parts[0] : concat(std::span(parts.data(), parts.size()), 3);
  return give(results, fromChannelLast(joined, op.getLayout()));
}

LogicalResult computeQuantized(sd::LinearOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  FailureOr<MatrixOperands> layer = matrixOperands(op, operands);
  if (failed(layer))
    return failure();
  int64_t outputs = layer->weights.dim(0), inputs = layer->weights.dim(1);
  Activation y = output(op.getResult(), tensorShape(op.getResult()));
  int64_t rows = inputs ? layer->x.tensor.size() / inputs : 0;
  ConvTile tile{
      .inputWidth = rows, .inputChannels = inputs, .outputWidth = rows, .outputChannels = outputs};
  Activation x = layer->x;
  x.tensor = x.tensor.reshaped({1, 1, rows, inputs});
  convolve(tile, x, layer->weights, layer->params.data(), *context.kernels, y);
  return give(results, y.tensor);
}

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

namespace {

/// `batch` blocks of `rows` x `channels` codes, each normalized on its own.
void normalize(const Activation &x, int64_t batch, int64_t rows, int64_t channels, int64_t groups,
               const NormParameters &norm, const IntegerKernels &kernels, Activation &y) {
  int64_t channelsPerGroup = channels / groups;
  for (int64_t b = 0; b < batch; ++b) {
    std::vector<NormSums> sums(groups);
    Codes codes = x.codes(b * rows * channels);
    kernels.normSums(codes, rows, channels, channelsPerGroup, sums);
    kernels.normApply(codes, rows, channels, channelsPerGroup, sums, norm.params,
                      norm.channels.data(), y.format, at(y, b * rows * channels));
  }
}

LogicalResult checkNorm(Operation *op, Operands operands) {
  if (failed(requireQuantized(op, {op->getOperand(0), op->getResult(0)})))
    return failure();
  for (const Tensor &operand : operands.drop_front())
    if (failed(requireFloatOperand(op, operand, "gamma and beta")))
      return failure();
  return success();
}

/// A norm over the last dimension: layer norm, or root mean square norm if it is not centered.
template <typename Norm>
LogicalResult normalizeRows(Norm op, Operands operands, const Tensor *beta, bool centered,
                            Results &results, const EvaluationContext &context) {
  Activation x = activation(op.getInput(), operands[0]);
  Activation y = output(op.getResult(), x.tensor.shape());
  int64_t channels = x.tensor.dim(-1);
  NormParameters norm = normParameters(floats(&operands[1]), floats(beta), channels,
                                       op.getEpsilon().convertToDouble(), x.scale, y.scale);
  norm.params.centered = centered;
  normalize(x, x.tensor.size() / channels, 1, channels, 1, norm, *context.kernels, y);
  return give(results, y.tensor);
}

} // namespace

LogicalResult computeQuantized(sd::GroupNormOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(checkNorm(op, operands)))
    return failure();
  Activation x = activation(op.getInput(), operands[0]);
  x.tensor = toChannelLast(x.tensor, op.getLayout());
  Activation y = output(op.getResult(), x.tensor.shape());
  int64_t channels = x.tensor.dim(-1), batch = x.tensor.dim(0), groups = op.getGroups();
  int64_t pictureSize = batch ? x.tensor.size() / batch : 0;
  NormParameters norm =
      normParameters(floats(&operands[1]), floats(&operands[2]), pictureSize / groups,
                     op.getEpsilon().convertToDouble(), x.scale, y.scale);
  normalize(x, batch, pictureSize / channels, channels, groups, norm, *context.kernels, y);
  return give(results, fromChannelLast(y.tensor, op.getLayout()));
}

LogicalResult computeQuantized(sd::LayerNormOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(checkNorm(op, operands)))
    return failure();
  return normalizeRows(op, operands, operands.size() > 2 ? &operands[2] : nullptr,
                       /*centered=*/true, results, context);
}

LogicalResult computeQuantized(sd::RmsNormOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(checkNorm(op, operands)))
    return failure();
  return normalizeRows(op, operands, /*beta=*/nullptr, /*centered=*/false, results, context);
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

LogicalResult computeQuantized(sd::AttentionOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, op->getOperands())) ||
      failed(requireQuantized(op, op->getResults())))
    return failure();
  Activation q = activation(op.getQuery(), operands[0]), k = activation(op.getKey(), operands[1]),
             v = activation(op.getValue(), operands[2]);
  Activation y = output(op.getResult(), q.tensor.shape());
  double softmaxScale = op.getScale().convertToDouble();
  if (double factor = attentionExponentFactor(q.scale, k.scale, softmaxScale);
      !(factor < kMostExponentFactor))
    return op.emitOpError() << "query and key scales are too coarse: one code step is "
                            << factor / 4096 << " powers of two but must be below 1/64";
  AttentionParams params =
      attentionParams(q.scale, k.scale, v.scale, y.scale, softmaxScale, op.getCausal());
  int64_t batch = q.tensor.dim(0), queries = q.tensor.dim(1), keys = k.tensor.dim(1),
          channels = q.tensor.dim(2), headDim = channels / op.getHeads();
  AttentionTile tile{.queries = queries,
                     .keys = keys,
                     .headDim = headDim,
                     .queryStride = channels,
                     .keyStride = channels};
  const IntegerKernels &kernels = *context.kernels;
  std::vector<int64_t> rowMax(queries), rowSum(queries), acc(queries * headDim);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t first = 0; first < channels; first += headDim) {
      std::fill(rowMax.begin(), rowMax.end(), std::numeric_limits<int64_t>::min());
      std::fill(rowSum.begin(), rowSum.end(), 0);
      std::fill(acc.begin(), acc.end(), 0);
      int64_t queryAt = b * queries * channels + first, keyAt = b * keys * channels + first;
      Codes qCodes = q.codes(queryAt), kCodes = k.codes(keyAt), vCodes = v.codes(keyAt);
      kernels.attention(tile, qCodes, kCodes, vCodes, params, rowMax.data(), rowSum.data(),
                        acc.data());
      kernels.attentionFinish(queries, headDim, rowSum.data(), acc.data(), params, y.format,
                              channels, at(y, queryAt));
    }
  return give(results, y.tensor);
}

//===----------------------------------------------------------------------===//
// Element by element
//===----------------------------------------------------------------------===//

LogicalResult computeTable(Operation *op, TableFunction function, Operands operands,
                           Results &results, const EvaluationContext &context) {
  if (failed(requireQuantized(op, {op->getOperand(0), op->getResult(0)})))
    return failure();
  Activation x = activation(op->getOperand(0), operands[0]);
  Activation y = output(op->getResult(0), x.tensor.shape());
  std::vector<int32_t> table = makeTable(function, x.format, x.scale, y.scale);
  context.kernels->table(x.codes(), x.tensor.size(), table, y.format, at(y, 0));
  return give(results, y.tensor);
}

LogicalResult computeQuantized(sd::GegluOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, {op.getInput(), op.getResult()})))
    return failure();
  Activation x = activation(op.getInput(), operands[0]);
  Activation y = output(op.getResult(), tensorShape(op.getResult()));
  int64_t channels = y.tensor.dim(-1);
  int64_t rows = channels ? y.tensor.size() / channels : 0;
  context.kernels->geglu(x.codes(), rows, channels, gegluTable(x.format, x.scale),
                         gegluParams(x.scale, y.scale), y.format, at(y, 0));
  return give(results, y.tensor);
}

LogicalResult computeQuantized(sd::AddOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, op->getOperands())) ||
      failed(requireQuantized(op, op->getResults())))
    return failure();
  Activation a = activation(op.getLhs(), operands[0]), b = activation(op.getRhs(), operands[1]);
  Activation y = output(op.getResult(), a.tensor.shape());
  bool broadcast = a.tensor.shape() != b.tensor.shape();
  int64_t channels = a.tensor.rank() ? a.tensor.dim(-1) : 1;
  int64_t batch = broadcast ? a.tensor.dim(0) : 1;
  int64_t rows = y.tensor.size() && channels ? y.tensor.size() / batch / channels : 0;
  CombineParams params = addParams(a.scale, b.scale, y.scale, broadcast);
  for (int64_t i = 0; i < batch && rows > 0; ++i)
    context.kernels->combine(a.codes(i * rows * channels), b.codes(i * channels), rows, channels,
                             params, y.format, at(y, i * rows * channels));
  return give(results, y.tensor);
}

LogicalResult computeQuantized(sd::ModulateOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, op->getOperands())) ||
      failed(requireQuantized(op, op->getResults())))
    return failure();
  Activation x = activation(op.getInput(), operands[0]), s = activation(op.getScale(), operands[1]);
  Activation h{{}, {}, 0};
  if (op.getShift())
    h = activation(op.getShift(), operands[2]);
  Activation y = output(op.getResult(), x.tensor.shape());
  int64_t batch = x.tensor.dim(0), channels = x.tensor.dim(-1);
  int64_t rows = y.tensor.size() ? y.tensor.size() / batch / channels : 0;
  ModulateParams params =
      modulateParams(x.scale, s.scale, h.scale, y.scale, op.getOffset().convertToDouble());
  for (int64_t b = 0; b < batch && rows > 0; ++b)
    context.kernels->modulate(x.codes(b * rows * channels), s.codes(b * channels),
                              op.getShift() ? h.codes(b * channels) : Codes(), rows, channels,
                              params, y.format, at(y, b * rows * channels));
  return give(results, y.tensor);
}

namespace {

/// The same value in another code.
Tensor requantized(const Activation &x, Value as, const IntegerKernels &kernels) {
  Activation y = output(as, x.tensor.shape());
  Codes none{nullptr, x.format};
  kernels.combine(x.codes(), none, x.tensor.size(), 1, requantizeParams(x.scale, y.scale), y.format,
                  at(y, 0));
  return y.tensor;
}

} // namespace

LogicalResult computeQuantized(sd::RequantizeOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  Activation x = activation(op.getInput(), operands[0]);
  return give(results, requantized(x, op.getResult(), *context.kernels));
}

LogicalResult computeQuantized(sd::ConcatOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, op->getOperands())) ||
      failed(requireQuantized(op, op->getResults())))
    return failure();
  SmallVector<Tensor> parts;
  for (auto [i, value] : llvm::enumerate(op.getParts())) {
    Activation part = activation(value, operands[i]);
    part.scale *= sd::partFactor(op, i);
    parts.push_back(requantized(part, op.getResult(), *context.kernels));
  }
  int64_t axis = normalizedAxis(op.getAxis(), operands[0].rank());
  return give(results, concat(std::span(parts.data(), parts.size()), axis));
}

//===----------------------------------------------------------------------===//
// Embeddings
//===----------------------------------------------------------------------===//

LogicalResult computeQuantized(sd::TimeEmbeddingOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, op->getResults())))
    return failure();
  Activation y = output(op.getResult(), tensorShape(op.getResult()));
  int64_t batch = y.tensor.dim(0), channels = y.tensor.dim(1);
  std::vector<uint32_t> steps = makeTimeSteps(
      channels / 2, op.getFrequencyShift().convertToDouble(), op.getMaxPeriod().convertToDouble());
  std::vector<int32_t> sine = makeSineTable(y.scale);
  Type timesteps = op.getTimesteps().getType();
  if (operands[0].type() == ElementType::F32)
    return op.emitOpError("is quantized, so its timesteps must be integers or fixed point");
  TimeEmbeddingParams params{.halfDim = channels / 2,
                             .cosFirst = op.getCosFirst(),
                             .fractionBits = sd::fractionBits(timesteps).value_or(0)};
  Tensor times = operands[0].converted(ElementType::I64);
  for (int64_t b = 0; b < batch; ++b) {
    int64_t t = times.values<int64_t>()[times.size() == 1 ? 0 : b];
    if (t < INT32_MIN || t > INT32_MAX)
      return op.emitOpError() << "timestep " << t << " does not fit 32 bits";
    context.kernels->timeEmbedding(static_cast<int32_t>(t), steps, sine, params, y.format,
                                   at(y, b * channels));
  }
  return give(results, y.tensor);
}

LogicalResult computeQuantized(sd::EmbeddingOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
  if (failed(requireQuantized(op, op->getResults())))
    return failure();
  if (!op.getTokenScales() || !op.getPositionScales())
    return op.emitOpError("is quantized, so both tables must be int8 codes with scales");
  for (const Tensor &scales : operands.take_back(2))
    if (failed(requireFloatOperand(op, scales, "scales")))
      return failure();
  Activation y = output(op.getResult(), tensorShape(op.getResult()));
  std::span<const float> tokenScales = floats(&operands[3]), positionScales = floats(&operands[4]);
  int32_t shift = embeddingShift(tokenScales, positionScales, y.scale);
  std::vector<int32_t> tokenMultipliers = embeddingMultipliers(tokenScales, y.scale, shift);
  std::vector<int32_t> positionMultipliers = embeddingMultipliers(positionScales, y.scale, shift);
  int64_t tokens = y.tensor.dim(1), channels = y.tensor.dim(2);
  Tensor ids = clampedIds(operands[0], operands[1].dim(0));
  const int8_t *tokenRows = operands[1].values<int8_t>().data();
  const int8_t *positionRows = operands[2].values<int8_t>().data();
  for (int64_t i = 0; i < ids.size(); ++i) {
    int64_t id = ids.values<int64_t>()[i], position = i % tokens;
    context.kernels->embed(tokenRows + id * channels, &tokenMultipliers[id],
                           positionRows + position * channels, &positionMultipliers[position],
                           shift, 1, channels, y.format, at(y, i * channels));
  }
  return give(results, y.tensor);
}

//===----------------------------------------------------------------------===//
// Between real numbers and codes
//===----------------------------------------------------------------------===//

namespace {

struct QuantizeModel : Model<QuantizeModel, sd::QuantizeOp> {
  static LogicalResult compute(sd::QuantizeOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    return give(results,
                quantizeCodes(operands[0], codeScale(op.getType()), codeFormat(op.getType())));
  }
};

struct DequantizeModel : Model<DequantizeModel, sd::DequantizeOp> {
  static LogicalResult compute(sd::DequantizeOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    Type input = op.getInput().getType();
    return give(results,
                dequantizeCodes(operands[0], codeScale(input), codeFormat(input).zeroPoint));
  }
};

struct RequantizeModel : Model<RequantizeModel, sd::RequantizeOp> {
  static LogicalResult compute(sd::RequantizeOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    return computeQuantized(op, operands, results, context);
  }
};

} // namespace

void attachConversionModels(MLIRContext &context) {
  attach<QuantizeModel, DequantizeModel, RequantizeModel>(context);
}

} // namespace sdopt
