#include "tests/placement/Instances.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

namespace sdopt {

absl::StatusOr<std::vector<LiveBuffer>> readInstance(const std::string &path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line != "id,lower,upper,size")
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": line 1 is '", line, "'; needs 'id,lower,upper,size'"));
  std::vector<LiveBuffer> buffers;
  for (int64_t number = 2; std::getline(file, line); ++number) {
    std::replace(line.begin(), line.end(), ',', ' ');
    std::istringstream row(line);
    LiveBuffer buffer;
    if (!(row >> buffer.name >> buffer.first >> buffer.last >> buffer.size))
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": line ", number, " has no id and three numbers"));
    buffers.push_back(buffer);
  }
  return buffers;
}

std::vector<LiveBuffer> randomBuffers(std::mt19937 &random, const RandomShape &shape) {
  const auto below = [&](int64_t count) { return static_cast<int64_t>(random() % count); };
  std::vector<LiveBuffer> buffers(shape.buffers);
  for (LiveBuffer &b : buffers) {
    b.first = below(shape.steps);
    b.last = b.first + 1 + below(shape.steps - b.first);
    b.size = 1 + below(shape.mostSize);
    b.alignment = shape.alignments[below(static_cast<int64_t>(shape.alignments.size()))];
  }
  return buffers;
}

std::vector<LiveBuffer> fullBuffers(std::mt19937 &random, int64_t capacity, int64_t steps) {
  std::vector<LiveBuffer> live, ended;
  int64_t freed = capacity;
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t size = 0; freed > 0; freed -= size) {
      size = std::min<int64_t>(freed, 1 + static_cast<int64_t>(random() % 4));
      live.push_back({.size = size, .first = step});
    }
    for (int count = 0; count < 2 && !live.empty(); ++count) {
      const size_t chosen = random() % live.size();
      live[chosen].last = step + 1;
      freed += live[chosen].size;
      ended.push_back(live[chosen]);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(chosen));
    }
  }
  for (LiveBuffer &b : live) {
    b.last = steps;
    ended.push_back(b);
  }
  return ended;
}

namespace {

using Arrangement = std::map<size_t, int64_t>; // offsets of what is alive

/// Adds every arrangement that `from` becomes when buffers[next...] start.
void addArrangements(const std::vector<LiveBuffer> &buffers, const std::vector<size_t> &next,
                     size_t k, int64_t capacity, const Arrangement &from,
                     std::set<Arrangement> &all) {
  if (k == next.size()) {
    all.insert(from);
    return;
  }
  const int64_t size = buffers[next[k]].size;
  for (int64_t at = 0; at + size <= capacity; ++at) {
    const bool isFree = std::none_of(from.begin(), from.end(), [&](const auto &other) {
      return at < other.second + buffers[other.first].size && other.second < at + size;
    });
    if (!isFree)
      continue;
    Arrangement with = from;
    with[next[k]] = at;
    addArrangements(buffers, next, k + 1, capacity, with, all);
  }
}

} // namespace

bool bruteForceFits(const std::vector<LiveBuffer> &buffers, int64_t capacity) {
  std::map<int64_t, std::vector<size_t>> starts;
  for (size_t i = 0; i < buffers.size(); ++i)
    starts[buffers[i].first].push_back(i);
  std::set<Arrangement> reached = {{}};
  for (const auto &[time, started] : starts) {
    std::set<Arrangement> then;
    for (Arrangement arrangement : reached) {
      std::erase_if(arrangement,
                    [&, now = time](const auto &live) { return buffers[live.first].last <= now; });
      addArrangements(buffers, started, 0, capacity, arrangement, then);
    }
    reached = std::move(then);
  }
  return !reached.empty();
}

int64_t bruteForcePeak(const std::vector<LiveBuffer> &buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  int64_t lowest = std::numeric_limits<int64_t>::max();
  do {
    std::vector<int64_t> ends(buffers.size(), 0);
    int64_t peak = 0;
    for (size_t k = 0; k < order.size(); ++k) {
      const LiveBuffer &b = buffers[order[k]];
      int64_t at = 0;
      for (size_t j = 0; j < k; ++j) {
        const LiveBuffer &other = buffers[order[j]];
        if (other.first < b.last && b.first < other.last)
          at = std::max(at, ends[order[j]]);
      }
      while (at % b.alignment != 0)
        ++at;
      ends[order[k]] = at + b.size;
      peak = std::max(peak, ends[order[k]]);
    }
    lowest = std::min(lowest, peak);
  } while (std::next_permutation(order.begin(), order.end()));
  return lowest;
}

} // namespace sdopt
