//===- WeightedPoints.h - numbers on a line, and what they weigh -*- C++ -*-===//

#ifndef SDOPT_COMPILER_SHARE_WEIGHTEDPOINTS_H
#define SDOPT_COMPILER_SHARE_WEIGHTEDPOINTS_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace sdopt {

/// Points in ascending order as sums over all before them, so that the squared error of any stretch
/// of them around any number is found in constant time. A point may stand for several numbers that
/// are not told apart.
class WeightedPoints {
public:
  /// Behind the others: numbers of total weight `weight` > 0, with the sums of weight * number and
  /// of weight * number^2.
  void append(double weight, double sum, double squares);

  int64_t size() const { return static_cast<int64_t>(sums_.size()) - 1; }
  /// Mean of points [first, last), which are not empty.
  double mean(int64_t first, int64_t last) const {
    return (sums_[last].sum - sums_[first].sum) / (sums_[last].weight - sums_[first].weight);
  }
  /// Squared error of points [first, last) around their mean; 0 for none.
  double error(int64_t first, int64_t last) const {
    const double weight = sums_[last].weight - sums_[first].weight;
    const double sum = sums_[last].sum - sums_[first].sum;
    const double squares = sums_[last].squares - sums_[first].squares;
    const double error = squares - sum * (sum / weight);
    return error > 0 ? error : 0; // none are 0 / 0
  }
  /// Squared error of points [first, last) around 0.
  double power(int64_t first, int64_t last) const {
    return sums_[last].squares - sums_[first].squares;
  }
  /// The same points seen in a mirror at 0, of [first, last).
  WeightedPoints mirrored(int64_t first, int64_t last) const;

private:
  /// Side by side, since they are read together.
  struct Sums {
    double weight = 0, sum = 0, squares = 0;
  };
  std::vector<Sums> sums_ = {{}}; ///< over the points before; one more than there are points
};

/// Collects numbers with weights into points, one for each distinct number. Numbers that half
/// precision has are counted by value, so that memory and the number of points are bounded however
/// many there are; others are kept (8 bytes each) and sorted.
class PointCollector {
public:
  PointCollector();

  /// Finite numbers; `weights` >= 0 has one for each, or is empty: all weigh 1. What weighs nothing
  /// does not count.
  void add(std::span<const float> numbers, std::span<const float> weights);
  /// All that was added, ascending. The collector is empty then.
  WeightedPoints take();

private:
  std::vector<double> halves_;                  ///< weight of each half, by its bits
  std::vector<std::pair<float, float>> others_; ///< number, weight
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SHARE_WEIGHTEDPOINTS_H
