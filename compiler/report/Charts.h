//===- Charts.h - the plots of report.html ----------------------*- C++ -*-===//
//
// Each returns a <figure>: a heading, a legend where colours mean something, the picture. Layers
// are drawn in order of execution, left to right; every mark says its layer and numbers when
// pointed at. A chart without data is an empty string.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REPORT_CHARTS_H
#define SDOPT_COMPILER_REPORT_CHARTS_H

#include "compiler/report/report.pb.h"

#include <string>

namespace sdopt {

/// Cycles of all modules, one bar each, stacked by what bounds the layers.
std::string boundsChart(const Report &report);
/// Stored weight bytes of each module beside its fp32 bytes.
std::string weightsChart(const Report &report);
/// Cycles per layer, coloured by bound.
std::string cyclesChart(const ModuleReport &module);
/// SQNR per layer, dB; the lowest are named.
std::string sqnrChart(const ModuleReport &module);
/// PSNR of all calls, of the worst one and of the guided result, by timestep.
std::string timestepChart(const ModuleReport &module);
/// SQNR of conditional minus unconditional results, by timestep.
std::string guidanceChart(const ModuleReport &module);
/// The range of each layer's output in each bucket of timesteps, as a share of its range over all.
std::string driftChart(const ModuleReport &module);
/// Largest magnitudes by bucket of timesteps of the layers whose ranges drift most.
std::string rangeChart(const ModuleReport &module);
/// DRAM bytes per layer, with the bytes that no schedule can avoid.
std::string trafficChart(const ModuleReport &module);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_CHARTS_H
