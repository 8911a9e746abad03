//===- QualityReport.h - what was measured, in the report -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_PIPELINE_QUALITYREPORT_H
#define SDOPT_COMPILER_PIPELINE_QUALITYREPORT_H

#include "compiler/calibration/Quality.h"
#include "compiler/calibration/Statistics.h"
#include "compiler/report/report.pb.h"

namespace sdopt {

/// Writes the quality of a module and its layers. Layers are named and counted when the package is
/// made; until then the report holds what was lost.
void setQuality(const QualityResult &quality, ModuleReport &report);

/// The ranges of layers by bucket of timesteps, where statistics tell buckets apart.
void setRanges(const Statistics &statistics, ModuleReport &report);

/// As if nothing had been measured.
void clearQuality(ModuleReport &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_QUALITYREPORT_H
