//===- Allocation.h - one choice for each layer under a budget --*- C++ -*-===//
//
// The multiple-choice knapsack problem: of every class (layer) exactly one choice (width), so that
// the sum of one quantity stays within a limit and the sum of the other is least. Solved exactly by
// dynamic programming over undominated partial sums, pruned by a Lagrangian bound (Kellerer,
// Pferschy, Pisinger, "Knapsack Problems", 2004, chapter 11).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_RECIPE_ALLOCATION_H
#define SDOPT_COMPILER_RECIPE_ALLOCATION_H

#include <cstdint>
#include <optional>
#include <vector>

namespace sdopt {

/// Neither is negative; `loss` is finite.
struct Choice {
  int64_t cost = 0; ///< bits
  double loss = 0;  ///< squared error
};

struct Allocation {
  std::vector<int> chosen; ///< index of each class's choice
  int64_t cost = 0;
  double loss = 0;
  /// False if the number of partial sums was limited: nothing better than `bound` exists.
  bool exact = true;
  double bound = 0; ///< least loss (leastLoss) or cost (leastCost) that any allocation can have
};

/// The least loss with cost <= limit; of equals always the same. Null if even the cheapest choices
/// cost more.
std::optional<Allocation> leastLoss(const std::vector<std::vector<Choice>> &classes, int64_t limit);

/// The least cost with loss <= limit. Null if even the best choices lose more.
std::optional<Allocation> leastCost(const std::vector<std::vector<Choice>> &classes, double limit);

} // namespace sdopt

#endif // SDOPT_COMPILER_RECIPE_ALLOCATION_H
