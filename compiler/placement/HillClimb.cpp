// Hill climb over orders: a buffer that makes the peak, or one that it meets, goes earlier; what is
// no worse stays.

#include "compiler/placement/PlacementProblem.h"

#include <algorithm>
#include <random>

namespace sdopt {
namespace {

class Climber {
public:
  Climber(const PlacementProblem &problem, uint64_t seed) : problem(problem), random(seed) {}

  Attempt run(int64_t goal, int64_t mostNodes) {
    start();
    while (best.peak < kTooHigh && best.peak > goal && nodes < mostNodes) {
      const auto [from, to] = chooseMove();
      std::vector<int32_t> changed = order;
      std::rotate(changed.begin() + to, changed.begin() + from, changed.begin() + from + 1);
      Attempt attempt = placeLowestFirst(problem, changed, best.peak);
      nodes += attempt.nodes;
      if (attempt.peak > best.peak)
        continue;
      best = std::move(attempt);
      order = std::move(changed);
    }
    best.nodes = nodes;
    return best;
  }

private:
  /// The best of the orders that do well.
  void start() {
    using enum ItemWeight;
    for (const auto &weights : std::vector<std::vector<ItemWeight>>{
             {Total, Span, Area}, {Start, Size}, {Span, Area, Total}}) {
      std::vector<int32_t> candidate = orderBy(problem, weights);
      Attempt attempt = placeLowestFirst(problem, candidate, kTooHigh - 1);
      nodes += attempt.nodes;
      if (attempt.peak >= best.peak)
        continue;
      best = std::move(attempt);
      order = std::move(candidate);
    }
  }

  std::ptrdiff_t below(size_t count) { return static_cast<std::ptrdiff_t>(random() % count); }

  /// From where to where in the order, to <= from.
  std::pair<std::ptrdiff_t, std::ptrdiff_t> chooseMove() {
    const auto &items = problem.items;
    const auto positions = [&](const auto &holds) {
      std::vector<std::ptrdiff_t> found;
      for (size_t k = 0; k < order.size(); ++k)
        if (holds(order[k]))
          found.push_back(static_cast<std::ptrdiff_t>(k));
      return found;
    };
    const auto highest =
        positions([&](int32_t i) { return best.offsets[i] + items[i].size == best.peak; });
    std::ptrdiff_t from = highest[below(highest.size())];
    if (below(2) == 0) {
      const auto &chosen = items[order[from]];
      const auto meeting = positions([&](int32_t i) { return items[i].meets(chosen); });
      from = meeting[below(meeting.size())];
    }
    return {from, below(static_cast<size_t>(from) + 1)};
  }

  const PlacementProblem &problem;
  std::vector<int32_t> order;
  Attempt best; ///< that `order` gives
  std::mt19937_64 random;
  int64_t nodes = 0;
};

} // namespace

Attempt climb(const PlacementProblem &problem, int64_t goal, int64_t nodes, uint64_t seed) {
  return Climber(problem, seed).run(goal, nodes);
}

} // namespace sdopt
