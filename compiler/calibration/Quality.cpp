//===- Quality.cpp - how much quantization loses ----------------------------===//

#include "compiler/calibration/Quality.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/Activations.h"
#include "compiler/calibration/Guidance.h"
#include "compiler/calibration/IsolatedErrors.h"
#include "compiler/calibration/OrderedWork.h"
#include "compiler/calibration/ThreadShares.h"
#include "dialects/sd/BucketFunctions.h"

#include "llvm/ADT/StringMap.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

using namespace mlir;

namespace sdopt {

namespace {

Tensor realValues(Value value, const Tensor &tensor) {
  Type type = value.getType();
  if (isQuantized(type))
    return dequantizeCodes(tensor, codeScale(type), codeFormat(type).zeroPoint);
  return tensor.converted(ElementType::F32);
}

/// Quantized values by name, in program order, that the float function names too. Of several
/// quantized functions all have the values of the first.
class ComparedValues {
public:
  ComparedValues(func::FuncOp reference, ArrayRef<func::FuncOp> quantized) {
    llvm::StringMap<Value> floats;
    forEachActivation(reference, [&](Value value) {
      if (isFloatTensor(value))
        floats.try_emplace(sd::valueName(value), value);
    });
    for (func::FuncOp function : quantized) {
      std::vector<Value> &values = quantized_.emplace_back(names_.size());
      forEachActivation(function, [&](Value value) {
        std::string name = sd::valueName(value);
        auto found = floats.find(name);
        if (name.empty() || found == floats.end() || !isQuantized(value.getType()) ||
            !haveSameCount(found->second, value))
          return;
        const auto [entry, isNew] =
            index_.try_emplace(found->second, static_cast<int64_t>(names_.size()));
        const int64_t index = entry->second;
        if (isNew) {
          bytes_ += cast<RankedTensorType>(value.getType()).getNumElements() * sizeof(float);
          names_.push_back(name);
          values.emplace_back();
        }
        if (!values[index])
          index_[values[index] = value] = index;
      });
    }
  }

  size_t size() const { return names_.size(); }
  /// Of one evaluation, all values together, as floats.
  int64_t bytes() const { return bytes_; }
  const std::string &name(size_t index) const { return names_[index]; }
  /// In each of the quantized functions.
  Value quantized(size_t function, size_t index) const { return quantized_[function][index]; }
  int64_t indexOf(Value value) const {
    auto found = index_.find(value);
    return found == index_.end() ? -1 : found->second;
  }

private:
  static bool haveSameCount(Value a, Value b) {
    return cast<RankedTensorType>(a.getType()).getNumElements() ==
           cast<RankedTensorType>(b.getType()).getNumElements();
  }

  std::vector<std::string> names_;
  std::vector<std::vector<Value>> quantized_;
  llvm::DenseMap<Value, int64_t> index_;
  int64_t bytes_ = 0;
};

/// Of one evaluation.
struct CallErrors {
  std::vector<ErrorSums> outputs, layers;
  Sample sample;            ///< where pairs are looked for
  Tensor reference, actual; ///< the first result, as floats
};

/// The first `rows` of `batch` rows, as floats.
std::span<const float> validRows(const Tensor &tensor, int64_t rows) {
  std::span<const float> values = tensor.values<float>();
  if (tensor.rank() == 0 || tensor.dim(0) <= rows)
    return values;
  return values.first(values.size() / tensor.dim(0) * rows);
}

absl::Status failed(int64_t call) {
  return absl::InternalError(
      absl::StrCat("evaluation ", call, " of the samples failed; see the messages above"));
}

/// One thread's view of the two functions.
class Comparison {
public:
  Comparison(func::FuncOp reference, ArrayRef<func::FuncOp> quantized,
             const EvaluationContext &context, const std::shared_ptr<ConstantCache> &constants,
             const ComparedValues &values, bool perLayer, const std::vector<bool> &recorded,
             bool keepsResult)
      : reference_(reference, context, constants), values_(values), perLayer_(perLayer),
        recorded_(recorded), keepsResult_(keepsResult) {
    for (func::FuncOp function : quantized)
      quantized_.emplace_back(function, context, constants);
  }

  /// With the quantized function number `bucket`. Tells `progress`, if there is one, which part of
  /// the call is done.
  absl::StatusOr<CallErrors> run(const SampleReader &reader, int64_t call, size_t bucket,
                                 const std::function<void(double part)> &progress) {
    absl::StatusOr<Sample> sample = reader.read(call);
    if (!sample.ok())
      return sample.status();
    CallErrors errors;
    errors.layers.resize(values_.size());
    kept_.assign(values_.size(), Tensor());
    Evaluator::Steps reference(reference_, [&](Value value, const Tensor &tensor) {
      if (int64_t index = values_.indexOf(value); perLayer_ && index >= 0)
        kept_[index] = realValues(value, tensor);
    });
    Evaluator::Steps quantized(quantized_[bucket], [&](Value value, const Tensor &tensor) {
      int64_t index = values_.indexOf(value);
      if (!perLayer_ || index < 0)
        return;
      Tensor actual = realValues(value, tensor);
      errors.layers[index] = compare(kept_[index].values<float>(), actual.values<float>());
      kept_[index] = Tensor();
    });
    bool needsReference = perLayer_ || llvm::is_contained(recorded_, false);
    if (needsReference && mlir::failed(reference.start(sample->inputs)))
      return failed(call);
    if (mlir::failed(quantized.start(sample->inputs)))
      return failed(call);
    // The later function follows the earlier one as closely as it can: few values are kept.
    const double all =
        static_cast<double>((needsReference ? operations(reference_.function()) : 0) +
                            operations(quantized_[bucket].function()) + 1);
    double done = 0;
    while (reference.next() || quantized.next()) {
      if (progress)
        progress(++done / all);
      bool follows = quantized.next() && (!reference.next() || isReady(quantized.next()));
      if (mlir::failed(follows ? quantized.step() : reference.step()))
        return failed(call);
    }
    llvm::SmallVector<Tensor> floats = reference.takeResults();
    std::vector<Tensor> expected;
    for (size_t i = 0; i < recorded_.size(); ++i)
      expected.push_back(recorded_[i] ? sample->outputs[i] : floats[i]);
    absl::Status status = compareResults(errors, quantized_[bucket].function(), expected,
                                         quantized.takeResults(), sample->outputRows);
    if (!status.ok())
      return status;
    if (keepsResult_)
      errors.sample = *std::move(sample);
    return errors;
  }

private:
  absl::Status compareResults(CallErrors &errors, func::FuncOp function, ArrayRef<Tensor> expected,
                              ArrayRef<Tensor> results, ArrayRef<int64_t> rows) {
    auto terminator = function.getBody().front().getTerminator();
    for (size_t i = 0; i < results.size(); ++i) {
      Tensor actual = realValues(terminator->getOperand(i), results[i]);
      Tensor reference = expected[i].converted(ElementType::F32);
      std::span<const float> a = validRows(actual, rows[i]), r = validRows(reference, rows[i]);
      if (a.size() != r.size())
        return absl::InvalidArgumentError(
            absl::StrCat("result ", i, " has shape ", toString(actual.shape()),
                         " but the reference ", toString(reference.shape())));
      errors.outputs.push_back(compare(r, a));
      if (keepsResult_ && i == 0) {
        errors.reference = reference;
        errors.actual = actual;
      }
    }
    return absl::OkStatus();
  }

  /// Is what an operation's results are compared with there?
  bool isReady(Operation *op) const {
    return llvm::all_of(op->getResults(), [&](Value value) {
      int64_t index = values_.indexOf(value);
      return !perLayer_ || index < 0 || kept_[index].bytes();
    });
  }

  static size_t operations(func::FuncOp function) {
    return function.getBody().front().getOperations().size();
  }

  Evaluator reference_;
  std::deque<Evaluator> quantized_; ///< by bucket of timesteps
  std::vector<Tensor> kept_;        ///< reference values that wait to be compared
  const ComparedValues &values_;
  bool perLayer_;
  const std::vector<bool> &recorded_; ///< by result
  bool keepsResult_;                  ///< the first, for pairs
};

std::vector<std::string> resultNames(func::FuncOp function) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    auto name = function.getResultAttrOfType<StringAttr>(i, sd::SdDialect::kNameAttr);
    names.push_back(name ? name.str() : absl::StrCat("result ", i));
  }
  return names;
}

OutputQuality outputQuality(const std::string &name, const std::vector<ErrorSums> &calls) {
  ErrorSums all;
  for (const ErrorSums &call : calls)
    all.add(call);
  OutputQuality quality{.name = name,
                        .psnr = psnrOf(all, all.largest),
                        .worstPsnr = std::numeric_limits<double>::infinity()};
  for (size_t i = 0; i < calls.size(); ++i)
    if (double call = psnrOf(calls[i], all.largest); call < quality.worstPsnr) {
      quality.worstPsnr = call;
      quality.worstCall = static_cast<int64_t>(i);
    }
  return quality;
}

/// A pair and the evaluation that completed it.
struct PairErrors {
  int64_t call = 0;
  GuidanceErrors errors = {};
};

/// Of the pairs that `isWanted`.
GuidanceQuality guidanceQuality(const std::vector<PairErrors> &pairs,
                                const std::function<bool(int64_t call)> &isWanted) {
  double largest = 0;
  GuidanceErrors sums;
  GuidanceQuality quality;
  for (const PairErrors &pair : pairs) {
    largest = std::max(largest, pair.errors.guided.largest);
    if (!isWanted(pair.call))
      continue;
    sums.guided.add(pair.errors.guided);
    sums.signal.add(pair.errors.signal);
    ++quality.pairs;
  }
  if (quality.pairs > 0) {
    quality.psnr = psnrOf(sums.guided, largest);
    quality.sqnr = sqnrOf(sums.signal);
    quality.cosine = cosineOf(sums.signal);
  }
  return quality;
}

/// What was measured, by evaluation.
struct Calls {
  std::vector<std::vector<ErrorSums>> outputs; ///< [result][evaluation]
  std::vector<double> timesteps;
  std::vector<PairErrors> pairs;
};

std::vector<TimestepQuality> timestepQuality(const Calls &calls, size_t count) {
  TimestepBuckets buckets(calls.timesteps, count);
  std::vector<TimestepQuality> result(buckets.size());
  const double infinity = std::numeric_limits<double>::infinity();
  for (size_t b = 0; b < buckets.size(); ++b) {
    auto isWanted = [&](int64_t call) { return buckets.indexOf(calls.timesteps[call]) == b; };
    result[b] = {.timesteps = buckets.intervals()[b], .psnr = infinity, .worstPsnr = infinity};
    for (size_t i = 0; i < calls.timesteps.size(); ++i)
      result[b].calls += isWanted(static_cast<int64_t>(i));
    result[b].guidance = guidanceQuality(calls.pairs, isWanted);
  }
  for (const std::vector<ErrorSums> &output : calls.outputs) {
    double largest = 0;
    for (const ErrorSums &call : output)
      largest = std::max(largest, call.largest);
    std::vector<ErrorSums> sums(buckets.size());
    for (size_t i = 0; i < output.size(); ++i) {
      size_t b = buckets.indexOf(calls.timesteps[i]);
      sums[b].add(output[i]);
      result[b].worstPsnr = std::min(result[b].worstPsnr, psnrOf(output[i], largest));
    }
    for (size_t b = 0; b < buckets.size(); ++b)
      result[b].psnr = std::min(result[b].psnr, psnrOf(sums[b], largest));
  }
  return result;
}

constexpr size_t kBuckets = 5, kPlotted = 50;

} // namespace

double psnr(const QualityResult &result) {
  double least = std::numeric_limits<double>::infinity();
  for (const OutputQuality &output : result.outputs)
    least = std::min(least, output.psnr);
  return least;
}

absl::StatusOr<QualityResult> measureQuality(func::FuncOp reference, func::FuncOp quantized,
                                             const EvaluationContext &context,
                                             const std::vector<SampleFile> &samples,
                                             const QualityOptions &options) {
  absl::StatusOr<SampleReader> reader = SampleReader::open(quantized, samples, options.limit);
  if (!reader.ok())
    return reader.status();
  if (reference.getArgumentTypes() != quantized.getArgumentTypes() ||
      reference.getNumResults() != quantized.getNumResults())
    return absl::InvalidArgumentError("the two functions differ in their inputs or results");
  std::vector<bool> recorded = reader->recordedOutputs();
  absl::StatusOr<std::vector<double>> timesteps = timestepsOf(reference, *reader);
  if (!timesteps.ok())
    return timesteps.status();
  const bool hasTimestep = timestepInput(reference) >= 0;
  const SmallVector<func::FuncOp> functions = sd::bucketFunctions(quantized);
  std::vector<size_t> buckets;
  for (double timestep : *timesteps)
    buckets.push_back(sd::bucketOf(functions, timestep));
  ComparedValues values(reference, functions);
  ThreadShares shares(std::max(options.threads, 1), reader->size(), values.bytes());
  int threads = shares.samples();
  std::vector<std::unique_ptr<Comparison>> comparisons(threads);
  auto constants = std::make_shared<ConstantCache>();
  for (std::unique_ptr<Comparison> &comparison : comparisons)
    comparison = std::make_unique<Comparison>(reference, functions, context, constants, values,
                                              options.perLayer, recorded, hasTimestep);

  std::vector<std::string> names = resultNames(quantized);
  Calls calls{.outputs = std::vector<std::vector<ErrorSums>>(names.size()),
              .timesteps = *std::move(timesteps),
              .pairs = {}};
  GuidancePairs pairs(options.guidance);
  std::vector<ErrorSums> layers(values.size());
  const int64_t alone = options.perLayer ? std::min(options.isolated, reader->size()) : 0;
  const int64_t total = reader->size() + alone;
  auto work = [&](int worker, int64_t i) {
    std::function<void(double)> progress;
    if (options.progress && threads == 1)
      progress = [&, i](double part) { options.progress(static_cast<double>(i) + part, total); };
    return comparisons[worker]->run(*reader, i, buckets[i], progress);
  };
  auto finish = [&](int64_t i, CallErrors errors) {
    for (size_t o = 0; o < names.size(); ++o)
      calls.outputs[o].push_back(errors.outputs[o]);
    for (size_t v = 0; v < layers.size(); ++v)
      layers[v].add(errors.layers[v]);
    if (hasTimestep && !names.empty())
      for (const GuidanceErrors &pair :
           pairs.add(reader->origin(i), errors.sample,
                     validRows(errors.reference, errors.sample.outputRows[0]),
                     validRows(errors.actual, errors.sample.outputRows[0])))
        calls.pairs.push_back({i, pair});
    if (options.progress)
      options.progress(static_cast<double>(i + 1), total);
  };
  if (absl::Status status = runInOrder<CallErrors>(reader->size(), threads, work, finish);
      !status.ok())
    return status;

  QualityResult result{.samples = reader->size()};
  if (hasTimestep) {
    result.buckets = timestepQuality(calls, kBuckets);
    result.timesteps = timestepQuality(calls, kPlotted);
    result.guidance = guidanceQuality(calls.pairs, [](int64_t) { return true; });
  }
  for (size_t o = 0; o < names.size(); ++o) {
    result.outputs.push_back(outputQuality(names[o], calls.outputs[o]));
    result.outputs.back().againstRecorded = recorded[o];
  }
  if (!options.perLayer)
    return result;
  std::deque<IsolatedErrors> isolated;
  for (func::FuncOp function : functions)
    isolated.emplace_back(reference, function, context, constants);
  for (int64_t i = 0; i < alone; ++i) {
    const int64_t call = i * reader->size() / alone;
    absl::StatusOr<Sample> sample = reader->read(call);
    if (!sample.ok())
      return sample.status();
    if (mlir::failed(isolated[buckets[call]].add(sample->inputs)))
      return failed(call);
    if (options.progress)
      options.progress(static_cast<double>(reader->size() + i + 1), total);
  }
  for (size_t v = 0; v < layers.size(); ++v) {
    ErrorSums own;
    for (size_t b = 0; b < isolated.size(); ++b)
      if (const ErrorSums *sums = isolated[b].find(values.quantized(b, v)))
        own.add(*sums);
    result.layers.push_back({.name = values.name(v),
                             .sqnr = sqnrOf(layers[v]),
                             .cosine = cosineOf(layers[v]),
                             .isolatedSqnr = own.count > 0 ? sqnrOf(own) : 0});
  }
  return result;
}

} // namespace sdopt
