//===- PictureReport.h - what the report draws of a run ---------*- C++ -*-===//
//
// Data of the roofline, of the memory maps and of the timeline (report.proto).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PIPELINE_PICTUREREPORT_H
#define SDOPT_COMPILER_PIPELINE_PICTUREREPORT_H

#include "compiler/report/report.pb.h"
#include "compiler/simulator/Simulator.h"

namespace sdopt {

/// What the target can do at most.
MachineReport machineReport(const Target &target);

/// Columns of a timeline.
inline constexpr int64_t kTimelineColumns = 240;

/// Of a phase that took `cycles`: `events` of all its commands, from cycle 0 on.
TimelineReport timelineReport(const Program &program, Phase phase, int64_t cycles,
                              const std::vector<TraceEvent> &events);

/// Sets the module's memory map, and of its layers, which are there already, when and with what
/// they are busy and what SRAM they touch.
void setPictures(const ModuleInfo &info, const RunStatistics &run, ModuleReport &report);

} // namespace sdopt

#endif // SDOPT_COMPILER_PIPELINE_PICTUREREPORT_H
