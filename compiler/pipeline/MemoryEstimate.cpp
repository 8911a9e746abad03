//===- MemoryEstimate.cpp - memory of a whole compilation ---------------------===//

#include "compiler/pipeline/MemoryEstimate.h"

#include "compiler/calibration/Activations.h"
#include "compiler/calibration/Calibration.h"
#include "compiler/calibration/Moments.h"
#include "compiler/calibration/ThreadShares.h"
#include "compiler/calibration/Timesteps.h"
#include "compiler/prune/InputPower.h"
#include "compiler/reference/MemoryNeed.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/WeightVariants.h"

#include <algorithm>

using namespace mlir;

namespace sdopt {

namespace {

/// As measured: an operation in the forms of its function that are kept, what else a module keeps,
/// code and heap of the passes, a thread.
constexpr int64_t kOperation = 8 << 10, kModule = 2 << 20, kPasses = 14 << 20, kThread = 1 << 20;
/// A cache keeps so much, or this share of the limit (keptBytes).
constexpr int64_t kCache = 64 << 20, kShare = 16;

int64_t bytesOf(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape() ? type.getNumElements() * int64_t(sizeof(float)) : 0;
}

/// Of the second moments that pruning, AWQ and GPTQ collect at once, and what they make of one.
int64_t bytesOfMoments(func::FuncOp function, Recipe &recipe) {
  int64_t all = 0, largest = 0;
  for (Operation &op : function.getBody().getOps()) {
    if (!hasWeights(&op))
      continue;
    const LayerRecipe settings = layerSettings(recipe, function, &op);
    if (settings.rounding != Rounding::GPTQ && settings.pruning == Pruning::None &&
        !settings.smooth.awq)
      continue;
    const int64_t bytes = momentBytes({&op, 0, windowOf(&op).channels});
    all += bytes;
    largest = std::max(largest, bytes);
  }
  return std::min(all, std::max(RecordedInputs().momentBytes, largest)) + largest;
}

} // namespace

MemoryEstimate estimateMemory(func::FuncOp function, Recipe recipe, const CompileOptions &options,
                              const Target &target, int threads) {
  MemoryEstimate need{.kept = kModule};
  const auto buckets = timestepInput(function) < 0
                           ? int64_t(0)
                           : static_cast<int64_t>(CalibrationOptions().timestepBuckets);
  const int64_t statistics =
      static_cast<int64_t>(sizeof(uint64_t)) *
      (Histogram::kBins + buckets * static_cast<int64_t>(BucketStatistics::kBins));
  int64_t activations = 0;
  forEachActivation(function, [&](Value value) {
    if (!isFloatTensor(value))
      return;
    need.kept += statistics;
    activations += bytesOf(value);
  });
  for (Operation &op : function.getBody().getOps()) {
    need.kept += kOperation;
    if (isa<sd::WeightOp>(op))
      need.weights += bytesOf(op.getResult(0));
  }
  const bool isVerified = options.verify != VerifyMode::Off;
  // The float function and the quantized one; then the quantized one and the simulator.
  const int64_t evaluations =
      2 * (activations <= ThreadShares::kSmall ? threads : 1) + (isVerified ? 2 : 0);
  need.passing = evaluations * leastEvaluationBytes(function) + threads * kThread +
                 (isVerified ? target.sram.bytes : 0);
  if (!options.startFrom || *options.startFrom < Stage::Quantize)
    need.passing += bytesOfMoments(function, recipe);
  // Constants of an evaluator, memory that tensors come from; constants of the simulator.
  need.caches = isVerified ? 3 : 2;
  return need;
}

int64_t estimatedLimit(int64_t resident, const std::vector<MemoryEstimate> &modules) {
  int64_t need = resident + kPasses, passing = 0, weights = 0, caches = 0;
  for (const MemoryEstimate &module : modules) {
    need += module.kept;
    passing = std::max(passing, module.passing);
    weights = std::max(weights, module.weights);
    caches = std::max(caches, module.caches);
  }
  need += passing;
  return need + caches * std::min({weights, kCache, need / (kShare - caches)});
}

} // namespace sdopt
