// placement-speed METHODS CAPACITY FILE: one line `method peak lower-bound nodes seconds sound`.
// METHODS: greedy, hill-climb, exact or plan (all three in turn).

#include "tests/placement/Instances.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int count, char **arguments) {
  using namespace sdopt;
  if (count != 4) {
    std::fprintf(stderr, "usage: placement-speed greedy|hill-climb|exact|plan CAPACITY FILE\n");
    return 2;
  }
  const absl::StatusOr<std::vector<LiveBuffer>> buffers = readInstance(arguments[3]);
  if (!buffers.ok()) {
    std::fprintf(stderr, "%s\n", buffers.status().ToString().c_str());
    return 2;
  }
  PlacementOptions options;
  options.capacity = std::atoll(arguments[2]);
  options.goal = PlacementGoal::Fit;
  if (std::strcmp(arguments[1], "plan") != 0)
    std::erase_if(options.methods, [&](PlacementMethod method) {
      return std::strcmp(name(method), arguments[1]) != 0;
    });
  const auto begin = std::chrono::steady_clock::now();
  const absl::StatusOr<Placement> placement = searchPlacement(*buffers, options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (!placement.ok()) {
    std::fprintf(stderr, "%s\n", placement.status().ToString().c_str());
    return 1;
  }
  const absl::Status sound = checkPlacement(*buffers, *placement);
  std::printf(
      "%s %lld %lld %lld %.3f %s\n", name(placement->method),
      static_cast<long long>(placement->peak), static_cast<long long>(placement->lowerBound),
      static_cast<long long>(placement->nodes), seconds.count(), sound.ok() ? "sound" : "UNSOUND");
  return sound.ok() ? 0 : 1;
}
