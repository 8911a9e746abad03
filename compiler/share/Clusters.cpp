//===- Clusters.cpp - the best few numbers for many ---------------------------===//

#include "compiler/share/Clusters.h"

#include <algorithm>
#include <limits>

namespace sdopt {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

/// The least errors of the points from `begin` up to any end, with one cluster more each level.
class Levels {
public:
  Levels(const WeightedPoints &points, int64_t begin, int64_t end)
      : points_(points), begin_(begin), end_(end), least_(static_cast<size_t>(end - begin + 1)),
        next_(least_.size()), starts_(least_.size()) {
    for (int64_t i = begin; i <= end; ++i)
      least_[i - begin] = points.error(begin, i);
  }

  /// Adds a cluster, for all ends.
  void advance() {
    fill(begin_, end_, begin_, end_);
    least_.swap(next_);
  }
  /// Adds a cluster for the last end alone.
  void finish() {
    place(end_, begin_, end_);
    least_.swap(next_);
  }

  /// Of the points [begin, end).
  double least(int64_t end) const { return least_[end - begin_]; }
  /// Where the last cluster of [begin, end) begins, after an advance.
  int64_t start(int64_t end) const { return starts_[end - begin_]; }

private:
  /// The best last cluster that ends at `end` and begins within [low, high].
  void place(int64_t end, int64_t low, int64_t high) {
    double best = kNever;
    int64_t start = low;
    for (int64_t i = low; i <= std::min(high, end); ++i)
      if (const double error = least_[i - begin_] + points_.error(i, end); error < best) {
        best = error;
        start = i;
      }
    next_[end - begin_] = best;
    starts_[end - begin_] = start;
  }

  void fill(int64_t first, int64_t last, int64_t low, int64_t high) {
    if (first > last)
      return;
    const int64_t middle = first + (last - first) / 2;
    place(middle, low, high);
    const int64_t start = starts_[middle - begin_];
    fill(first, middle - 1, low, start);
    fill(middle + 1, last, start, high);
  }

  const WeightedPoints &points_;
  int64_t begin_, end_;
  std::vector<double> least_, next_;
  std::vector<int64_t> starts_;
};

/// Where the first half of the best clusters of [begin, end) ends.
int64_t middleEnd(const WeightedPoints &points, int64_t begin, int64_t end, int count) {
  const int half = count / 2;
  Levels levels(points, begin, end);
  std::vector<int64_t> middle, next;
  for (int level = 2; level < count; ++level) {
    levels.advance();
    if (level <= half)
      continue;
    next.resize(static_cast<size_t>(end - begin + 1));
    for (int64_t i = begin; i <= end; ++i)
      next[i - begin] = level == half + 1 ? levels.start(i) : middle[levels.start(i) - begin];
    middle.swap(next);
  }
  levels.finish();
  const int64_t start = levels.start(end);
  return count == half + 1 ? start : middle[start - begin];
}

/// Appends the centers of the best clusters of [begin, end), and adds up their errors.
void appendClusters(const WeightedPoints &points, int64_t begin, int64_t end, int count,
                    Clusters &result) {
  if (begin == end)
    return;
  count = static_cast<int>(std::min<int64_t>(count, end - begin));
  if (count == 1) {
    result.centers.push_back(points.mean(begin, end));
    result.error += points.error(begin, end);
    return;
  }
  const int64_t middle = middleEnd(points, begin, end, count);
  appendClusters(points, begin, middle, count / 2, result);
  appendClusters(points, middle, end, count - count / 2, result);
}

/// What some clusters below a zero center leave, and where they end.
struct Side {
  double error = kNever;
  int64_t end = 0;
};

/// For each number of clusters from 0 up to `most`: the best of them below 0, the points behind
/// them being at 0. The first `all` points count, which are not above 0.
std::vector<Side> sidesBelowZero(const WeightedPoints &points, int64_t all, int most) {
  std::vector<Side> sides = {{points.power(0, all), 0}};
  Levels levels(points, 0, all);
  for (int count = 1; count <= most; ++count) {
    if (count > 1)
      levels.advance();
    Side side = sides.back();
    for (int64_t end = 0; end <= all; ++end)
      if (const double error = levels.least(end) + points.power(end, all); error < side.error)
        side = {error, end};
    sides.push_back(side);
  }
  return sides;
}

} // namespace

Clusters bestClusters(const WeightedPoints &points, int count) {
  Clusters result;
  appendClusters(points, 0, points.size(), count, result);
  return result;
}

Clusters bestClustersWithZero(const WeightedPoints &points, int count) {
  const int64_t all = points.size();
  int64_t zero = 0;
  while (zero < all && points.mean(zero, zero + 1) < 0)
    ++zero;
  // What is not below 0 is nearer to 0 than to a center below it: the sides do not meet.
  const WeightedPoints right = points.mirrored(zero, all);
  const std::vector<Side> below = sidesBelowZero(points, zero, count - 1);
  const std::vector<Side> above = sidesBelowZero(right, right.size(), count - 1);
  int best = 0;
  for (int number = 1; number < count; ++number)
    if (below[number].error + above[count - 1 - number].error <
        below[best].error + above[count - 1 - best].error)
      best = number;
  Clusters result, mirrored;
  appendClusters(points, 0, below[best].end, best, result);
  appendClusters(right, 0, above[count - 1 - best].end, count - 1 - best, mirrored);
  result.centers.push_back(0);
  for (auto center = mirrored.centers.rbegin(); center != mirrored.centers.rend(); ++center)
    result.centers.push_back(-*center);
  result.error = below[best].error + above[count - 1 - best].error;
  return result;
}

} // namespace sdopt
