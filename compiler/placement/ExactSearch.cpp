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
#include <bit>
#include <optional>
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
  /// Removes what is in `other` and fulfils the condition.
  template <typename Condition> void removeIf(const SectionSet &other, const Condition &holds) {
    for (size_t i = 0; i < words.size(); ++i)
      for (uint64_t both = words[i] & other.words[i]; both != 0; both &= both - 1)
        if (const int bit = std::countr_zero(both); holds(static_cast<int32_t>(i * 64) + bit))
          words[i] &= ~(uint64_t{1} << bit);
  }
  /// The first section, or -1.
  int32_t first() const {
    for (size_t i = 0; i < words.size(); ++i)
      if (words[i] != 0)
        return static_cast<int32_t>(i * 64) + std::countr_zero(words[i]);
    return -1;
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

  SearchEnd run();
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
  /// One stretch of time that unplaced items connect.
  struct Part {
    int32_t begin, end;
    std::vector<int32_t> items;
  };
  /// A state on the way down: either the choice of the next item, or parts that are searched one by
  /// one.
  struct Frame {
    Range range;
    int32_t begin, end;
    Floor floor;
    StateKey key;
    int32_t sinker;
    std::vector<Candidate> candidates;
    std::vector<Part> parts;
    size_t next; ///< candidate or part
    size_t liftMark, activeMark;
  };
  /// What came of the last frame's child; none: the last frame goes on.
  using Answer = std::optional<SearchEnd>;
  struct Lift {
    int32_t item, support;
    int64_t lowest;
  };

  Answer enter(Range range, int32_t begin, int32_t end, Floor floor);
  Answer enterPart(Range range, int32_t begin, int32_t end, Floor floor);
  Answer goOn();
  Answer nextCandidate(Frame &frame);
  Answer afterCandidate(Frame &frame, SearchEnd end);
  Answer afterPart(Frame &frame, SearchEnd end);
  SearchEnd refute(const StateKey &key, Floor floor);
  SearchEnd leave(SearchEnd end);
  std::vector<Part> partsOf(int32_t begin, int32_t end) const;

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
  std::vector<Lift> lifts;
  std::vector<int32_t> witness; ///< of each section, an item that lay low enough
  SectionSet unmet;             ///< scratch
  SectionSet why;               ///< reason of the last refutation
  std::vector<Refuted> memory;
  std::vector<Frame> frames;
  int64_t used = 0, mostNodes;
};

OffsetSearch::OffsetSearch(const Instance &instance, const std::vector<int32_t> &order,
                           int64_t mostNodes)
    : instance(instance), rank(order.size()), active(order), offsets(order.size(), 0),
      lowest(order.size(), 0), support(order.size(), -1), bound(order.size(), 0),
      placed(order.size(), 0), left(instance.live), crossing(instance.sections, 0),
      witness(instance.sections, 0), unmet(instance.words()), why(instance.words()),
      mostNodes(mostNodes) {
  for (size_t i = 0; i < order.size(); ++i)
    rank[order[i]] = static_cast<int32_t>(i);
  for (size_t i = 0; i < order.size(); ++i) {
    const Item &item = instance.items[i];
    for (int32_t s = item.begin; s < item.end; ++s)
      witness[s] = static_cast<int32_t>(i);
    for (int32_t s = item.begin; s + 1 < item.end; ++s)
      ++crossing[s];
  }
  size_t slots = 1024;
  while (slots < (size_t{1} << 17) && static_cast<int64_t>(slots) < mostNodes)
    slots *= 2;
  memory.assign(slots, {{}, {kTooHigh, 0}, SectionSet(0)});
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
  // Sections of which every item so far is bound too high; mostly the last witness is still one.
  const auto isLow = [&](int32_t item, int32_t s) {
    return !placed[item] && bound[item] <= instance.top - left[s];
  };
  unmet.clear();
  for (int32_t s = begin; s < end; ++s)
    if (left[s] > 0 && !isLow(witness[s], s))
      unmet.add(s);
  for (size_t k = range.begin; k < range.end; ++k)
    unmet.removeIf(instance.spans[active[k]], [&, item = active[k]](int32_t s) {
      if (!isLow(item, s))
        return false;
      witness[s] = item;
      return true;
    });
  if (const int32_t s = unmet.first(); s >= 0) {
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
      candidates.push_back({lowest[item], rank[item], item, false, false, SectionSet(0)});
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

/// Keeps the refutation of a state, whose reason is `why`.
SearchEnd OffsetSearch::refute(const StateKey &key, Floor floor) {
  Refuted &slot = memory[slotOf(key)];
  if (slot.key != key || floor < slot.floor)
    slot = {key, floor, why};
  return SearchEnd::Impossible;
}

SearchEnd OffsetSearch::leave(SearchEnd end) {
  if (const Frame &frame = frames.back(); end == SearchEnd::Impossible && frame.parts.empty())
    refute(frame.key, frame.floor);
  frames.pop_back();
  return end;
}

OffsetSearch::Answer OffsetSearch::nextCandidate(Frame &frame) {
  auto &candidates = frame.candidates;
  for (; frame.next < candidates.size(); ++frame.next) {
    Candidate &candidate = candidates[frame.next];
    const auto self = candidates.begin() + static_cast<std::ptrdiff_t>(frame.next);
    const auto same = std::find_if(candidates.begin(), self, [&](const Candidate &other) {
      return instance.alike(other.item, candidate.item);
    });
    if (same == self)
      break;
    candidate.reason = same->reason;
    candidate.failed = true;
  }
  if (frame.next == candidates.size()) {
    why = closure(candidates, instance.spans[frame.sinker]);
    return leave(SearchEnd::Impossible);
  }
  if (used == mostNodes)
    return leave(SearchEnd::OutOfNodes);
  ++used;
  const Candidate &candidate = candidates[frame.next];
  put(candidate.item, candidate.offset);
  if (!liftNeighbours(candidate.item))
    return SearchEnd::Impossible;
  for (size_t k = frame.range.begin; k < frame.range.end; ++k)
    if (active[k] != candidate.item)
      active.push_back(active[k]);
  return enter({frame.activeMark, active.size()}, frame.begin, frame.end,
               {candidate.offset, candidate.rank});
}

OffsetSearch::Answer OffsetSearch::afterCandidate(Frame &frame, SearchEnd end) {
  active.resize(frame.activeMark);
  if (end == SearchEnd::Found)
    return leave(end);
  Candidate &candidate = frame.candidates[frame.next];
  take(candidate.item);
  undoLifts(frame.liftMark);
  if (end == SearchEnd::OutOfNodes)
    return leave(end);
  SectionSet reason = closure(frame.candidates, why);
  if (!reason.meets(instance.spans[candidate.item])) {
    why = std::move(reason);
    return leave(SearchEnd::Impossible);
  }
  candidate.reason = why;
  candidate.failed = true;
  ++frame.next;
  return std::nullopt;
}

/// Where one part fails, no other arrangement of the rest helps.
OffsetSearch::Answer OffsetSearch::afterPart(Frame &frame, SearchEnd end) {
  active.resize(frame.activeMark);
  if (end == SearchEnd::Found) {
    ++frame.next;
    return std::nullopt;
  }
  for (size_t done = 0; done < frame.next; ++done)
    for (int32_t item : frame.parts[done].items)
      take(item);
  undoLifts(frame.liftMark);
  return leave(end);
}

OffsetSearch::Answer OffsetSearch::enterPart(Range range, int32_t begin, int32_t end, Floor floor) {
  StateKey key;
  for (size_t k = range.begin; k < range.end; ++k)
    key.add(active[k], lowest[active[k]]);
  if (const Refuted &known = memory[slotOf(key)]; known.key == key && known.floor <= floor) {
    // The same heights may have other supports now.
    why = known.reason;
    for (size_t k = range.begin; k < range.end; ++k)
      if (known.reason.meets(instance.spans[active[k]]))
        explain(active[k], floor);
    return SearchEnd::Impossible;
  }
  if (isRefuted(range, begin, end, floor))
    return refute(key, floor);
  // Nothing is placed so high that the item with the lowest end would still fit below.
  const auto endOf = [&](int32_t item) { return lowest[item] + instance.items[item].size; };
  int32_t sinker = active[range.begin];
  for (size_t k = range.begin; k < range.end; ++k)
    if (endOf(active[k]) < endOf(sinker))
      sinker = active[k];
  std::vector<Candidate> candidates = candidatesOf(range, floor, endOf(sinker));
  frames.push_back({range,
                    begin,
                    end,
                    floor,
                    key,
                    sinker,
                    std::move(candidates),
                    {},
                    0,
                    lifts.size(),
                    active.size()});
  return std::nullopt;
}

std::vector<OffsetSearch::Part> OffsetSearch::partsOf(int32_t begin, int32_t end) const {
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
  return parts;
}

OffsetSearch::Answer OffsetSearch::enter(Range range, int32_t begin, int32_t end, Floor floor) {
  if (range.begin == range.end)
    return SearchEnd::Found;
  std::vector<Part> parts = partsOf(begin, end);
  if (parts.size() == 1)
    return enterPart(range, parts[0].begin, parts[0].end, floor);
  for (size_t k = range.begin; k < range.end; ++k)
    for (Part &part : parts)
      if (part.begin <= instance.items[active[k]].begin &&
          instance.items[active[k]].begin < part.end)
        part.items.push_back(active[k]);
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part &a, const Part &b) { return a.items.size() < b.items.size(); });
  frames.push_back(
      {range, begin, end, floor, {}, 0, {}, std::move(parts), 0, lifts.size(), active.size()});
  return std::nullopt;
}

OffsetSearch::Answer OffsetSearch::goOn() {
  Frame &frame = frames.back();
  if (frame.parts.empty())
    return nextCandidate(frame);
  if (frame.next == frame.parts.size())
    return leave(SearchEnd::Found);
  const Part &part = frame.parts[frame.next];
  active.insert(active.end(), part.items.begin(), part.items.end());
  return enterPart({frame.activeMark, active.size()}, part.begin, part.end, frame.floor);
}

SearchEnd OffsetSearch::run() {
  Answer answer = enter({0, active.size()}, 0, instance.sections, Floor{});
  while (!frames.empty()) {
    if (!answer)
      answer = goOn();
    else if (Frame &frame = frames.back(); frame.parts.empty())
      answer = afterCandidate(frame, *answer);
    else
      answer = afterPart(frame, *answer);
  }
  return *answer;
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
