//===- Ddim.h - the DDIM scheduler ------------------------------*- C++ -*-===//
//
// J. Song, C. Meng, S. Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, equation 12 with
// sigma = 0 (eta 0), in float32 with the roundings of DDIMScheduler of diffusers, from its
// scheduler_config.json:
//
//   beta_i = (linear from sqrt(beta_start) to sqrt(beta_end))^2   (scaled_linear)
//   A_t = prod_{i<=t} (1 - beta_i);  previous t' = t - train / steps;  A_t' for t' < 0: A_0, or 1
//   with set_alpha_to_one epsilon:      x0 = (x - sqrt(1 - A_t) e) / sqrt(A_t) v_prediction: x0 =
//   sqrt(A_t) x - sqrt(1 - A_t) v,  e = sqrt(A_t) v + sqrt(1 - A_t) x x' = sqrt(A_t') x0 + sqrt(1 -
//   A_t') e
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SAMPLING_DDIM_H
#define SDOPT_COMPILER_SAMPLING_DDIM_H

#include "absl/status/statusor.h"
#include "compiler/kernels/Tensor.h"

#include <string>
#include <vector>

namespace sdopt {

enum class Prediction : uint8_t { Epsilon, Velocity };

class Ddim {
public:
  /// The text of scheduler_config.json. What is not supported (another class, schedule, spacing,
  /// clipping, thresholding, zero terminal SNR) is an error that names the key and what is.
  static absl::StatusOr<Ddim> create(const std::string &configuration);

  /// Timesteps of a run, from noise to picture (the UNet's second input). 1 <= steps <= training
  /// steps.
  absl::StatusOr<std::vector<int64_t>> timesteps(int64_t steps) const;

  /// The sample after one step of a run of `steps` steps. `model` is the (guided) output of the
  /// UNet at `timestep`; both F32 of one shape.
  Tensor step(const Tensor &model, int64_t timestep, int64_t steps, const Tensor &sample) const;

private:
  Ddim() = default;
  Prediction prediction_ = Prediction::Epsilon;
  int64_t stepsOffset_ = 0;
  float finalAlpha_ = 1;
  std::vector<float> alphas_; ///< A_t of each training step
};

} // namespace sdopt

#endif // SDOPT_COMPILER_SAMPLING_DDIM_H
