//===- Calibration.cpp - statistics from recorded samples -------------------===//

#include "compiler/calibration/Calibration.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/Activations.h"
#include "compiler/calibration/OrderedWork.h"
#include "compiler/calibration/ThreadShares.h"
#include "compiler/kernels/TargetClones.h"

#include <array>
#include <cmath>
#include <mutex>
#include <set>

using namespace mlir;

namespace sdopt {

namespace {

/// Sums of one value in one evaluation.
struct Sums {
  double sum = 0, squares = 0;
};

/// What all threads add to; the order does not matter.
struct Accumulator {
  std::mutex mutex;
  ValueStatistics value;
};

/// The float activations in program order, by value.
class ObservedValues {
public:
  absl::Status collect(func::FuncOp function) {
    absl::Status status;
    forEachActivation(function, [&](Value value) {
      if (status.ok())
        status = add(value);
    });
    return status;
  }

  size_t size() const { return names_.size(); }
  /// Of one evaluation, all values together.
  int64_t bytes() const { return bytes_; }
  const std::string &name(size_t index) const { return names_[index]; }
  /// -1 if it is not observed.
  int64_t indexOf(Value value) const {
    auto found = index_.find(value);
    return found == index_.end() ? -1 : found->second;
  }

private:
  absl::Status add(Value value) {
    if (!isFloatTensor(value))
      return absl::OkStatus();
    std::string name = sd::valueName(value);
    if (name.empty())
      return absl::InvalidArgumentError(absl::StrCat(
          "value ", names_.size(), " of the function has no name, so it can have no statistics"));
    if (!seen_.insert(name).second)
      return absl::InvalidArgumentError(
          absl::StrCat("two values are named '", name, "' but names must be unique"));
    index_[value] = static_cast<int64_t>(names_.size());
    names_.push_back(name);
    bytes_ += cast<RankedTensorType>(value.getType()).getNumElements() * sizeof(float);
    return absl::OkStatus();
  }

  std::vector<std::string> names_;
  std::set<std::string> seen_;
  llvm::DenseMap<Value, int64_t> index_;
  int64_t bytes_ = 0;
};

/// Of a part of a tensor.
struct PartSums {
  float low = 0, high = 0;
  double sum = 0, squares = 0;
};

/// Elements of a part: the same however many threads there are.
constexpr size_t kPart = size_t(1) << 17;

/// Sums in eight interleaved lanes, which are added up in their order.
SDOPT_CLONES PartSums sumsOf(const float *values, size_t count) {
  constexpr size_t kLanes = 8;
  std::array<float, kLanes> low, high;
  std::array<double, kLanes> sums{}, squares{};
  low.fill(values[0]);
  high.fill(values[0]);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane) {
      float x = values[i + lane];
      low[lane] = x < low[lane] ? x : low[lane];
      high[lane] = x > high[lane] ? x : high[lane];
      sums[lane] += x;
      squares[lane] += static_cast<double>(x) * x;
    }
  for (; i < count; ++i) {
    float x = values[i];
    low[0] = x < low[0] ? x : low[0];
    high[0] = x > high[0] ? x : high[0];
    sums[0] += x;
    squares[0] += static_cast<double>(x) * x;
  }
  PartSums part{low[0], high[0], 0, 0};
  for (size_t lane = 0; lane < kLanes; ++lane) {
    part.low = std::min(part.low, low[lane]);
    part.high = std::max(part.high, high[lane]);
    part.sum += sums[lane];
    part.squares += squares[lane];
  }
  return part;
}

std::span<const float> partOf(std::span<const float> values, size_t part) {
  return values.subspan(part * kPart, std::min(kPart, values.size() - part * kPart));
}

/// Adds one tensor; false if it holds a NaN or an infinity.
bool accumulate(std::span<const float> values, Accumulator &into, Sums &sums) {
  if (values.empty())
    return true;
  size_t count = (values.size() + kPart - 1) / kPart;
  std::vector<PartSums> parts(count);
  parallelRanges(static_cast<int64_t>(count), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      std::span<const float> part = partOf(values, i);
      parts[i] = sumsOf(part.data(), part.size());
    }
  });
  PartSums all = parts[0];
  for (size_t i = 1; i < count; ++i) {
    all.low = std::min(all.low, parts[i].low);
    all.high = std::max(all.high, parts[i].high);
    all.sum += parts[i].sum;
    all.squares += parts[i].squares;
  }
  // A NaN or an infinity anywhere reaches the sum of squares, which no finite floats overflow.
  if (!std::isfinite(all.squares))
    return false;
  sums = {all.sum, all.squares};
  {
    std::lock_guard lock(into.mutex);
    ValueStatistics &value = into.value;
    // Adding zero makes -0 the same as 0.
    value.min = (value.count == 0 ? all.low : std::min(value.min, all.low)) + 0.0f;
    value.max = (value.count == 0 ? all.high : std::max(value.max, all.high)) + 0.0f;
    value.count += values.size();
  }
  parallelRanges(static_cast<int64_t>(count), 1, [&](int64_t first, int64_t last) {
    Histogram histogram;
    for (int64_t i = first; i < last; ++i)
      histogram.add(partOf(values, i), all.low, all.high);
    std::lock_guard lock(into.mutex);
    into.value.histogram.merge(histogram);
  });
  return true;
}

} // namespace

absl::StatusOr<Statistics> calibrate(func::FuncOp function, const EvaluationContext &context,
                                     const std::vector<SampleFile> &samples,
                                     const CalibrationOptions &options) {
  absl::StatusOr<SampleReader> reader = SampleReader::open(function, samples, options.limit);
  if (!reader.ok())
    return reader.status();
  ObservedValues observed;
  if (absl::Status status = observed.collect(function); !status.ok())
    return status;
  std::vector<Accumulator> accumulators(observed.size());
  std::vector<Sums> totals(observed.size());
  ThreadShares shares(std::max(options.threads, 1), reader->size(), observed.bytes());
  std::vector<std::unique_ptr<Evaluator>> evaluators(shares.samples());
  auto constants = std::make_shared<ConstantCache>();
  for (std::unique_ptr<Evaluator> &evaluator : evaluators)
    evaluator = std::make_unique<Evaluator>(function, context, constants);

  using CallSums = std::vector<Sums>;
  auto work = [&](int worker, int64_t i) -> absl::StatusOr<CallSums> {
    absl::StatusOr<Sample> sample = reader->read(i);
    if (!sample.ok())
      return sample.status();
    CallSums sums(observed.size());
    std::string bad;
    size_t seen = 0;
    auto observe = [&](Value value, const Tensor &tensor) {
      if (options.progress && shares.samples() == 1)
        options.progress(static_cast<double>(i) +
                             static_cast<double>(std::min(++seen, observed.size())) /
                                 static_cast<double>(observed.size() + 1),
                         reader->size());
      int64_t index = observed.indexOf(value);
      if (index >= 0 && bad.empty() &&
          !accumulate(tensor.values<float>(), accumulators[index], sums[index]))
        bad = observed.name(index);
    };
    bool evaluated = succeeded(evaluators[worker]->run(sample->inputs, observe));
    if (!bad.empty())
      return absl::InvalidArgumentError(
          absl::StrCat("value '", bad, "' is not finite in evaluation ", i, " of the samples"));
    if (!evaluated)
      return absl::InternalError(
          absl::StrCat("evaluation ", i, " of the samples failed; see the messages above"));
    return sums;
  };
  auto finish = [&](int64_t i, CallSums sums) {
    for (size_t v = 0; v < totals.size(); ++v) {
      totals[v].sum += sums[v].sum;
      totals[v].squares += sums[v].squares;
    }
    if (options.progress)
      options.progress(i + 1, reader->size());
  };
  if (absl::Status status = runInOrder<CallSums>(reader->size(), shares.samples(), work, finish);
      !status.ok())
    return status;

  std::vector<ValueStatistics> values;
  for (size_t v = 0; v < observed.size(); ++v) {
    ValueStatistics &value = values.emplace_back(std::move(accumulators[v].value));
    value.name = observed.name(v);
    value.sum = totals[v].sum;
    value.sumOfSquares = totals[v].squares;
  }
  absl::StatusOr<std::string> digest = reader->digest();
  if (!digest.ok())
    return digest.status();
  return Statistics(functionDigest(function), *digest, reader->size(), std::move(values));
}

} // namespace sdopt
