//===- Timesteps.cpp - when a scheduler calls the denoiser ----------------===//

#include "compiler/sampling/Timesteps.h"

#include "absl/strings/str_cat.h"
#include "compiler/sampling/SchedulerReader.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr const char *kFlow = "FlowMatchEulerDiscreteScheduler";

/// Evenly from `first` to `last`, with the roundings of numpy.linspace.
std::vector<double> evenly(double first, double last, int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  const double step = count > 1 ? (last - first) / static_cast<double>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i)
    values[i] = static_cast<double>(i) * step + first;
  if (count > 1)
    values.back() = last;
  return values;
}

void roundAll(std::vector<double> &values) {
  for (double &value : values)
    value = std::nearbyint(value); // half to even, as numpy.round
}

std::vector<double> leading(double training, int64_t steps, double offset) {
  const double ratio = std::floor(training / static_cast<double>(steps));
  std::vector<double> timesteps;
  for (int64_t i = steps - 1; i >= 0; --i)
    timesteps.push_back(static_cast<double>(i) * ratio + offset);
  return timesteps;
}

std::vector<double> trailing(double training, int64_t steps) {
  const double ratio = training / static_cast<double>(steps);
  const double step = (training - ratio) - training; // as numpy.arange counts
  const auto count = static_cast<int64_t>(std::ceil(-training / -ratio));
  std::vector<double> timesteps;
  for (int64_t i = 0; i < count; ++i)
    timesteps.push_back(training + static_cast<double>(i) * step);
  roundAll(timesteps);
  for (double &timestep : timesteps)
    timestep -= 1;
  return timesteps;
}

std::vector<double> flow(double training, int64_t steps, double shift) {
  // The ends in float32, the way between in double, the result in float32 again.
  const auto asFloat = [&](float x) {
    return static_cast<float>(shift) * x / (1 + static_cast<float>(shift - 1) * x);
  };
  const auto train = static_cast<float>(training);
  std::vector<double> timesteps =
      evenly(asFloat(train / train) * training, asFloat(1 / train) * training, steps);
  for (double &timestep : timesteps) {
    const double sigma = timestep / training;
    timestep = static_cast<float>(shift * sigma / (1 + (shift - 1) * sigma)) * train;
  }
  return timesteps;
}

} // namespace

absl::StatusOr<std::vector<double>> timestepsOfRun(const std::string &configuration,
                                                   int64_t steps) {
  SchedulerReader reader(configuration);
  reader.requireWord("_class_name", "DDIMScheduler",
                     {"DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler",
                      "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler",
                      "UniPCMultistepScheduler", kFlow});
  if (!reader.status.ok())
    return reader.status;
  const std::string scheduler = reader.word("_class_name", "DDIMScheduler");
  const bool isEuler = scheduler.starts_with("Euler");
  const bool isMultistep = scheduler.ends_with("MultistepScheduler");
  const int64_t training = reader.integer("num_train_timesteps", 1000, 1, 1000000);
  for (const char *key :
       {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
        "use_flow_sigmas", "use_dynamic_shifting", "invert_sigmas"})
    reader.requireOff(key, false);
  for (const char *key : {"shift_terminal", "lambda_min_clipped"})
    reader.requireNull(key);
  if (scheduler == "PNDMScheduler" && !reader.flag("skip_prk_steps", false))
    reader.fail("skip_prk_steps", "true", "false");
  reader.requireWord("timestep_type", "discrete", {"discrete"});
  const double shift = reader.number("shift", 1);
  if (reader.status.ok() && !(shift > 0 && shift <= 1000))
    reader.fail("shift", "a number from 0 to 1000", absl::StrCat(shift));
  const char *spacingByDefault = isEuler || isMultistep ? "linspace" : "leading";
  reader.requireWord("timestep_spacing", spacingByDefault, {"leading", "trailing", "linspace"});
  const std::string spacing = reader.word("timestep_spacing", spacingByDefault);
  const int64_t offset = reader.integer("steps_offset", 0, 0, training - 1);
  if (!reader.status.ok())
    return reader.status;
  if (steps < 1 || steps > training)
    return absl::InvalidArgumentError(absl::StrCat(steps, " steps; needed: 1 to ", training));

  const auto train = static_cast<double>(training);
  const int64_t counted = steps + (isMultistep && spacing != "trailing" ? 1 : 0);
  std::vector<double> timesteps;
  if (scheduler == kFlow) {
    timesteps = flow(train, steps, shift);
  } else if (spacing == "leading") {
    timesteps = leading(train, counted, static_cast<double>(offset));
  } else if (spacing == "trailing") {
    timesteps = trailing(train, steps);
  } else {
    timesteps = evenly(0, train - 1, counted);
    std::ranges::reverse(timesteps);
    if (!isEuler)
      roundAll(timesteps);
  }
  for (double &timestep : timesteps)
    timestep = static_cast<float>(timestep);
  if (scheduler != kFlow && counted > steps)
    timesteps.pop_back();
  if (scheduler != kFlow && timesteps.front() >= train)
    return absl::InvalidArgumentError(absl::StrCat(steps, " steps with offset ", offset,
                                                   " begin beyond the ", training,
                                                   " steps of training; use fewer"));
  return timesteps;
}

} // namespace sdopt
