//===- PictureWorkload.h - what painting a picture takes --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_POWER_PICTUREWORKLOAD_H
#define SDOPT_COMPILER_POWER_PICTUREWORKLOAD_H

#include "compiler/power/SimulatedWork.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace sdopt {

struct PictureWorkload {
  PowerWorkload modules;
  int64_t pictures = 1; ///< that it paints, as many as one run of the denoiser has rows for
};

/// The modules of a text-to-image pipeline, as often as compiler/pipeline/Rates.h counts them:
/// text encoders for two prompts, VAE encoder (if there is one), `steps` steps of the UNet or
/// transformer on both rows of guidance, VAE decoder. What a denoiser does once per prompt or
/// timestep is a module of its own, before the steps; with one row the two branches take turns, and
/// what the prompt left is copied for each of them. `rows` of one run by module.
///
/// Nothing if no text encoder, no denoiser or no VAE decoder is there. Each phase is simulated
/// once.
absl::StatusOr<std::optional<PictureWorkload>>
pictureWorkload(const std::vector<PackageModule> &modules, const Target &target,
                const PowerModel &model, int steps, const std::map<std::string, int64_t> &rows);

} // namespace sdopt

#endif // SDOPT_COMPILER_POWER_PICTUREWORKLOAD_H
