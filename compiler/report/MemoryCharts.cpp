//===- MemoryCharts.cpp - DRAM arena and SRAM over the layers ---------------===//

#include "compiler/report/Charts.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <vector>

namespace sdopt {

namespace {

constexpr size_t kMostTensors = 400;
constexpr double kFoot = 300;

/// Bytes alive in each layer.
std::vector<double> liveBytes(const ModuleReport &module) {
  std::vector<double> live(static_cast<size_t>(module.layers_size()), 0);
  for (const MemoryTensor &tensor : module.memory())
    for (int i = std::max(tensor.first_layer(), 0);
         i <= std::min(tensor.last_layer(), module.layers_size() - 1); ++i)
      live[i] += static_cast<double>(tensor.bytes());
  return live;
}

double area(const MemoryTensor &tensor) {
  return static_cast<double>(tensor.bytes()) * (tensor.last_layer() - tensor.first_layer() + 1.0);
}

/// Those that take most room, in their order.
std::vector<const MemoryTensor *> drawnTensors(const ModuleReport &module) {
  std::vector<const MemoryTensor *> drawn;
  for (const MemoryTensor &tensor : module.memory())
    drawn.push_back(&tensor);
  if (drawn.size() <= kMostTensors)
    return drawn;
  std::vector<double> areas;
  for (const MemoryTensor *tensor : drawn)
    areas.push_back(area(*tensor));
  std::ranges::nth_element(areas, areas.begin() + kMostTensors, std::greater());
  std::erase_if(drawn,
                [&](const MemoryTensor *tensor) { return area(*tensor) <= areas[kMostTensors]; });
  return drawn;
}

} // namespace

std::string memoryChart(const ModuleReport &module) {
  if (module.memory_size() == 0 || module.layers_size() == 0 || module.arena_bytes() <= 0)
    return "";
  Svg svg(kWidth, kFoot + 24, "DRAM arena of " + module.name());
  const Axis axis(static_cast<double>(module.arena_bytes()), kFoot);
  axis.draw(svg, "B");
  const double pitch = (kRight - kLeft) / module.layers_size();
  const std::vector<const MemoryTensor *> drawn = drawnTensors(module);
  for (const MemoryTensor *tensor : drawn) {
    const double left = kLeft + pitch * tensor->first_layer();
    const double high = axis.height(static_cast<double>(tensor->offset() + tensor->bytes()));
    const double low = axis.height(static_cast<double>(tensor->offset()));
    svg.rect(left, kFoot - high, pitch * (tensor->last_layer() - tensor->first_layer() + 1),
             std::max(high - low, 0.3), tensor->boundary() ? "boundary" : "tensor",
             tensor->name() + "\n" + grouped(tensor->bytes()) + " bytes at " +
                 grouped(tensor->offset()) + ", layers " + std::to_string(tensor->first_layer()) +
                 " to " + std::to_string(tensor->last_layer()));
  }
  std::vector<std::pair<double, double>> line;
  const std::vector<double> live = liveBytes(module);
  for (size_t i = 0; i < live.size(); ++i) {
    const double y = kFoot - axis.height(live[i]);
    line.emplace_back(kLeft + pitch * static_cast<double>(i), y);
    line.emplace_back(kLeft + pitch * static_cast<double>(i + 1), y);
  }
  svg.path(line, "live");
  const double bound = kFoot - axis.height(static_cast<double>(module.arena_lower_bound_bytes()));
  svg.line(kLeft, bound, kRight, bound, "ceiling");
  drawLayerNumbers(svg, module.layers_size(), kFoot);
  std::string legend =
      legendEntry("tensor", "tensors") + legendEntry("boundary", "inputs and outputs") +
      legendEntry("live", "bytes alive") +
      legendEntry("ceiling",
                  "no plan takes less: " +
                      withPrefix(static_cast<double>(module.arena_lower_bound_bytes()), "B"));
  if (drawn.size() < static_cast<size_t>(module.memory_size()))
    legend += "<span class=\"key\">the largest " + std::to_string(drawn.size()) + " of " +
              std::to_string(module.memory_size()) + "</span>";
  return figure("DRAM arena: addresses over the layers, " +
                    withPrefix(static_cast<double>(module.arena_bytes()), "B"),
                legend, svg.finish());
}

std::string sramChart(const ModuleReport &module, const MachineReport &machine) {
  int64_t most = 0;
  for (const LayerReport &layer : module.layers())
    most = std::max(most, layer.sram_bytes());
  if (most <= 0 || machine.sram_bytes() <= 0)
    return "";
  Svg svg(kWidth, kHeight, "SRAM of each layer of " + module.name());
  const Axis axis(static_cast<double>(std::max(most, machine.sram_bytes())));
  axis.draw(svg, "B");
  const Slots slots(module.layers_size());
  for (int i = 0; i < module.layers_size(); ++i) {
    const LayerReport &layer = module.layers(i);
    if (layer.sram_bytes() > 0)
      svg.column(slots.left(i), kBase, slots.width(),
                 axis.height(static_cast<double>(layer.sram_bytes())), boundClass(layer.bound()),
                 layer.name() + " (" + layer.kind() + ")\n" + grouped(layer.sram_bytes()) +
                     " bytes of SRAM, " + layer.tiling());
  }
  const double top = kBase - axis.height(static_cast<double>(machine.sram_bytes()));
  svg.line(kLeft, top, kRight, top, "ceiling");
  drawLayerNumbers(svg, module.layers_size());
  return figure(
      "SRAM that each layer touches",
      boundLegend() +
          legendEntry("ceiling",
                      "there is " + withPrefix(static_cast<double>(machine.sram_bytes()), "B")),
      svg.finish());
}

} // namespace sdopt
