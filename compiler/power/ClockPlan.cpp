#include "compiler/power/ClockPlan.h"

#include "absl/strings/str_cat.h"
#include "compiler/power/LayeredPath.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <optional>

namespace sdopt {
namespace {

/// Of a limit: sums of the same plan differ by less.
constexpr double kRounding = 1e-10;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool keeps(double value, double limit) { return value <= limit * (1 + kRounding); }

bool choosesVoltage(ClockPolicy policy) {
  return policy == ClockPolicy::Dvfs || policy == ClockPolicy::Joint;
}
bool choosesByLayer(ClockPolicy policy) {
  return policy == ClockPolicy::Dfs || policy == ClockPolicy::Joint;
}

double goalOf(const PlanCost &cost, PowerGoal goal) {
  return goal == PowerGoal::LeastTime ? cost.seconds : cost.energy;
}

/// A layer within its module: where it stands, and at which clock the module's first layer does,
/// which the last one of a module that runs again must know.
struct LayerState {
  ClockState at;
  size_t first = 0;
};

/// One graph for one policy: stages are a start, all layers and an end.
class ClockGraph {
public:
  /// `voltages` of the first modules are decided; `fixedClock`: the only clock, or nothing.
  ClockGraph(const PowerModel &model, const PowerWorkload &workload, PowerGoal goal,
             const PowerLimits &limits, ClockPolicy policy, const std::vector<size_t> &voltages,
             std::optional<size_t> fixedClock)
      : model_(model), workload_(workload), goal_(goal), limits_(limits), policy_(policy) {
    const ClockState nominal{model.nominal, model.nominal};
    addStage(0, {PathCost{}}, {true});
    for (size_t m = 0; m < workload.size(); ++m)
      states_.push_back(statesOf(workload[m],
                                 m < voltages.size() ? std::optional(voltages[m]) : std::nullopt,
                                 fixedClock));
    for (size_t m = 0; m < workload.size(); ++m) {
      addHops(m == 0 ? hopsFrom(nominal, m) : hopsBetween(m - 1, m));
      addLayer(m, 0);
      if (workload[m].layers.size() > 1)
        addHops(hopsWithin(m));
      for (size_t l = 1; l < workload[m].layers.size(); ++l)
        addLayer(m, l);
    }
    addHops(hopsTo(nominal));
    addStage(lastHops(), {PathCost{}}, {true});
  }

  const LayeredGraph &graph() const { return graph_; }

  ClockPlan planOf(const LayeredPath &path) const {
    ClockPlan plan(workload_.size());
    size_t stage = 1;
    for (size_t m = 0; m < workload_.size(); ++m)
      for (size_t l = 0; l < workload_[m].layers.size(); ++l, ++stage) {
        const LayerState &state = states_[m][path.nodes[stage]];
        plan[m].voltage = state.at.voltage;
        plan[m].clocks.push_back(state.at.clock);
      }
    return plan;
  }

private:
  using States = std::vector<LayerState>;

  PathCost costOf(double seconds, double energy, int64_t runs = 1) const {
    const double n = static_cast<double>(runs);
    return goal_ == PowerGoal::LeastTime ? PathCost{n * seconds, n * energy}
                                         : PathCost{n * energy, n * seconds};
  }
  PathCost costOf(ClockState from, ClockState to, int64_t runs = 1) const {
    const SwitchCost cost = switchCost(model_, from, to);
    return costOf(cost.seconds, cost.energy, runs);
  }

  bool remembersFirst(const PowerModule &module) const {
    return choosesByLayer(policy_) && module.runs > 1;
  }

  /// Higher clocks first: of equal choices they are taken.
  States statesOf(const PowerModule &module, std::optional<size_t> voltage,
                  std::optional<size_t> fixedClock) const {
    States states;
    for (size_t v = 0; v < model_.points.size(); ++v) {
      if (voltage ? v != *voltage : !choosesVoltage(policy_) && v != model_.nominal)
        continue;
      for (size_t first = v + 1; first-- > 0;)
        for (size_t clock = v + 1; clock-- > 0;)
          if ((!fixedClock || *fixedClock == clock) && (remembersFirst(module) || first == clock))
            states.push_back({{v, clock}, first});
    }
    return states;
  }

  void addStage(int32_t hops, std::vector<PathCost> nodes, std::vector<bool> isOpen) {
    graph_.stages.push_back({hops, std::move(nodes), std::move(isOpen)});
  }
  void addHops(std::vector<Hop> hops) { graph_.hops.push_back(std::move(hops)); }
  int32_t lastHops() const { return static_cast<int32_t>(graph_.hops.size()) - 1; }

  void addLayer(size_t m, size_t l) {
    const PowerLayer &layer = workload_[m].layers[l];
    std::vector<PathCost> nodes;
    std::vector<bool> isOpen;
    for (const LayerState &state : states_[m]) {
      const auto [voltage, clock] = state.at;
      nodes.push_back(costOf(layer.at[clock].seconds, layerEnergy(model_, layer, voltage, clock),
                             workload_[m].runs));
      isOpen.push_back(keeps(layerPower(model_, layer, voltage, clock), limits_.layerPower) &&
                       keeps(layerPeakPower(model_, layer, voltage, clock), limits_.peakPower));
    }
    addStage(lastHops(), std::move(nodes), std::move(isOpen));
  }

  bool begins(size_t m, const LayerState &state) const {
    return !remembersFirst(workload_[m]) || state.first == state.at.clock;
  }

  std::vector<Hop> hopsFrom(ClockState start, size_t m) const {
    std::vector<Hop> hops;
    for (size_t to = 0; to < states_[m].size(); ++to)
      if (begins(m, states_[m][to]))
        hops.push_back({0, static_cast<int32_t>(to), costOf(start, states_[m][to].at)});
    return hops;
  }

  std::vector<Hop> hopsWithin(size_t m) const {
    std::vector<Hop> hops;
    const States &states = states_[m];
    for (size_t to = 0; to < states.size(); ++to)
      for (size_t from = 0; from < states.size(); ++from) {
        const LayerState &a = states[from], &b = states[to];
        const bool isSame = a.at == b.at && a.first == b.first;
        const bool mayChange = choosesByLayer(policy_) && a.at.voltage == b.at.voltage &&
                               (a.first == b.first || !remembersFirst(workload_[m]));
        if (isSame || mayChange)
          hops.push_back({static_cast<int32_t>(from), static_cast<int32_t>(to),
                          costOf(a.at, b.at, workload_[m].runs)});
      }
    return hops;
  }

  /// From the last layer of a module's last run; the runs before it went back to its first layer.
  PathCost leave(size_t m, const LayerState &state, ClockState to) const {
    PathCost cost = costOf(state.at, to);
    if (remembersFirst(workload_[m])) {
      const PathCost back =
          costOf(state.at, {state.at.voltage, state.first}, workload_[m].runs - 1);
      cost.first += back.first;
      cost.second += back.second;
    }
    return cost;
  }

  std::vector<Hop> hopsBetween(size_t m, size_t next) const {
    std::vector<Hop> hops;
    for (size_t to = 0; to < states_[next].size(); ++to)
      for (size_t from = 0; from < states_[m].size(); ++from)
        if (begins(next, states_[next][to]) &&
            (policy_ != ClockPolicy::Fixed || states_[m][from].at == states_[next][to].at))
          hops.push_back({static_cast<int32_t>(from), static_cast<int32_t>(to),
                          leave(m, states_[m][from], states_[next][to].at)});
    return hops;
  }

  std::vector<Hop> hopsTo(ClockState end) const {
    std::vector<Hop> hops;
    for (size_t from = 0; from < states_.back().size(); ++from)
      hops.push_back(
          {static_cast<int32_t>(from), 0, leave(states_.size() - 1, states_.back()[from], end)});
    return hops;
  }

  const PowerModel &model_;
  const PowerWorkload &workload_;
  const PowerGoal goal_;
  const PowerLimits &limits_;
  const ClockPolicy policy_;
  std::vector<States> states_; ///< by module
  LayeredGraph graph_;
};

absl::Status checkLimits(const PowerLimits &limits) {
  for (auto [limit, what] : {std::pair{limits.layerPower, "power of a layer"},
                             {limits.peakPower, "peak power"},
                             {limits.seconds, "time"},
                             {limits.energy, "energy"}})
    if (!(limit > 0))
      return absl::InvalidArgumentError(
          absl::StrCat("limit of ", what, " is ", limit, "; needs more than 0"));
  return absl::OkStatus();
}

bool isBetter(const PlanCost &a, const PlanCost &b, PowerGoal goal) {
  const double left = goalOf(a, goal), right = goalOf(b, goal);
  return left != right                  ? left < right
         : goal == PowerGoal::LeastTime ? a.energy < b.energy
                                        : a.seconds < b.seconds;
}

/// Branch and bound over the voltages of modules: few choices that weigh much, which leave the
/// search by labels a gap that it would take long to close. The part with the lowest bound is split
/// next, until none can hold a better plan.
class VoltageSearch {
public:
  VoltageSearch(const PowerModel &model, const PowerWorkload &workload, PowerGoal goal,
                const PowerLimits &limits, ClockPolicy policy, std::optional<size_t> fixedClock,
                int64_t mostLabels)
      : model_(model), workload_(workload), goal_(goal), limits_(limits), policy_(policy),
        fixedClock_(fixedClock), labelsLeft_(mostLabels),
        limit_((goal == PowerGoal::LeastTime ? limits.energy : limits.seconds) *
               (1 + kRounding / 2)) {}

  std::optional<ClockChoice> run() {
    look({});
    while (!parts_.empty()) {
      const auto next =
          std::min_element(parts_.begin(), parts_.end(),
                           [](const Part &a, const Part &b) { return a.bound < b.bound; });
      if (next->bound >= best() || looked_ >= kMostParts)
        break;
      const std::vector<size_t> voltages = std::move(next->voltages);
      parts_.erase(next);
      if (!choosesVoltage(policy_) || voltages.size() == workload_.size())
        decide(voltages);
      else
        split(voltages);
    }
    if (!choice_)
      return std::nullopt;
    for (const Part &part : parts_)
      bound_ = std::min(bound_, part.bound);
    choice_->bound = std::min(bound_, best());
    choice_->labels = labels_;
    return std::move(choice_);
  }

private:
  static constexpr int kMostParts = 2000;

  /// Plans in which the first modules have these voltages.
  struct Part {
    double bound = 0;
    std::vector<size_t> voltages;
  };

  double best() const { return choice_ ? goalOf(choice_->cost, goal_) : kInfinity; }

  ClockGraph graphOf(const std::vector<size_t> &voltages) const {
    return {model_, workload_, goal_, limits_, policy_, voltages, fixedClock_};
  }

  void offer(const ClockGraph &graph, const LayeredPath &path) {
    ClockPlan plan = graph.planOf(path);
    const PlanCost cost = planCost(model_, workload_, plan);
    if (!choice_ || isBetter(cost, choice_->cost, goal_))
      choice_ = ClockChoice{std::move(plan), cost};
  }

  void look(std::vector<size_t> voltages) {
    ++looked_;
    const ClockGraph graph = graphOf(voltages);
    const std::optional<LayeredPath> path = bestPath(graph.graph(), limit_, {});
    if (!path)
      return;
    offer(graph, *path);
    // What is best among these is known.
    if (path->bound == path->cost.first)
      return;
    parts_.push_back({path->bound, std::move(voltages)});
  }

  void split(const std::vector<size_t> &voltages) {
    for (size_t v = 0; v < model_.points.size(); ++v) {
      std::vector<size_t> more = voltages;
      more.push_back(v);
      look(std::move(more));
    }
  }

  void decide(const std::vector<size_t> &voltages) {
    ++looked_;
    const ClockGraph graph = graphOf(voltages);
    const std::optional<LayeredPath> path =
        bestPath(graph.graph(), limit_, {std::max<int64_t>(labelsLeft_, 1), best()});
    labelsLeft_ -= path->labels;
    labels_ += path->labels;
    bound_ = std::min(bound_, path->bound);
    offer(graph, *path);
  }

  const PowerModel &model_;
  const PowerWorkload &workload_;
  const PowerGoal goal_;
  const PowerLimits &limits_;
  const ClockPolicy policy_;
  const std::optional<size_t> fixedClock_;
  int64_t labelsLeft_, labels_ = 0;
  const double limit_;
  std::vector<Part> parts_;
  std::optional<ClockChoice> choice_;
  double bound_ = kInfinity; ///< of the parts that were decided
  int looked_ = 0;
};

std::optional<ClockChoice> searchPolicy(const PowerModel &model, const PowerWorkload &workload,
                                        PowerGoal goal, const PowerLimits &limits,
                                        ClockPolicy policy, int64_t mostLabels) {
  if (policy != ClockPolicy::Fixed)
    return VoltageSearch(model, workload, goal, limits, policy, std::nullopt, mostLabels).run();
  std::optional<ClockChoice> best;
  for (size_t clock = model.nominal + 1; clock-- > 0;) {
    std::optional<ClockChoice> choice =
        VoltageSearch(model, workload, goal, limits, policy, clock, mostLabels).run();
    if (choice && (!best || isBetter(choice->cost, best->cost, goal)))
      best = std::move(choice);
  }
  return best;
}

/// Policies whose plans are plans of this one too.
std::vector<ClockPolicy> partsOf(ClockPolicy policy) {
  switch (policy) {
  case ClockPolicy::Fixed:
    return {};
  case ClockPolicy::Dvfs:
  case ClockPolicy::Dfs:
    return {ClockPolicy::Fixed};
  case ClockPolicy::Joint:
    break;
  }
  return {ClockPolicy::Fixed, ClockPolicy::Dvfs, ClockPolicy::Dfs};
}

/// Why no plan keeps the limits.
absl::Status noPlan(const PowerModel &model, const PowerWorkload &workload,
                    const PowerLimits &limits, ClockPolicy policy) {
  const std::string prefix = absl::StrCat(name(policy), ": ");
  for (const PowerModule &module : workload)
    for (const PowerLayer &layer : module.layers) {
      double least = kInfinity, leastPeak = kInfinity;
      for (size_t v = 0; v < model.points.size(); ++v)
        for (size_t clock = 0; clock <= v; ++clock)
          if (choosesVoltage(policy) || v == model.nominal) {
            least = std::min(least, layerPower(model, layer, v, clock));
            leastPeak = std::min(leastPeak, layerPeakPower(model, layer, v, clock));
          }
      const std::string place =
          absl::StrCat(prefix, "layer '", layer.name, "' of module '", module.name, "' draws ");
      if (!keeps(least, limits.layerPower))
        return absl::FailedPreconditionError(
            absl::StrCat(place, "at least ", least, " W; the limit is ", limits.layerPower));
      if (!keeps(leastPeak, limits.peakPower))
        return absl::FailedPreconditionError(absl::StrCat(place, "a peak of at least ", leastPeak,
                                                          " W; the limit is ", limits.peakPower));
    }
  PowerLimits powerAlone = limits;
  powerAlone.seconds = powerAlone.energy = kInfinity;
  for (PowerGoal goal : {PowerGoal::LeastTime, PowerGoal::LeastEnergy}) {
    const std::optional<ClockChoice> best =
        searchPolicy(model, workload, goal, powerAlone, policy, 1);
    if (!best)
      return absl::FailedPreconditionError(absl::StrCat(
          prefix, "no one choice keeps the limits of power for all layers that it is for"));
    if (goal == PowerGoal::LeastTime && !keeps(best->cost.seconds, limits.seconds))
      return absl::FailedPreconditionError(absl::StrCat(
          prefix, "takes at least ", best->cost.seconds, " s; the limit is ", limits.seconds));
    if (goal == PowerGoal::LeastEnergy && !keeps(best->cost.energy, limits.energy))
      return absl::FailedPreconditionError(absl::StrCat(
          prefix, "takes at least ", best->cost.energy, " J; the limit is ", limits.energy));
  }
  return absl::FailedPreconditionError(absl::StrCat(prefix, "no plan keeps the limits of ",
                                                    limits.seconds, " s and ", limits.energy,
                                                    " J at once"));
}

} // namespace

const char *name(ClockPolicy policy) {
  switch (policy) {
  case ClockPolicy::Fixed:
    return "fixed clock";
  case ClockPolicy::Dvfs:
    return "dvfs";
  case ClockPolicy::Dfs:
    return "dfs";
  case ClockPolicy::Joint:
    return "joint";
  }
  return "unknown";
}

PlanCost planCost(const PowerModel &model, const PowerWorkload &workload, const ClockPlan &plan) {
  assert(plan.size() == workload.size());
  PlanCost cost;
  const ClockState nominal{model.nominal, model.nominal};
  auto change = [&](ClockState from, ClockState to, int64_t times) {
    const SwitchCost one = switchCost(model, from, to);
    cost.seconds += static_cast<double>(times) * one.seconds;
    cost.energy += static_cast<double>(times) * one.energy;
    if (from.voltage != to.voltage)
      cost.voltageSwitches += times;
    else if (from.clock != to.clock)
      cost.clockSwitches += times;
  };
  ClockState now = nominal;
  for (size_t m = 0; m < workload.size(); ++m) {
    const PowerModule &module = workload[m];
    const size_t voltage = plan[m].voltage;
    const std::vector<size_t> &clocks = plan[m].clocks;
    assert(clocks.size() == module.layers.size());
    change(now, {voltage, clocks.front()}, 1);
    for (size_t l = 0; l < clocks.size(); ++l) {
      assert(clocks[l] <= voltage && voltage < model.points.size());
      const PowerLayer &layer = module.layers[l];
      const double runs = static_cast<double>(module.runs);
      cost.seconds += runs * layer.at[clocks[l]].seconds;
      cost.energy += runs * layerEnergy(model, layer, voltage, clocks[l]);
      cost.layerPower = std::max(cost.layerPower, layerPower(model, layer, voltage, clocks[l]));
      cost.peakPower = std::max(cost.peakPower, layerPeakPower(model, layer, voltage, clocks[l]));
      if (l > 0)
        change({voltage, clocks[l - 1]}, {voltage, clocks[l]}, module.runs);
    }
    now = {voltage, clocks.back()};
    change(now, {voltage, clocks.front()}, module.runs - 1);
  }
  change(now, nominal, 1);
  return cost;
}

bool keepsLimits(const PlanCost &cost, const PowerLimits &limits) {
  return keeps(cost.layerPower, limits.layerPower) && keeps(cost.peakPower, limits.peakPower) &&
         keeps(cost.seconds, limits.seconds) && keeps(cost.energy, limits.energy);
}

double leastLayerPower(const PowerModel &model, const PowerWorkload &workload) {
  double highest = 0;
  for (const PowerModule &module : workload)
    for (const PowerLayer &layer : module.layers) {
      double least = kInfinity;
      for (size_t voltage = 0; voltage < model.points.size(); ++voltage)
        for (size_t clock = 0; clock <= voltage; ++clock)
          least = std::min(least, layerPower(model, layer, voltage, clock));
      highest = std::max(highest, least);
    }
  return highest;
}

absl::StatusOr<ClockChoice> chooseClocks(const PowerModel &model, const PowerWorkload &workload,
                                         PowerGoal goal, const PowerLimits &limits,
                                         ClockPolicy policy, const ClockSearch &search) {
  for (const absl::Status &status :
       {checkPowerModel(model), checkWorkload(model, workload), checkLimits(limits)})
    if (!status.ok())
      return status;
  std::optional<ClockChoice> best =
      searchPolicy(model, workload, goal, limits, policy, search.mostLabels);
  for (ClockPolicy part : partsOf(policy)) {
    std::optional<ClockChoice> choice =
        searchPolicy(model, workload, goal, limits, part, search.mostLabels);
    if (!choice || !best || !isBetter(choice->cost, best->cost, goal))
      continue;
    best->plan = std::move(choice->plan);
    best->cost = choice->cost;
    best->bound = std::min(best->bound, goalOf(best->cost, goal));
  }
  if (!best || !keepsLimits(best->cost, limits))
    return noPlan(model, workload, limits, policy);
  return *std::move(best);
}

absl::StatusOr<std::vector<ClockChoice>>
timeEnergyCurve(const PowerModel &model, const PowerWorkload &workload, const PowerLimits &limits,
                ClockPolicy policy, int count, const ClockSearch &search) {
  absl::StatusOr<ClockChoice> fastest =
      chooseClocks(model, workload, PowerGoal::LeastTime, limits, policy, search);
  if (!fastest.ok())
    return fastest.status();
  absl::StatusOr<ClockChoice> leanest =
      chooseClocks(model, workload, PowerGoal::LeastEnergy, limits, policy, search);
  if (!leanest.ok())
    return leanest.status();
  std::vector<ClockChoice> curve;
  const double first = fastest->cost.seconds, last = leanest->cost.seconds;
  for (int i = 0; i + 1 < count; ++i) {
    PowerLimits within = limits;
    within.seconds = first + (last - first) * i / (count - 1);
    absl::StatusOr<ClockChoice> choice =
        chooseClocks(model, workload, PowerGoal::LeastEnergy, within, policy, search);
    if (!choice.ok())
      return choice.status();
    if (curve.empty() || choice->cost.energy < curve.back().cost.energy)
      curve.push_back(*std::move(choice));
  }
  if (curve.empty() || leanest->cost.energy < curve.back().cost.energy)
    curve.push_back(*std::move(leanest));
  return curve;
}

} // namespace sdopt
