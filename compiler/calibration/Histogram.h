//===- Histogram.h - counts that merge exactly ------------------*- C++ -*-===//
//
// 2,048 bins, or another power of two, of width 2^exponent around zero: bin i holds the x with
// floor(x / 2^exponent) = i - bins / 2. When a value falls outside, the width doubles and
// neighbours are added up; since floor(floor(x / w) / 2) = floor(x / 2w), the counts depend on the
// values only, never on their order or on how they were split between threads. The exponent is the
// smallest that holds the largest magnitude seen.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_HISTOGRAM_H
#define SDOPT_COMPILER_CALIBRATION_HISTOGRAM_H

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sdopt {

class Histogram {
public:
  static constexpr int kBins = 2048;
  static constexpr int kSmallestExponent = -120;

  Histogram() : Histogram(kBins) {}
  /// `bins`: a power of two, at least 2.
  explicit Histogram(int bins) : counts_(bins) {}

  /// Adds finite values.
  void add(std::span<const float> values);
  /// The same where the smallest and largest, or bounds of them, are known.
  void add(std::span<const float> values, float low, float high);
  /// The other one has as many bins or more; the counts are those of adding its values here.
  void merge(const Histogram &other);

  int exponent() const { return exponent_; }
  int bins() const { return static_cast<int>(counts_.size()); }
  const std::vector<uint64_t> &counts() const { return counts_; }
  /// Middle and lower edge of a bin.
  double center(int bin) const;
  double edge(int bin) const;

  /// From a file; false if the numbers do not fit.
  bool restore(int exponent, int firstBin, std::span<const uint64_t> counts);

  friend bool operator==(const Histogram &, const Histogram &) = default;

private:
  void widen(int exponent);
  int exponentFor(float low, float high) const;
  int half() const { return bins() / 2; }

  int exponent_ = kSmallestExponent;
  std::vector<uint64_t> counts_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_HISTOGRAM_H
