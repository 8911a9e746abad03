//===- EvaluateNpu.cpp - meaning of npu operations, untiled ------------------===//
//
// The same kernels as for integer sd operations, with the constants that lowering made explicit.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/quantization/QuantizedParameters.h"
#include "compiler/quantization/TapConvolution.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/reference/NpuModels.h"
#include "dialects/npu/Npu.h"

using namespace mlir;

namespace sdopt {

namespace {

using Operands = llvm::ArrayRef<Tensor>;
using Results = llvm::SmallVectorImpl<Tensor>;

Tensor resultTensor(Operation *op) {
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  return Tensor(evaluatedType(type), Shape(type.getShape()));
}

Codes codes(const Tensor &tensor, Value value) {
  return {tensor.bytes(), codeFormat(value.getType())};
}

CodeFormat resultFormat(Operation *op) { return codeFormat(op->getResult(0).getType()); }

/// The bytes of one batch element.
Codes batchElement(Codes all, const Tensor &tensor, int64_t n) {
  int64_t bytes = tensor.byteSize() / tensor.dim(0);
  return {static_cast<const std::byte *>(all.data) + n * bytes, all.format};
}

std::byte *batchElement(Tensor &tensor, int64_t n) {
  return tensor.mutableBytes() + n * (tensor.byteSize() / tensor.dim(0));
}

template <typename T>
Tensor vectorTensor(llvm::ArrayRef<int64_t> shape, const std::vector<T> &values) {
  return Tensor::of<T>(Shape(shape), std::span<const T>(values));
}

llvm::ArrayRef<int64_t> resultShape(Operation *op) {
  return cast<RankedTensorType>(op->getResult(0).getType()).getShape();
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

LogicalResult evaluate(npu::ChannelParamsOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  std::span<const float> bias;
  if (op.getBias())
    bias = operands[1].values<float>();
  std::vector<ChannelParams> params =
      channelParams(operands[0].values<float>(), bias, op.getInputScale().convertToDouble(),
                    op.getOutputScale().convertToDouble());
  Tensor result = resultTensor(op);
  std::memcpy(result.mutableBytes(), params.data(), result.byteSize());
  results.push_back(result);
  return success();
}

LogicalResult evaluate(npu::NormChannelsOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  std::span<const float> beta;
  if (op.getBeta())
    beta = operands[1].values<float>();
  NormParameters params = normParameters(
      operands[0].values<float>(), beta, op.getCount(), op.getEpsilon().convertToDouble(),
      op.getInputScale().convertToDouble(), op.getOutputScale().convertToDouble());
  Tensor result = resultTensor(op);
  std::memcpy(result.mutableBytes(), params.channels.data(), result.byteSize());
  results.push_back(result);
  return success();
}

LogicalResult evaluate(npu::ActivationTableOp op, Operands, Results &results,
                       const EvaluationContext &) {
  Type input = RankedTensorType::get({1}, op.getInputType());
  results.push_back(vectorTensor(
      resultShape(op), makeTable(static_cast<TableFunction>(op.getFunction()), codeFormat(input),
                                 codeScale(input), op.getOutputScale().convertToDouble())));
  return success();
}

LogicalResult evaluate(npu::SineTableOp op, Operands, Results &results, const EvaluationContext &) {
  results.push_back(
      vectorTensor(resultShape(op), makeSineTable(op.getOutputScale().convertToDouble())));
  return success();
}

LogicalResult evaluate(npu::TimeStepsOp op, Operands, Results &results, const EvaluationContext &) {
  std::vector<uint32_t> steps =
      makeTimeSteps(resultShape(op)[0], op.getFrequencyShift().convertToDouble(),
                    op.getMaxPeriod().convertToDouble());
  results.push_back(
      vectorTensor(resultShape(op), std::vector<int32_t>(steps.begin(), steps.end())));
  return success();
}

LogicalResult evaluate(npu::RowMultipliersOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  results.push_back(
      vectorTensor(resultShape(op), embeddingMultipliers(operands[0].values<float>(),
                                                         op.getOutputScale().convertToDouble(),
                                                         static_cast<int32_t>(op.getShift()))));
  return success();
}

//===----------------------------------------------------------------------===//
// Layers
//===----------------------------------------------------------------------===//

LogicalResult evaluate(npu::ViewOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  results.push_back(operands[0].reshaped(Shape(resultShape(op))));
  return success();
}

LogicalResult evaluate(npu::Conv2dOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  const Tensor &x = operands[0], &w = operands[1];
  Tensor y = resultTensor(op);
  ConvTile tile;
  tile.inputHeight = x.dim(1);
  tile.inputWidth = x.dim(2);
  tile.inputChannels = x.dim(3);
  tile.outputHeight = y.dim(1);
  tile.outputWidth = y.dim(2);
  tile.outputChannels = y.dim(3);
  tile.kernelHeight = w.dim(1);
  tile.kernelWidth = w.dim(2);
  tile.strideH = op.getStrides()[0];
  tile.strideW = op.getStrides()[1];
  tile.dilationH = op.getDilations()[0];
  tile.dilationW = op.getDilations()[1];
  tile.padTop = op.getPadding()[0];
  tile.padLeft = op.getPadding()[1];
  const int8_t *weights = w.values<int8_t>().data();
  auto *params = reinterpret_cast<const ChannelParams *>(operands[2].bytes());
  for (int64_t n = 0; n < y.dim(0); ++n) {
    const Codes picture = batchElement(codes(x, op.getInput()), x, n);
    if (sd::TapShiftsAttr shifts = op.getTapShiftsAttr())
      tapConvolve(*context.kernels, tile, picture, weights, shifts.getValue(), params,
                  resultFormat(op), batchElement(y, n));
    else
      convolve(*context.kernels, tile, picture, weights, params, resultFormat(op),
               batchElement(y, n));
  }
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::CombineOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  Tensor y = resultTensor(op);
  CombineParams params{{static_cast<int32_t>(op.getLhsMultiplier()),
                        static_cast<int32_t>(op.getRhsMultiplier()),
                        static_cast<int32_t>(op.getShift())},
                       op.getBroadcastRows()};
  for (int64_t n = 0; n < y.dim(0); ++n) {
    Codes rhs;
    if (op.getRhs())
      rhs = batchElement(codes(operands[1], op.getRhs()), operands[1], n);
    context.kernels->combine(batchElement(codes(operands[0], op.getLhs()), operands[0], n), rhs,
                             y.dim(1) * y.dim(2), y.dim(3), params, resultFormat(op),
                             batchElement(y, n));
  }
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::ConcatOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  std::vector<Tensor> parts;
  for (auto [i, part] : llvm::enumerate(op.getParts())) {
    const Tensor &x = operands[i];
    Tensor y(resultTensor(op).type(), x.shape());
    CombineParams params{{op.getMultipliers()[i], 0, op.getShifts()[i]}, false};
    context.kernels->combine(codes(x, part), {}, x.size() / x.dim(3), x.dim(3), params,
                             resultFormat(op), y.mutableBytes());
    parts.push_back(y);
  }
  results.push_back(concat(parts, 3));
  return success();
}

LogicalResult evaluate(npu::TableOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  Tensor y = resultTensor(op);
  context.kernels->table(codes(operands[0], op.getInput()), y.size(), operands[1].values<int32_t>(),
                         resultFormat(op), y.mutableBytes());
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::GegluOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  Tensor y = resultTensor(op);
  GegluParams params{
      {static_cast<int32_t>(op.getMultiplier()), static_cast<int32_t>(op.getShift())}};
  context.kernels->geglu(codes(operands[0], op.getInput()), y.size() / y.dim(3), y.dim(3),
                         operands[1].values<int32_t>(), params, resultFormat(op), y.mutableBytes());
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::NormOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  const Tensor &x = operands[0];
  Tensor y = resultTensor(op);
  int64_t channels = x.dim(3), pixels = x.dim(1) * x.dim(2);
  int64_t rows = op.getPerRow() ? 1 : pixels, blocks = x.dim(0) * pixels / rows;
  NormParams params{static_cast<int64_t>(op.getCount()), static_cast<uint64_t>(op.getEpsilon()),
                    static_cast<int32_t>(op.getShift()), !op.getUncentered()};
  int64_t bytes = rows * channels;
  for (int64_t block = 0; block < blocks; ++block) {
    Codes input{x.bytes() + block * bytes * byteWidth(x.type()),
                codeFormat(op.getInput().getType())};
    std::vector<NormSums> sums(op.getGroups());
    int64_t perGroup = channels / static_cast<int64_t>(op.getGroups());
    context.kernels->normSums(input, rows, channels, perGroup, sums);
    context.kernels->normApply(input, rows, channels, perGroup, sums, params,
                               reinterpret_cast<const NormChannel *>(operands[1].bytes()),
                               resultFormat(op),
                               y.mutableBytes() + block * bytes * byteWidth(y.type()));
  }
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::AttentionOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  const Tensor &q = operands[0], &k = operands[1], &v = operands[2];
  Tensor y = resultTensor(op);
  int64_t heads = op.getHeads(), headDim = q.dim(3) / heads;
  AttentionParams params{
      {static_cast<int32_t>(op.getExponentMultiplier()),
       static_cast<int32_t>(op.getExponentShift())},
      {static_cast<int32_t>(op.getOutputMultiplier()), static_cast<int32_t>(op.getOutputShift())},
      op.getCausal()};
  AttentionTile tile{q.dim(2), k.dim(2), headDim, 0, 0, q.dim(3), k.dim(3)};
  auto head = [&](const Tensor &tensor, Value value, int64_t n, int64_t h) {
    Codes all = batchElement(codes(tensor, value), tensor, n);
    return Codes{static_cast<const std::byte *>(all.data) + h * headDim * byteWidth(tensor.type()),
                 all.format};
  };
  std::vector<int64_t> rowMax(tile.queries), rowSum(tile.queries),
      accumulators(tile.queries * headDim);
  for (int64_t n = 0; n < q.dim(0); ++n)
    for (int64_t h = 0; h < heads; ++h) {
      std::fill(rowMax.begin(), rowMax.end(), INT64_MIN);
      std::fill(rowSum.begin(), rowSum.end(), 0);
      std::fill(accumulators.begin(), accumulators.end(), 0);
      Codes query = head(q, op.getQuery(), n, h), key = head(k, op.getKey(), n, h),
            value = head(v, op.getValue(), n, h);
      context.kernels->attention(tile, query, key, value, params, rowMax.data(), rowSum.data(),
                                 accumulators.data());
      context.kernels->attentionFinish(tile.queries, headDim, rowSum.data(), accumulators.data(),
                                       params, resultFormat(op), y.dim(3),
                                       batchElement(y, n) + h * headDim * byteWidth(y.type()));
    }
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::ModulateOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  Tensor y = resultTensor(op);
  ModulateParams params{
      static_cast<int64_t>(op.getScaleMultiplier()), static_cast<int64_t>(op.getUnit()),
      static_cast<int64_t>(op.getOffsetsMultiplier()), static_cast<int32_t>(op.getShift())};
  for (int64_t n = 0; n < y.dim(0); ++n) {
    Codes offsets;
    if (op.getOffsets())
      offsets = batchElement(codes(operands[2], op.getOffsets()), operands[2], n);
    context.kernels->modulate(batchElement(codes(operands[0], op.getInput()), operands[0], n),
                              batchElement(codes(operands[1], op.getScale()), operands[1], n),
                              offsets, y.dim(1) * y.dim(2), y.dim(3), params, resultFormat(op),
                              batchElement(y, n));
  }
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::SliceOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  Shape ends, starts(op.getStarts()), steps(4, 1);
  for (auto [start, dim] : llvm::zip(op.getStarts(), resultShape(op)))
    ends.push_back(start + dim);
  results.push_back(slice(operands[0], starts, ends, steps));
  return success();
}

LogicalResult evaluate(npu::ConstantOp, Operands operands, Results &results,
                       const EvaluationContext &) {
  results.push_back(operands[0]);
  return success();
}

LogicalResult evaluate(npu::UpsampleOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  results.push_back(
      upsampleNearest(operands[0], op.getFactors()[0], op.getFactors()[1], PictureLayout::NHWC));
  return success();
}

LogicalResult evaluate(npu::PermuteOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  results.push_back(
      transpose(operands[0], std::span<const int64_t>(op.getPermutation().data(), 4)));
  return success();
}

LogicalResult evaluate(npu::EmbeddingOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  Tensor y = resultTensor(op);
  std::span<const int32_t> ids = operands[0].values<int32_t>();
  std::span<const int32_t> multipliers = operands[2].values<int32_t>();
  int64_t tokens = y.dim(2), channels = y.dim(3), vocabulary = operands[1].dim(0);
  std::vector<int8_t> rows(tokens * channels);
  std::vector<int32_t> rowMultipliers(tokens);
  for (int64_t n = 0; n < y.dim(0); ++n) {
    for (int64_t t = 0; t < tokens; ++t) {
      int64_t id = std::clamp<int64_t>(ids[n * tokens + t], 0, vocabulary - 1);
      std::memcpy(&rows[t * channels], operands[1].values<int8_t>().data() + id * channels,
                  channels);
      rowMultipliers[t] = multipliers[id];
    }
    context.kernels->embed(rows.data(), rowMultipliers.data(), operands[3].values<int8_t>().data(),
                           operands[4].values<int32_t>().data(),
                           static_cast<int32_t>(op.getShift()), tokens, channels, resultFormat(op),
                           batchElement(y, n));
  }
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::TimeEmbeddingOp op, Operands operands, Results &results,
                       const EvaluationContext &context) {
  Tensor y = resultTensor(op);
  std::span<const int32_t> timesteps = operands[0].values<int32_t>();
  std::span<const int32_t> signedSteps = operands[1].values<int32_t>();
  std::vector<uint32_t> steps(signedSteps.begin(), signedSteps.end());
  TimeEmbeddingParams params{static_cast<int64_t>(steps.size()), op.getCosFirst(),
                             static_cast<int32_t>(op.getFractionBits())};
  for (int64_t n = 0; n < y.dim(0); ++n)
    context.kernels->timeEmbedding(timesteps[timesteps.size() == 1 ? 0 : n], steps,
                                   operands[2].values<int32_t>(), params, resultFormat(op),
                                   batchElement(y, n));
  results.push_back(y);
  return success();
}

LogicalResult evaluate(npu::PoolTokenOp op, Operands operands, Results &results,
                       const EvaluationContext &) {
  Tensor y = resultTensor(op);
  std::span<const int32_t> ids = operands[1].values<int32_t>();
  int64_t tokens = operands[0].dim(2), rowBytes = y.byteSize() / y.dim(0);
  for (int64_t n = 0; n < y.dim(0); ++n) {
    auto first = ids.begin() + n * tokens, last = first + tokens;
    auto found = std::find(first, last, static_cast<int32_t>(op.getToken()));
    int64_t row = found == last ? 0 : found - first;
    std::memcpy(batchElement(y, n), operands[0].bytes() + (n * tokens + row) * rowBytes, rowBytes);
  }
  results.push_back(y);
  return success();
}

/// Forwards the interface to the overload of evaluate() for Op.
template <typename Op> struct NpuModel : sd::EvaluationInterface::ExternalModel<NpuModel<Op>, Op> {
  LogicalResult evaluate(Operation *op, Operands operands, Results &results,
                         const EvaluationContext &context) const {
    return sdopt::evaluate(cast<Op>(op), operands, results, context);
  }
};

template <typename... Ops> void attach(MLIRContext *context) {
  (Ops::template attachInterface<NpuModel<Ops>>(*context), ...);
}

} // namespace

void registerNpuEvaluationModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, npu::NpuDialect *) {
    attach<npu::ChannelParamsOp, npu::NormChannelsOp, npu::ActivationTableOp, npu::SineTableOp,
           npu::TimeStepsOp, npu::RowMultipliersOp, npu::ViewOp, npu::Conv2dOp, npu::CombineOp,
           npu::ConcatOp, npu::TableOp, npu::GegluOp, npu::NormOp, npu::AttentionOp,
           npu::ModulateOp, npu::SliceOp, npu::ConstantOp, npu::UpsampleOp, npu::PermuteOp,
           npu::EmbeddingOp, npu::TimeEmbeddingOp, npu::PoolTokenOp>(context);
  });
}

} // namespace sdopt
