//===- Calibration.cpp - statistics from recorded samples -------------------===//

#include "compiler/calibration/Calibration.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/Activations.h"
#include "compiler/calibration/NotFinite.h"
#include "compiler/calibration/OrderedWork.h"
#include "compiler/calibration/PartialStatistics.h"
#include "compiler/calibration/ThreadShares.h"
#include "compiler/kernels/TargetClones.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>

using namespace mlir;

namespace sdopt {

namespace {

/// Sums of one value in one evaluation.
struct Sums {
  float low = 0, high = 0;
  double sum = 0, squares = 0;
  std::vector<double> channelSums = {}, channelSquares = {};
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
  /// Whose channels are of interest: 0 if nobody asks.
  int64_t channels(size_t index) const { return channels_[index]; }
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
    channels_.push_back(
        asksForChannels(value) ? cast<RankedTensorType>(value.getType()).getShape().back() : 0);
    bytes_ += cast<RankedTensorType>(value.getType()).getNumElements() * sizeof(float);
    return absl::OkStatus();
  }

  /// Layers with weights correct for the mean of each input channel; scales move through the
  /// others.
  static bool asksForChannels(Value value) {
    return llvm::any_of(value.getUses(), [](OpOperand &use) {
      unsigned number = use.getOperandNumber();
      if (auto reshape = dyn_cast<sd::ReshapeOp>(use.getOwner()))
        return keepsChannels(reshape) && asksForChannels(reshape.getResult());
      if (auto conv = dyn_cast<sd::Conv2dOp>(use.getOwner()))
        return number == 0 && conv.getLayout() == sd::Layout::nhwc;
      if (isa<sd::AttentionOp>(use.getOwner()))
        return number == 2;
      return number == 0 && isa<sd::LinearOp, sd::GegluOp>(use.getOwner());
    });
  }

  std::vector<std::string> names_;
  std::vector<int64_t> channels_;
  std::set<std::string> seen_;
  llvm::DenseMap<Value, int64_t> index_;
  int64_t bytes_ = 0;
};

/// Of a part of a tensor.
struct PartSums {
  float low = 0, high = 0;
  double sum = 0, squares = 0;
};

/// Elements of a part, about: the same however many threads there are, and little enough to stay in
/// the second-level cache from one look to the next.
constexpr size_t kPart = size_t(1) << 17;

constexpr size_t kLanes = 8;
using FloatLanes [[gnu::vector_size(kLanes * sizeof(float))]] = float;
using DoubleLanes [[gnu::vector_size(kLanes * sizeof(double))]] = double;

/// Sums in eight interleaved lanes, which are added up in their order.
SDOPT_CLONES PartSums sumsOf(const float *values, size_t count) {
  constexpr size_t kAhead = 1024; // the memory is slower than the sums
  FloatLanes low = FloatLanes{} + values[0], high = low;
  DoubleLanes sums{}, squares{};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    __builtin_prefetch(values + std::min(i + kAhead, count));
    FloatLanes x;
    std::memcpy(&x, values + i, sizeof(x));
    low = x < low ? x : low;
    high = x > high ? x : high;
    DoubleLanes wide = __builtin_convertvector(x, DoubleLanes);
    sums += wide;
    squares += wide * wide;
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
    part.low = std::min<float>(part.low, low[lane]);
    part.high = std::max<float>(part.high, high[lane]);
    part.sum += sums[lane];
    part.squares += squares[lane];
  }
  return part;
}

/// Of the channels of some rows.
struct ChannelSums {
  explicit ChannelSums(size_t channels)
      : low(channels, std::numeric_limits<float>::infinity()),
        high(channels, -std::numeric_limits<float>::infinity()), sum(channels), squares(channels) {}

  std::vector<float> low, high;
  std::vector<double> sum, squares;
};

SDOPT_CLONES void addRow(const float *__restrict row, size_t channels, float *__restrict low,
                         float *__restrict high, double *__restrict sum,
                         double *__restrict squares) {
  for (size_t c = 0; c < channels; ++c) {
    float x = row[c];
    low[c] = x < low[c] ? x : low[c];
    high[c] = x > high[c] ? x : high[c];
    sum[c] += x;
    squares[c] += static_cast<double>(x) * x;
  }
}

/// Of each channel of whole rows.
ChannelSums channelSumsOf(std::span<const float> values, size_t channels) {
  ChannelSums sums(channels);
  for (size_t at = 0; at < values.size(); at += channels)
    addRow(values.data() + at, channels, sums.low.data(), sums.high.data(), sums.sum.data(),
           sums.squares.data());
  return sums;
}

/// The parts added up in their order.
ChannelSums joined(std::vector<ChannelSums> parts) {
  ChannelSums &all = parts[0];
  for (size_t i = 1; i < parts.size(); ++i)
    for (size_t c = 0; c < all.sum.size(); ++c) {
      all.low[c] = std::min(all.low[c], parts[i].low[c]);
      all.high[c] = std::max(all.high[c], parts[i].high[c]);
      all.sum[c] += parts[i].sum[c];
      all.squares[c] += parts[i].squares[c];
    }
  return std::move(all);
}

/// Under the lock.
void addChannels(ChannelSums call, ChannelStatistics &known, Sums &sums) {
  size_t channels = call.sum.size();
  bool first = known.min.empty();
  known.min.resize(channels);
  known.max.resize(channels);
  // Adding zero makes -0 the same as 0.
  for (size_t c = 0; c < channels; ++c) {
    known.min[c] = (first ? call.low[c] : std::min(known.min[c], call.low[c])) + 0.0f;
    known.max[c] = (first ? call.high[c] : std::max(known.max[c], call.high[c])) + 0.0f;
  }
  sums.channelSums = std::move(call.sum);
  sums.channelSquares = std::move(call.squares);
}

/// Under the lock.
void addLargest(const ChannelSums &call, std::vector<float> &largest) {
  largest.resize(call.sum.size());
  for (size_t c = 0; c < largest.size(); ++c)
    largest[c] = std::max({largest[c], std::fabs(call.low[c]), std::fabs(call.high[c])});
}

/// Of a value or a bucket of it, under the lock.
template <typename Statistics>
void addExtremes(const Sums &call, size_t count, Statistics &statistics) {
  bool isFirst = statistics.count == 0;
  statistics.min = isFirst ? call.low : std::min(statistics.min, call.low);
  statistics.max = isFirst ? call.high : std::max(statistics.max, call.high);
  statistics.count += count;
}

/// Adds one tensor; false if it holds a NaN or an infinity.
/// Its bucket of timesteps is null if there is only one.
bool accumulate(std::span<const float> values, int64_t channels, Accumulator &into,
                BucketStatistics *bucket, Sums &sums) {
  if (values.empty())
    return true;
  // Whole rows where channels count.
  size_t row = std::max<size_t>(1, channels), size = std::max<size_t>(1, kPart / row) * row;
  size_t count = (values.size() + size - 1) / size;
  std::vector<PartSums> parts(count);
  std::vector<ChannelSums> channelParts(channels > 0 ? count : 0, ChannelSums(channels));
  parallelRanges(static_cast<int64_t>(count), 1, [&](int64_t i, int64_t) {
    std::span<const float> part =
        values.subspan(i * size, std::min(size, values.size() - i * size));
    parts[i] = sumsOf(part.data(), part.size());
    if (!std::isfinite(parts[i].squares))
      return;
    if (channels > 0)
      channelParts[i] = channelSumsOf(part, channels);
    Histogram histogram;
    histogram.add(part, parts[i].low, parts[i].high);
    std::lock_guard lock(into.mutex);
    into.value.histogram.merge(histogram);
    if (bucket)
      bucket->histogram.merge(histogram);
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
  // Adding zero makes -0 the same as 0.
  sums = {.low = all.low + 0.0f, .high = all.high + 0.0f, .sum = all.sum, .squares = all.squares};
  std::lock_guard lock(into.mutex);
  ValueStatistics &value = into.value;
  if (channels > 0) {
    ChannelSums call = joined(std::move(channelParts));
    if (bucket)
      addLargest(call, bucket->channelLargest);
    addChannels(std::move(call), value.channels, sums);
  }
  addExtremes(sums, values.size(), value);
  if (bucket)
    addExtremes(sums, values.size(), *bucket);
  return true;
}

void addTo(std::vector<double> &totals, const std::vector<double> &sums) {
  totals.resize(std::max(totals.size(), sums.size()));
  for (size_t i = 0; i < sums.size(); ++i)
    totals[i] += sums[i];
}

/// What calibration knows after some calls.
class Knowledge {
public:
  Knowledge(const ObservedValues &observed, const std::vector<double> &timesteps, size_t buckets)
      : observed_(observed), timesteps_(timesteps), buckets_(timesteps, buckets),
        accumulators_(observed.size()), totals_(observed.size()), moving_(observed.size()),
        bucketCalls_(buckets_.size()) {
    if (buckets_.size() > 1)
      for (Accumulator &accumulator : accumulators_)
        accumulator.value.buckets.resize(buckets_.size());
  }

  /// Of the value in a call, from any thread; false if it is not finite.
  bool observe(int64_t index, const Tensor &tensor, int64_t call, Sums &sums) {
    Accumulator &into = accumulators_[index];
    return accumulate(tensor.values<float>(), observed_.channels(index), into,
                      bucketOf(into.value, call), sums);
  }

  /// The sums of all values in a call; calls in their order.
  void add(int64_t call, const std::vector<Sums> &sums) {
    const bool isFirst = bucketCalls_[bucketIndex(call)]++ == 0;
    for (size_t v = 0; v < totals_.size(); ++v) {
      moving_[v].add(sums[v].low, sums[v].high, call == 0);
      if (BucketStatistics *bucket = bucketOf(accumulators_[v].value, call)) {
        bucket->moving.add(sums[v].low, sums[v].high, isFirst);
        bucket->sum += sums[v].sum;
        bucket->sumOfSquares += sums[v].squares;
      }
      totals_[v].sum += sums[v].sum;
      totals_[v].squares += sums[v].squares;
      addTo(totals_[v].channelSums, sums[v].channelSums);
      addTo(totals_[v].channelSquares, sums[v].channelSquares);
    }
  }

  /// All of it, after `calls` whole calls. A bucket without a call has the value's minimum alone.
  Statistics statistics(const std::string &function, const std::string &samples,
                        int64_t calls) const {
    std::vector<ValueStatistics> values;
    for (size_t v = 0; v < observed_.size(); ++v) {
      ValueStatistics &value = values.emplace_back(completed(v, accumulators_[v].value));
      for (BucketStatistics &bucket : value.buckets) {
        bucket.channelLargest.resize(value.channels.size());
        if (bucket.count > 0)
          continue;
        bucket.min = bucket.max = value.min;
        bucket.moving = {value.min, value.min};
      }
    }
    return {function, samples, static_cast<uint64_t>(calls), std::move(values),
            buckets_.intervals()};
  }

  /// After the last call.
  Statistics take(const std::string &function, const std::string &samples) {
    std::vector<ValueStatistics> values;
    for (size_t v = 0; v < observed_.size(); ++v)
      values.push_back(completed(v, std::move(accumulators_[v].value)));
    return {function, samples, timesteps_.size(), std::move(values), buckets_.intervals()};
  }

  /// As statistics() told it.
  void restore(const Statistics &known) {
    for (int64_t call = 0; call < static_cast<int64_t>(known.calls()); ++call)
      ++bucketCalls_[bucketIndex(call)];
    for (size_t v = 0; v < observed_.size(); ++v) {
      const ValueStatistics &value = known.values()[v];
      accumulators_[v].value = value;
      moving_[v] = value.moving;
      totals_[v].sum = value.sum;
      totals_[v].squares = value.sumOfSquares;
      totals_[v].channelSums = value.channels.sum;
      totals_[v].channelSquares = value.channels.sumOfSquares;
    }
  }

private:
  ValueStatistics completed(size_t v, ValueStatistics value) const {
    value.name = observed_.name(v);
    value.moving = moving_[v];
    value.sum = totals_[v].sum;
    value.sumOfSquares = totals_[v].squares;
    value.channels.sum = totals_[v].channelSums;
    value.channels.sumOfSquares = totals_[v].channelSquares;
    return value;
  }
  size_t bucketIndex(int64_t call) const { return buckets_.indexOf(timesteps_[call]); }
  BucketStatistics *bucketOf(ValueStatistics &value, int64_t call) const {
    return value.buckets.empty() ? nullptr : &value.buckets[bucketIndex(call)];
  }

  const ObservedValues &observed_;
  const std::vector<double> &timesteps_;
  TimestepBuckets buckets_;
  std::vector<Accumulator> accumulators_;
  std::vector<Sums> totals_;
  std::vector<MovingExtremes> moving_;
  std::vector<int64_t> bucketCalls_;
};

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
  absl::StatusOr<std::vector<double>> timesteps = timestepsOf(function, *reader);
  if (!timesteps.ok())
    return timesteps.status();
  absl::StatusOr<std::string> digest = reader->digest();
  if (!digest.ok())
    return digest.status();
  const std::string functionName = functionDigest(function);
  Knowledge knowledge(observed, *timesteps, std::max<size_t>(options.timestepBuckets, 1));
  const PartialStatistics partial(options.partialFile, reader->size());
  int64_t done = 0;
  if (auto known = partial.load(knowledge.statistics(functionName, *digest, 0))) {
    knowledge.restore(*known);
    done = static_cast<int64_t>(known->calls());
  }
  ThreadShares shares(std::max(options.threads, 1), reader->size(), observed.bytes());
  std::vector<std::unique_ptr<Evaluator>> evaluators(shares.samples());
  auto constants = std::make_shared<ConstantCache>();
  for (std::unique_ptr<Evaluator> &evaluator : evaluators)
    evaluator = std::make_unique<Evaluator>(function, context, constants);

  using CallSums = std::vector<Sums>;
  auto work = [&](int worker, int64_t offset) -> absl::StatusOr<CallSums> {
    const int64_t i = done + offset;
    absl::StatusOr<Sample> sample = reader->read(i);
    if (!sample.ok())
      return sample.status();
    CallSums sums(observed.size());
    Value bad;
    size_t seen = 0;
    auto observe = [&](Value value, const Tensor &tensor) {
      if (options.progress && shares.samples() == 1)
        options.progress(static_cast<double>(i) +
                             static_cast<double>(std::min(++seen, observed.size())) /
                                 static_cast<double>(observed.size() + 1),
                         reader->size());
      int64_t index = observed.indexOf(value);
      if (index >= 0 && !bad && !knowledge.observe(index, tensor, i, sums[index]))
        bad = value;
    };
    bool evaluated = succeeded(evaluators[worker]->run(sample->inputs, observe));
    if (bad)
      return notFinite(bad, i, context);
    if (!evaluated)
      return absl::InternalError(
          absl::StrCat("evaluation ", i, " of the samples failed; see the messages above"));
    return sums;
  };
  auto finish = [&](int64_t offset, const CallSums &sums) {
    knowledge.add(done + offset, sums);
    if (options.progress)
      options.progress(static_cast<double>(done + offset + 1), reader->size());
  };
  // Calls before a save are whole: threads wait for each other there.
  const int64_t atOnce = partial.isKept()
                             ? std::max<int64_t>(shares.samples(), (reader->size() + 19) / 20)
                             : reader->size();
  while (done < reader->size()) {
    const int64_t count = std::min(atOnce, reader->size() - done);
    if (absl::Status status = runInOrder<CallSums>(count, shares.samples(), work, finish);
        !status.ok())
      return status;
    done += count;
    if (done == reader->size() || !partial.isKept())
      continue;
    if (absl::Status status = partial.save(knowledge.statistics(functionName, *digest, done));
        !status.ok())
      return status;
  }
  return knowledge.take(functionName, *digest);
}

} // namespace sdopt
