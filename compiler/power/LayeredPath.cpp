#include "compiler/power/LayeredPath.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace sdopt {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// What sums of the same numbers in another order may differ by, relatively.
constexpr double kRounding = 1e-12;

PathCost operator+(PathCost a, PathCost b) { return {a.first + b.first, a.second + b.second}; }

double weighted(PathCost cost, PathCost weights) {
  return weights.first * cost.first + weights.second * cost.second;
}

PathCost costOf(const LayeredGraph &graph, const std::vector<int32_t> &nodes) {
  PathCost cost = graph.stages[0].nodes[nodes[0]];
  for (size_t s = 1; s < nodes.size(); ++s) {
    const PathStage &stage = graph.stages[s];
    for (const Hop &hop : graph.hops[stage.hops])
      if (hop.from == nodes[s - 1] && hop.to == nodes[s]) {
        cost = cost + hop.cost + stage.nodes[nodes[s]];
        break;
      }
  }
  return cost;
}

/// Least weight from each node to the end, its own not counted: [stage][node].
std::vector<std::vector<double>> weightsToGo(const LayeredGraph &graph, PathCost weights) {
  std::vector<std::vector<double>> toGo(graph.stages.size());
  toGo.back().assign(graph.stages.back().nodes.size(), 0);
  for (size_t s = graph.stages.size() - 1; s > 0; --s) {
    const PathStage &stage = graph.stages[s];
    toGo[s - 1].assign(graph.stages[s - 1].nodes.size(), kInfinity);
    for (const Hop &hop : graph.hops[stage.hops])
      if (stage.isOpen[hop.to])
        toGo[s - 1][hop.from] =
            std::min(toGo[s - 1][hop.from],
                     weighted(hop.cost + stage.nodes[hop.to], weights) + toGo[s][hop.to]);
  }
  return toGo;
}

/// Two paths next to each other on the lower hull, one on each side of the limit.
struct Bracket {
  LayeredPath within; ///< keeps the limit
  double weight = 0;  ///< of the second cost, where both weigh the same
  double bound = 0;   ///< least first sum of any path that keeps the limit
};

std::optional<Bracket> bracket(const LayeredGraph &graph, double limit) {
  std::optional<LayeredPath> beyond = lightestPath(graph, {1, 0});
  if (!beyond)
    return std::nullopt;
  if (beyond->cost.second <= limit)
    return Bracket{*beyond, 0, beyond->cost.first};
  std::optional<LayeredPath> within = lightestPath(graph, {0, 1});
  if (within->cost.second > limit)
    return std::nullopt;
  Bracket result{*within, 0, beyond->cost.first};
  for (;;) {
    const PathCost in = result.within.cost, out = beyond->cost;
    const double weight = (in.first - out.first) / (out.second - in.second);
    const double line = in.first + weight * in.second;
    const std::optional<LayeredPath> between = lightestPath(graph, {1, weight});
    const double value = weighted(between->cost, {1, weight});
    if (value - weight * limit >= result.bound) {
      result.bound = value - weight * limit;
      result.weight = weight;
    }
    const PathCost found = between->cost;
    const bool isBetween = found.second > in.second && found.second < out.second;
    if (!isBetween || value >= line * (1 - kRounding))
      return result;
    (found.second <= limit ? result.within : *beyond) = *between;
  }
}

/// Partial paths that end in one stage.
struct Label {
  PathCost cost;
  int32_t parent = -1; ///< in the stage before
  int32_t node = 0;
};

class LabelSearch {
public:
  LabelSearch(const LayeredGraph &graph, double limit, const Bracket &start,
              const PathSearch &search)
      : graph_(graph), limit_(limit), weight_(start.weight), best_(start.within),
        mostLabels_(search.mostLabels), below_(std::min(search.below, start.within.cost.first)),
        firstToGo_(weightsToGo(graph, {1, 0})), secondToGo_(weightsToGo(graph, {0, 1})),
        bothToGo_(weightsToGo(graph, {1, start.weight})) {}

  LayeredPath run() {
    labels_.resize(graph_.stages.size());
    for (size_t i = 0; i < graph_.stages[0].nodes.size(); ++i)
      if (graph_.stages[0].isOpen[i])
        offer(0, {graph_.stages[0].nodes[i], -1, static_cast<int32_t>(i)}, labels_[0]);
    for (size_t s = 1; s < graph_.stages.size() && !labels_[s - 1].empty(); ++s)
      extend(s);
    takeBest();
    best_.bound = std::min({best_.cost.first, below_, dropped_});
    return std::move(best_);
  }

private:
  /// Least first sum of any path with this beginning that keeps the limit.
  double boundOf(size_t stage, const Label &label) const {
    const double alone = label.cost.first + firstToGo_[stage][label.node];
    const double both =
        label.cost.first + weight_ * (label.cost.second - limit_) + bothToGo_[stage][label.node];
    return std::max(alone, both);
  }

  void offer(size_t stage, const Label &label, std::vector<Label> &to) const {
    const double second = label.cost.second + secondToGo_[stage][label.node];
    if (second <= limit_ * (1 + kRounding) && boundOf(stage, label) < below_)
      to.push_back(label);
  }

  void extend(size_t s) {
    const PathStage &stage = graph_.stages[s];
    std::vector<std::vector<Label>> buckets(stage.nodes.size());
    std::vector<std::vector<int32_t>> ofNode(graph_.stages[s - 1].nodes.size());
    for (size_t i = 0; i < labels_[s - 1].size(); ++i)
      ofNode[labels_[s - 1][i].node].push_back(static_cast<int32_t>(i));
    for (const Hop &hop : graph_.hops[stage.hops])
      if (stage.isOpen[hop.to])
        for (int32_t parent : ofNode[hop.from])
          offer(s, {labels_[s - 1][parent].cost + hop.cost + stage.nodes[hop.to], parent, hop.to},
                buckets[hop.to]);
    for (std::vector<Label> &bucket : buckets)
      keepUndominated(bucket, labels_[s]);
    trim(s);
    best_.labels += static_cast<int64_t>(labels_[s].size());
  }

  static void keepUndominated(std::vector<Label> &bucket, std::vector<Label> &to) {
    std::stable_sort(bucket.begin(), bucket.end(), [](const Label &a, const Label &b) {
      return a.cost.first != b.cost.first ? a.cost.first < b.cost.first
                                          : a.cost.second < b.cost.second;
    });
    double least = kInfinity;
    for (const Label &label : bucket)
      if (label.cost.second < least) {
        least = label.cost.second;
        to.push_back(label);
      }
  }

  /// Twice an even share of what is left: stages towards the end have fewer that can win.
  size_t mostOfStage(size_t s) const {
    const auto stages = static_cast<int64_t>(graph_.stages.size() - s);
    return static_cast<size_t>(std::max<int64_t>(2 * (mostLabels_ - best_.labels) / stages, 1));
  }

  void trim(size_t s) {
    std::vector<Label> &labels = labels_[s];
    const size_t most = mostOfStage(s);
    if (labels.size() <= most)
      return;
    std::vector<double> bounds(labels.size());
    for (size_t i = 0; i < labels.size(); ++i)
      bounds[i] = boundOf(s, labels[i]);
    std::vector<size_t> order(labels.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return bounds[a] < bounds[b]; });
    dropped_ = std::min(dropped_, bounds[order[most]]);
    order.resize(most);
    std::sort(order.begin(), order.end());
    std::vector<Label> kept;
    for (size_t i : order)
      kept.push_back(labels[i]);
    labels = std::move(kept);
  }

  void takeBest() {
    const Label *found = nullptr;
    for (const Label &label : labels_.back())
      if (label.cost.second <= limit_ && (!found || label.cost.first < found->cost.first))
        found = &label;
    if (!found || found->cost.first >= best_.cost.first)
      return;
    best_.cost = found->cost;
    for (size_t s = graph_.stages.size(); s-- > 0;) {
      best_.nodes[s] = found->node;
      found = found->parent < 0 ? nullptr : &labels_[s - 1][found->parent];
    }
  }

  const LayeredGraph &graph_;
  const double limit_, weight_;
  LayeredPath best_;
  const int64_t mostLabels_;
  const double below_;
  std::vector<std::vector<double>> firstToGo_, secondToGo_, bothToGo_;
  std::vector<std::vector<Label>> labels_;
  double dropped_ = kInfinity;
};

} // namespace

std::optional<LayeredPath> lightestPath(const LayeredGraph &graph, PathCost weights) {
  const size_t stages = graph.stages.size();
  struct Value {
    double weight = kInfinity, tie = kInfinity;
    bool operator<(const Value &other) const {
      return weight != other.weight ? weight < other.weight : tie < other.tie;
    }
  };
  const PathCost tieWeights = weights.first == 0 ? PathCost{1, 0} : PathCost{0, 1};
  auto plus = [&](Value value, PathCost cost) {
    return Value{value.weight + weighted(cost, weights), value.tie + weighted(cost, tieWeights)};
  };
  std::vector<std::vector<int32_t>> before(stages);
  std::vector<Value> values(graph.stages[0].nodes.size());
  for (size_t i = 0; i < values.size(); ++i)
    if (graph.stages[0].isOpen[i])
      values[i] = plus({0, 0}, graph.stages[0].nodes[i]);
  for (size_t s = 1; s < stages; ++s) {
    const PathStage &stage = graph.stages[s];
    std::vector<Value> next(stage.nodes.size());
    before[s].assign(stage.nodes.size(), -1);
    for (const Hop &hop : graph.hops[stage.hops]) {
      if (!stage.isOpen[hop.to] || values[hop.from].weight == kInfinity)
        continue;
      const Value value = plus(values[hop.from], hop.cost + stage.nodes[hop.to]);
      if (value < next[hop.to]) {
        next[hop.to] = value;
        before[s][hop.to] = hop.from;
      }
    }
    values = std::move(next);
  }
  const auto last = std::min_element(values.begin(), values.end());
  if (last->weight == kInfinity)
    return std::nullopt;
  LayeredPath path;
  path.nodes.resize(stages);
  path.nodes.back() = static_cast<int32_t>(last - values.begin());
  for (size_t s = stages - 1; s > 0; --s)
    path.nodes[s - 1] = before[s][path.nodes[s]];
  path.cost = costOf(graph, path.nodes);
  path.bound = path.cost.first;
  return path;
}

std::optional<LayeredPath> bestPath(const LayeredGraph &graph, double limit,
                                    const PathSearch &search) {
  const std::optional<Bracket> start = bracket(graph, limit);
  if (!start)
    return std::nullopt;
  LayeredPath path = start->within;
  path.bound = std::min(start->bound, path.cost.first);
  if (path.bound >= path.cost.first * (1 - kRounding))
    path.bound = path.cost.first;
  else if (search.mostLabels > 0 && path.bound < search.below) {
    const double bound = path.bound;
    path = LabelSearch(graph, limit, *start, search).run();
    path.bound = std::max(path.bound, bound);
  }
  return path;
}

} // namespace sdopt
