//===- RunZoom.h - an infinite zoom from a package --------------*- C++ -*-===//

#ifndef SDOPT_TOOLS_SDOPT_RUN_RUNZOOM_H
#define SDOPT_TOOLS_SDOPT_RUN_RUNZOOM_H

#include "compiler/package/Package.h"
#include "tools/sdopt-run/ModuleRunner.h"
#include "tools/sdopt-run/Zoom.h"

namespace sdopt {

struct RunZoomOptions {
  std::string package;
  std::string start; ///< PNG; empty: from nothing
  ZoomOptions zoom;
  int threads = 0;         ///< 0: as many as the machine has
  int64_t memoryLimit = 0; ///< bytes that may be resident; 0: any
};

/// What the modelled NPU spends on the pictures of a run.
struct ModelledRates {
  double imagesPerSecond = 0;
  double imagesPerJoule = 0; ///< = images per second per watt
  double secondsPerImage = 0, joulesPerImage = 0;
};
ModelledRates modelledRates(const std::vector<ModuleTotals> &totals, int64_t images);

/// "vae_scaling_factor" of model_index.json; NOT_FOUND if it has none.
absl::StatusOr<float> scalingFactor(const std::string &modelIndex);

/// Reads the package and its assets, zooms, prints what it wrote and the rates.
absl::Status runZoomCommand(RunZoomOptions options);

} // namespace sdopt

#endif // SDOPT_TOOLS_SDOPT_RUN_RUNZOOM_H
