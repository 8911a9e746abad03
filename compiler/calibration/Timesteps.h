//===- Timesteps.h - which denoising step a call belongs to -----*- C++ -*-===//
//
// What a diffusion model's values look like drifts over the steps of the schedule. Calls are told
// apart by the timestep that they were recorded with, and gathered in buckets:
//
//   timesteps of the calls, sorted:  1 1 51 51 | 101 101 151 151 | ... | 901 901 951 951
//   bucket:                              0     |        1        |     |        n - 1
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_CALIBRATION_TIMESTEPS_H
#define SDOPT_COMPILER_CALIBRATION_TIMESTEPS_H

#include "compiler/calibration/Samples.h"
#include "compiler/recipe/Recipe.h"

namespace sdopt {

/// Number of the argument that says the timestep: the first of rank 0 or 1 that a time embedding
/// reads, through casts and reshapes. -1 if the function has none.
int64_t timestepInput(mlir::func::FuncOp function);

/// The timestep of each evaluation of `reader` (of its first row); all 0 if `function` has none.
absl::StatusOr<std::vector<double>> timestepsOf(mlir::func::FuncOp function,
                                                const SampleReader &reader);

/// How much each evaluation counts. Early: of n different timesteps the i-th from the noisiest
/// counts 1.2 - 0.4 log(1 + i) / log(n), as in OBS-Diff (ICLR 2026), whose weights fall with the
/// logarithm of the step from 1.2 to 0.8; 1 if there is only one.
std::vector<double> evaluationWeights(const std::vector<double> &timesteps,
                                      TimestepWeights weights);

/// Intervals of timesteps with about as many calls each. Calls of one timestep are in one bucket,
/// so that there may be fewer than asked for; none is empty.
class TimestepBuckets {
public:
  struct Interval {
    double first = 0, last = 0; ///< lowest and highest timestep of its calls

    friend bool operator==(const Interval &, const Interval &) = default;
  };

  /// One bucket for all timesteps.
  TimestepBuckets() : intervals_(1) {}
  /// `count` >= 1 buckets at most, over the timesteps of all calls.
  TimestepBuckets(std::vector<double> timesteps, size_t count);

  size_t size() const { return intervals_.size(); }
  const std::vector<Interval> &intervals() const { return intervals_; }
  /// Of a call: the last bucket that does not begin above its timestep, or the first.
  size_t indexOf(double timestep) const;

private:
  std::vector<Interval> intervals_; ///< ascending
};

} // namespace sdopt

#endif // SDOPT_COMPILER_CALIBRATION_TIMESTEPS_H
