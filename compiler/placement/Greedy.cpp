// Greedy placement: items in some order, each into the lowest or the tightest gap that holds it; or
// always the item that lies lowest.

#include "compiler/placement/PlacementProblem.h"

#include <algorithm>

namespace sdopt {
namespace {

using Item = PlacementProblem::Item;

enum class Gap : uint8_t { Lowest, Tightest };

struct Occupied {
  int64_t begin, end;
};

/// Where an item goes between occupied ranges, which are sorted by begin; kTooHigh: nowhere.
int64_t gapFor(const Item &item, const std::vector<Occupied> &occupied, Gap rule) {
  int64_t free = 0, chosen = kTooHigh, chosenGap = kTooHigh;
  for (const Occupied &range : occupied) {
    const int64_t at = alignUp(free, item.alignment);
    if (at < range.begin && range.begin - at >= item.size && range.begin - at < chosenGap) {
      chosen = at;
      chosenGap = range.begin - at;
      if (rule == Gap::Lowest)
        return chosen;
    }
    free = std::max(free, range.end);
  }
  return chosen < kTooHigh ? chosen : alignUp(free, item.alignment);
}

/// The order's placement by gaps; kTooHigh where it is not lower than `limit`.
Attempt placeInGaps(const PlacementProblem &problem, const std::vector<int32_t> &order, Gap rule,
                    int64_t limit) {
  Attempt attempt = {std::vector<int64_t>(problem.items.size(), 0), 0, 0};
  std::vector<Occupied> occupied;
  for (size_t k = 0; k < order.size(); ++k) {
    const Item &item = problem.items[order[k]];
    occupied.clear();
    for (size_t j = 0; j < k; ++j)
      if (const Item &other = problem.items[order[j]]; other.meets(item))
        occupied.push_back({attempt.offsets[order[j]], attempt.offsets[order[j]] + other.size});
    std::sort(occupied.begin(), occupied.end(), [](const Occupied &a, const Occupied &b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    attempt.offsets[order[k]] = gapFor(item, occupied, rule);
    attempt.peak = std::max(attempt.peak, addUpTo(attempt.offsets[order[k]], item.size));
    ++attempt.nodes;
    if (attempt.peak >= limit) {
      attempt.peak = kTooHigh;
      break;
    }
  }
  return attempt;
}

} // namespace

Attempt placeLowestFirst(const PlacementProblem &problem, const std::vector<int32_t> &order,
                         int64_t limit) {
  Attempt attempt = {std::vector<int64_t>(problem.items.size(), 0), 0, 0};
  std::vector<int64_t> &lowest = attempt.offsets;
  for (std::vector<int32_t> left = order; !left.empty();) {
    const auto next = std::min_element(left.begin(), left.end(),
                                       [&](int32_t a, int32_t b) { return lowest[a] < lowest[b]; });
    const Item &item = problem.items[*next];
    const int64_t end = addUpTo(lowest[*next], item.size);
    ++attempt.nodes;
    attempt.peak = std::max(attempt.peak, end);
    if (end > limit) {
      attempt.peak = kTooHigh;
      break;
    }
    left.erase(next);
    for (int32_t other : left)
      if (problem.items[other].meets(item))
        lowest[other] = std::max(lowest[other], alignUp(end, problem.items[other].alignment));
  }
  return attempt;
}

Attempt placeGreedily(const PlacementProblem &problem, int64_t goal) {
  using enum ItemWeight;
  Attempt best;
  int64_t nodes = 0;
  const auto isEnough = [&](Attempt attempt) {
    nodes += attempt.nodes;
    if (attempt.peak < best.peak)
      best = std::move(attempt);
    best.nodes = nodes;
    return best.peak <= goal;
  };
  const std::vector<std::vector<ItemWeight>> orders = {
      {Size, Span}, {Area}, {Span, Size}, {Start, Size}, {Total, Span, Area}, {Span, Area, Total}};
  for (const auto &weights : orders)
    if (isEnough(placeInGaps(problem, orderBy(problem, weights), Gap::Tightest, best.peak)))
      return best;
  for (const auto &weights : orders) {
    const std::vector<int32_t> order = orderBy(problem, weights);
    if (isEnough(placeInGaps(problem, order, Gap::Lowest, best.peak)) ||
        isEnough(placeLowestFirst(problem, order, best.peak - 1)))
      return best;
  }
  return best;
}

} // namespace sdopt
