//===- Statistics.h - what is known about a function's values ---*- C++ -*-===//
//
// One entry for each float activation, by its stable name: over all calls, and for each bucket of
// timesteps (Timesteps.h). Kept in a file (statistics.proto) that states the digests of the
// function and of the samples. Ranges that follow from them: Ranges.h.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_STATISTICS_H
#define SDOPT_COMPILER_CALIBRATION_STATISTICS_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/calibration/Histogram.h"
#include "compiler/calibration/Timesteps.h"
#include "compiler/recipe/Recipe.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <string>
#include <unordered_map>
#include <vector>

namespace sdopt {

/// Of each channel (the last dimension) of one value over all calls.
struct ChannelStatistics {
  std::vector<float> min, max;
  std::vector<double> sum, sumOfSquares;

  /// 0 if nothing is known of the channels.
  size_t size() const { return min.size(); }
  friend bool operator==(const ChannelStatistics &, const ChannelStatistics &) = default;
};

/// Exponential moving averages of the smallest and largest element of each call, in the order of
/// the calls: a <- a + (x - a) / 100, beginning with the first call (Jacob et al. 2018,
/// "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
/// section 3.1).
struct MovingExtremes {
  double min = 0, max = 0;

  void add(double low, double high, bool isFirst);
  friend bool operator==(const MovingExtremes &, const MovingExtremes &) = default;
};

/// Of all elements of one value over the calls of one bucket of timesteps.
struct BucketStatistics {
  static constexpr int kBins = 512;

  float min = 0, max = 0;
  MovingExtremes moving = {};
  double sum = 0, sumOfSquares = 0;
  uint64_t count = 0;
  Histogram histogram = Histogram(kBins);
  std::vector<float> channelLargest = {}; ///< largest magnitude, of the channels that are known

  friend bool operator==(const BucketStatistics &, const BucketStatistics &) = default;
};

/// Of all elements of one value over all calls.
struct ValueStatistics {
  std::string name;
  float min = 0, max = 0;
  MovingExtremes moving = {};
  double sum = 0, sumOfSquares = 0;
  uint64_t count = 0;
  Histogram histogram = {};
  ChannelStatistics channels = {};
  /// One for each of Statistics::timesteps(); empty if there is only one, which is this.
  std::vector<BucketStatistics> buckets = {};

  friend bool operator==(const ValueStatistics &, const ValueStatistics &) = default;
};

class Statistics {
public:
  Statistics() = default;
  Statistics(std::string functionDigest, std::string samplesDigest, uint64_t calls,
             std::vector<ValueStatistics> values,
             std::vector<TimestepBuckets::Interval> timesteps = {{}});

  /// BLAKE3 of the function that was calibrated (functionDigest() of it, below).
  const std::string &functionDigest() const { return functionDigest_; }
  const std::string &samplesDigest() const { return samplesDigest_; }
  uint64_t calls() const { return calls_; }
  /// The buckets of the calls, ascending; one for a function without a timestep.
  const std::vector<TimestepBuckets::Interval> &timesteps() const { return timesteps_; }

  /// Null if the value was not seen.
  const ValueStatistics *find(const std::string &name) const;
  /// In program order.
  const std::vector<ValueStatistics> &values() const { return values_; }

  /// The bytes of a statistics.proto file; equal for equal statistics.
  std::string serialize() const;
  /// `origin` is named in errors. Every number is checked.
  static absl::StatusOr<Statistics> parse(const std::string &bytes, const std::string &origin);

  absl::Status save(const std::string &path) const;
  static absl::StatusOr<Statistics> load(const std::string &path);

private:
  std::string functionDigest_, samplesDigest_;
  uint64_t calls_ = 0;
  std::vector<ValueStatistics> values_;
  std::vector<TimestepBuckets::Interval> timesteps_ = {{}};
  std::unordered_map<std::string, size_t> index_;
};

/// BLAKE3 (hex) of a function's text with the names of its values: weights count by their digests.
std::string functionDigest(mlir::func::FuncOp function);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_STATISTICS_H
