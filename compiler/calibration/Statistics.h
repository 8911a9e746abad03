//===- Statistics.h - what is known about a function's values ---*- C++ -*-===//
//
// One entry for each float activation, by its stable name, and the ranges that follow from it. Kept
// in a file (statistics.proto) that states the digests of the function and of the samples.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_STATISTICS_H
#define SDOPT_COMPILER_CALIBRATION_STATISTICS_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "compiler/calibration/Histogram.h"
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

/// Of all elements of one value over all calls.
struct ValueStatistics {
  std::string name;
  float min = 0, max = 0;
  double sum = 0, sumOfSquares = 0;
  uint64_t count = 0;
  Histogram histogram = {};
  ChannelStatistics channels = {};

  friend bool operator==(const ValueStatistics &, const ValueStatistics &) = default;
};

class Statistics {
public:
  Statistics() = default;
  Statistics(std::string functionDigest, std::string samplesDigest, uint64_t calls,
             std::vector<ValueStatistics> values);

  /// BLAKE3 of the function that was calibrated (functionDigest() of it, below).
  const std::string &functionDigest() const { return functionDigest_; }
  const std::string &samplesDigest() const { return samplesDigest_; }
  uint64_t calls() const { return calls_; }

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
  std::unordered_map<std::string, size_t> index_;
};

/// BLAKE3 (hex) of a function's text with the names of its values: weights count by their digests.
std::string functionDigest(mlir::func::FuncOp function);

/// A code: real value = scale * (code - zeroPoint). The scale is a float32 number.
struct CodeRange {
  double scale = 1.0;
  int32_t zeroPoint = 0;
};

/// Code for a value: 16 bits symmetric (scale = 2 * max|x| / 32767: room for values beyond the
/// samples), 8 bits with zero point (scale = (hi - lo) / 255, the range includes zero, zero point =
/// floor(-128 - lo / scale + 1/2) within [-128, 127]). MinMax: lo and hi are the extremes. MSE: of
/// the extremes times 100, 95, ... 30 % each, the pair with the least expected squared error on the
/// histogram: scale^2 / 12 for elements inside, the squared distance of the bin's middle to the
/// range for those outside; of equal ones the widest. An all-zero value has scale 1.
CodeRange chooseRange(const ValueStatistics &statistics, RangeEstimator estimator, int bits);
CodeRange chooseRange(const ValueStatistics &statistics, RangeEstimator estimator, int bits,
                      bool symmetric);

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_STATISTICS_H
