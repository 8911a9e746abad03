//===- Rates.cpp - images per second and per joule ----------------------------===//

#include "compiler/pipeline/Rates.h"

#include <algorithm>

namespace sdopt {

namespace {

bool encodesText(const std::string &module) { return module.starts_with("text_encoder"); }
bool denoises(const std::string &module) { return module == "unet" || module == "transformer"; }

/// Runs of a module for one picture, given `needed` rows for it.
double runsFor(double needed, int64_t rows) {
  int64_t used = rows <= 1 ? 1 : rows - rows % 2;
  return needed / static_cast<double>(used);
}

struct Cost {
  double seconds = 0, energy = 0;
};

/// A denoiser's share of one picture. With one row, both branches of guidance take turns.
Cost denoising(const ModuleReport &module, int steps, int64_t rows) {
  double calls = steps * runsFor(2, rows);
  if (module.phases().empty())
    return {calls * module.seconds(), calls * module.energy()};
  Cost cost;
  for (const PhaseReport &phase : module.phases()) {
    double runs = phase.name() == "step"       ? calls
                  : phase.name() == "schedule" ? std::min<double>(calls, steps)
                                               : runsFor(2, rows);
    double copies = phase.name() == "prompt" && runs > 1 ? calls : 0;
    cost.seconds += runs * phase.seconds() + copies * phase.copy_seconds();
    cost.energy += runs * phase.energy() + copies * phase.copy_energy();
  }
  return cost;
}

} // namespace

void setRates(Report &report, int steps, const std::map<std::string, int64_t> &rows) {
  double seconds = 0, energy = 0;
  bool reads = false, paints = false, decodes = false;
  int64_t denoiserRows = 0;
  for (const ModuleReport &module : report.modules()) {
    const std::string &name = module.name();
    auto found = rows.find(name);
    int64_t rowsOfRun = found == rows.end() ? 1 : found->second;
    double runs = 1;
    if (encodesText(name)) {
      reads = true;
      runs = runsFor(2, rowsOfRun);
    } else if (denoises(name)) {
      paints = true;
      denoiserRows = rowsOfRun;
      Cost cost = denoising(module, steps, rowsOfRun);
      seconds += cost.seconds;
      energy += cost.energy;
      runs = 0;
    } else {
      decodes |= name == "vae_decoder";
      runs = 1 / std::max<double>(1, static_cast<double>(rowsOfRun));
    }
    seconds += runs * module.seconds();
    energy += runs * module.energy();
  }
  if (!reads || !paints || !decodes)
    return;
  PipelineReport &pipeline = *report.mutable_pipeline();
  pipeline.set_steps(steps);
  pipeline.set_guidance_batch(static_cast<int32_t>(denoiserRows));
  pipeline.set_seconds_per_image(seconds);
  pipeline.set_joules_per_image(energy);
  pipeline.set_images_per_second(seconds > 0 ? 1 / seconds : 0);
  pipeline.set_images_per_second_per_watt(energy > 0 ? 1 / energy : 0);
  pipeline.set_average_power(seconds > 0 ? energy / seconds : 0);
}

} // namespace sdopt
