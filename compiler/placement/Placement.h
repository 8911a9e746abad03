//===- Placement.h - offsets for buffers of known lifetimes -----*- C++ -*-===//
//
// Every buffer is alive for a half-open span of time and takes a contiguous range of bytes; two
// that are alive at the same time must not share a byte. How low can the peak be?
//
//   offset
//     12 +-----+-----------+
//        | b1  |    b2     |              b1 [0, 3)   4 bytes at 8
//      8 +-----+-----------+------------+ b2 [3, 9)   4 bytes at 8
//        |       b3        |    b4      | b3 [0, 9)   4 bytes at 4
//      4 +-----------------+------------+ b4 [9, 21)  4 bytes at 4
//        |              b5              | b5 [0, 21)  4 bytes at 0
//      0 +-----+-----------+------------+
//        0     3           9            21   time
//
// No placement is lower than the most bytes that are alive at one time (12 here). To decide whether
// a capacity suffices is NP-complete; three methods of growing strength, each bounded by a number
// of nodes (one node: one buffer put in one place), never by time:
//
//   Greedy      the best of several orders, each buffer into the lowest or the tightest gap
//   HillClimb   first fit in an order that is changed where the peak is; seeded
//   Exact       depth-first search that fits a capacity or proves that nothing does
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PLACEMENT_PLACEMENT_H
#define SDOPT_COMPILER_PLACEMENT_PLACEMENT_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace sdopt {

/// A buffer of no bytes or with an empty span lies at 0 and is in nobody's way.
struct LiveBuffer {
  int64_t size = 0;      ///< bytes, not negative
  int64_t first = 0;     ///< first time step alive
  int64_t last = 0;      ///< one past the last, not before `first`
  int64_t alignment = 1; ///< its offset is a multiple of this, at least 1
  std::string name = {}; ///< for messages
};

enum class PlacementMethod : uint8_t { Greedy = 0, HillClimb = 1, Exact = 2 };
const char *name(PlacementMethod method);

enum class PlacementGoal : uint8_t {
  Fit = 0,   ///< stop at the first placement within the capacity
  Lowest = 1 ///< go on to the lowest peak that the nodes allow
};

/// The Exact search takes at most this many buffers (it compares each with each); more are left to
/// the other methods.
inline constexpr int64_t kMostExactBuffers = 2000;

struct PlacementOptions {
  int64_t capacity = std::numeric_limits<int64_t>::max();
  PlacementGoal goal = PlacementGoal::Lowest;
  /// Used in this order until the goal is reached.
  std::vector<PlacementMethod> methods = {PlacementMethod::Greedy, PlacementMethod::HillClimb,
                                          PlacementMethod::Exact};
  int64_t climbNodes = 400'000;
  int64_t exactNodes = 4'000'000;
  uint64_t seed = 1; ///< of HillClimb
};

struct Placement {
  std::vector<int64_t> offsets;                     ///< parallel to the buffers
  int64_t peak = 0;                                 ///< end of the highest buffer, bytes
  int64_t lowerBound = 0;                           ///< most bytes alive at one time
  bool smallest = false;                            ///< no placement has a lower peak: proved
  PlacementMethod method = PlacementMethod::Greedy; ///< which found it
  int64_t nodes = 0;                                ///< of all methods together
};

/// The best placement that the methods find; its peak may exceed the capacity. A pure function of
/// its arguments. INVALID_ARGUMENT names a buffer of negative size, span or alignment;
/// RESOURCE_EXHAUSTED: 2^63 - 1 bytes or more are alive at one time or needed.
absl::StatusOr<Placement> searchPlacement(const std::vector<LiveBuffer> &buffers,
                                          const PlacementOptions &options = {});

/// The same, where a peak above the capacity is the error of placementMisfit().
absl::StatusOr<Placement> planPlacement(const std::vector<LiveBuffer> &buffers,
                                        const PlacementOptions &options = {});

/// The buffer to name where a placement does not fit: one that alone is too large, or the one that
/// ends highest.
size_t misfit(const std::vector<LiveBuffer> &buffers, const Placement &placement, int64_t capacity);

/// RESOURCE_EXHAUSTED where the placement does not fit: names the misfit, the bytes needed,
/// available and missing, and the smallest capacity that would do.
absl::Status placementMisfit(const std::vector<LiveBuffer> &buffers, const Placement &placement,
                             int64_t capacity);

/// Recomputes by comparing every two buffers: alignment, capacity, overlaps, the peak and the lower
/// bound. Shares no code with the search. INTERNAL names the first two buffers that collide.
absl::Status checkPlacement(const std::vector<LiveBuffer> &buffers, const Placement &placement,
                            int64_t capacity = std::numeric_limits<int64_t>::max());

} // namespace sdopt

#endif // SDOPT_COMPILER_PLACEMENT_PLACEMENT_H
