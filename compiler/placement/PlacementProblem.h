//===- PlacementProblem.h - what all placement methods work on --*- C++ -*-===//
//
// Time is cut into sections at the instants where the set of live buffers is largest: between two
// of them nothing starts after something ended, so that whatever holds there holds in one of them.
// Two buffers collide in time where they share a section. Buffers that take no bytes are left out.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PLACEMENT_PLACEMENTPROBLEM_H
#define SDOPT_COMPILER_PLACEMENT_PLACEMENTPROBLEM_H

#include "compiler/placement/Placement.h"

namespace sdopt {

inline constexpr int64_t kTooHigh = std::numeric_limits<int64_t>::max();

/// a + b, or kTooHigh; neither is negative.
inline int64_t addUpTo(int64_t a, int64_t b) { return a > kTooHigh - b ? kTooHigh : a + b; }

/// The next multiple of `alignment`, or kTooHigh.
inline int64_t alignUp(int64_t offset, int64_t alignment) {
  if (alignment == 1)
    return offset;
  const int64_t over = offset % alignment;
  return over == 0 ? offset : addUpTo(offset, alignment - over);
}

struct PlacementProblem {
  struct Item {
    int64_t size, alignment;
    int32_t begin, end; ///< sections, half open
    int64_t first, last;
    size_t buffer; ///< index of the buffer

    bool meets(const Item &other) const { return begin < other.end && other.begin < end; }
  };
  std::vector<Item> items; ///< in the order of their buffers
  int32_t sections = 0;
  std::vector<int64_t> live; ///< bytes of each section
  size_t buffers = 0;
  int64_t lowerBound = 0; ///< most live bytes
  /// Greatest common divisor of the alignments, and the lowest peak when every offset is a multiple
  /// of it.
  int64_t granule = 1;
  int64_t alignedBound = 0;
};

/// The errors of searchPlacement().
absl::StatusOr<PlacementProblem> makeProblem(const std::vector<LiveBuffer> &buffers);

/// Orders in which items are placed: a key of up to three of these, largest first.
enum class ItemWeight : uint8_t {
  Span,  ///< time alive
  Area,  ///< time alive x bytes
  Total, ///< most live bytes of a section that it is in
  Size,
  Start ///< earliest first
};
std::vector<int32_t> orderBy(const PlacementProblem &problem,
                             const std::vector<ItemWeight> &weights);

/// Offsets of the items, their peak, and the nodes it took to find them.
struct Attempt {
  std::vector<int64_t> offsets;
  int64_t peak = kTooHigh; ///< kTooHigh: none
  int64_t nodes = 0;
};

/// Places again and again what then lies lowest, the earliest in the order of several. Gives up
/// (kTooHigh) on a peak above `limit`.
Attempt placeLowestFirst(const PlacementProblem &problem, const std::vector<int32_t> &order,
                         int64_t limit);
/// Stops at the first peak of at most `goal`.
Attempt placeGreedily(const PlacementProblem &problem, int64_t goal);
/// Stops at the first peak of at most `goal` or after `nodes`.
Attempt climb(const PlacementProblem &problem, int64_t goal, int64_t nodes, uint64_t seed);

enum class SearchEnd : uint8_t { Found, Impossible, OutOfNodes };
/// Looks for a placement of peak <= capacity; the attempt has one only if it ends with Found.
/// `capacity` is at least the lower bound.
SearchEnd searchExactly(const PlacementProblem &problem, int64_t capacity, int64_t nodes,
                        Attempt &attempt);

} // namespace sdopt

#endif // SDOPT_COMPILER_PLACEMENT_PLACEMENTPROBLEM_H
