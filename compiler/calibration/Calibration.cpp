//===- Calibration.cpp - statistics from recorded samples -------------------===//

#include "compiler/calibration/Calibration.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/Activations.h"
#include "compiler/calibration/OrderedWork.h"
#include "compiler/calibration/ThreadShares.h"

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

/// Adds one tensor; false if it holds a NaN or an infinity.
bool accumulate(std::span<const float> values, Accumulator &into, Sums &sums) {
  if (values.empty())
    return true;
  float low = values[0], high = values[0];
  double sum = 0, squares = 0;
  for (float x : values) {
    low = x < low ? x : low;
    high = x > high ? x : high;
    sum += x;
    squares += static_cast<double>(x) * x;
  }
  // A NaN or an infinity anywhere reaches the sum of squares, which no finite floats overflow.
  if (!std::isfinite(squares))
    return false;
  sums = {sum, squares};
  Histogram histogram;
  histogram.add(values);
  std::lock_guard lock(into.mutex);
  ValueStatistics &value = into.value;
  // Adding zero makes -0 the same as 0.
  value.min = (value.count == 0 ? low : std::min(value.min, low)) + 0.0f;
  value.max = (value.count == 0 ? high : std::max(value.max, high)) + 0.0f;
  value.count += values.size();
  value.histogram.merge(histogram);
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
    auto observe = [&](Value value, const Tensor &tensor) {
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
