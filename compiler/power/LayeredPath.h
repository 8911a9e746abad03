//===- LayeredPath.h - best path under a limit ------------------*- C++ -*-===//
//
// A graph of stages: each path takes one node of every stage, and hops lead from a stage to the
// next. Nodes and hops have two costs. Wanted is the path whose sum of the first is least among
// those whose sum of the second keeps a limit.
//
//   without a limit   one pass of dynamic programming
//   with one          Lagrange: the lower hull of all paths in the plane of both sums, by secants,
//                     gives a path that keeps the limit and a bound; what may lie between the two
//                     is searched by labels (sums of partial paths that no other dominates),
//                     cut by the bound of what is left to go (Handler, Zang: A dual algorithm for
//                     the constrained shortest path problem, Networks 10, 1980)
//
// Labels are bounded by a count; past it the least promising of a stage are dropped, and the bound
// that comes with the result is what those could have reached.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_POWER_LAYEREDPATH_H
#define SDOPT_COMPILER_POWER_LAYEREDPATH_H

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace sdopt {

/// Both at least 0.
struct PathCost {
  double first = 0;  ///< to be least
  double second = 0; ///< limited; the least of those whose first is equal
};

struct Hop {
  int32_t from = 0, to = 0;
  PathCost cost;
};

struct PathStage {
  /// From the stage before, by index into LayeredGraph::hops (unused in stage 0). Of two hops to
  /// one node that are equally good, the one earlier in the list is taken.
  int32_t hops = 0;
  std::vector<PathCost> nodes;
  std::vector<bool> isOpen; ///< parallel to nodes: may a path go through it?
};

struct LayeredGraph {
  std::vector<std::vector<Hop>> hops; ///< lists, shared by stages
  std::vector<PathStage> stages;      ///< at least one; hops fit the nodes of both stages
};

struct LayeredPath {
  std::vector<int32_t> nodes; ///< one of each stage
  PathCost cost;
  double bound = 0;   ///< no path that keeps the limit has a lower first sum
  int64_t labels = 0; ///< that were searched
};

struct PathSearch {
  int64_t mostLabels = 0; ///< 0: the path of the hull and its bound
  /// Paths whose first sum is not below are of no interest: the bound is at most this.
  double below = std::numeric_limits<double>::infinity();
};

/// Nothing if no path keeps the limit. Infinity: no limit.
std::optional<LayeredPath> bestPath(const LayeredGraph &graph, double limit,
                                    const PathSearch &search);

/// The path of least weight first * first + weight second * second; the other sum breaks ties.
/// Nothing if there is no path.
std::optional<LayeredPath> lightestPath(const LayeredGraph &graph, PathCost weights);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_LAYEREDPATH_H
