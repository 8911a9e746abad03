//===- Prune.cpp - weights that become zero ----------------------------------===//

#include "compiler/calibration/Moments.h"
#include "compiler/calibration/Timesteps.h"
#include "compiler/prune/Compensation.h"
#include "compiler/prune/InputPower.h"
#include "compiler/quantization/WeightQuantization.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/reference/MemoryNeed.h"
#include "passes/prune/Passes.h"
#include "passes/prune/PrunedLayers.h"
#include "passes/prune/PrunedWeights.h"
#include "passes/quantize/LayerSettings.h"

#include "dialects/sd/Resources.h"
#include "mlir/IR/Remarks.h"

#include <cmath>
#include <map>
#include <set>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_PRUNE
#include "passes/prune/Passes.h.inc"

namespace {

/// Columns whose moments are known together. What others have in common is left out.
constexpr int64_t kLargestBlock = 4096;

/// What one layer reads, as far as its pruning needs it.
struct LayerSums {
  std::optional<InputPower> power = {};
  std::vector<MomentsSum> moments = {}; ///< of blocks of input channels
  std::vector<InputMoments> taken = {}; ///< what they gave
};

/// Layers that are pruned together, and the first operation that is run again after it.
struct Segment {
  Operation *first = nullptr; ///< null: the function's first
  std::vector<size_t> layers = {};
};

class Pruner {
public:
  Pruner(func::FuncOp function, const Resources &resources, PruningPlan plan)
      : function_(function), resources_(resources), plan_(std::move(plan)) {}

  LogicalResult run() {
    for (const DenseLayer &layer : plan_.dense)
      remark::missed(layer.op->getLoc(), remark::RemarkOpts::name("prune").category("prune"))
          << ("keeps all weights: " + layer.reason);
    if (failed(chooseGlobalMasks()))
      return failure();
    if (llvm::none_of(plan_.layers, [](const PrunedLayer &layer) { return layer.needsInputs(); })) {
      for (size_t i = 0; i < plan_.layers.size(); ++i)
        if (failed(prune(i)))
          return failure();
      return success();
    }
    if (!resources_.samples)
      return function_.emitOpError("has layers whose 'prune' needs recorded inputs: give "
                                   "--samples, or a recipe with 'prune: magnitude'");
    absl::StatusOr<std::vector<SampleFile>> files = resources_.samples->open();
    if (!files.ok())
      return fail(files.status());
    evaluator_.emplace(function_, resources_.evaluation);
    findSegments();
    if (failed(sumDensePowers(*files)) || failed(startWalks(*files)))
      return failure();
    for (; at_ < segments_.size(); ++at_)
      if (failed(pruneSegment()))
        return failure();
    return success();
  }

private:
  //===------------------------------------------------------------------===//
  // Walking the recorded inputs through the function, block by block
  //===------------------------------------------------------------------===//

  struct Walk {
    std::unique_ptr<Evaluator::Steps> steps;
    int64_t rows = 1, batch = 1;
    double weight = 1;
  };

  LogicalResult fail(const absl::Status &status) {
    return function_.emitError() << std::string(status.message());
  }

  /// Calls body(walk, i, count) for each recorded evaluation, at most `limit` if it is not 0, about
  /// to begin.
  template <typename Body>
  LogicalResult forEachSample(const std::vector<SampleFile> &files, int64_t limit, Body body) {
    absl::StatusOr<SampleReader> reader = SampleReader::open(function_, files, limit);
    if (!reader.ok())
      return fail(reader.status());
    absl::StatusOr<std::vector<double>> timesteps = timestepsOf(function_, *reader);
    if (!timesteps.ok())
      return fail(timesteps.status());
    const std::vector<double> weights =
        evaluationWeights(*timesteps, resources_.recipe->pruneTimesteps);
    for (int64_t i = 0; i < reader->size(); ++i) {
      absl::StatusOr<Sample> sample = reader->read(i);
      if (!sample.ok())
        return fail(sample.status());
      Walk walk{.steps = std::make_unique<Evaluator::Steps>(*evaluator_, Evaluator::Observer()),
                .rows = sample->rows,
                .batch = batchOf(*sample),
                .weight = weights[i]};
      if (failed(walk.steps->start(sample->inputs)) ||
          failed(body(std::move(walk), i, reader->size())))
        return failure();
    }
    return success();
  }

  LogicalResult startWalks(const std::vector<SampleFile> &files) {
    const bool inOrder = llvm::any_of(plan_.layers, [](const PrunedLayer &layer) {
      return layer.needsMoments() || (layer.needsPower() && !layer.needsDensePower());
    });
    if (!inOrder)
      return success();
    const int64_t most = std::max<int64_t>(
        1, resources_.samples->stateBytes / std::max<int64_t>(1, leastEvaluationBytes(function_)));
    return forEachSample(files, most, [&](Walk walk, int64_t, int64_t) {
      walks_.push_back(std::move(walk));
      return success();
    });
  }

  /// Of layers that ask for what they read before anything is pruned, over all recorded inputs.
  LogicalResult sumDensePowers(const std::vector<SampleFile> &files) {
    std::map<std::pair<const void *, const void *>, size_t> known;
    std::set<Operation *> readers;
    Operation *last = nullptr;
    for (const PrunedLayer &layer : plan_.layers) {
      if (!layer.needsDensePower())
        continue;
      last = layer.op;
      auto [place, isNew] = known.try_emplace({layer.op->getOperand(0).getAsOpaquePointer(),
                                               windowAttribute(layer.op).getAsOpaquePointer()},
                                              dense_.size());
      denseOf_[layer.op] = place->second;
      if (!isNew)
        continue;
      dense_.emplace_back(windowOf(layer.op));
      readers.insert(layer.op);
    }
    if (!last)
      return success();
    return forEachSample(files, 0, [&](Walk walk, int64_t i, int64_t count) -> LogicalResult {
      for (Operation *op = walk.steps->next(); op; op = walk.steps->next()) {
        if (readers.contains(op) && failed(addPower(dense_[denseOf_[op]], walk, op)))
          return failure();
        if (op == last)
          break;
        if (failed(walk.steps->step()))
          return failure();
      }
      if (resources_.samples->progress)
        resources_.samples->progress(static_cast<double>(i + 1) / static_cast<double>(count),
                                     static_cast<int64_t>(segments_.size()) + 1);
      return success();
    });
  }

  void findSegments() {
    segments_.resize(1);
    for (size_t i = 0; i < plan_.layers.size(); ++i) {
      const std::string &block = plan_.layers[i].block;
      if (i == 0 || block.empty() || block != plan_.layers[i - 1].block)
        segments_.push_back({.first = plan_.layers[i].op});
      segments_.back().layers.push_back(i);
    }
  }

  LogicalResult pruneSegment() {
    const Segment &segment = segments_[at_];
    Operation *end = at_ + 1 < segments_.size() ? segments_[at_ + 1].first : nullptr;
    std::vector<std::unique_ptr<Evaluator::Steps>> before;
    if (!segment.layers.empty())
      for (const Walk &walk : walks_)
        before.push_back(std::make_unique<Evaluator::Steps>(*walk.steps));
    startSums(segment);
    if (failed(walkTo(end, /*observe=*/true)))
      return failure();
    for (size_t layer : segment.layers)
      if (failed(prune(layer)))
        return failure();
    if (segment.layers.empty() || !end)
      return success();
    *evaluator_ = Evaluator(function_, resources_.evaluation); // with what is new
    for (size_t i = 0; i < walks_.size(); ++i)
      walks_[i].steps = std::move(before[i]);
    return walkTo(end, /*observe=*/false);
  }

  /// As far as `end`, or to the last layer that is pruned.
  LogicalResult walkTo(Operation *end, bool observe) {
    Operation *last = end ? nullptr : plan_.layers.back().op;
    const size_t passes = dense_.empty() ? 0 : 1; // before
    for (size_t i = 0; i < walks_.size(); ++i) {
      Walk &walk = walks_[i];
      for (Operation *op = walk.steps->next(); op && op != end; op = walk.steps->next()) {
        if (observe && failed(addInputs(walk, op)))
          return failure();
        if (op == last)
          break;
        if (failed(walk.steps->step()))
          return failure();
      }
      if (observe && resources_.samples->progress)
        resources_.samples->progress(static_cast<double>(at_ + passes) +
                                         static_cast<double>(i + 1) /
                                             static_cast<double>(walks_.size()),
                                     static_cast<int64_t>(segments_.size() + passes));
    }
    return success();
  }

  /// Empty sums for the layers of a segment; layers that read the same in the same way share them.
  void startSums(const Segment &segment) {
    sums_.clear();
    sumOf_.clear();
    readers_.clear();
    std::map<std::tuple<const void *, const void *, int64_t, bool, bool>, size_t> known;
    for (size_t i : segment.layers) {
      const PrunedLayer &layer = plan_.layers[i];
      const bool needsPower = layer.needsPower() && !layer.needsDensePower();
      if (!needsPower && !layer.needsMoments())
        continue;
      const int64_t channels = channelsAtOnce(layer);
      auto [place, isNew] = known.try_emplace({layer.op->getOperand(0).getAsOpaquePointer(),
                                               windowAttribute(layer.op).getAsOpaquePointer(),
                                               channels, needsPower, layer.needsMoments()},
                                              sums_.size());
      sumOf_[layer.op] = place->second;
      if (!isNew)
        continue;
      LayerSums &sums = sums_.emplace_back();
      readers_[layer.op] = place->second;
      if (needsPower)
        sums.power.emplace(windowOf(layer.op));
      const int64_t inputs = windowOf(layer.op).channels;
      for (int64_t first = 0; layer.needsMoments() && first < inputs; first += channels)
        sums.moments.emplace_back(
            MomentsRequest{layer.op, first, std::min(channels, inputs - first)});
    }
  }

  static int64_t channelsAtOnce(const PrunedLayer &layer) {
    const int64_t taps = windowOf(layer.op).taps();
    const int64_t unit = std::max(1, layer.recipe.sparsity.group);
    return std::max<int64_t>(1, kLargestBlock / taps / unit) * unit;
  }

  LogicalResult addInputs(Walk &walk, Operation *op) {
    auto reader = readers_.find(op);
    if (reader == readers_.end())
      return success();
    LayerSums &sums = sums_[reader->second];
    if (sums.power && failed(addPower(*sums.power, walk, op)))
      return failure();
    const Tensor input = walk.steps->value(op->getOperand(0));
    bool isFinite = true;
    for (MomentsSum &moments : sums.moments)
      isFinite &= moments.add(input, walk.rows, walk.batch, walk.weight);
    return isFinite ? success() : notFinite(op);
  }

  static LogicalResult addPower(InputPower &power, const Walk &walk, Operation *op) {
    const Tensor input = walk.steps->value(op->getOperand(0));
    const KernelWindow window = windowOf(op);
    int64_t pictures = input.size() / (window.height * window.width * window.channels);
    if (input.rank() > 1 && input.dim(0) == walk.batch)
      pictures = pictures / walk.batch * walk.rows;
    power.add(input.values<float>().data(), pictures, walk.weight);
    const auto isFinite = [](double sum) { return std::isfinite(sum); };
    return llvm::all_of(power.sums(), isFinite) ? success() : notFinite(op);
  }

  static LogicalResult notFinite(Operation *op) {
    return op->emitOpError() << "reads values of the samples that are not finite";
  }

  //===------------------------------------------------------------------===//
  // Masks
  //===------------------------------------------------------------------===//

  FailureOr<Tensor> weightsOf(const PrunedLayer &layer) {
    FailureOr<Tensor> weights = evaluateConstant(layer.op->getOperand(1), resources_.evaluation);
    if (failed(weights))
      return failure();
    if (int64_t at = firstNonFiniteWeight(*weights); at >= 0)
      return layer.op->emitOpError() << "weight element " << at << " is not finite";
    return weights;
  }

  static bool isGlobal(const PrunedLayer &layer) {
    return layer.mask.empty() && layer.recipe.pruneScope == PruneScope::Global;
  }

  /// The threshold of all layers with `prune_scope: global`.
  LogicalResult chooseGlobalMasks() {
    for (bool refines : {false, true})
      for (const PrunedLayer &layer : plan_.layers) {
        if (!isGlobal(layer))
          continue;
        FailureOr<Tensor> weights = weightsOf(layer);
        if (failed(weights))
          return failure();
        refines ? global_.refine(*weights) : global_.add(*weights, layer.recipe.sparsity.fraction);
      }
    return success();
  }

  FailureOr<Mask> givenMask(const PrunedLayer &layer, const Tensor &weights) {
    absl::StatusOr<Tensor> mask = resources_.masks->get(layer.mask);
    if (!mask.ok())
      return fail(mask.status());
    if (mask->shape() != weights.shape())
      return layer.op->emitOpError()
             << "has weights of shape " << toString(weights.shape()) << " but mask '" << layer.mask
             << "' is " << toString(mask->shape());
    if (mask->type() != ElementType::Bool) {
      const Tensor numbers = mask->converted(ElementType::F32);
      for (auto [i, number] : llvm::enumerate(numbers.values<float>()))
        if (number != 0 && number != 1)
          return layer.op->emitOpError("has mask '")
                 << layer.mask << "', whose element " << i << " is neither 0 nor 1";
    }
    const Tensor flags = mask->converted(ElementType::Bool);
    std::span<const uint8_t> kept = flags.values<uint8_t>();
    return Mask(kept.begin(), kept.end());
  }

  /// Empty if the sweep is to choose it.
  FailureOr<Mask> chooseMask(const PrunedLayer &layer, const Tensor &weights) {
    const LayerRecipe &recipe = layer.recipe;
    if (!layer.mask.empty())
      return givenMask(layer, weights);
    if (recipe.pruning == Pruning::SparseGPT)
      return Mask();
    if (recipe.pruning == Pruning::Wanda) {
      const std::vector<double> &power = layer.needsDensePower()
                                             ? dense_[denseOf_.lookup(layer.op)].sums()
                                             : sums_[sumOf_.lookup(layer.op)].power->sums();
      if (recipe.pruneScope == PruneScope::Threshold)
        return thresholdSearchMask(weights, power, recipe.sparsity.fraction);
      return recipe.pruneScope == PruneScope::Layer
                 ? wandaLayerMask(weights, power, recipe.sparsity.fraction)
                 : wandaMask(weights, power, recipe.sparsity);
    }
    if (isGlobal(layer))
      return global_.mask(weights);
    if (recipe.sparsity.hasPattern() || recipe.pruneScope == PruneScope::Row)
      return magnitudeMask(weights, recipe.sparsity);
    MagnitudeThreshold threshold;
    threshold.add(weights, recipe.sparsity.fraction);
    threshold.refine(weights);
    return threshold.mask(weights);
  }

  LogicalResult prune(size_t index) {
    const PrunedLayer &layer = plan_.layers[index];
    FailureOr<Tensor> weights = weightsOf(layer);
    if (failed(weights))
      return failure();
    FailureOr<Mask> mask = chooseMask(layer, *weights);
    if (failed(mask))
      return failure();
    if (!layer.needsMoments()) {
      tell(layer, *mask, "weights' SQNR " + decibels(*weights, *mask));
      return setPruned(layer.op, *mask, {}, {});
    }
    PruneRequest request{.perRow = layer.recipe.pruneScope == PruneScope::Row,
                         .sweep = layer.update() >= PruneUpdate::Sweep,
                         .leastSquares = layer.update() == PruneUpdate::LeastSquares};
    request.corrected =
        layer.update() == PruneUpdate::Bias || (request.sweep && layer.recipe.biasCorrection);
    if (mask->empty())
      request.sparsity = layer.recipe.sparsity;
    else if (request.leastSquares)
      request.sweep = false; // the best there is, wherever it begins
    LayerPruning pruning(*weights, *std::move(mask), request);
    for (const InputMoments &moments : momentsOf(layer))
      pruning.prune(moments);
    const OutputPower power = pruning.power();
    char text[96];
    std::snprintf(text, sizeof(text), "output SQNR %.1f dB masked, %.1f dB updated",
                  power.sqnrBefore(), power.sqnrAfter());
    tell(layer, pruning.mask(), text);
    const bool updates = request.sweep || request.leastSquares;
    return setPruned(layer.op, pruning.mask(), updates ? pruning.weights() : Tensor(),
                     request.corrected ? pruning.correction() : Tensor());
  }

  const std::vector<InputMoments> &momentsOf(const PrunedLayer &layer) {
    LayerSums &sums = sums_[sumOf_.lookup(layer.op)];
    if (sums.taken.empty())
      for (MomentsSum &moments : sums.moments)
        sums.taken.push_back(moments.take());
    return sums.taken;
  }

  static std::string decibels(const Tensor &weights, const Mask &mask) {
    double signal = 0, lost = 0;
    for (size_t i = 0; i < mask.size(); ++i) {
      const double square = std::pow(static_cast<double>(weights.values<float>()[i]), 2);
      signal += square;
      lost += mask[i] ? 0 : square;
    }
    if (!(lost > 0))
      return "infinite";
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f dB", 10 * std::log10(signal / lost));
    return text;
  }

  void tell(const PrunedLayer &layer, const Mask &mask, const std::string &loss) {
    char share[32];
    std::snprintf(share, sizeof(share), "%.1f",
                  100.0 * static_cast<double>(zerosOf(mask)) /
                      static_cast<double>(std::max<size_t>(1, mask.size())));
    remark::passed(layer.op->getLoc(), remark::RemarkOpts::name("prune").category("prune"))
        << (share + std::string(" % of ") + std::to_string(mask.size()) + " weights are zero (" +
            (layer.mask.empty() ? name(layer.recipe.pruning) : "given mask") + "), " + loss);
  }

  func::FuncOp function_;
  const Resources &resources_;
  PruningPlan plan_;
  MagnitudeThreshold global_;
  std::optional<Evaluator> evaluator_;
  std::vector<Walk> walks_;
  std::vector<Segment> segments_; ///< the first one has no layers
  size_t at_ = 0;                 ///< segment at hand
  std::vector<LayerSums> sums_;   ///< of it
  llvm::DenseMap<Operation *, size_t> sumOf_, readers_;
  std::vector<InputPower> dense_; ///< before anything was pruned
  llvm::DenseMap<Operation *, size_t> denseOf_;
};

struct PrunePass : impl::PruneBase<PrunePass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    const Resources &resources = sd::resources(&getContext());
    if (!resources.recipe) {
      function.emitOpError("needs a recipe to be pruned");
      return signalPassFailure();
    }
    FailureOr<PruningPlan> plan = planPruning(function, *resources.recipe, resources.masks);
    if (failed(plan) || failed(Pruner(function, resources, *std::move(plan)).run()))
      return signalPassFailure();
  }
};

} // namespace
} // namespace sdopt
