//===- Allocation.cpp - one choice for each layer under a budget -------------===//

#include "compiler/recipe/Allocation.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace sdopt {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Partial sums kept of one class.
constexpr size_t kMostStates = size_t{1} << 17;

/// Least `value` with `weight` within a limit; both problems in these terms.
struct Item {
  double weight = 0, value = 0;
};
using Classes = std::vector<std::vector<Item>>;

double leastSum(const std::vector<Item> &items, double multiplier, size_t *index = nullptr) {
  double best = kInfinity;
  for (size_t i = 0; i < items.size(); ++i)
    if (double sum = items[i].value + multiplier * items[i].weight; sum < best) {
      best = sum;
      if (index)
        *index = i;
    }
  return best;
}

/// What the choices that minimize value + multiplier * weight weigh; of equals the first.
double weightAt(const Classes &classes, double multiplier) {
  double weight = 0;
  for (const std::vector<Item> &items : classes) {
    size_t index = 0;
    leastSum(items, multiplier, &index);
    weight += items[index].weight;
  }
  return weight;
}

/// A multiplier that brings the relaxed choices just within the limit.
double findMultiplier(const Classes &classes, double limit) {
  if (weightAt(classes, 0) <= limit)
    return 0;
  double low = 0, high = 1;
  while (weightAt(classes, high) > limit && high < 1e300)
    high *= 16;
  for (int i = 0; i < 200; ++i) {
    double middle = (low + high) / 2;
    (weightAt(classes, middle) > limit ? low : high) = middle;
  }
  return high;
}

/// A partial sum; `from` leads to the state of the class before.
struct State {
  double weight = 0, value = 0;
  int32_t from = -1, choice = -1;
};

class Search {
public:
  Search(const Classes &classes, double limit)
      : classes_(classes), limit_(limit), multiplier_(findMultiplier(classes, limit)) {
    rest_.assign(classes.size() + 1, 0);
    lightest_.assign(classes.size() + 1, 0);
    for (size_t i = classes.size(); i-- > 0;) {
      double least = kInfinity;
      for (const Item &item : classes[i])
        least = std::min(least, item.weight);
      lightest_[i] = lightest_[i + 1] + least;
      rest_[i] = rest_[i + 1] + leastSum(classes[i], multiplier_);
    }
  }

  bool possible() const { return lightest_[0] <= limit_; }
  double bound() const { return std::max(0.0, rest_[0] - multiplier_ * limit_); }
  bool exact() const { return exact_; }

  std::vector<int> run() {
    incumbent_ = greedy();
    std::vector<std::vector<State>> layers = {{State()}};
    for (size_t i = 0; i < classes_.size(); ++i)
      layers.push_back(next(layers.back(), i));
    std::vector<int> chosen = best_;
    // Sorted by weight with falling values: the last is the best.
    if (!layers.back().empty() && layers.back().back().value < incumbent_) {
      auto at = static_cast<int32_t>(layers.back().size() - 1);
      for (size_t i = classes_.size(); i > 0; --i) {
        chosen[i - 1] = layers[i][at].choice;
        at = layers[i][at].from;
      }
    }
    return chosen;
  }

private:
  /// The relaxed choices, improved one by one while they fit. Sets best_ and returns its value.
  double greedy() {
    best_.clear();
    double weight = 0, value = 0;
    for (const std::vector<Item> &items : classes_) {
      size_t index = 0;
      leastSum(items, multiplier_, &index);
      best_.push_back(static_cast<int>(index));
      weight += items[index].weight;
      value += items[index].value;
    }
    for (;;) {
      double gain = 0;
      size_t where = 0;
      int what = -1;
      for (size_t i = 0; i < classes_.size(); ++i)
        for (size_t j = 0; j < classes_[i].size(); ++j) {
          const Item &now = classes_[i][best_[i]], &other = classes_[i][j];
          if (weight - now.weight + other.weight <= limit_ && now.value - other.value > gain) {
            gain = now.value - other.value;
            where = i;
            what = static_cast<int>(j);
          }
        }
      if (what < 0)
        return value;
      weight += classes_[where][what].weight - classes_[where][best_[where]].weight;
      value -= gain;
      best_[where] = what;
    }
  }

  /// Undominated sums over one more class that can still lead below the incumbent.
  std::vector<State> next(const std::vector<State> &states, size_t i) {
    std::vector<State> all;
    for (size_t from = 0; from < states.size(); ++from)
      for (size_t choice = 0; choice < classes_[i].size(); ++choice) {
        State state{states[from].weight + classes_[i][choice].weight,
                    states[from].value + classes_[i][choice].value, static_cast<int32_t>(from),
                    static_cast<int32_t>(choice)};
        if (state.weight + lightest_[i + 1] <= limit_ && reach(state, i + 1) < incumbent_)
          all.push_back(state);
      }
    std::ranges::sort(all, [](const State &a, const State &b) {
      return std::tie(a.weight, a.value, a.from, a.choice) <
             std::tie(b.weight, b.value, b.from, b.choice);
    });
    std::vector<State> kept;
    for (const State &state : all)
      if (kept.empty() || state.value < kept.back().value)
        kept.push_back(state);
    if (kept.size() > kMostStates)
      drop(kept, i + 1);
    return kept;
  }

  /// No allocation that goes on from `state` has a lower value.
  double reach(const State &state, size_t i) const {
    return state.value + rest_[i] - multiplier_ * (limit_ - state.weight);
  }

  /// Keeps the most promising.
  void drop(std::vector<State> &states, size_t i) {
    exact_ = false;
    std::vector<double> bounds;
    for (const State &state : states)
      bounds.push_back(reach(state, i));
    std::ranges::nth_element(bounds, bounds.begin() + kMostStates);
    const double most = bounds[kMostStates];
    std::erase_if(states, [&](const State &state) { return reach(state, i) >= most; });
  }

  const Classes &classes_;
  const double limit_;
  const double multiplier_;
  std::vector<double> rest_, lightest_; ///< of the classes from i on
  std::vector<int> best_;
  double incumbent_ = kInfinity;
  bool exact_ = true;
};

template <typename ItemOf>
std::optional<Allocation> solve(const std::vector<std::vector<Choice>> &classes, double limit,
                                ItemOf itemOf) {
  Classes items;
  for (const std::vector<Choice> &choices : classes) {
    items.emplace_back();
    for (const Choice &choice : choices)
      items.back().push_back(itemOf(choice));
  }
  Search search(items, limit);
  if (!search.possible())
    return std::nullopt;
  Allocation result;
  result.chosen = search.run();
  for (size_t i = 0; i < classes.size(); ++i) {
    result.cost += classes[i][result.chosen[i]].cost;
    result.loss += classes[i][result.chosen[i]].loss;
  }
  result.exact = search.exact();
  result.bound = search.bound();
  return result;
}

} // namespace

std::optional<Allocation> leastLoss(const std::vector<std::vector<Choice>> &classes,
                                    int64_t limit) {
  return solve(classes, static_cast<double>(limit), [](const Choice &choice) {
    return Item{static_cast<double>(choice.cost), choice.loss};
  });
}

std::optional<Allocation> leastCost(const std::vector<std::vector<Choice>> &classes, double limit) {
  return solve(classes, limit, [](const Choice &choice) {
    return Item{choice.loss, static_cast<double>(choice.cost)};
  });
}

} // namespace sdopt
