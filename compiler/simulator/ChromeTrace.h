//===- ChromeTrace.h - a run as a timeline ----------------------*- C++ -*-===//
//
// Trace Event Format (JSON), for chrome://tracing and Perfetto: one row for each queue, one bar for
// each command. One microsecond of the viewer is one cycle.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_SIMULATOR_CHROMETRACE_H
#define SDOPT_COMPILER_SIMULATOR_CHROMETRACE_H

#include "compiler/simulator/Simulator.h"

namespace sdopt {

/// `layerNames` is parallel to the module's layers; missing names are left out.
std::string writeChromeTrace(const Program &program, const std::vector<std::string> &layerNames,
                             const std::vector<TraceEvent> &events);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_CHROMETRACE_H
