//===- Rates.h - images per second and per joule ----------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_RATES_H
#define SDOPT_COMPILER_PIPELINE_RATES_H

#include "compiler/report/report.pb.h"

#include <map>
#include <string>

namespace sdopt {

/// One generated picture = text encoders for two prompts + VAE encoder (if there is one) + steps x
/// UNet on two rows (both guidance branches) + VAE decoder; what the UNet runs once per prompt or
/// timestep counts so. `rows` of one run by module: with one row a module runs twice, with 2 n rows
/// n pictures share a run. Sets Report.pipeline from the modules' seconds and energy, if a text
/// encoder, a UNet or transformer, and a VAE decoder are there.
void setRates(Report &report, int steps, const std::map<std::string, int64_t> &rows);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_RATES_H
