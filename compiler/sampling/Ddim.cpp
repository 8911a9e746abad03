//===- Ddim.cpp - the DDIM scheduler --------------------------------------===//

#include "compiler/sampling/Ddim.h"

#include "absl/strings/str_cat.h"
#include "compiler/sampling/SchedulerReader.h"

#include <cmath>

namespace sdopt {

namespace {

/// torch.linspace in float32: counts up in the first half, down from the end in the second.
std::vector<float> linspace(float start, float end, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  float step = count > 1 ? (end - start) / static_cast<float>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i)
    values[i] = i < count / 2 ? start + step * static_cast<float>(i)
                              : end - step * static_cast<float>(count - i - 1);
  return values;
}

/// Cumulative products are accumulated in double and stored as float, as torch.cumprod does on a
/// CPU.
std::vector<float> cumulativeAlphas(bool scaled, double start, double end, int64_t count) {
  std::vector<float> betas =
      scaled ? linspace(static_cast<float>(std::sqrt(start)), static_cast<float>(std::sqrt(end)),
                        count)
             : linspace(static_cast<float>(start), static_cast<float>(end), count);
  double product = 1;
  for (float &beta : betas) {
    float square = scaled ? beta * beta : beta;
    product *= 1.0f - square;
    beta = static_cast<float>(product);
  }
  return betas;
}

} // namespace

absl::StatusOr<Ddim> Ddim::create(const std::string &configuration) {
  SchedulerReader reader(configuration);
  reader.requireWord("_class_name", "DDIMScheduler", {"DDIMScheduler"});
  reader.requireWord("beta_schedule", "linear", {"linear", "scaled_linear"});
  reader.requireWord("prediction_type", "epsilon", {"epsilon", "v_prediction"});
  reader.requireWord("timestep_spacing", "leading", {"leading"});
  reader.requireOff("clip_sample", true);
  reader.requireOff("thresholding", false);
  reader.requireOff("rescale_betas_zero_snr", false);
  reader.requireNull("trained_betas");
  int64_t trainingSteps = reader.integer("num_train_timesteps", 1000, 1, 1000000);
  double betaStart = reader.number("beta_start", 0.0001), betaEnd = reader.number("beta_end", 0.02);
  bool setAlphaToOne = reader.flag("set_alpha_to_one", true);
  Ddim ddim;
  ddim.stepsOffset_ = reader.integer("steps_offset", 0, 0, trainingSteps - 1);
  if (reader.status.ok() && !(betaStart > 0 && betaStart < 1))
    reader.fail("beta_start", "a number between 0 and 1", absl::StrCat(betaStart));
  if (reader.status.ok() && !(betaEnd > 0 && betaEnd < 1))
    reader.fail("beta_end", "a number between 0 and 1", absl::StrCat(betaEnd));
  if (!reader.status.ok())
    return reader.status;
  ddim.prediction_ = reader.word("prediction_type", "epsilon") == "epsilon" ? Prediction::Epsilon
                                                                            : Prediction::Velocity;
  ddim.alphas_ = cumulativeAlphas(reader.word("beta_schedule", "linear") == "scaled_linear",
                                  betaStart, betaEnd, trainingSteps);
  ddim.finalAlpha_ = setAlphaToOne ? 1.0f : ddim.alphas_[0];
  return ddim;
}

absl::StatusOr<std::vector<int64_t>> Ddim::timesteps(int64_t steps) const {
  auto trainingSteps = static_cast<int64_t>(alphas_.size());
  if (steps < 1 || steps > trainingSteps)
    return absl::InvalidArgumentError(absl::StrCat(steps, " steps; needed: 1 to ", trainingSteps));
  int64_t ratio = trainingSteps / steps;
  std::vector<int64_t> timesteps;
  for (int64_t i = steps - 1; i >= 0; --i)
    timesteps.push_back(i * ratio + stepsOffset_);
  if (timesteps.front() >= trainingSteps)
    return absl::InvalidArgumentError(absl::StrCat(steps, " steps with offset ", stepsOffset_,
                                                   " begin beyond the ", trainingSteps,
                                                   " steps of training; use fewer"));
  return timesteps;
}

Tensor Ddim::step(const Tensor &model, int64_t timestep, int64_t steps,
                  const Tensor &sample) const {
  int64_t previous = timestep - static_cast<int64_t>(alphas_.size()) / steps;
  float alpha = alphas_[timestep], alphaPrevious = previous >= 0 ? alphas_[previous] : finalAlpha_;
  float rootAlpha = std::sqrt(alpha), rootBeta = std::sqrt(1.0f - alpha);
  float rootAlphaPrevious = std::sqrt(alphaPrevious),
        rootBetaPrevious = std::sqrt(1.0f - alphaPrevious);
  Tensor result(ElementType::F32, sample.shape());
  auto x = sample.values<float>(), m = model.values<float>();
  auto y = result.mutableValues<float>();
  for (size_t i = 0; i < y.size(); ++i) {
    bool epsilon = prediction_ == Prediction::Epsilon;
    float picture =
        epsilon ? (x[i] - rootBeta * m[i]) / rootAlpha : rootAlpha * x[i] - rootBeta * m[i];
    float noise = epsilon ? m[i] : rootAlpha * m[i] + rootBeta * x[i];
    y[i] = rootAlphaPrevious * picture + rootBetaPrevious * noise;
  }
  return result;
}

} // namespace sdopt
