//===- ResourcePasses.h - what sdopt-opt opens for other passes -*- C++ -*-===//
//
// sdopt-compile hands weights, statistics, recipe and target to the passes itself. sdopt-opt has
// two passes for it:
//
//   --sdopt-open-resources="model=DIR weights=overlay.safetensors statistics=unet.pb recipe=w8a8
//   target=mobile"
//   --sdopt-calibrate="samples=unet_calibration.safetensors"
//
// What an option does not give is taken from the module's attribute of the same name (sd.model,
// sd.weights, ...).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_RESOURCEPASSES_H
#define SDOPT_COMPILER_PIPELINE_RESOURCEPASSES_H

namespace sdopt {

void registerResourcePasses();

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_RESOURCEPASSES_H
