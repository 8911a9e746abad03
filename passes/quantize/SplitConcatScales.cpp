//===- SplitConcatScales.cpp - scales of their own for parts of a concatenation ----===//

#include "compiler/calibration/Activations.h"
#include "compiler/quantization/NarrowWeights.h"
#include "passes/quantize/Codebooks.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/StoredTensors.h"
#include "passes/quantize/WeightVariants.h"

#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_SPLITCONCATSCALES
#include "passes/quantize/Passes.h.inc"

namespace {

/// Exponents relative to the first part are searched from minus this on.
constexpr int64_t kLargestSearched = 12;
/// Estimated error with exponents, relative to that without, from which on they pay: 1 dB.
constexpr double kWorthwhile = 0.8;
/// A norm is split if a part reaches no more than this much of the largest magnitude.
constexpr double kSmallPart16 = 1.0 / 8, kSmallPart8 = 1.0 / 2;

/// Channels [first, first + count) of a concatenation.
struct Part {
  int64_t first = 0, count = 0;
  double low = 0, high = 0; ///< that its elements reached, or 0
  double power = 0;         ///< sum of the channels' mean squares
};

double magnitude(const Part &part) { return std::max(-part.low, part.high); }

/// What the estimate needs of a convolution or linear layer.
struct Reader {
  Operation *op = nullptr;
  LayerRecipe layer = {};
  std::vector<std::vector<double>> largest = {}; ///< max|w|, by output channel and part
  std::vector<double> squares = {};              ///< sum of w^2, by part
};

class Splitter {
public:
  Splitter(func::FuncOp function, const Resources &resources)
      : function_(function), resources_(resources), builder_(function.getContext()) {}

  LogicalResult run() {
    SmallVector<sd::ConcatOp> concats(function_.getOps<sd::ConcatOp>());
    for (sd::ConcatOp concat : concats)
      if (failed(split(concat)))
        return failure();
    return success();
  }

  bool changed() const { return changed_; }

private:
  LogicalResult split(sd::ConcatOp concat) {
    const auto type = cast<RankedTensorType>(concat.getType());
    const auto axis = static_cast<int64_t>(concat.getAxis());
    // Codes from elsewhere are of the numbers as they are.
    if (!isFloatTensor(concat) || concat.getParts().size() < 2 || concat.getExponents() ||
        (axis != -1 && axis != type.getRank() - 1) || hasImposedCode(concat) ||
        isConstantExpression(concat))
      return success();
    SmallVector<sd::GroupNormOp> norms;
    std::vector<Reader> readers;
    for (OpOperand &use : concat->getUses()) {
      Operation *user = use.getOwner();
      if (auto norm = dyn_cast<sd::GroupNormOp>(user); norm && use.getOperandNumber() == 0)
        norms.push_back(norm);
      else if (isa<sd::Conv2dOp, sd::LinearOp>(user) && use.getOperandNumber() == 0 &&
               hasWeights(user) && !hasImposedScales(user->getOperand(1)) &&
               !hasImposedCodebook(user))
        readers.push_back({user, layerSettings(*resources_.recipe, function_, user)});
    }
    if (norms.empty() && readers.empty())
      return success();
    FailureOr<std::vector<Part>> parts = partsOf(concat);
    if (failed(parts))
      return failure();
    for (sd::GroupNormOp norm : norms)
      splitNorm(concat, norm, *parts);
    return readers.empty() ? success() : balance(concat, readers, *parts);
  }

  FailureOr<std::vector<Part>> partsOf(sd::ConcatOp concat) {
    FailureOr<ValueStatistics> statistics = statisticsOf(concat, *resources_.statistics);
    if (failed(statistics))
      return failure();
    const ChannelStatistics &channels = statistics->channels;
    const int64_t all = cast<RankedTensorType>(concat.getType()).getShape().back();
    if (static_cast<int64_t>(channels.size()) != all)
      return concat.emitOpError("value '")
             << sd::valueName(concat)
             << "' has no statistics of its channels; calibrate this function";
    const double elements = static_cast<double>(statistics->count) / static_cast<double>(all);
    std::vector<Part> parts;
    int64_t channel = 0;
    for (Value value : concat.getParts()) {
      Part part{.first = channel,
                .count = cast<RankedTensorType>(value.getType()).getShape().back()};
      for (const int64_t end = channel + part.count; channel < end; ++channel) {
        part.low = std::min<double>(part.low, channels.min[channel]);
        part.high = std::max<double>(part.high, channels.max[channel]);
        part.power += channels.sumOfSquares[channel] / elements;
      }
      parts.push_back(part);
    }
    return parts;
  }

  //===-- Norms ---------------------------------------------------------------===//

  /// How much of the largest magnitude the smallest part reaches.
  static double smallestShare(const std::vector<Part> &parts) {
    double least = INFINITY, most = 0;
    for (const Part &part : parts) {
      least = std::min(least, magnitude(part));
      most = std::max(most, magnitude(part));
    }
    return most > 0 ? least / most : 1;
  }

  void splitNorm(sd::ConcatOp concat, sd::GroupNormOp norm, const std::vector<Part> &parts) {
    const LayerRecipe layer = layerSettings(*resources_.recipe, function_, norm);
    const double share = smallestShare(parts);
    if (norm.getLayout() != sd::Layout::nhwc || norm->hasAttr(kDividedAttribute) ||
        share > (layer.activationBits == 8 ? kSmallPart8 : kSmallPart16))
      return;
    const int64_t channels = parts.back().first + parts.back().count;
    const int64_t perGroup = channels / static_cast<int64_t>(norm.getGroups());
    char text[96];
    std::snprintf(text, sizeof(text), "a part reaches 1/%.0f of the largest magnitude", 1 / share);
    if (llvm::any_of(parts, [&](const Part &part) { return part.first % perGroup != 0; })) {
      mlir::remark::missed(
          norm.getLoc(), mlir::remark::RemarkOpts::name("split-concat-scales").category("quantize"))
          << (std::string(text) + " but shares its codes: a group of " + std::to_string(perGroup) +
              " channels lies across two parts");
      return;
    }
    changed_ = true;
    builder_.setInsertionPoint(norm);
    SmallVector<Value> normed;
    for (auto [index, part] : llvm::enumerate(parts))
      normed.push_back(normOf(norm, concat.getParts()[index], part, part.count / perGroup,
                              ".part" + std::to_string(index)));
    auto joined = sd::ConcatOp::create(builder_, norm.getLoc(), normed, /*axis=*/-1,
                                       /*exponents=*/DenseI64ArrayAttr());
    mlir::remark::passed(norm.getLoc(),
                         mlir::remark::RemarkOpts::name("split-concat-scales").category("quantize"))
        << (std::string(text) + ": each part is normalized by itself");
    norm.replaceAllUsesWith(joined.getResult());
    norm.erase();
  }

  Value normOf(sd::GroupNormOp norm, Value input, const Part &part, int64_t groups,
               const std::string &suffix) {
    const auto type = cast<RankedTensorType>(norm.getType());
    SmallVector<int64_t> shape(type.getShape());
    shape.back() = part.count;
    auto cut = [&](Value vector) -> Value {
      return sd::SliceOp::create(builder_, sd::renamedLoc(vector.getLoc(), suffix),
                                 type.clone(ArrayRef<int64_t>{part.count}), vector,
                                 ArrayRef<int64_t>{part.first},
                                 ArrayRef<int64_t>{part.first + part.count}, ArrayRef<int64_t>{1});
    };
    Value gamma = cut(norm.getGamma()), beta = cut(norm.getBeta());
    Operation *own = builder_.clone(*norm);
    own->setLoc(sd::renamedLoc(norm.getLoc(), suffix));
    own->setOperands({input, gamma, beta});
    auto result = cast<sd::GroupNormOp>(own);
    result.setGroups(groups);
    result.getResult().setType(type.clone(shape));
    own->setAttr(kStatisticsOfAttribute, builder_.getStringAttr(sd::valueName(norm)));
    return result;
  }

  //===-- Convolutions and linear layers --------------------------------------===//

  LogicalResult balance(sd::ConcatOp concat, std::vector<Reader> &readers,
                        const std::vector<Part> &parts) {
    for (Reader &reader : readers)
      if (failed(readWeights(reader, parts)))
        return failure();
    const std::vector<int64_t> none(parts.size(), 0);
    const std::vector<int64_t> best = search(readers, parts);
    const double before = estimatedError(readers, parts, none);
    const double after = estimatedError(readers, parts, best);
    if (!(after < kWorthwhile * before))
      return success();
    changed_ = true;
    remark(concat, best, 10 * std::log10(before / after));
    return apply(concat, readers, parts, best);
  }

  LogicalResult readWeights(Reader &reader, const std::vector<Part> &parts) {
    FailureOr<Tensor> weights = evaluateConstant(reader.op->getOperand(1), resources_.evaluation);
    if (failed(weights))
      return failure();
    std::span<const float> values = weights->values<float>();
    const int64_t rows = weights->dim(0), channels = weights->dim(1);
    const int64_t taps = weights->size() / (rows * channels);
    reader.largest.assign(rows, std::vector<double>(parts.size()));
    reader.squares.assign(parts.size(), 0);
    for (int64_t row = 0; row < rows; ++row)
      for (auto [p, part] : llvm::enumerate(parts))
        for (float w : values.subspan((row * channels + part.first) * taps, part.count * taps)) {
          reader.largest[row][p] = std::max<double>(reader.largest[row][p], std::fabs(w));
          reader.squares[p] += static_cast<double>(w) * w;
        }
    return success();
  }

  /// The largest code of a layer's weights.
  static double largestCode(int bits) { return bits == 16 ? 127.0 * 254 : (1 << (bits - 1)) - 1; }

  /// Expected squared error of the readers' outputs, added up: activations by the step of their
  /// common code, weights by the step of each row; rounding errors are spread evenly and
  /// independent, and at each tap alike.
  static double estimatedError(const std::vector<Reader> &readers, const std::vector<Part> &parts,
                               const std::vector<int64_t> &exponents) {
    double low = 0, high = 0;
    for (auto [part, exponent] : llvm::zip(parts, exponents)) {
      low = std::min(low, std::ldexp(part.low, static_cast<int>(exponent)));
      high = std::max(high, std::ldexp(part.high, static_cast<int>(exponent)));
    }
    double error = 0;
    for (const Reader &reader : readers) {
      const double step =
          reader.layer.activationBits == 8 ? (high - low) / 255 : 2 * std::max(-low, high) / 65535;
      for (auto [squares, exponent] : llvm::zip(reader.squares, exponents))
        error += step * step * std::ldexp(squares, static_cast<int>(-2 * exponent));
      const double codes = largestCode(reader.layer.weightBits);
      const WeightForm form = formOf(reader.layer);
      const bool grouped = form.coding == WeightCoding::Grouped && form.groupSize > 0;
      for (const std::vector<double> &largest : reader.largest) {
        double row = 0;
        for (auto [value, exponent] : llvm::zip(largest, exponents))
          row = std::max(row, std::ldexp(value, static_cast<int>(-exponent)));
        for (auto [p, value] : llvm::enumerate(largest)) {
          const auto exponent = static_cast<int>(exponents[p]);
          const double reach =
              grouped ? std::max(std::ldexp(value, -exponent), row / widestGroupScale(form)) : row;
          error += reach / codes * (reach / codes) * std::ldexp(parts[p].power, 2 * exponent);
        }
      }
    }
    return error / 12;
  }

  /// One part after the other, the smallest exponents of the least error; the largest part has 0.
  static std::vector<int64_t> search(const std::vector<Reader> &readers,
                                     const std::vector<Part> &parts) {
    std::vector<int64_t> best(parts.size(), 0);
    double least = estimatedError(readers, parts, best);
    for (size_t p = 1; p < parts.size(); ++p) {
      std::vector<int64_t> now = best;
      for (int64_t distance = 1; distance <= kLargestSearched; ++distance)
        for (int64_t exponent : {-distance, distance}) {
          now[p] = exponent;
          if (double error = estimatedError(readers, parts, now); error < least) {
            least = error;
            best = now;
          }
        }
    }
    const auto largest = std::ranges::max_element(parts, {}, magnitude) - parts.begin();
    for (const int64_t zero = best[largest]; int64_t &exponent : best)
      exponent -= zero;
    return best;
  }

  static void remark(sd::ConcatOp concat, const std::vector<int64_t> &exponents, double gain) {
    std::string text = "parts count";
    for (auto [p, exponent] : llvm::enumerate(exponents))
      text += (p ? ", 2^" : " 2^") + std::to_string(exponent);
    char number[32];
    std::snprintf(number, sizeof(number), "%.1f", gain);
    mlir::remark::passed(concat.getLoc(),
                         mlir::remark::RemarkOpts::name("split-concat-scales").category("quantize"))
        << (text + " times, estimated gain " + number + " dB");
  }

  LogicalResult apply(sd::ConcatOp concat, const std::vector<Reader> &readers,
                      const std::vector<Part> &parts, const std::vector<int64_t> &exponents) {
    const std::string name = sd::valueName(concat);
    std::vector<float> divisor;
    for (auto [part, exponent] : llvm::zip(parts, exponents))
      divisor.insert(divisor.end(), part.count, std::ldexp(1.0f, static_cast<int>(-exponent)));
    builder_.setInsertionPointToStart(&function_.getBody().front());
    FailureOr<Value> vector = storedVector(builder_, name + ".split", divisor);
    if (failed(vector))
      return failure();
    sd::ConcatOp balanced = concat;
    const bool shared =
        static_cast<size_t>(std::distance(concat->getUses().begin(), concat->getUses().end())) !=
        readers.size();
    if (shared) {
      builder_.setInsertionPointAfter(concat);
      balanced = cast<sd::ConcatOp>(builder_.clone(*concat));
      balanced->setLoc(sd::renamedLoc(concat.getLoc(), ".split"));
      balanced->setAttr(kStatisticsOfAttribute, builder_.getStringAttr(name));
    }
    balanced.setExponents(exponents);
    balanced->setAttr(kDividedAttribute, vector->getDefiningOp<sd::WeightOp>().getKeyAttr());
    for (const Reader &reader : readers) {
      reader.op->setOperand(0, balanced);
      reader.op->setOperand(1, multiplied(reader.op, *vector));
    }
    return success();
  }

  /// A layer's weights with those of each input channel multiplied.
  Value multiplied(Operation *reader, Value vector) {
    builder_.setInsertionPoint(reader);
    Value weights = reader->getOperand(1);
    const auto type = cast<RankedTensorType>(weights.getType());
    const auto flat = cast<RankedTensorType>(vector.getType());
    if (type.getRank() == 4)
      vector = sd::ReshapeOp::create(builder_, sd::renamedLoc(vector.getLoc(), ".channels"),
                                     flat.clone({flat.getDimSize(0), 1, 1}), vector);
    return sd::BinaryOp::create(builder_, sd::renamedLoc(weights.getLoc(), ".smooth"), type,
                                sd::BinaryKind::mul, weights, vector);
  }

  func::FuncOp function_;
  const Resources &resources_;
  OpBuilder builder_;
  bool changed_ = false;
};

struct SplitConcatScalesPass : impl::SplitConcatScalesBase<SplitConcatScalesPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    const Resources &resources = sd::resources(&getContext());
    if (failed(checkStatistics(function)))
      return signalPassFailure();
    Splitter splitter(function, resources);
    if (failed(splitter.run()))
      return signalPassFailure();
    if (splitter.changed())
      function->setAttr(kCalibratedAttribute,
                        StringAttr::get(&getContext(), resources.statistics->functionDigest()));
  }
};

} // namespace
} // namespace sdopt
