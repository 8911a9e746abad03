//===- AllocationTest.cpp - one choice for each layer under a budget ---------===//

#include "compiler/recipe/Allocation.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace sdopt {
namespace {

using Classes = std::vector<std::vector<Choice>>;

/// Calls visit(cost, loss) for every allocation.
template <typename Visit>
void enumerate(const Classes &classes, size_t i, int64_t cost, double loss, Visit visit) {
  if (i == classes.size())
    return visit(cost, loss);
  for (const Choice &choice : classes[i])
    enumerate(classes, i + 1, cost + choice.cost, loss + choice.loss, visit);
}

Classes randomClasses(std::mt19937 &random, size_t count, size_t choices) {
  Classes classes(count);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (std::vector<Choice> &list : classes)
    for (size_t i = 0; i < 1 + random() % choices; ++i)
      list.push_back({static_cast<int64_t>(random() % 40), uniform(random)});
  return classes;
}

/// Layers of a network: widths 3 ... 8, the error falls by four with each bit.
Classes network(std::mt19937 &random, size_t layers) {
  Classes classes(layers);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (std::vector<Choice> &list : classes) {
    const auto weights = static_cast<int64_t>(1000 + random() % 13000000);
    const double sensitivity = std::exp(8 * uniform(random));
    for (int bits : {3, 4, 5, 6, 8})
      list.push_back(
          {weights * bits, sensitivity * std::pow(0.25, bits) * (0.9 + 0.2 * uniform(random))});
  }
  return classes;
}

TEST(Allocation, EqualsBruteForce) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    const Classes classes = randomClasses(random, 1 + random() % 7, 5);
    const auto limit = static_cast<int64_t>(random() % 200);
    const double lossLimit = static_cast<double>(random() % 400) / 100;
    double least = INFINITY, cheapest = INFINITY;
    enumerate(classes, 0, 0, 0, [&](int64_t cost, double loss) {
      if (cost <= limit)
        least = std::min(least, loss);
      if (loss <= lossLimit)
        cheapest = std::min(cheapest, static_cast<double>(cost));
    });
    const auto byCost = leastLoss(classes, limit);
    ASSERT_EQ(byCost.has_value(), std::isfinite(least));
    if (byCost) {
      EXPECT_NEAR(byCost->loss, least, 1e-12);
      EXPECT_LE(byCost->cost, limit);
      EXPECT_LE(byCost->bound, least + 1e-9);
      EXPECT_TRUE(byCost->exact);
    }
    const auto byLoss = leastCost(classes, lossLimit);
    ASSERT_EQ(byLoss.has_value(), std::isfinite(cheapest));
    if (byLoss) {
      EXPECT_EQ(static_cast<double>(byLoss->cost), cheapest);
      EXPECT_LE(byLoss->loss, lossLimit + 1e-12);
    }
  }
}

TEST(Allocation, OfAWholeNetworkIsExact) {
  std::mt19937 random(2);
  const Classes classes = network(random, 350);
  int64_t cheapest = 0, dearest = 0;
  for (const std::vector<Choice> &list : classes) {
    cheapest += list.front().cost;
    dearest += list.back().cost;
  }
  double before = INFINITY;
  for (double share : {0.0, 0.05, 0.3, 0.6, 1.0}) {
    const auto limit =
        cheapest + static_cast<int64_t>(share * static_cast<double>(dearest - cheapest));
    const auto best = leastLoss(classes, limit);
    ASSERT_TRUE(best.has_value());
    EXPECT_TRUE(best->exact);
    EXPECT_LE(best->cost, limit);
    EXPECT_LT(best->loss, before);
    EXPECT_GE(best->loss, best->bound * (1 - 1e-9));
    before = best->loss;
    // The other way round it costs no more.
    const auto back = leastCost(classes, best->loss * (1 + 1e-12));
    ASSERT_TRUE(back.has_value());
    EXPECT_LE(back->cost, best->cost);
  }
}

TEST(Allocation, Edges) {
  EXPECT_EQ(leastLoss({}, 0)->chosen.size(), 0u);
  EXPECT_FALSE(leastLoss({{{5, 1.0}}}, 4).has_value());
  EXPECT_EQ(leastLoss({{{5, 1.0}, {5, 0.5}, {4, 1.0}}}, 9)->chosen[0], 1);
  EXPECT_EQ(leastLoss({{{5, 0.0}}, {{0, 0.0}}}, 5)->loss, 0);
  EXPECT_FALSE(leastCost({{{5, 1.0}}}, 0.5).has_value());
}

} // namespace
} // namespace sdopt
