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

/// False of layers whose results lie in the package: no bound is about them.
bool runs(const LayerReport &layer);

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

/// Operations per second of each layer against its operations per DRAM byte, below the machine's
/// roofs (Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009). The time of a layer is what
/// it adds to the run, or that of its busiest unit if others overlap all of it.
std::string rooflineChart(const ModuleReport &module, const MachineReport &machine);
/// What each queue does over the cycles of a step, and which layers take most of them.
std::string timelineChart(const ModuleReport &module, const MachineReport &machine);
/// Tensors of the DRAM arena by layers and addresses, with the bytes that are alive.
std::string memoryChart(const ModuleReport &module);
/// SRAM that each layer touches.
std::string sramChart(const ModuleReport &module, const MachineReport &machine);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_CHARTS_H
