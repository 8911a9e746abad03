// Depth-first search for a placement within a capacity.
//
// Only placements that no single buffer can sink in are looked for: every offset is 0 or the end of
// a buffer below, rounded up. Buffers are placed by rising (offset, rank), so that a placement is
// met once, and what is not placed yet lies at or above the last one, the floor. The canonical
// form, the division of time into sections and the dominance of buffers that still fit below are
// ideas of: Moffitt, "MiniMalloc: A Lightweight Memory Allocator for Hardware-Accelerated Machine
// Learning", ASPLOS 2023. Beside them:
//
//   sinking    A buffer that was passed over must yet be lifted: some neighbour has to go under it,
//              so that it lies at least on the lowest end that such a neighbour can have.
//   reasons    A refutation names sections of time. It holds as long as nothing that meets them
//              changes, so that a choice that meets none of them need not be tried in other ways
//              (conflict-directed backjumping: Prosser, Computational Intelligence 9(3), 1993).
//   memory     Refuted states are kept: unplaced buffers, the lowest offset of each, the floor.
//   restarts   Several ranks take turns, each time with twice the nodes.

#include "compiler/placement/PlacementProblem.h"

#include <algorithm>
#include <tuple>

namespace sdopt {
namespace {

using Item = PlacementProblem::Item;

/// A set of sections; all of a search have the same number of words.
class SectionSet {
public:
  explicit SectionSet(size_t words) : words(words, 0) {}
  void clear() { std::fill(words.begin(), words.end(), 0); }
  void add(int32_t section) { words[section / 64] |= uint64_t{1} << (section % 64); }
  void add(const SectionSet &other) {
    for (size_t i = 0; i < words.size(); ++i)
      words[i] |= other.words[i];
  }
  bool meets(const SectionSet &other) const {
    for (size_t i = 0; i < words.size(); ++i)
      if (words[i] & other.words[i])
        return true;
    return false;
  }

private:
  std::vector<uint64_t> words;
};

/// What does not change during a search, in units of the granule.
struct Instance {
  Instance(const PlacementProblem &problem, int64_t capacity);

  int32_t sections;
  std::vector<Item> items;
  std::vector<int64_t> most; ///< highest offset of each item
  int64_t top = 0;           ///< no end is higher
  std::vector<std::vector<int32_t>> neighbours;
  std::vector<SectionSet> spans;
  std::vector<int64_t> live; ///< units of each section

  size_t words() const { return (static_cast<size_t>(sections) + 63) / 64; }
  /// Of two that differ in nothing the search need place only one first.
  bool alike(int32_t a, int32_t b) const {
    const Item &x = items[a], &y = items[b];
    return x.size == y.size && x.begin == y.begin && x.end == y.end && x.alignment == y.alignment &&
           most[a] == most[b];
  }
};

Instance::Instance(const PlacementProblem &problem, int64_t capacity)
    : sections(problem.sections), items(problem.items), live(problem.sections, 0) {
  const int64_t unit = problem.granule;
  for (Item &item : items) {
    most.push_back((capacity - item.size) / unit);
    item.size = (item.size - 1) / unit + 1;
    item.alignment /= unit;
    top = std::max(top, most.back() + item.size);
    for (int32_t s = item.begin; s < item.end; ++s)
      live[s] += item.size;
    spans.emplace_back(words());
    for (int32_t s = item.begin; s < item.end; ++s)
      spans.back().add(s);
  }
  neighbours.resize(items.size());
  for (size_t i = 0; i < items.size(); ++i)
    for (size_t j = 0; j < items.size(); ++j)
      if (i != j && items[i].meets(items[j]))
        neighbours[i].push_back(static_cast<int32_t>(j));
}

/// (offset, rank) of the last placed item: what follows is not less.
struct Floor {
  int64_t offset = 0;
  int32_t rank = -1;
  friend auto operator<=>(const Floor &, const Floor &) = default;
};

uint64_t scramble(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

/// Two independent sums over the items of a state; equal sums count as equal states.
struct StateKey {
  uint64_t a = 0, b = 0;
  void add(int32_t item, int64_t lowest) {
    const uint64_t x = scramble(static_cast<uint64_t>(item) + 1) + static_cast<uint64_t>(lowest);
    a += scramble(x);
    b += scramble(x ^ 0x9e3779b97f4a7c15u);
  }
  friend bool operator==(const StateKey &, const StateKey &) = default;
};

struct Refuted {
  StateKey key;
  Floor floor;
  SectionSet reason;
};

class OffsetSearch {
public:
  OffsetSearch(const Instance &instance, const std::vector<int32_t> &order, int64_t mostNodes);

  SearchEnd run() { return searchParts({0, active.size()}, 0, instance.sections, Floor{}); }
  int64_t nodes() const { return used; }
  const std::vector<int64_t> &units() const { return offsets; }

private:
  /// Part of `active`.
  struct Range {
    size_t begin, end;
  };
  struct Candidate {
    int64_t offset;
    int32_t rank, item;
    bool failed, noted;
    SectionSet reason;
  };
  struct Lift {
    int32_t item, support;
    int64_t lowest;
  };

  SearchEnd searchParts(Range range, int32_t begin, int32_t end, Floor floor);
  SearchEnd searchPart(Range range, int32_t begin, int32_t end, Floor floor);
  SearchEnd branch(Range range, int32_t begin, int32_t end, Floor floor);
  SearchEnd tryCandidate(const Candidate &candidate, Range range, int32_t begin, int32_t end);

  bool isRefuted(Range range, int32_t begin, int32_t end, Floor floor);
  bool mustSinkElsewhere(Range range, Floor floor);
  bool sectionsOverflow(Range range, int32_t begin, int32_t end, Floor floor);
  std::vector<Candidate> candidatesOf(Range range, Floor floor, int64_t limit) const;
  SectionSet closure(std::vector<Candidate> &candidates, SectionSet reason) const;

  bool passedOver(int32_t item, Floor floor) const {
    return Floor{lowest[item], rank[item]} < floor;
  }
  void put(int32_t item, int64_t offset);
  void take(int32_t item);
  bool liftNeighbours(int32_t item);
  void undoLifts(size_t mark);
  void explain(int32_t item, Floor floor);
  void explainAround(int32_t item, Floor floor);
  size_t slotOf(const StateKey &key) const { return key.a & (memory.size() - 1); }

  const Instance &instance;
  std::vector<int32_t> rank, active;
  std::vector<int64_t> offsets;
  std::vector<int64_t> lowest;  ///< of an unplaced item: the highest end of placed neighbours
  std::vector<int32_t> support; ///< the neighbour that it is the end of, or -1
  std::vector<int64_t> bound;   ///< of an unplaced item: no lower offset is possible
  std::vector<char> placed;
  std::vector<int64_t> left;     ///< unplaced units of each section
  std::vector<int32_t> crossing; ///< unplaced items in a section and in the next
  std::vector<int64_t> base;     ///< scratch: lowest bound of each section
  std::vector<Lift> lifts;
  SectionSet why; ///< reason of the last refutation
  std::vector<Refuted> memory;
  int64_t used = 0, mostNodes;
};

OffsetSearch::OffsetSearch(const Instance &instance, const std::vector<int32_t> &order,
                           int64_t mostNodes)
    : instance(instance), rank(order.size()), active(order), offsets(order.size(), 0),
      lowest(order.size(), 0), support(order.size(), -1), bound(order.size(), 0),
      placed(order.size(), 0), left(instance.live), crossing(instance.sections, 0),
      base(instance.sections, 0), why(instance.words()), mostNodes(mostNodes) {
  for (size_t i = 0; i < order.size(); ++i)
    rank[order[i]] = static_cast<int32_t>(i);
  for (const Item &item : instance.items)
    for (int32_t s = item.begin; s + 1 < item.end; ++s)
      ++crossing[s];
  size_t slots = 1024;
  while (slots < (size_t{1} << 17) && static_cast<int64_t>(slots) < mostNodes)
    slots *= 2;
  memory.assign(slots, {{}, {kTooHigh, 0}, SectionSet(instance.words())});
}

void OffsetSearch::put(int32_t item, int64_t offset) {
  const Item &it = instance.items[item];
  placed[item] = 1;
  offsets[item] = offset;
  for (int32_t s = it.begin; s < it.end; ++s)
    left[s] -= it.size;
  for (int32_t s = it.begin; s + 1 < it.end; ++s)
    --crossing[s];
}

void OffsetSearch::take(int32_t item) {
  const Item &it = instance.items[item];
  placed[item] = 0;
  for (int32_t s = it.begin; s < it.end; ++s)
    left[s] += it.size;
  for (int32_t s = it.begin; s + 1 < it.end; ++s)
    ++crossing[s];
}

/// Unplaced neighbours of a placed item start at its end; false, with a reason, where one then ends
/// too high.
bool OffsetSearch::liftNeighbours(int32_t item) {
  const Item &it = instance.items[item];
  const int64_t end = offsets[item] + it.size;
  for (int32_t other : instance.neighbours[item]) {
    const int64_t aligned = alignUp(end, instance.items[other].alignment);
    if (placed[other] || lowest[other] >= aligned)
      continue;
    lifts.push_back({other, support[other], lowest[other]});
    lowest[other] = aligned;
    support[other] = item;
    if (aligned <= instance.most[other])
      continue;
    why.clear();
    why.add(std::max(it.begin, instance.items[other].begin));
    return false;
  }
  return true;
}

void OffsetSearch::undoLifts(size_t mark) {
  while (lifts.size() > mark) {
    lowest[lifts.back().item] = lifts.back().lowest;
    support[lifts.back().item] = lifts.back().support;
    lifts.pop_back();
  }
}

/// Adds to the reason why `item` cannot be lower: a section that it shares with its support.
void OffsetSearch::explain(int32_t item, Floor floor) {
  if (lowest[item] <= floor.offset || why.meets(instance.spans[support[item]]))
    return;
  why.add(std::max(instance.items[item].begin, instance.items[support[item]].begin));
}

/// Adds that no neighbour of `item` can be lower.
void OffsetSearch::explainAround(int32_t item, Floor floor) {
  why.add(instance.spans[item]);
  for (int32_t other : instance.neighbours[item])
    if (!placed[other])
      explain(other, floor);
}

/// Sets the bounds; true where an item that was passed over cannot be lifted far enough and still
/// fit.
bool OffsetSearch::mustSinkElsewhere(Range range, Floor floor) {
  for (size_t k = range.begin; k < range.end; ++k) {
    const int32_t item = active[k];
    const Item &it = instance.items[item];
    bound[item] = std::max(lowest[item], alignUp(floor.offset, it.alignment));
    if (passedOver(item, floor)) {
      const int64_t end = lowest[item] + it.size;
      int64_t lifted = kTooHigh;
      for (int32_t other : instance.neighbours[item])
        if (const int64_t at = std::max(lowest[other], floor.offset); !placed[other] && at < end)
          lifted = std::min(lifted, addUpTo(at, instance.items[other].size));
      bound[item] = std::max(bound[item], alignUp(lifted, it.alignment));
      if (bound[item] > instance.most[item]) {
        why.clear();
        explainAround(item, floor);
        return true;
      }
    } else if (bound[item] > instance.most[item]) {
      why.clear();
      why.add(it.begin);
      explain(item, floor);
      return true;
    }
  }
  return false;
}

/// True where the unplaced items of a section do not fit above the lowest of their bounds.
bool OffsetSearch::sectionsOverflow(Range range, int32_t begin, int32_t end, Floor floor) {
  std::fill(base.begin() + begin, base.begin() + end, kTooHigh);
  for (size_t k = range.begin; k < range.end; ++k) {
    const Item &it = instance.items[active[k]];
    const int64_t low = bound[active[k]];
    for (int32_t s = it.begin; s < it.end; ++s)
      base[s] = std::min(base[s], low);
  }
  for (int32_t s = begin; s < end; ++s) {
    if (left[s] == 0 || base[s] <= instance.top - left[s])
      continue;
    const int64_t wanted = instance.top - left[s] + 1;
    why.clear();
    why.add(s);
    for (size_t k = range.begin; k < range.end && floor.offset < wanted; ++k) {
      const int32_t item = active[k];
      if (instance.items[item].begin > s || s >= instance.items[item].end)
        continue;
      if (lowest[item] >= wanted)
        explain(item, floor);
      else
        explainAround(item, floor);
    }
    return true;
  }
  return false;
}

bool OffsetSearch::isRefuted(Range range, int32_t begin, int32_t end, Floor floor) {
  return mustSinkElsewhere(range, floor) || sectionsOverflow(range, begin, end, floor);
}

/// What may be placed next, by (offset, rank): not what leaves room for another below it.
std::vector<OffsetSearch::Candidate> OffsetSearch::candidatesOf(Range range, Floor floor,
                                                                int64_t limit) const {
  std::vector<Candidate> candidates;
  for (size_t k = range.begin; k < range.end; ++k) {
    const int32_t item = active[k];
    if (!passedOver(item, floor) && lowest[item] < limit)
      candidates.push_back(
          {lowest[item], rank[item], item, false, false, SectionSet(instance.words())});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate &a, const Candidate &b) {
    return std::tie(a.offset, a.rank) < std::tie(b.offset, b.rank);
  });
  return candidates;
}

/// A refutation of what follows some candidates is one of the state if it is joined with the
/// refutations of those candidates that meet it.
SectionSet OffsetSearch::closure(std::vector<Candidate> &candidates, SectionSet reason) const {
  for (Candidate &candidate : candidates)
    candidate.noted = false;
  for (bool again = true; again;) {
    again = false;
    for (Candidate &candidate : candidates) {
      if (candidate.noted || !candidate.failed || !reason.meets(instance.spans[candidate.item]))
        continue;
      reason.add(candidate.reason);
      reason.add(instance.spans[candidate.item]);
      candidate.noted = again = true;
    }
  }
  return reason;
}

SearchEnd OffsetSearch::tryCandidate(const Candidate &candidate, Range range, int32_t begin,
                                     int32_t end) {
  const size_t mark = lifts.size(), activeMark = active.size();
  put(candidate.item, candidate.offset);
  SearchEnd result = SearchEnd::Impossible;
  if (liftNeighbours(candidate.item)) {
    for (size_t k = range.begin; k < range.end; ++k)
      if (active[k] != candidate.item)
        active.push_back(active[k]);
    result =
        searchParts({activeMark, active.size()}, begin, end, {candidate.offset, candidate.rank});
    active.resize(activeMark);
  }
  if (result == SearchEnd::Found)
    return result;
  take(candidate.item);
  undoLifts(mark);
  return result;
}

SearchEnd OffsetSearch::branch(Range range, int32_t begin, int32_t end, Floor floor) {
  if (isRefuted(range, begin, end, floor))
    return SearchEnd::Impossible;
  // Nothing is placed so high that the item with the lowest end would still fit below.
  int32_t sinker = active[range.begin];
  const auto endOf = [&](int32_t item) { return lowest[item] + instance.items[item].size; };
  for (size_t k = range.begin; k < range.end; ++k)
    if (endOf(active[k]) < endOf(sinker))
      sinker = active[k];
  std::vector<Candidate> candidates = candidatesOf(range, floor, endOf(sinker));
  for (size_t c = 0; c < candidates.size(); ++c) {
    Candidate &candidate = candidates[c];
    const auto same = std::find_if(
        candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(c),
        [&](const Candidate &other) { return instance.alike(other.item, candidate.item); });
    if (same != candidates.begin() + static_cast<std::ptrdiff_t>(c)) {
      candidate.reason = same->reason;
      candidate.failed = true;
      continue;
    }
    if (used == mostNodes)
      return SearchEnd::OutOfNodes;
    ++used;
    const SearchEnd result = tryCandidate(candidate, range, begin, end);
    if (result != SearchEnd::Impossible)
      return result;
    SectionSet reason = closure(candidates, why);
    if (!reason.meets(instance.spans[candidate.item])) {
      why = std::move(reason);
      return SearchEnd::Impossible;
    }
    candidate.reason = why;
    candidate.failed = true;
  }
  why = closure(candidates, instance.spans[sinker]);
  return SearchEnd::Impossible;
}

/// One stretch of time that unplaced items connect.
SearchEnd OffsetSearch::searchPart(Range range, int32_t begin, int32_t end, Floor floor) {
  StateKey key;
  for (size_t k = range.begin; k < range.end; ++k)
    key.add(active[k], lowest[active[k]]);
  const Refuted &known = memory[slotOf(key)];
  if (known.key == key && known.floor <= floor) {
    // The same heights may have other supports now.
    why = known.reason;
    for (size_t k = range.begin; k < range.end; ++k)
      if (known.reason.meets(instance.spans[active[k]]))
        explain(active[k], floor);
    return SearchEnd::Impossible;
  }
  const SearchEnd result = branch(range, begin, end, floor);
  if (result == SearchEnd::Impossible) {
    Refuted &slot = memory[slotOf(key)];
    if (slot.key != key || floor < slot.floor)
      slot = {key, floor, why};
  }
  return result;
}

/// Stretches of time that no unplaced item connects are searched one by one: where one fails, no
/// other arrangement of the rest helps.
SearchEnd OffsetSearch::searchParts(Range range, int32_t begin, int32_t end, Floor floor) {
  if (range.begin == range.end)
    return SearchEnd::Found;
  struct Part {
    int32_t begin, end;
    std::vector<int32_t> items;
  };
  std::vector<Part> parts;
  for (int32_t s = begin; s < end;) {
    if (left[s] == 0) {
      ++s;
      continue;
    }
    int32_t last = s;
    while (crossing[last] > 0)
      ++last;
    parts.push_back({s, last + 1, {}});
    s = last + 1;
  }
  if (parts.size() == 1)
    return searchPart(range, parts[0].begin, parts[0].end, floor);
  for (size_t k = range.begin; k < range.end; ++k)
    for (Part &part : parts)
      if (part.begin <= instance.items[active[k]].begin &&
          instance.items[active[k]].begin < part.end)
        part.items.push_back(active[k]);
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part &a, const Part &b) { return a.items.size() < b.items.size(); });
  const size_t mark = lifts.size(), activeMark = active.size();
  for (size_t p = 0; p < parts.size(); ++p) {
    active.insert(active.end(), parts[p].items.begin(), parts[p].items.end());
    const SearchEnd result =
        searchPart({activeMark, active.size()}, parts[p].begin, parts[p].end, floor);
    active.resize(activeMark);
    if (result == SearchEnd::Found)
      continue;
    for (size_t done = 0; done < p; ++done)
      for (int32_t item : parts[done].items)
        take(item);
    undoLifts(mark);
    return result;
  }
  return SearchEnd::Found;
}

} // namespace

SearchEnd searchExactly(const PlacementProblem &problem, int64_t capacity, int64_t nodes,
                        Attempt &attempt) {
  using enum ItemWeight;
  attempt.nodes = 0;
  if (capacity < problem.alignedBound)
    return SearchEnd::Impossible;
  const Instance instance(problem, capacity);
  const std::vector<std::vector<ItemWeight>> ranks = {{Span, Area, Total}, {Total, Area, Span},
                                                      {Total, Span, Area}, {Area, Span, Total},
                                                      {Total, Size, Span}, {Size, Span, Total}};
  for (int64_t share = 10'000; attempt.nodes < nodes; share *= 2)
    for (const auto &weights : ranks) {
      OffsetSearch search(instance, orderBy(problem, weights),
                          std::min(share, nodes - attempt.nodes));
      const SearchEnd end = search.run();
      attempt.nodes += search.nodes();
      if (end == SearchEnd::Impossible)
        return end;
      if (end == SearchEnd::OutOfNodes)
        continue;
      attempt.offsets = search.units();
      attempt.peak = 0;
      for (size_t i = 0; i < attempt.offsets.size(); ++i) {
        attempt.offsets[i] *= problem.granule;
        attempt.peak = std::max(attempt.peak, attempt.offsets[i] + problem.items[i].size);
      }
      return end;
    }
  return SearchEnd::OutOfNodes;
}

} // namespace sdopt
