//===- Statistics.cpp - what is known about a function's values -------------===//

#include "compiler/calibration/Statistics.h"

#include "absl/strings/str_cat.h"
#include "compiler/calibration/statistics.pb.h"
#include "compiler/weights/WeightStore.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr uint32_t kVersion = 2;

void writeHistogram(const Histogram &histogram, calibration::Value &message) {
  const std::vector<uint64_t> &counts = histogram.counts();
  auto isUsed = [](uint64_t count) { return count != 0; };
  auto first = std::find_if(counts.begin(), counts.end(), isUsed);
  auto last = std::find_if(counts.rbegin(), counts.rend(), isUsed).base();
  message.set_bin_exponent(histogram.exponent());
  if (first >= last)
    return;
  message.set_first_bin(static_cast<int>(first - counts.begin()) - Histogram::kBins / 2);
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

absl::StatusOr<ValueStatistics> readValue(const calibration::Value &message) {
  ValueStatistics value{.name = message.name(),
                        .min = message.min(),
                        .max = message.max(),
                        .sum = message.sum(),
                        .sumOfSquares = message.sum_of_squares(),
                        .count = message.count()};
  if (value.name.empty())
    return absl::InvalidArgumentError("a value has no name");
  bool finite = std::isfinite(value.min) && std::isfinite(value.max) && std::isfinite(value.sum) &&
                std::isfinite(value.sumOfSquares);
  if (!finite || value.min > value.max)
    return absl::InvalidArgumentError(absl::StrCat("value '", value.name, "' has no finite range"));
  std::vector<uint64_t> bins(message.bins().begin(), message.bins().end());
  if (!value.histogram.restore(message.bin_exponent(), message.first_bin(), bins))
    return absl::InvalidArgumentError(absl::StrCat("histogram of value '", value.name,
                                                   "' does not fit ", Histogram::kBins, " bins"));
  uint64_t total = 0;
  for (uint64_t bin : bins)
    total += bin;
  if (total != value.count)
    return absl::InvalidArgumentError(absl::StrCat("histogram of value '", value.name, "' counts ",
                                                   total, " elements but must count ",
                                                   value.count));
  if (absl::Status status = readChannels(message, value); !status.ok())
    return status;
  return value;
}

} // namespace

Statistics::Statistics(std::string functionDigest, std::string samplesDigest, uint64_t calls,
                       std::vector<ValueStatistics> values)
    : functionDigest_(std::move(functionDigest)), samplesDigest_(std::move(samplesDigest)),
      calls_(calls), values_(std::move(values)) {
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
  for (const ValueStatistics &value : values_) {
    calibration::Value &message = *file.add_values();
    message.set_name(value.name);
    message.set_min(value.min);
    message.set_max(value.max);
    message.set_sum(value.sum);
    message.set_sum_of_squares(value.sumOfSquares);
    message.set_count(value.count);
    writeHistogram(value.histogram, message);
    writeChannels(value.channels, message);
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
  std::vector<ValueStatistics> values;
  for (const calibration::Value &message : file.values()) {
    absl::StatusOr<ValueStatistics> value = readValue(message);
    if (!value.ok())
      return absl::InvalidArgumentError(absl::StrCat("'", origin, "': ", value.status().message()));
    values.push_back(*std::move(value));
  }
  Statistics statistics(file.function_digest(), file.samples_digest(), file.calls(),
                        std::move(values));
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
