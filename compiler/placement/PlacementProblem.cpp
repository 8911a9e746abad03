// Buffers as items in sections of time.

#include "compiler/placement/PlacementProblem.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace sdopt {
namespace {

std::string labelOf(const std::vector<LiveBuffer> &buffers, size_t i) {
  return buffers[i].name.empty() ? absl::StrCat("buffer ", i)
                                 : absl::StrCat("buffer '", buffers[i].name, "'");
}

absl::Status bufferProblem(const std::vector<LiveBuffer> &buffers) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    const LiveBuffer &b = buffers[i];
    if (b.size < 0)
      return absl::InvalidArgumentError(
          absl::StrCat(labelOf(buffers, i), " has ", b.size, " bytes; needs 0 or more"));
    if (b.last < b.first)
      return absl::InvalidArgumentError(
          absl::StrCat(labelOf(buffers, i), " is alive from ", b.first, " to ", b.last,
                       "; needs an end that is not before its start"));
    if (b.alignment < 1)
      return absl::InvalidArgumentError(
          absl::StrCat(labelOf(buffers, i), " has alignment ", b.alignment, "; needs 1 or more"));
  }
  return absl::OkStatus();
}

/// Gives the items their sections: one wherever an end follows a start.
void cutTime(PlacementProblem &problem) {
  std::vector<int64_t> starts, ends;
  for (const auto &item : problem.items) {
    starts.push_back(item.first);
    ends.push_back(item.last);
  }
  std::sort(starts.begin(), starts.end());
  std::sort(ends.begin(), ends.end());
  std::vector<int64_t> instants; // of each section, its last start
  for (size_t s = 0, e = 0; s < starts.size(); ++s) {
    const bool isLast = s + 1 == starts.size();
    while (ends[e] <= starts[s])
      ++e;
    if (isLast || ends[e] <= starts[s + 1])
      instants.push_back(starts[s]);
  }
  problem.sections = static_cast<int32_t>(instants.size());
  const auto section = [&](int64_t time) {
    return static_cast<int32_t>(std::lower_bound(instants.begin(), instants.end(), time) -
                                instants.begin());
  };
  for (auto &item : problem.items) {
    item.begin = section(item.first);
    item.end = section(item.last);
  }
}

absl::Status tooMuch(const std::vector<LiveBuffer> &buffers, const PlacementProblem::Item &item) {
  return absl::ResourceExhaustedError(
      absl::StrCat(labelOf(buffers, item.buffer), " of ", item.size,
                   " bytes is alive with others that take 2^63 - 1 bytes or more together"));
}

} // namespace

absl::StatusOr<PlacementProblem> makeProblem(const std::vector<LiveBuffer> &buffers) {
  if (absl::Status status = bufferProblem(buffers); !status.ok())
    return status;
  PlacementProblem problem;
  problem.buffers = buffers.size();
  int64_t granule = 0;
  for (size_t i = 0; i < buffers.size(); ++i) {
    const LiveBuffer &b = buffers[i];
    if (b.size == 0 || b.first == b.last)
      continue;
    problem.items.push_back({b.size, b.alignment, 0, 0, b.first, b.last, i});
    granule = std::gcd(granule, b.alignment);
  }
  problem.granule = std::max<int64_t>(granule, 1);
  cutTime(problem);
  problem.live.assign(problem.sections, 0);
  // What alignment wastes is counted for all items of a section but the one that may lie on top.
  std::vector<int64_t> padded(problem.sections, 0), mostPadding(problem.sections, 0);
  for (const auto &item : problem.items) {
    const int64_t rounded = alignUp(item.size, problem.granule);
    for (int32_t s = item.begin; s < item.end; ++s) {
      problem.live[s] = addUpTo(problem.live[s], item.size);
      padded[s] = addUpTo(padded[s], rounded);
      mostPadding[s] = std::max(mostPadding[s], rounded - item.size);
      if (problem.live[s] == kTooHigh)
        return tooMuch(buffers, item);
    }
  }
  for (int32_t s = 0; s < problem.sections; ++s) {
    problem.lowerBound = std::max(problem.lowerBound, problem.live[s]);
    problem.alignedBound = std::max(
        problem.alignedBound, padded[s] == kTooHigh ? problem.live[s] : padded[s] - mostPadding[s]);
  }
  return problem;
}

std::vector<int32_t> orderBy(const PlacementProblem &problem,
                             const std::vector<ItemWeight> &weights) {
  using Wide = unsigned __int128;
  const auto weigh = [&](const PlacementProblem::Item &item, ItemWeight weight) -> Wide {
    const uint64_t span = static_cast<uint64_t>(item.last) - static_cast<uint64_t>(item.first);
    switch (weight) {
    case ItemWeight::Span:
      return span;
    case ItemWeight::Area:
      return Wide{span} * static_cast<uint64_t>(item.size);
    case ItemWeight::Total:
      return static_cast<Wide>(
          *std::max_element(problem.live.begin() + item.begin, problem.live.begin() + item.end));
    case ItemWeight::Size:
      return static_cast<Wide>(item.size);
    case ItemWeight::Start:
      return static_cast<uint64_t>(kTooHigh) - static_cast<uint64_t>(item.first);
    }
    return 0;
  };
  std::vector<std::array<Wide, 3>> keys(problem.items.size());
  for (size_t i = 0; i < keys.size(); ++i)
    for (size_t w = 0; w < weights.size() && w < 3; ++w)
      keys[i][w] = weigh(problem.items[i], weights[w]);
  std::vector<int32_t> order(problem.items.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return keys[a] > keys[b]; });
  return order;
}

} // namespace sdopt
