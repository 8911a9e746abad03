// Placement of buffers with known lifetimes: greedy into the gap that fits best, for several orders
// of placing; the lowest result wins.

#include "compiler/schedule/Plan.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace sdopt {
namespace {

using Order = std::function<bool(const Buffer &, const Buffer &)>;

int64_t life(const Buffer &b) { return b.end - b.begin; }

struct Occupied {
  int64_t begin, end;
};

/// Start of the smallest gap of at least `size` between occupied ranges, or of the free end.
int64_t bestGap(std::vector<Occupied> &occupied, int64_t size) {
  std::sort(occupied.begin(), occupied.end(), [](const Occupied &a, const Occupied &b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  int64_t free = 0, chosen = -1, chosenGap = 0;
  for (const Occupied &range : occupied) {
    const int64_t gap = range.begin - free;
    if (gap >= size && (chosen < 0 || gap < chosenGap)) {
      chosen = free;
      chosenGap = gap;
    }
    free = std::max(free, range.end);
  }
  return chosen < 0 ? free : chosen;
}

struct Placed {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
};

Placed placeInOrder(const std::vector<Buffer> &buffers, int64_t alignment, const Order &before) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return before(buffers[a], buffers[b]); });
  Placed placed;
  placed.offsets.assign(buffers.size(), 0);
  std::vector<size_t> done;
  std::vector<Occupied> occupied;
  for (size_t i : order) {
    const Buffer &buffer = buffers[i];
    if (buffer.size <= 0 || life(buffer) <= 0)
      continue;
    const int64_t size = (buffer.size + alignment - 1) / alignment * alignment;
    occupied.clear();
    for (size_t j : done) {
      const Buffer &other = buffers[j];
      if (other.begin < buffer.end && buffer.begin < other.end)
        occupied.push_back({placed.offsets[j], placed.offsets[j] + (other.size + alignment - 1) /
                                                                       alignment * alignment});
    }
    placed.offsets[i] = bestGap(occupied, size);
    placed.bytes = std::max(placed.bytes, placed.offsets[i] + size);
    done.push_back(i);
  }
  return placed;
}

} // namespace

std::vector<int64_t> placeBuffers(const std::vector<Buffer> &buffers, int64_t alignment) {
  const auto area = [](const Buffer &b) {
    return static_cast<double>(b.size) * static_cast<double>(life(b));
  };
  const std::vector<Order> orders = {
      [](const Buffer &a, const Buffer &b) {
        return std::make_tuple(-a.size, -life(a)) < std::make_tuple(-b.size, -life(b));
      },
      [&](const Buffer &a, const Buffer &b) { return area(a) > area(b); },
      [](const Buffer &a, const Buffer &b) {
        return std::make_tuple(-life(a), -a.size) < std::make_tuple(-life(b), -b.size);
      },
      [](const Buffer &a, const Buffer &b) {
        return std::make_tuple(a.begin, -a.size) < std::make_tuple(b.begin, -b.size);
      },
  };
  Placed best = placeInOrder(buffers, alignment, orders[0]);
  for (size_t i = 1; i < orders.size(); ++i) {
    Placed other = placeInOrder(buffers, alignment, orders[i]);
    if (other.bytes < best.bytes)
      best = std::move(other);
  }
  return best.offsets;
}

} // namespace sdopt
