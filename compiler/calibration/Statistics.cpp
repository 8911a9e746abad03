//===- Statistics.cpp - what is known about a function's values -------------===//

#include "compiler/calibration/Statistics.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/statistics.pb.h"
#include "compiler/files/Blake3.h"
#include "compiler/files/WholeFile.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr uint32_t kVersion = 3;

/// Part of a new call in the moving averages.
constexpr double kMomentum = 0.01;

/// `Message`: a value or a bucket of one.
template <typename Message> void writeHistogram(const Histogram &histogram, Message &message) {
  const std::vector<uint64_t> &counts = histogram.counts();
  auto isUsed = [](uint64_t count) { return count != 0; };
  auto first = std::find_if(counts.begin(), counts.end(), isUsed);
  auto last = std::find_if(counts.rbegin(), counts.rend(), isUsed).base();
  message.set_bin_exponent(histogram.exponent());
  if (first >= last)
    return;
  message.set_first_bin(static_cast<int>(first - counts.begin()) - histogram.bins() / 2);
  for (; first != last; ++first)
    message.add_bins(*first);
}

void writeChannels(const ChannelStatistics &channels, calibration::Value &message) {
  message.mutable_channel_min()->Assign(channels.min.begin(), channels.min.end());
  message.mutable_channel_max()->Assign(channels.max.begin(), channels.max.end());
  message.mutable_channel_sum()->Assign(channels.sum.begin(), channels.sum.end());
  message.mutable_channel_sum_of_squares()->Assign(channels.sumOfSquares.begin(),
                                                   channels.sumOfSquares.end());
}

absl::Status readChannels(const calibration::Value &message, ValueStatistics &value) {
  ChannelStatistics &channels = value.channels;
  channels.min.assign(message.channel_min().begin(), message.channel_min().end());
  channels.max.assign(message.channel_max().begin(), message.channel_max().end());
  channels.sum.assign(message.channel_sum().begin(), message.channel_sum().end());
  channels.sumOfSquares.assign(message.channel_sum_of_squares().begin(),
                               message.channel_sum_of_squares().end());
  size_t count = channels.size();
  if (channels.max.size() != count || channels.sum.size() != count ||
      channels.sumOfSquares.size() != count || (count > 0 && value.count % count != 0))
    return absl::InvalidArgumentError(
        absl::StrCat("value '", value.name, "' does not tell the same of all channels"));
  for (size_t c = 0; c < count; ++c)
    if (!(channels.min[c] >= value.min && channels.min[c] <= channels.max[c] &&
          channels.max[c] <= value.max) ||
        !std::isfinite(channels.sum[c]) || !std::isfinite(channels.sumOfSquares[c]))
      return absl::InvalidArgumentError(absl::StrCat("channel ", c, " of value '", value.name,
                                                     "' has no range within the value's"));
  return absl::OkStatus();
}

template <typename Numbers, typename Message>
void writeNumbers(const Numbers &numbers, Message &message) {
  message.set_min(numbers.min);
  message.set_max(numbers.max);
  message.set_average_min(numbers.moving.min);
  message.set_average_max(numbers.moving.max);
  message.set_sum(numbers.sum);
  message.set_sum_of_squares(numbers.sumOfSquares);
  message.set_count(numbers.count);
  writeHistogram(numbers.histogram, message);
}

/// The numbers of a value or a bucket, checked; `what` names it in errors.
template <typename Message, typename Numbers>
absl::Status readNumbers(const Message &message, const std::string &what, Numbers &numbers) {
  numbers.min = message.min();
  numbers.max = message.max();
  numbers.moving = {message.average_min(), message.average_max()};
  numbers.sum = message.sum();
  numbers.sumOfSquares = message.sum_of_squares();
  numbers.count = message.count();
  bool finite = std::isfinite(numbers.min) && std::isfinite(numbers.max) &&
                std::isfinite(numbers.sum) && std::isfinite(numbers.sumOfSquares);
  if (!finite || numbers.min > numbers.max)
    return absl::InvalidArgumentError(absl::StrCat(what, " has no finite range"));
  // Averages of numbers between min and max, up to rounding.
  double slack = 1e-9 * std::max(std::fabs(numbers.min), std::fabs(numbers.max));
  if (!(numbers.moving.min >= numbers.min - slack && numbers.moving.max <= numbers.max + slack &&
        numbers.moving.min <= numbers.moving.max + slack))
    return absl::InvalidArgumentError(absl::StrCat(what, " has moving averages beyond its range"));
  std::vector<uint64_t> bins(message.bins().begin(), message.bins().end());
  if (!numbers.histogram.restore(message.bin_exponent(), message.first_bin(), bins))
    return absl::InvalidArgumentError(
        absl::StrCat("histogram of ", what, " does not fit ", numbers.histogram.bins(), " bins"));
  uint64_t total = 0;
  for (uint64_t bin : bins)
    total += bin;
  if (total != numbers.count)
    return absl::InvalidArgumentError(absl::StrCat("histogram of ", what, " counts ", total,
                                                   " elements but must count ", numbers.count));
  return absl::OkStatus();
}

absl::Status readBuckets(const calibration::Value &message, size_t timesteps,
                         ValueStatistics &value) {
  const size_t needed = timesteps > 1 ? timesteps : 0;
  if (static_cast<size_t>(message.buckets_size()) != needed)
    return absl::InvalidArgumentError(absl::StrCat("value '", value.name, "' has ",
                                                   message.buckets_size(),
                                                   " buckets of timesteps but must have ", needed));
  uint64_t total = 0;
  for (const calibration::Bucket &from : message.buckets()) {
    BucketStatistics &bucket = value.buckets.emplace_back();
    std::string what =
        absl::StrCat("bucket ", value.buckets.size() - 1, " of value '", value.name, "'");
    if (absl::Status status = readNumbers(from, what, bucket); !status.ok())
      return status;
    bucket.channelLargest.assign(from.channel_largest().begin(), from.channel_largest().end());
    if (bucket.channelLargest.size() != value.channels.size())
      return absl::InvalidArgumentError(
          absl::StrCat(what, " tells of ", bucket.channelLargest.size(), " channels instead of ",
                       value.channels.size()));
    for (float largest : bucket.channelLargest)
      if (!(largest >= 0 && std::isfinite(largest)))
        return absl::InvalidArgumentError(absl::StrCat(what, " has a channel of no magnitude"));
    if (bucket.min < value.min || bucket.max > value.max)
      return absl::InvalidArgumentError(absl::StrCat(what, " is not within the value's range"));
    total += bucket.count;
  }
  if (needed > 0 && total != value.count)
    return absl::InvalidArgumentError(absl::StrCat("buckets of value '", value.name, "' count ",
                                                   total, " elements but must count ",
                                                   value.count));
  return absl::OkStatus();
}

absl::StatusOr<ValueStatistics> readValue(const calibration::Value &message, size_t timesteps) {
  ValueStatistics value{.name = message.name()};
  if (value.name.empty())
    return absl::InvalidArgumentError("a value has no name");
  if (absl::Status status = readNumbers(message, "value '" + value.name + "'", value); !status.ok())
    return status;
  if (absl::Status status = readChannels(message, value); !status.ok())
    return status;
  if (absl::Status status = readBuckets(message, timesteps, value); !status.ok())
    return status;
  return value;
}

absl::StatusOr<std::vector<TimestepBuckets::Interval>>
readTimesteps(const calibration::StatisticsFile &file) {
  std::vector<TimestepBuckets::Interval> timesteps;
  for (const calibration::Timesteps &from : file.timesteps()) {
    bool ascends = timesteps.empty() || timesteps.back().last < from.first();
    if (!std::isfinite(from.first()) || !std::isfinite(from.last()) || from.first() > from.last() ||
        !ascends)
      return absl::InvalidArgumentError(
          absl::StrCat("bucket ", timesteps.size(), " of timesteps is not in ascending order"));
    timesteps.push_back({from.first(), from.last()});
  }
  if (timesteps.empty())
    return absl::InvalidArgumentError("there is no bucket of timesteps");
  return timesteps;
}

} // namespace

void MovingExtremes::add(double low, double high, bool isFirst) {
  min = isFirst ? low : min + kMomentum * (low - min);
  max = isFirst ? high : max + kMomentum * (high - max);
}

Statistics::Statistics(std::string functionDigest, std::string samplesDigest, uint64_t calls,
                       std::vector<ValueStatistics> values,
                       std::vector<TimestepBuckets::Interval> timesteps)
    : functionDigest_(std::move(functionDigest)), samplesDigest_(std::move(samplesDigest)),
      calls_(calls), values_(std::move(values)), timesteps_(std::move(timesteps)) {
  for (size_t i = 0; i < values_.size(); ++i)
    index_[values_[i].name] = i;
}

const ValueStatistics *Statistics::find(const std::string &name) const {
  auto found = index_.find(name);
  return found == index_.end() ? nullptr : &values_[found->second];
}

std::string Statistics::serialize() const {
  calibration::StatisticsFile file;
  file.set_version(kVersion);
  file.set_function_digest(functionDigest_);
  file.set_samples_digest(samplesDigest_);
  file.set_calls(calls_);
  for (const TimestepBuckets::Interval &interval : timesteps_) {
    calibration::Timesteps &to = *file.add_timesteps();
    to.set_first(interval.first);
    to.set_last(interval.last);
  }
  for (const ValueStatistics &value : values_) {
    calibration::Value &message = *file.add_values();
    message.set_name(value.name);
    writeNumbers(value, message);
    writeChannels(value.channels, message);
    for (const BucketStatistics &bucket : value.buckets) {
      calibration::Bucket &to = *message.add_buckets();
      writeNumbers(bucket, to);
      to.mutable_channel_largest()->Assign(bucket.channelLargest.begin(),
                                           bucket.channelLargest.end());
    }
  }
  return file.SerializeAsString();
}

absl::StatusOr<Statistics> Statistics::parse(const std::string &bytes, const std::string &origin) {
  calibration::StatisticsFile file;
  if (!file.ParseFromString(bytes))
    return absl::InvalidArgumentError(absl::StrCat("'", origin, "' is not a statistics file"));
  if (file.version() != kVersion)
    return absl::InvalidArgumentError(absl::StrCat("'", origin, "' has version ", file.version(),
                                                   " but this program reads version ", kVersion));
  auto timesteps = readTimesteps(file);
  if (!timesteps.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("'", origin, "': ", timesteps.status().message()));
  std::vector<ValueStatistics> values;
  for (const calibration::Value &message : file.values()) {
    absl::StatusOr<ValueStatistics> value = readValue(message, timesteps->size());
    if (!value.ok())
      return absl::InvalidArgumentError(absl::StrCat("'", origin, "': ", value.status().message()));
    values.push_back(*std::move(value));
  }
  Statistics statistics(file.function_digest(), file.samples_digest(), file.calls(),
                        std::move(values), *std::move(timesteps));
  if (statistics.index_.size() != statistics.values_.size())
    return absl::InvalidArgumentError(absl::StrCat("'", origin, "' holds a value twice"));
  return statistics;
}

absl::Status Statistics::save(const std::string &path) const {
  return writeFileAtomically(path, serialize());
}

absl::StatusOr<Statistics> Statistics::load(const std::string &path) {
  absl::StatusOr<std::string> bytes = readFile(path);
  if (!bytes.ok())
    return bytes.status();
  return parse(*bytes, path);
}

std::string functionDigest(mlir::func::FuncOp function) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  function->print(stream, mlir::OpPrintingFlags().enableDebugInfo().useLocalScope());
  return blake3Hex(std::as_bytes(std::span(text.data(), text.size())));
}

} // namespace sdopt
