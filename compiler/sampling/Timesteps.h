//===- Timesteps.h - when a scheduler calls the denoiser --------*- C++ -*-===//
//
// As the schedulers of diffusers compute them from scheduler_config.json, T steps of training, N of
// a run:
//
//   leading    i floor(T / N) + steps_offset,  i = N - 1 ... 0
//   trailing   round(T - i T / N) - 1,         i = 0 ... N - 1
//   linspace   i (T - 1) / (N - 1),            i = N - 1 ... 0; whole but for Euler's schedulers
//   flow       T s(s_i), s_i from s(1) to s(1 / T) evenly, s(x) = shift x / (1 + (shift - 1) x)
//
// DDIMScheduler, PNDMScheduler (without Runge-Kutta steps), EulerDiscreteScheduler and
// EulerAncestralDiscreteScheduler have the first three, DPMSolverMultistepScheduler and
// UniPCMultistepScheduler too (leading and linspace as for N + 1, without the last),
// FlowMatchEulerDiscreteScheduler has the last.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SAMPLING_TIMESTEPS_H
#define SDOPT_COMPILER_SAMPLING_TIMESTEPS_H

#include "absl/status/statusor.h"

#include <string>
#include <vector>

namespace sdopt {

/// From noise to picture, as float32 has them; what is called twice may stand there once. Other
/// schedulers, settings that change the timesteps and numbers of steps that the scheduler does not
/// take are errors that name the key or the number.
absl::StatusOr<std::vector<double>> timestepsOfRun(const std::string &configuration, int64_t steps);

} // namespace sdopt

#endif // SDOPT_COMPILER_SAMPLING_TIMESTEPS_H
