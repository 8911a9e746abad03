//===- Instances.h - placement problems for tests ---------------*- C++ -*-===//
//
// Published ones from files, random ones from a seed, and the lowest peak of tiny ones by trying
// every order or every offset.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TESTS_PLACEMENT_INSTANCES_H
#define SDOPT_TESTS_PLACEMENT_INSTANCES_H

#include "compiler/placement/Placement.h"

#include <random>

namespace sdopt {

/// Lines id,lower,upper,size after a header; INVALID_ARGUMENT names file and line.
absl::StatusOr<std::vector<LiveBuffer>> readInstance(const std::string &path);

struct RandomShape {
  int64_t buffers = 6, steps = 8, mostSize = 9;
  std::vector<int64_t> alignments = {1};
};
std::vector<LiveBuffer> randomBuffers(std::mt19937 &random, const RandomShape &shape);

/// Buffers that fill `capacity` at every step: some end, and others of the same bytes together
/// start. Whether they fit is often far from clear.
std::vector<LiveBuffer> fullBuffers(std::mt19937 &random, int64_t capacity, int64_t steps);

/// Whether buffers of alignment 1 fit, by all arrangements of what is alive, step by step.
bool bruteForceFits(const std::vector<LiveBuffer> &buffers, int64_t capacity);

/// The lowest peak, by putting every order of the buffers each on top of what it meets.
int64_t bruteForcePeak(const std::vector<LiveBuffer> &buffers);

} // namespace sdopt

#endif // SDOPT_TESTS_PLACEMENT_INSTANCES_H
