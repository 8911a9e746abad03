//===- Clusters.h - the best few numbers for many ---------------*- C++ -*-===//
//
// One-dimensional k-means, solved exactly. Clusters of the best solution are stretches of the
// sorted points, so that dynamic programming over where they end finds it (H. Wang, M. Song,
// "Ckmeans.1d.dp: Optimal k-means Clustering in One Dimension by Dynamic Programming", The R
// Journal 3(2), 2011). The best beginning of the last cluster moves to the right with its end, so
// that one level takes n log n steps by divide and conquer (A. Gronlund et al., "Fast Exact
// k-Means, k-Medians and Bregman Divergence Clustering in 1D", arXiv 1701.07204, section 2). Memory
// is linear in the points: only where the middle cluster ends is carried along, and both sides of
// it are solved again (D. S. Hirschberg, "A linear space algorithm for computing maximal common
// subsequences", CACM 18(6), 1975).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SHARE_CLUSTERS_H
#define SDOPT_COMPILER_SHARE_CLUSTERS_H

#include "compiler/share/WeightedPoints.h"

namespace sdopt {

struct Clusters {
  std::vector<double> centers; ///< ascending
  double error = 0;            ///< sum of weight * (number - nearest center)^2
};

/// At most `count` >= 1 centers with the least error; fewer if there are fewer points. The same for
/// the same points on every machine.
Clusters bestClusters(const WeightedPoints &points, int count);

/// The same with 0 among the centers.
Clusters bestClustersWithZero(const WeightedPoints &points, int count);

} // namespace sdopt

#endif // SDOPT_COMPILER_SHARE_CLUSTERS_H
