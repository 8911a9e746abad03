// searchPlacement: the methods in turn, each better than the last or not taken.

#include "compiler/placement/Placement.h"

#include "absl/strings/str_cat.h"
#include "compiler/placement/PlacementProblem.h"

#include <algorithm>

namespace sdopt {
namespace {

class Planner {
public:
  Planner(const PlacementProblem &problem, const PlacementOptions &options)
      : problem(problem), options(options), lowest(problem.alignedBound) {}

  Placement run() {
    for (PlacementMethod method : options.methods) {
      if (reached())
        break;
      if (method == PlacementMethod::Exact)
        searchCapacities();
      else if (method == PlacementMethod::HillClimb)
        keep(climb(problem, goal(), options.climbNodes, options.seed), method);
      else
        keep(placeGreedily(problem, goal()), method);
    }
    result.smallest = best.peak == lowest;
    result.peak = best.peak;
    result.lowerBound = problem.lowerBound;
    result.offsets.assign(problem.buffers, 0);
    for (size_t i = 0; i < best.offsets.size(); ++i)
      result.offsets[problem.items[i].buffer] = best.offsets[i];
    return result;
  }

private:
  /// A peak that ends the search.
  int64_t goal() const {
    return options.goal == PlacementGoal::Fit ? std::max(options.capacity, lowest) : lowest;
  }
  bool reached() const { return best.peak <= goal(); }

  void keep(Attempt attempt, PlacementMethod method) {
    result.nodes += attempt.nodes;
    if (attempt.peak >= best.peak)
      return;
    best = std::move(attempt);
    result.method = method;
  }

  /// The goal first, with half of the nodes; then halfway between the highest capacity that did not
  /// do and the best peak, each time with half of what is left.
  void searchCapacities() {
    if (static_cast<int64_t>(problem.items.size()) > kMostExactBuffers)
      return;
    int64_t nodes = options.exactNodes, low = goal();
    for (int64_t capacity = low; low < best.peak && nodes > 0;
         capacity = low + (best.peak - low) / 2) {
      capacity = std::min(capacity, best.peak - 1);
      Attempt attempt;
      const bool isLast = best.peak - low <= 1 || nodes < 1000;
      const SearchEnd end =
          searchExactly(problem, capacity, isLast ? nodes : nodes - nodes / 2, attempt);
      nodes -= attempt.nodes;
      if (end == SearchEnd::Impossible)
        lowest = capacity + 1;
      if (end != SearchEnd::Found)
        low = capacity + 1;
      keep(std::move(attempt), PlacementMethod::Exact);
      if (options.goal == PlacementGoal::Fit && reached())
        return;
    }
  }

  const PlacementProblem &problem;
  const PlacementOptions &options;
  int64_t lowest; ///< no lower peak is possible
  Attempt best;
  Placement result;
};

std::string labelOf(const LiveBuffer &buffer, size_t index) {
  return buffer.name.empty() ? absl::StrCat("buffer ", index)
                             : absl::StrCat("buffer '", buffer.name, "'");
}

} // namespace

const char *name(PlacementMethod method) {
  switch (method) {
  case PlacementMethod::Greedy:
    return "greedy";
  case PlacementMethod::HillClimb:
    return "hill-climb";
  case PlacementMethod::Exact:
    return "exact";
  }
  return "unknown";
}

absl::StatusOr<Placement> searchPlacement(const std::vector<LiveBuffer> &buffers,
                                          const PlacementOptions &options) {
  absl::StatusOr<PlacementProblem> problem = makeProblem(buffers);
  if (!problem.ok())
    return problem.status();
  Placement placement = Planner(*problem, options).run();
  if (placement.peak == kTooHigh)
    return absl::ResourceExhaustedError(
        absl::StrCat(buffers.size(), " buffers, of which ", problem->lowerBound,
                     " bytes are alive at one time, were not placed below 2^63 - 1"));
  return placement;
}

absl::StatusOr<Placement> planPlacement(const std::vector<LiveBuffer> &buffers,
                                        const PlacementOptions &options) {
  absl::StatusOr<Placement> placement = searchPlacement(buffers, options);
  if (!placement.ok())
    return placement;
  if (absl::Status status = placementMisfit(buffers, *placement, options.capacity); !status.ok())
    return status;
  return placement;
}

size_t misfit(const std::vector<LiveBuffer> &buffers, const Placement &placement,
              int64_t capacity) {
  size_t worst = 0;
  int64_t most = -1;
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].size == 0 || buffers[i].first == buffers[i].last)
      continue;
    const bool isTooLarge = buffers[i].size > capacity;
    const int64_t end = isTooLarge ? kTooHigh : placement.offsets[i] + buffers[i].size;
    if (end <= most)
      continue;
    worst = i;
    most = end;
  }
  return worst;
}

absl::Status placementMisfit(const std::vector<LiveBuffer> &buffers, const Placement &placement,
                             int64_t capacity) {
  if (placement.peak <= capacity)
    return absl::OkStatus();
  const size_t worst = misfit(buffers, placement, capacity);
  const LiveBuffer &buffer = buffers[worst];
  return absl::ResourceExhaustedError(
      absl::StrCat(labelOf(buffer, worst), " of ", buffer.size, " bytes, alive in [", buffer.first,
                   ", ", buffer.last, "), ends at ", placement.offsets[worst] + buffer.size,
                   ": needed ", placement.peak, " bytes, available ", capacity, ", short by ",
                   placement.peak - std::max<int64_t>(capacity, 0), "; the smallest capacity ",
                   placement.smallest ? "that fits is " : "found to fit is ", placement.peak, " (",
                   placement.lowerBound, " bytes are alive at one time)"));
}

} // namespace sdopt
