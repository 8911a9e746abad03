//===- PictureReport.cpp - what the report draws of a run ---------------------===//

#include "compiler/pipeline/PictureReport.h"

#include "compiler/package/CommandOperands.h"

#include <algorithm>
#include <set>

namespace sdopt {

namespace {

/// Of extents that may overlap, in ascending order.
int64_t coveredBytes(const std::set<std::pair<int64_t, int64_t>> &extents) {
  int64_t covered = 0, end = 0;
  for (const auto &[first, last] : extents) {
    covered += std::max<int64_t>(last - std::max(first, end), 0);
    end = std::max(end, last);
  }
  return covered;
}

/// Bytes of SRAM that the commands of each layer touch.
std::vector<int64_t> touchedSram(const ModuleInfo &info) {
  std::vector<std::set<std::pair<int64_t, int64_t>>> extents(info.network.layers.size());
  for (const Command &command : info.program.commands)
    for (const SramOperand &operand : sramOperands(command.args))
      extents[command.layer].emplace(operand.offset, operand.offset + operand.bytes);
  std::vector<int64_t> touched;
  touched.reserve(extents.size());
  for (const auto &layer : extents)
    touched.push_back(coveredBytes(layer));
  return touched;
}

} // namespace

MachineReport machineReport(const Target &target) {
  const ArrayTarget &array = target.array;
  const double products =
      2 * target.clock * static_cast<double>(array.count * array.rows * array.columns);
  MachineReport machine;
  machine.set_clock(target.clock);
  machine.set_dram_bandwidth(target.dram.bandwidth);
  machine.set_operations_8x8(products);
  machine.set_operations_16x8(products * array.a16w8Rate);
  machine.set_operations_16x16(products * array.a16a16Rate);
  machine.set_vector_elements(target.clock * static_cast<double>(target.vector.lanes));
  machine.set_sram_bytes(target.sram.bytes);
  machine.set_dram_bytes(target.dram.bytes);
  return machine;
}

TimelineReport timelineReport(const Program &program, Phase phase, int64_t cycles,
                              const std::vector<TraceEvent> &events) {
  TimelineReport timeline;
  timeline.set_phase(name(phase));
  timeline.set_cycles(cycles);
  const int64_t columns = std::min(cycles, kTimelineColumns);
  std::vector<int64_t> ends;
  for (int64_t i = 0; i < columns; ++i)
    ends.push_back(static_cast<int64_t>(Int128{cycles} * (i + 1) / columns));
  for (int queue = 0; queue < kQueues; ++queue) {
    TimelineLane &lane = *timeline.add_lanes();
    lane.set_queue(name(static_cast<Queue>(queue)));
    lane.mutable_busy_cycles()->Resize(static_cast<int>(columns), 0);
  }
  for (const TraceEvent &event : events) {
    TimelineLane &lane =
        *timeline.mutable_lanes(static_cast<int>(program.commands[event.command].queue));
    auto column = std::ranges::upper_bound(ends, event.workBegin) - ends.begin();
    for (int64_t begin = event.workBegin; begin < event.workEnd; ++column) {
      const int64_t end = std::min(event.workEnd, ends[column]);
      int32_t &busy = *lane.mutable_busy_cycles()->Mutable(static_cast<int>(column));
      busy += static_cast<int32_t>(end - begin);
      begin = end;
    }
  }
  return timeline;
}

void setPictures(const ModuleInfo &info, const RunStatistics &run, ModuleReport &report) {
  report.clear_memory();
  for (const ArenaTensor &tensor : arenaTensors(info)) {
    const TensorInfo &source = info.network.tensors[tensor.tensor];
    MemoryTensor &out = *report.add_memory();
    out.set_name(source.name);
    out.set_offset(tensor.offset);
    out.set_bytes(tensor.bytes);
    out.set_first_layer(static_cast<int32_t>(tensor.firstLayer));
    out.set_last_layer(static_cast<int32_t>(tensor.lastLayer));
    out.set_boundary(source.role != TensorRole::Intermediate);
  }
  const std::vector<int64_t> touched = touchedSram(info);
  for (int i = 0; i < report.layers_size(); ++i) {
    LayerReport &layer = *report.mutable_layers(i);
    const LayerStatistics &cost = run.layers[i];
    layer.set_sram_bytes(touched[i]);
    layer.set_first_cycle(cost.firstCycle);
    layer.set_dma_in_cycles(cost.dmaInCycles);
    layer.set_array_cycles(cost.arrayCycles);
    layer.set_vector_cycles(cost.vectorCycles);
    layer.set_dma_out_cycles(cost.dmaOutCycles);
    layer.set_vector_elements(cost.vectorElements);
  }
}

} // namespace sdopt
