//===- Inpainting.h - paint a masked part of a picture ----------*- C++ -*-===//
//
// The Stable Diffusion 2 inpainting pipeline around the four modules:
//
//   masked = encode(picture * (mask < 1/2)).mean * scaling factor      [1][4][h][w]
//   sample = [latents | mask | masked], twice (unconditional, conditional)
//   e      = unet(...)[0] + guidance * (unet(...)[1] - unet(...)[0])
//   latents <- DDIM(e, t, latents), for each timestep;  picture = decode(latents / scaling factor)
//
// J. Ho, T. Salimans, "Classifier-Free Diffusion Guidance", 2022, equation 6 (with their 1 + w as
// guidance).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_INPAINTING_H
#define SDOPT_TOOLS_SDOPT_RUN_INPAINTING_H

#include "compiler/sampling/Ddim.h"
#include "tools/sdopt-run/Models.h"
#include "tools/sdopt-run/Tokenizer.h"

#include <functional>

namespace sdopt {

struct InpaintingOptions {
  int64_t steps = 20;
  float guidance = 5.0f;
  float scalingFactor = 0.18215f; ///< of the autoencoder's latents
};

/// Called after each step with its number, from 1.
using StepObserver = std::function<void(int64_t step)>;

/// Token ids of both prompts, row 0 the negative one, through the text encoder.
absl::StatusOr<Tensor> encodePrompts(Models &models, const Tokenizer &tokenizer,
                                     const std::string &negative, const std::string &prompt);

struct Painted {
  Tensor latents; ///< after the last step, scaled
  Tensor picture; ///< F32 [1][3][H][W]
};

/// `picture`: F32 [1][3][H][W]; `mask`: F32 [1][1][H][W], 1 = paint; `hidden` as encodePrompts
/// gives it; `noise`: F32 [1][4][h][w]. A value that is not finite is an error that names the
/// module.
absl::StatusOr<Painted> inpaint(Models &models, const Ddim &ddim, const InpaintingOptions &options,
                                const Tensor &picture, const Tensor &mask, const Tensor &hidden,
                                Tensor noise, const StepObserver &observer = {});

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_INPAINTING_H
