//===- QuantizeWinograd.cpp - which convolutions are made by F(4x4, 3x3) ------===//

#include "compiler/calibration/Moments.h"
#include "compiler/calibration/Timesteps.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/quantization/QuantizedParameters.h"
#include "compiler/quantization/TapConvolution.h"
#include "compiler/recipe/Recipe.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/schedule/LayerShapes.h"
#include "compiler/schedule/TileSearch.h"
#include "compiler/schedule/TrafficModel.h"
#include "compiler/schedule/WeightStorage.h"
#include "compiler/schedule/WinogradLayers.h"
#include "compiler/simulator/StreamFacts.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/winograd/Passes.h"

#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <map>
#include <memory>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_QUANTIZEWINOGRAD
#include "passes/winograd/Passes.h.inc"

namespace {

/// Evaluations that shifts are chosen on, and that the error is measured on.
constexpr int64_t kEvaluations = 4;

/// Of one layer, with the best tiling each; nothing where none fits.
struct Cycles {
  std::optional<int64_t> direct, exact, taps;

  bool pays() const { return taps && (!direct || *taps < *direct) && (!exact || *taps < *exact); }
};

std::string text(const std::optional<int64_t> &cycles) {
  return cycles ? std::to_string(*cycles) : "none";
}

std::string text(const Cycles &cycles) {
  return "cycles: " + text(cycles.taps) + " by F(4x4, 3x3), " + text(cycles.exact) +
         " by F(2x2, 3x3), " + text(cycles.direct) + " without";
}

remark::RemarkOpts remarkOptions() {
  return remark::RemarkOpts::name("quantize-winograd").category("quantize-winograd");
}

/// A convolution that may be made so.
struct Candidate {
  SmallVector<sd::Conv2dOp> ops; ///< one of each bucket of timesteps
  double least = 0;              ///< dB
  Cycles cycles = {};
  TapShifts shifts = {};
  std::unique_ptr<TapCodeErrors> errors = {}; ///< while shifts are chosen
  TapNoise noise = {};

  sd::Conv2dOp op() const { return ops.front(); }
};

ConvTile tileOf(sd::Conv2dOp op) {
  ArrayRef<int64_t> x = cast<RankedTensorType>(op.getInput().getType()).getShape();
  ArrayRef<int64_t> y = cast<RankedTensorType>(op.getType()).getShape();
  return {.inputHeight = x[1],
          .inputWidth = x[2],
          .inputChannels = x[3],
          .outputHeight = y[1],
          .outputWidth = y[2],
          .outputChannels = y[3],
          .kernelHeight = 3,
          .kernelWidth = 3,
          .padTop = op.getPadding()[0],
          .padLeft = op.getPadding()[1]};
}

MatrixShape shapeOf(sd::Conv2dOp op) {
  const ConvTile tile = tileOf(op);
  MatrixShape shape;
  shape.batch = cast<RankedTensorType>(op.getType()).getDimSize(0);
  shape.vertical = {.input = tile.inputHeight,
                    .output = tile.outputHeight,
                    .kernel = 3,
                    .padBefore = tile.padTop};
  shape.horizontal = {
      .input = tile.inputWidth, .output = tile.outputWidth, .kernel = 3, .padBefore = tile.padLeft};
  shape.inputChannels = tile.inputChannels;
  shape.outputChannels = tile.outputChannels;
  shape.inputBytes = byteWidth(codeFormat(op.getInput().getType()).type);
  shape.outputBytes = byteWidth(codeFormat(op.getType()).type);
  shape.wideInput = shape.inputBytes > 1;
  if (auto decode = op.getWeights().getDefiningOp<sd::DecodeWeightOp>())
    shape.weights = weightForm(decode);
  return shape;
}

/// By plain products of a form of the weights that tells zeros: arrays take as many tiles of
/// weights as are left.
std::optional<int64_t> cyclesWithoutZeros(MatrixShape shape, std::span<const int8_t> weights,
                                          const Target &target) {
  shape.weights.zeros = ZeroLayout::Bitmap;
  const TileChoice choice = searchTiles(shape, target);
  if (!choice.plan)
    return std::nullopt;
  const int64_t rows = shape.outputChannels * shape.taps(), inputs = shape.inputChannels;
  const int64_t channels = std::min(choice.plan->tiling.inputChannels, inputs);
  int64_t all = 0, left = 0;
  for (int64_t first = 0; first < inputs; first += channels) {
    const int64_t count = std::min(channels, inputs - first);
    std::vector<int8_t> block(static_cast<size_t>(rows * count));
    for (int64_t row = 0; row < rows; ++row)
      std::copy_n(weights.data() + row * inputs + first, count, block.data() + row * count);
    const StreamFacts facts =
        sparseFacts({shape.outputChannels, shape.taps(), count}, block, target.array);
    for (int64_t tiles : facts.tiles) {
      left += tiles;
      all += ceilDiv(count, target.array.rows) * shape.taps();
    }
  }
  const Estimate dense = estimate(shape, choice.plan->tiling, target);
  const int64_t compute = dense.cost.computeCycles;
  return std::max(dense.cost.dramCycles, dense.cycles - compute + compute * left / all);
}

Codes picture(const Tensor &x, CodeFormat format, int64_t n) {
  return {x.bytes() + n * (x.byteSize() / x.dim(0)), format};
}

class TapQuantizer {
public:
  TapQuantizer(SmallVector<func::FuncOp> functions, const Resources &resources)
      : functions_(std::move(functions)), resources_(resources) {}

  LogicalResult run() {
    if (failed(collect()))
      return failure();
    if (candidates_.empty())
      return success();
    if (!resources_.samples)
      return candidates_.front().op().emitOpError("has 'winograd_min_sqnr', as ")
             << candidates_.size()
             << " layers of this module that would be faster so; it needs recorded inputs: give "
                "--samples, or a recipe with 'winograd_min_sqnr: off'";
    absl::StatusOr<std::vector<SampleFile>> files = resources_.samples->open();
    if (!files.ok())
      return report(files.status());
    absl::StatusOr<SampleReader> reader =
        SampleReader::open(functions_.front(), *std::move(files), kEvaluations);
    if (!reader.ok())
      return report(reader.status());
    if (failed(runSamples(*reader, 0, [](Candidate &candidate, size_t bucket, const Tensor &x) {
          return addErrors(candidate, bucket, x);
        })))
      return failure();
    for (Candidate &candidate : candidates_) {
      candidate.shifts.codes = candidate.errors->best();
      candidate.errors.reset();
    }
    if (failed(runSamples(*reader, 1, [this](Candidate &candidate, size_t bucket, const Tensor &x) {
          return addNoise(candidate, bucket, x);
        })))
      return failure();
    for (Candidate &candidate : candidates_)
      if (failed(decide(candidate)))
        return failure();
    return success();
  }

private:
  LogicalResult report(const absl::Status &status) {
    return functions_.front().emitError() << std::string(status.message());
  }

  static void pass(sd::Conv2dOp op, const std::string &why) {
    remark::missed(op.getLoc(), remarkOptions()) << why;
  }

  /// Convolutions of the recipe that can be made so, and get faster.
  LogicalResult collect() {
    SmallVector<SmallVector<sd::Conv2dOp>> marked; // of each function
    for (func::FuncOp function : functions_) {
      marked.emplace_back();
      for (auto op : function.getBody().front().getOps<sd::Conv2dOp>())
        if (op->hasAttr(kMinSqnrAttribute))
          marked.back().push_back(op);
      if (marked.back().size() != marked.front().size())
        return function.emitOpError("has other convolutions with '")
               << kMinSqnrAttribute << "' than the first bucket of timesteps";
    }
    for (size_t i = 0; i < marked.front().size(); ++i) {
      Candidate candidate;
      for (SmallVector<sd::Conv2dOp> &ops : marked) {
        candidate.ops.push_back(ops[i]);
        if (!isSameConvolution(candidate.op(), ops[i]))
          return ops[i].emitOpError("is another convolution than that with '")
                 << kMinSqnrAttribute << "' at its place in the first bucket of timesteps";
      }
      auto least = candidate.op()->getAttrOfType<FloatAttr>(kMinSqnrAttribute);
      if (!least || !(least.getValueAsDouble() > 0))
        return candidate.op().emitOpError("has '")
               << kMinSqnrAttribute << "', which must be a number of dB above 0";
      candidate.least = least.getValueAsDouble();
      for (sd::Conv2dOp op : candidate.ops) {
        op->removeAttr(kMinSqnrAttribute);
        op.removeTapShiftsAttr();
      }
      if (canHaveTaps(candidate.op()))
        candidates_.push_back(std::move(candidate));
    }
    if (candidates_.empty())
      return success();
    if (!resources_.target || !resources_.recipe)
      return functions_.front().emitOpError("needs a target and a recipe to choose convolutions by "
                                            "winograd");
    const MultiplierTarget &multiplier = resources_.target->array.multiplier;
    if (!multipliesTransformed(WinogradForm::F4x4, multiplier)) {
      for (const Candidate &candidate : candidates_)
        pass(candidate.op(),
             llvm::formatv("F(4x4, 3x3) needs multipliers of {0}x{1}; the target has "
                           "{2}x{3}",
                           kTapCodeBits, kTapWeightBits, multiplier.codes, multiplier.weights)
                 .str());
      candidates_.clear();
      return success();
    }
    countCycles();
    std::vector<Candidate> kept;
    for (Candidate &candidate : candidates_) {
      FailureOr<bool> keep = prepare(candidate);
      if (failed(keep))
        return failure();
      if (*keep)
        kept.push_back(std::move(candidate));
    }
    candidates_ = std::move(kept);
    return success();
  }

  /// But for scales and weights.
  static bool isSameConvolution(sd::Conv2dOp a, sd::Conv2dOp b) {
    const auto shape = [](Value value) {
      return cast<RankedTensorType>(value.getType()).getShape();
    };
    return shape(a.getInput()) == shape(b.getInput()) &&
           shape(a.getWeights()) == shape(b.getWeights()) &&
           shape(a.getResult()) == shape(b.getResult()) && a.getLayout() == b.getLayout() &&
           a.getStrides() == b.getStrides() && a.getDilations() == b.getDilations() &&
           a.getPadding() == b.getPadding() && a.getGroups() == b.getGroups();
  }

  static bool canHaveTaps(sd::Conv2dOp op) {
    ArrayRef<int64_t> weights = cast<RankedTensorType>(op.getWeights().getType()).getShape();
    Operation *producer = op.getInput().getDefiningOp();
    return isQuantized(op.getInput().getType()) && op.getWeightScales() &&
           !(producer && isConstantExpression(producer)) && op.getLayout() == sd::Layout::nhwc &&
           sd::tapProblem(weights.drop_front(2), op.getStrides(), op.getDilations(),
                          static_cast<int64_t>(op.getGroups()))
               .empty();
  }

  void countCycles() {
    std::map<std::vector<int64_t>, size_t> known;
    std::vector<MatrixShape> shapes;
    std::vector<size_t> indices;
    for (const Candidate &candidate : candidates_) {
      MatrixShape shape = shapeOf(candidate.op());
      auto [found, isNew] = known.try_emplace(signature(shape), shapes.size());
      if (isNew)
        shapes.push_back(std::move(shape));
      indices.push_back(found->second);
    }
    const Target &target = *resources_.target;
    std::vector<Cycles> cycles(shapes.size());
    parallelFor(static_cast<int64_t>(shapes.size()), [&](int64_t i, int) {
      const MatrixShape &shape = shapes[i];
      cycles[i].direct = winogradCycles(shape, WinogradForm::None, target);
      if (resources_.recipe->winograd && shape.inputChannels <= kWinogradChannels &&
          multipliesTransformed(WinogradForm::F2x2, target.array.multiplier))
        cycles[i].exact = winogradCycles(shape, WinogradForm::F2x2, target);
      cycles[i].taps = winogradCycles(shape, WinogradForm::F4x4, target);
    });
    for (auto [candidate, index] : llvm::zip(candidates_, indices))
      candidate.cycles = cycles[index];
  }

  /// Shifts of the weights, for a layer that is faster so.
  FailureOr<bool> prepare(Candidate &candidate) {
    sd::Conv2dOp op = candidate.op();
    if (!candidate.cycles.pays()) {
      pass(op, text(candidate.cycles));
      return false;
    }
    std::optional<Storage> storage = Storage::Auto;
    if (auto rule = op->getAttrOfType<StringAttr>(kStorageRuleAttribute))
      storage = parseStorage(rule.getValue());
    if (storage == Storage::Bitmap || storage == Storage::Structured) {
      pass(op, std::string("'storage: ") + name(*storage) +
                   "' tells zeros, which winograd has no use for");
      return false;
    }
    FailureOr<Tensor> weights = weightsOf(op);
    if (failed(weights))
      return failure();
    const std::span<const int8_t> codes = weights->values<int8_t>();
    const int64_t zeros = llvm::count(codes, 0);
    if (storage == Storage::Auto && hasManyZeros(zeros, weights->size())) {
      const auto skipped = cyclesWithoutZeros(shapeOf(op), codes, *resources_.target);
      if (skipped && (!candidate.cycles.direct || *skipped < *candidate.cycles.direct))
        candidate.cycles.direct = skipped;
      if (!candidate.cycles.pays()) {
        pass(op, text(candidate.cycles) + ", where " + std::to_string(zeros) + " of " +
                     std::to_string(weights->size()) + " weights are skipped");
        return false;
      }
    }
    candidate.shifts.weights = tapWeightShifts(codes, weights->dim(0), weights->dim(3));
    candidate.errors = std::make_unique<TapCodeErrors>();
    return true;
  }

  /// [co, 3, 3, ci]
  FailureOr<Tensor> weightsOf(sd::Conv2dOp op) {
    FailureOr<Tensor> codes = evaluateConstant(op.getWeights(), resources_.evaluation, constants_);
    if (failed(codes))
      return failure();
    const int64_t order[] = {0, 2, 3, 1};
    return transpose(*codes, order);
  }

  /// Runs the samples, each through the function of its timestep, and tells `add` what each
  /// candidate reads.
  LogicalResult
  runSamples(const SampleReader &reader, int round,
             const std::function<LogicalResult(Candidate &, size_t, const Tensor &)> &add) {
    absl::StatusOr<std::vector<double>> timesteps = timestepsOf(functions_.front(), reader);
    if (!timesteps.ok())
      return report(timesteps.status());
    std::vector<std::unique_ptr<Evaluator>> evaluators;
    llvm::DenseMap<Operation *, Candidate *> known;
    for (func::FuncOp function : functions_)
      evaluators.push_back(std::make_unique<Evaluator>(function, resources_.evaluation));
    for (Candidate &candidate : candidates_)
      for (sd::Conv2dOp op : candidate.ops)
        known[op] = &candidate;
    for (int64_t i = 0; i < reader.size(); ++i) {
      absl::StatusOr<Sample> sample = reader.read(i);
      if (!sample.ok())
        return report(sample.status());
      const size_t bucket = sd::bucketOf(functions_, (*timesteps)[i]);
      Evaluator::Steps steps(*evaluators[bucket], {});
      if (failed(steps.start(sample->inputs)))
        return failure();
      while (Operation *op = steps.next()) {
        if (Candidate *candidate = known.lookup(op))
          if (failed(add(*candidate, bucket, steps.value(op->getOperand(0)))))
            return failure();
        if (failed(steps.step()))
          return failure();
      }
      if (resources_.samples->progress)
        resources_.samples->progress(static_cast<double>(round * reader.size() + i + 1),
                                     2 * reader.size());
    }
    return success();
  }

  static LogicalResult addErrors(Candidate &candidate, size_t bucket, const Tensor &x) {
    sd::Conv2dOp op = candidate.ops[bucket];
    for (int64_t n = 0; n < x.dim(0); ++n)
      candidate.errors->add(tileOf(op), picture(x, codeFormat(op.getInput().getType()), n));
    return success();
  }

  LogicalResult addNoise(Candidate &candidate, size_t bucket, const Tensor &x) {
    sd::Conv2dOp op = candidate.ops[bucket];
    FailureOr<Tensor> weights = weightsOf(op);
    FailureOr<Tensor> scales =
        evaluateConstant(op.getWeightScales(), resources_.evaluation, constants_);
    if (failed(weights) || failed(scales))
      return failure();
    for (int64_t n = 0; n < x.dim(0); ++n)
      candidate.noise.add(*resources_.evaluation.kernels, tileOf(op),
                          picture(x, codeFormat(op.getInput().getType()), n),
                          weights->values<int8_t>().data(), scales->values<float>(),
                          candidate.shifts);
    return success();
  }

  LogicalResult decide(Candidate &candidate) {
    sd::Conv2dOp op = candidate.op();
    const double sqnr = candidate.noise.sqnr();
    const std::string loss =
        std::isinf(sqnr) ? "nothing is rounded; " : llvm::formatv("SQNR {0:F1} dB; ", sqnr).str();
    const std::string told = loss + text(candidate.cycles);
    if (sqnr < candidate.least) {
      pass(op, told + "; the recipe needs " + minSqnrName(candidate.least));
      return success();
    }
    FailureOr<std::optional<int64_t>> channel = overflowingChannel(candidate);
    if (failed(channel))
      return failure();
    if (*channel) {
      pass(op, told + "; accumulator of output channel " + std::to_string(**channel) +
                   " can leave " + std::to_string(kTapAccumulatorBits) + " bits");
      return success();
    }
    remark::passed(op.getLoc(), remarkOptions()) << told;
    if (resources_.samples->winograd)
      resources_.samples->winograd(sd::valueName(op.getResult()), sqnr);
    for (sd::Conv2dOp each : candidate.ops)
      each.setTapShiftsAttr(sd::TapShiftsAttr::get(op.getContext(), candidate.shifts));
    return success();
  }

  /// In any bucket of timesteps.
  FailureOr<std::optional<int64_t>> overflowingChannel(const Candidate &candidate) {
    for (sd::Conv2dOp op : candidate.ops) {
      FailureOr<Tensor> weights = weightsOf(op);
      FailureOr<Tensor> scales =
          evaluateConstant(op.getWeightScales(), resources_.evaluation, constants_);
      FailureOr<Tensor> bias =
          op.getBias() ? evaluateConstant(op.getBias(), resources_.evaluation, constants_)
                       : FailureOr<Tensor>(Tensor());
      if (failed(weights) || failed(scales) || failed(bias))
        return failure();
      const std::vector<ChannelParams> params = channelParams(
          scales->values<float>(), op.getBias() ? bias->values<float>() : std::span<const float>(),
          codeScale(op.getInput().getType()) / kTapScale, codeScale(op.getType()));
      if (auto channel = firstOverflowingTapChannel(
              tapAccumulatorBound(weights->values<int8_t>(), weights->dim(0),
                                  codeFormat(op.getInput().getType()), candidate.shifts),
              params))
        return channel;
    }
    return std::optional<int64_t>();
  }

  SmallVector<func::FuncOp> functions_;
  const Resources &resources_;
  ConstantCache constants_;
  std::vector<Candidate> candidates_;
};

struct QuantizeWinogradPass : impl::QuantizeWinogradBase<QuantizeWinogradPass> {
  void runOnOperation() override {
    const Resources &resources = sd::resources(&getContext());
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal() && !sd::isLaterBucket(function) &&
          failed(TapQuantizer(sd::bucketFunctions(function), resources).run()))
        return signalPassFailure();
  }
};

} // namespace
} // namespace sdopt
