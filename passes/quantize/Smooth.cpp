//===- Smooth.cpp - scales move from activations into weights ----------------===//
//
// G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large
// Language Models", ICML 2023, equations 3 and 4: a layer's input channels are divided by s and its
// weights multiplied by s, s = max|x|^a / max|w|^(1-a). Where only the codes of weights count, s is
// that of AWQ (ScaleSearch.h).
//
//===----------------------------------------------------------------------===//

#include "compiler/calibration/Activations.h"
#include "compiler/calibration/Moments.h"
#include "compiler/quantization/ScaleSearch.h"
#include "passes/quantize/Codebooks.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/StoredTensors.h"

#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"

#include <array>
#include <cmath>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SMOOTH
#include "passes/quantize/Passes.h.inc"

namespace {

/// Up to here a search goes. Beyond, more and more channels fill the range with what the samples
/// reached, and all that other inputs reach is clipped.
constexpr int kLargestSearched = kExponentSteps / 2;
/// Rows of a weight that the error of its codes is estimated from.
constexpr int64_t kEstimatedRows = 256;
/// Smaller channels are taken to be this large, relative to the largest.
constexpr double kSmallestChannel = 1e-4;
/// A search keeps the channels as they are unless the error falls below this part of what it was.
constexpr double kWorthwhile = 0.95;

/// A layer that reads the value, with what the estimate needs of its weights [n][k].
struct Reader {
  sd::LinearOp op;
  LayerRecipe recipe = {};
  bool narrow = false;                  ///< reads 8-bit codes
  std::vector<double> largest;          ///< max|w| of each input channel
  std::vector<double> squares;          ///< sum of w^2 of each input channel
  std::vector<std::vector<float>> rows; ///< some rows, evenly spread
  double rowWeight = 1;                 ///< how many rows each stands for
};

/// A value whose channels its producer can divide, and all that reads it.
struct Candidate {
  Value value;
  std::vector<Reader> readers = {};
  Smoothing smoothing = {};
};

class Smoother {
public:
  Smoother(func::FuncOp function, const Resources &resources)
      : function_(function), resources_(resources), builder_(function.getContext()) {}

  LogicalResult run() {
    SmallVector<Operation *> operations;
    for (Operation &op : function_.getBody().front())
      operations.push_back(&op);
    if (failed(searchScales(operations)))
      return failure();
    for (Operation *op : operations) {
      std::optional<Candidate> candidate = candidateOf(op);
      if (candidate && failed(smooth(*candidate)))
        return failure();
    }
    return success();
  }

  bool changed() const { return changed_; }

private:
  /// The linear layer whose output channels can be divided for this value, or null; each once.
  static sd::LinearOp linearBehind(Value value) {
    auto linear = value.getDefiningOp<sd::LinearOp>();
    bool free = linear && value.hasOneUse() && !linear->hasAttr(kDividedAttribute);
    return free ? linear : sd::LinearOp();
  }

  static bool canDivide(Operation *op) {
    if (op->hasAttr(kDividedAttribute))
      return false;
    if (auto norm = dyn_cast<sd::GroupNormOp>(op))
      return norm.getLayout() == sd::Layout::nhwc;
    if (auto geglu = dyn_cast<sd::GegluOp>(op))
      return static_cast<bool>(linearBehind(geglu.getInput()));
    if (auto attention = dyn_cast<sd::AttentionOp>(op))
      return static_cast<bool>(linearBehind(attention.getValue()));
    return isa<sd::LayerNormOp>(op);
  }

  /// Collects the linear layers that read `value`, also in another shape; false if others do.
  bool collectReaders(Value value, std::vector<Reader> &readers) {
    for (OpOperand &use : value.getUses()) {
      Operation *user = use.getOwner();
      if (auto reshape = dyn_cast<sd::ReshapeOp>(user)) {
        if (!keepsChannels(reshape) || !collectReaders(reshape.getResult(), readers))
          return false;
      } else if (auto linear = dyn_cast<sd::LinearOp>(user);
                 linear && use.getOperandNumber() == 0) {
        readers.emplace_back().op = linear;
      } else {
        return false;
      }
    }
    return true;
  }

  std::optional<Candidate> candidateOf(Operation *op) {
    if (!canDivide(op))
      return std::nullopt;
    Candidate candidate{.value = op->getResult(0)};
    if (!collectReaders(candidate.value, candidate.readers))
      return std::nullopt;
    for (Reader &reader : candidate.readers) {
      // Codes from elsewhere are of the numbers as they are.
      if (hasImposedScales(reader.op.getWeights()) || hasImposedCode(candidate.value) ||
          hasImposedCodebook(reader.op))
        return std::nullopt;
      LayerRecipe layer = layerSettings(*resources_.recipe, function_, reader.op);
      reader.narrow = layer.activationBits == 8;
      if ((reader.narrow || layer.smooth.awq) && layer.smooth.on && !candidate.smoothing.awq)
        candidate.smoothing = layer.smooth;
      reader.recipe = std::move(layer);
    }
    return candidate.smoothing.on ? std::optional(std::move(candidate)) : std::nullopt;
  }

  LogicalResult smooth(Candidate &candidate) {
    FailureOr<ValueStatistics> statistics = statisticsOf(candidate.value, *resources_.statistics);
    if (failed(statistics))
      return failure();
    size_t channels = cast<RankedTensorType>(candidate.value.getType()).getShape().back();
    if (statistics->channels.size() != channels)
      return emitError(candidate.value.getLoc(), "value '")
             << sd::valueName(candidate.value)
             << "' has no statistics of its channels; calibrate this function";
    std::vector<float> divisor;
    if (candidate.smoothing.awq) {
      if (auto found = searched_.find(candidate.value); found != searched_.end())
        divisor = keepLargest(found->second, statistics->channels);
    } else {
      for (Reader &reader : candidate.readers)
        if (failed(readWeights(reader)))
          return failure();
      divisor = choose(candidate, *statistics);
    }
    if (divisor.empty())
      return success();
    changed_ = true;
    return divide(candidate, divisor);
  }

  /// The scales of all values whose readers ask for AWQ, from the function as it is.
  LogicalResult searchScales(ArrayRef<Operation *> operations) {
    std::vector<Candidate> candidates;
    std::vector<MomentsRequest> requests;
    for (Operation *op : operations) {
      std::optional<Candidate> candidate = candidateOf(op);
      if (!candidate || !candidate->smoothing.awq || !hasUniformCodes(*candidate))
        continue;
      sd::LinearOp reader = candidate->readers.front().op;
      requests.push_back(
          {reader, 0, cast<RankedTensorType>(reader.getInput().getType()).getShape().back()});
      candidates.push_back(*std::move(candidate));
    }
    if (candidates.empty())
      return success();
    const RecordedInputs *samples = resources_.samples;
    if (!samples)
      return function_.emitOpError("has layers with 'smooth: awq', which needs recorded inputs: "
                                   "give --samples, or a recipe with another 'smooth'");
    absl::StatusOr<std::vector<SampleFile>> files = samples->open();
    if (!files.ok())
      return function_.emitError() << std::string(files.status().message());
    const auto passes = cutIntoPasses(requests, samples->momentBytes);
    for (size_t pass = 0; pass < passes.size(); ++pass) {
      const auto [first, last] = passes[pass];
      auto progress = [&](double done, int64_t total) {
        if (samples->progress)
          samples->progress(static_cast<double>(pass) * static_cast<double>(total) + done,
                            static_cast<int64_t>(passes.size()) * total);
      };
      absl::StatusOr<std::vector<InputMoments>> moments =
          collectMoments(function_, resources_.evaluation, *files,
                         {requests.begin() + first, requests.begin() + last}, progress);
      if (!moments.ok())
        return function_.emitError() << std::string(moments.status().message());
      for (size_t i = first; i < last; ++i)
        if (failed(searchScales(candidates[i], std::exchange((*moments)[i - first], {}))))
          return failure();
    }
    return success();
  }

  /// Weights of 16 bits lose nothing that counts.
  static bool hasCodes(const Reader &reader) { return reader.recipe.weightBits <= 8; }

  /// At least one reader has codes, and none has palettes.
  static bool hasUniformCodes(const Candidate &candidate) {
    for (const Reader &reader : candidate.readers)
      if (reader.recipe.hasPalettes()) {
        mlir::remark::missed(candidate.value.getLoc(),
                             mlir::remark::RemarkOpts::name("smooth").category("smooth"))
            << "channels stay as they are: awq is for weights without palettes";
        return false;
      }
    return llvm::any_of(candidate.readers, hasCodes);
  }

  /// All weights of a reader, or some rows, evenly spread.
  FailureOr<CodedLayer> codedLayer(Reader &reader, int64_t largestRows) {
    FailureOr<Tensor> weights = evaluateConstant(reader.op.getWeights(), resources_.evaluation);
    if (failed(weights))
      return failure();
    if (int64_t at = firstNonFiniteWeight(*weights); at >= 0)
      return reader.op->emitOpError() << "weight element " << at << " is not finite";
    const int64_t rows = weights->dim(0), columns = weights->dim(1);
    const int64_t kept = std::min(rows, largestRows);
    Tensor some(ElementType::F32, {kept, columns});
    for (int64_t i = 0; i < kept; ++i)
      std::copy_n(weights->values<float>().data() + i * rows / kept * columns, columns,
                  some.mutableValues<float>().data() + i * columns);
    reader.rowWeight = static_cast<double>(rows) / static_cast<double>(kept);
    const LayerRecipe &recipe = reader.recipe;
    return CodedLayer{std::move(some), formOf(recipe), recipe.oneScale, recipe.weightRange,
                      recipe.biasCorrection};
  }

  /// The exponent of least error of all readers together; nothing if none is worth while.
  LogicalResult searchScales(Candidate &candidate, const InputMoments &moments) {
    std::array<double, kExponentSteps + 1> errors{};
    for (Reader &reader : candidate.readers) {
      if (!hasCodes(reader))
        continue;
      FailureOr<CodedLayer> layer = codedLayer(reader, kEstimatedRows);
      if (failed(layer))
        return failure();
      for (int exponent = 0; exponent <= kExponentSteps; ++exponent)
        errors[exponent] +=
            reader.rowWeight * codeError(*layer, moments, awqScales(moments, exponent));
    }
    const auto least = std::ranges::min_element(errors);
    const int exponent = static_cast<int>(least - errors.begin());
    const bool worthwhile = *least < kWorthwhile * errors[0];
    if (worthwhile)
      searched_[candidate.value] = awqScales(moments, exponent);
    else
      mlir::remark::passed(candidate.value.getLoc(),
                           mlir::remark::RemarkOpts::name("smooth").category("smooth"))
          << "channels stay as they are: no exponent promises less error";
    for (Reader &reader : candidate.readers)
      if (worthwhile && hasCodes(reader) && failed(tell(reader, moments, exponent)))
        return failure();
    return success();
  }

  /// What a reader gains, by all its weights.
  LogicalResult tell(Reader &reader, const InputMoments &moments, int exponent) {
    FailureOr<CodedLayer> layer = codedLayer(reader, std::numeric_limits<int64_t>::max());
    if (failed(layer))
      return failure();
    const OutputPower power{
        .signal = outputPower(*layer, moments),
        .before = codeError(*layer, moments, {}),
        .after = codeError(*layer, moments, awqScales(moments, exponent)),
    };
    char text[128];
    std::snprintf(text, sizeof(text),
                  "output SQNR %.1f dB with channels as they are, %.1f dB with channels divided, "
                  "exponent %d/16",
                  power.sqnrBefore(), power.sqnrAfter(), exponent);
    mlir::remark::passed(reader.op.getLoc(),
                         mlir::remark::RemarkOpts::name("smooth").category("smooth"))
        << std::string(text);
    if (resources_.samples->scaled)
      resources_.samples->scaled(sd::valueName(reader.op.getResult()), power);
    return success();
  }

  LogicalResult readWeights(Reader &reader) {
    FailureOr<Tensor> weights = evaluateConstant(reader.op.getWeights(), resources_.evaluation);
    if (failed(weights))
      return failure();
    std::span<const float> values = weights->values<float>();
    int64_t rows = weights->dim(0), columns = weights->dim(1);
    std::vector<float> largest(columns);
    reader.squares.assign(columns, 0);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t c = 0; c < columns; ++c) {
        float w = values[row * columns + c];
        largest[c] = std::max(largest[c], std::fabs(w));
        reader.squares[c] += static_cast<double>(w) * w;
      }
    reader.largest.assign(largest.begin(), largest.end());
    int64_t kept = std::min(rows, kEstimatedRows);
    for (int64_t i = 0; i < kept; ++i) {
      auto row = values.subspan(i * rows / kept * columns, columns);
      reader.rows.emplace_back(row.begin(), row.end());
    }
    reader.rowWeight = static_cast<double>(rows) / static_cast<double>(kept);
    return success();
  }

  /// Equation 4, for all readers together, such that the largest channel keeps its largest value.
  static std::vector<float> divisorOf(const Candidate &candidate, const ChannelStatistics &channels,
                                      int exponent) {
    size_t count = channels.size();
    std::vector<double> activation(count), weight(count);
    for (size_t c = 0; c < count; ++c) {
      activation[c] = std::max(std::fabs(channels.min[c]), std::fabs(channels.max[c]));
      for (const Reader &reader : candidate.readers)
        weight[c] = std::max(weight[c], reader.largest[c]);
    }
    auto raise = [](std::vector<double> &values) {
      double largest = *std::max_element(values.begin(), values.end());
      for (double &value : values)
        value = largest > 0 ? std::max(value, kSmallestChannel * largest) : 1;
    };
    raise(activation);
    raise(weight);
    std::vector<float> divisor(count);
    for (size_t c = 0; c < count; ++c) {
      double s = sixteenthPower(activation[c], exponent) /
                 sixteenthPower(weight[c], kExponentSteps - exponent);
      divisor[c] = static_cast<float>(s);
    }
    return keepLargest(std::move(divisor), channels);
  }

  /// A common factor makes the largest channel keep its largest value.
  static std::vector<float> keepLargest(std::vector<float> divisor,
                                        const ChannelStatistics &channels) {
    double before = 0, after = 0;
    for (size_t c = 0; c < divisor.size(); ++c) {
      const double largest = std::max(std::fabs(channels.min[c]), std::fabs(channels.max[c]));
      before = std::max(before, largest);
      after = std::max(after, largest / divisor[c]);
    }
    for (float &s : divisor)
      s = static_cast<float>(before > 0 ? s * (after / before) : 1);
    return divisor;
  }

  /// Expected squared error of the readers' outputs, added up: activations by their common step,
  /// weights by the step of each row; rounding errors are spread evenly and independent.
  static double estimatedError(const Candidate &candidate, const ValueStatistics &statistics,
                               const std::vector<float> &divisor) {
    const ChannelStatistics &channels = statistics.channels;
    size_t count = channels.size();
    double low = 0, high = 0, power = 0;
    double elements = static_cast<double>(statistics.count) / static_cast<double>(count);
    for (size_t c = 0; c < count; ++c) {
      double s = divisor[c];
      low = std::min(low, channels.min[c] / s);
      high = std::max(high, channels.max[c] / s);
      power += channels.sumOfSquares[c] / elements / (s * s);
    }
    double step = (high - low) / 255, error = 0;
    for (const Reader &reader : candidate.readers) {
      double gain = 0;
      for (size_t c = 0; c < count; ++c)
        gain += reader.squares[c] * divisor[c] * divisor[c];
      if (reader.narrow)
        error += step * step * gain;
      for (const std::vector<float> &row : reader.rows) {
        float largest = 0;
        for (size_t c = 0; c < count; ++c)
          largest = std::max(largest, std::fabs(row[c]) * divisor[c]);
        double weightStep = largest / 127.0;
        error += reader.rowWeight * weightStep * weightStep * power;
      }
    }
    return error / 12;
  }

  /// Empty if the channels should stay as they are.
  std::vector<float> choose(const Candidate &candidate, const ValueStatistics &statistics) {
    std::vector<float> ones(statistics.channels.size(), 1.0f), best;
    double before = estimatedError(candidate, statistics, ones);
    double least = before * kWorthwhile;
    int chosen = 0;
    auto consider = [&](int exponent) {
      std::vector<float> divisor = divisorOf(candidate, statistics.channels, exponent);
      double error = estimatedError(candidate, statistics, divisor);
      if (error < least) {
        least = error;
        best = std::move(divisor);
        chosen = exponent;
      }
    };
    if (candidate.smoothing.exponent) {
      least = std::numeric_limits<double>::infinity();
      consider(static_cast<int>(std::lround(*candidate.smoothing.exponent * kExponentSteps)));
    } else {
      for (int exponent = 0; exponent <= kLargestSearched; ++exponent)
        consider(exponent);
    }
    auto text = [&]() -> std::string {
      if (best.empty())
        return "channels stay as they are: no exponent promises less error";
      char gain[32];
      std::snprintf(gain, sizeof(gain), "%.1f", 10 * std::log10(before / least));
      return "channels divided with exponent " + std::to_string(chosen) + "/16, estimated gain " +
             gain + " dB";
    };
    mlir::remark::passed(candidate.value.getLoc(),
                         mlir::remark::RemarkOpts::name("smooth").category("smooth"))
        << text();
    return best;
  }

  /// `vector` with `rows` dimensions behind it: it meets the output channels of weights.
  Value asColumn(Value vector) {
    auto type = cast<RankedTensorType>(vector.getType());
    return sd::ReshapeOp::create(builder_, sd::renamedLoc(vector.getLoc(), ".column"),
                                 type.clone({type.getDimSize(0), 1}), vector);
  }

  Value scaled(Value constant, Value vector, sd::BinaryKind kind) {
    return sd::BinaryOp::create(builder_, sd::renamedLoc(constant.getLoc(), ".smooth"),
                                constant.getType(), kind, constant, vector);
  }

  /// Weights [n][k] with the inputs (k) or outputs (n) scaled; the transposition of those that lie
  /// as [k][n] stays last, where the evaluation knows it.
  Value scaledWeights(Value weights, Value vector, bool inputs, sd::BinaryKind kind) {
    auto transpose = weights.getDefiningOp<sd::TransposeOp>();
    if (transpose && transpose.getPermutation() == ArrayRef<int64_t>{1, 0}) {
      Value source = scaled(transpose.getInput(), inputs ? asColumn(vector) : vector, kind);
      return sd::TransposeOp::create(builder_, transpose.getLoc(), weights.getType(), source,
                                     transpose.getPermutation());
    }
    return scaled(weights, inputs ? vector : asColumn(vector), kind);
  }

  /// Divides the producer's channels and multiplies the readers' weights.
  LogicalResult divide(Candidate &candidate, const std::vector<float> &divisor) {
    Operation *producer = candidate.value.getDefiningOp();
    builder_.setInsertionPointToStart(&function_.getBody().front());
    std::string name = sd::valueName(candidate.value) + ".smooth";
    FailureOr<Value> vector = storedVector(builder_, name, divisor);
    if (failed(vector))
      return failure();
    auto key = vector->getDefiningOp<sd::WeightOp>().getKeyAttr();
    if (failed(divideProducer(producer, divisor, *vector)))
      return failure();
    producer->setAttr(kDividedAttribute, key);
    for (Reader &reader : candidate.readers) {
      builder_.setInsertionPoint(reader.op);
      reader.op.getWeightsMutable().assign(scaledWeights(reader.op.getWeights(), *vector,
                                                         /*inputs=*/true, sd::BinaryKind::mul));
    }
    return success();
  }

  LogicalResult divideProducer(Operation *producer, const std::vector<float> &divisor,
                               Value vector) {
    builder_.setInsertionPoint(producer);
    auto norm = [&](auto op) {
      op.getGammaMutable().assign(scaled(op.getGamma(), vector, sd::BinaryKind::div));
      if (Value beta = op.getBeta())
        op.getBetaMutable().assign(scaled(beta, vector, sd::BinaryKind::div));
      return success();
    };
    if (auto groupNorm = dyn_cast<sd::GroupNormOp>(producer))
      return norm(groupNorm);
    if (auto layerNorm = dyn_cast<sd::LayerNormOp>(producer))
      return norm(layerNorm);
    if (auto attention = dyn_cast<sd::AttentionOp>(producer))
      return divideLinear(linearBehind(attention.getValue()), vector);
    // Only the half that is multiplied; the other goes through the curve of gelu.
    sd::LinearOp linear = linearBehind(cast<sd::GegluOp>(producer).getInput());
    std::vector<float> both = divisor;
    both.resize(2 * divisor.size(), 1.0f);
    builder_.setInsertionPointToStart(&function_.getBody().front());
    FailureOr<Value> halves =
        storedVector(builder_, sd::valueName(linear.getResult()) + ".smooth", both);
    return failed(halves) ? failure() : divideLinear(linear, *halves);
  }

  LogicalResult divideLinear(sd::LinearOp linear, Value vector) {
    builder_.setInsertionPoint(linear);
    linear.getWeightsMutable().assign(
        scaledWeights(linear.getWeights(), vector, /*inputs=*/false, sd::BinaryKind::div));
    if (Value bias = linear.getBias())
      linear.getBiasMutable().assign(scaled(bias, vector, sd::BinaryKind::div));
    linear->setAttr(kDividedAttribute, vector.getDefiningOp<sd::WeightOp>().getKeyAttr());
    return success();
  }

  func::FuncOp function_;
  const Resources &resources_;
  OpBuilder builder_;
  bool changed_ = false;
  llvm::DenseMap<Value, std::vector<float>> searched_; ///< AWQ's scales
};

struct SmoothPass : impl::SmoothBase<SmoothPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    const Resources &resources = sd::resources(&getContext());
    if (failed(checkStatistics(function)))
      return signalPassFailure();
    Smoother smoother(function, resources);
    if (failed(smoother.run()))
      return signalPassFailure();
    if (smoother.changed())
      function->setAttr(kCalibratedAttribute,
                        StringAttr::get(&getContext(), resources.statistics->functionDigest()));
  }
};

} // namespace
} // namespace sdopt
