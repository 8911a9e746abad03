//===- Rates.h - images per second and per joule ----------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_RATES_H
#define SDOPT_COMPILER_PIPELINE_RATES_H

#include "compiler/report/report.pb.h"

namespace sdopt {

/// One generated picture = text encoder + VAE encoder + steps x UNet (with `guidanceBatch` rows in
/// one run) + VAE decoder, for the modules that are there. Sets Report.pipeline from the modules'
/// seconds and energy.
void setRates(Report &report, int steps, int64_t guidanceBatch);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_RATES_H
