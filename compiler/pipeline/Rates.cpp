//===- Rates.cpp - images per second and per joule ----------------------------===//

#include "compiler/pipeline/Rates.h"

namespace sdopt {

void setRates(Report &report, int steps, int64_t guidanceBatch) {
  double seconds = 0, energy = 0;
  bool paints = false;
  for (const ModuleReport &module : report.modules()) {
    paints |= module.name() == "unet";
    double runs = module.name() == "unet" ? steps : 1;
    seconds += runs * module.seconds();
    energy += runs * module.energy();
  }
  if (!paints)
    return;
  PipelineReport &pipeline = *report.mutable_pipeline();
  pipeline.set_steps(steps);
  pipeline.set_guidance_batch(static_cast<int32_t>(guidanceBatch));
  pipeline.set_seconds_per_image(seconds);
  pipeline.set_joules_per_image(energy);
  pipeline.set_images_per_second(seconds > 0 ? 1 / seconds : 0);
  pipeline.set_images_per_second_per_watt(energy > 0 ? 1 / energy : 0);
  pipeline.set_average_power(seconds > 0 ? energy / seconds : 0);
}

} // namespace sdopt
