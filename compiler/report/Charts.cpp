//===- Charts.cpp - the plots of report.html ------------------------------===//

#include "compiler/report/Charts.h"

#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace sdopt {

namespace {

std::string layerTitle(const LayerReport &layer) {
  return layer.name() + " (" + layer.kind() + ")\n";
}

template <typename Value> double largest(const ModuleReport &module, Value value) {
  double maximum = 0;
  for (const LayerReport &layer : module.layers())
    if (std::isfinite(static_cast<double>(value(layer))))
      maximum = std::max(maximum, static_cast<double>(value(layer)));
  return maximum;
}

void drawHorizontalBarLabel(Svg &svg, double y, const std::string &name) {
  constexpr size_t kLongest = 20;
  std::string shown = name.size() > kLongest ? name.substr(0, kLongest - 1) + "…" : name;
  svg.text(142, y + 13, "end", "label", shown);
}

} // namespace

bool runs(const LayerReport &layer) {
  return layer.cycles() > 0 || layer.energy() > 0 || layer.dram_bytes() > 0;
}

std::string boundsChart(const Report &report) {
  constexpr double kBarLeft = 150, kBarRight = 820, kRow = 30;
  int64_t maximum = 0;
  for (const ModuleReport &module : report.modules())
    maximum = std::max(maximum, module.cycles());
  if (maximum <= 0)
    return "";
  Svg svg(kWidth, kRow * report.modules_size() + 4, "cycles of each module by bound");
  double y = 4;
  for (const ModuleReport &module : report.modules()) {
    drawHorizontalBarLabel(svg, y, module.name());
    double layerCycles = 0;
    for (const LayerReport &layer : module.layers())
      layerCycles += layer.cycles();
    double length = (kBarRight - kBarLeft) * module.cycles() / maximum;
    double x = kBarLeft;
    for (const char *bound : kBounds) {
      double cycles = 0;
      for (const LayerReport &layer : module.layers())
        if (boundClass(layer.bound()) == std::string(bound))
          cycles += layer.cycles();
      if (cycles <= 0)
        continue;
      double width = length * cycles / layerCycles;
      svg.rect(x, y, std::max(width - 1, 0.5), 18, bound,
               module.name() + ": " + fixed(100 * cycles / layerCycles, 1) +
                   " % of cycles in layers bound by " + bound);
      x += width;
    }
    if (layerCycles <= 0)
      svg.rect(x, y, length, 18, "latency", module.name());
    svg.text(kBarLeft + length + 8, y + 13, "start", "tick", withPrefix(module.cycles(), "cycles"));
    y += kRow;
  }
  return figure("Cycles of one run of each module, by what bounds its layers", boundLegend(),
                svg.finish());
}

std::string weightsChart(const Report &report) {
  constexpr double kBarLeft = 150, kBarRight = 740, kRow = 34;
  int64_t maximum = 0;
  for (const ModuleReport &module : report.modules())
    maximum = std::max({maximum, module.weight_bytes(), module.fp32_bytes()});
  if (maximum <= 0)
    return "";
  Svg svg(kWidth, kRow * report.modules_size() + 4, "weight bytes of each module");
  double y = 4;
  for (const ModuleReport &module : report.modules()) {
    drawHorizontalBarLabel(svg, y + 2, module.name());
    double scale = (kBarRight - kBarLeft) / maximum;
    svg.rect(kBarLeft, y, scale * module.fp32_bytes(), 10, "reference",
             module.name() + ": fp32 " + grouped(module.fp32_bytes()) + " bytes");
    svg.rect(kBarLeft, y + 12, scale * module.weight_bytes(), 10, "array",
             module.name() + ": stored " + grouped(module.weight_bytes()) + " bytes");
    std::string label = withPrefix(module.weight_bytes(), "B");
    if (module.fp32_bytes() > 0)
      label += " of " + withPrefix(module.fp32_bytes(), "B") + " (" +
               fixed(static_cast<double>(module.weight_bytes()) / module.fp32_bytes(), 3) + "x)";
    svg.text(kBarLeft + scale * std::max(module.weight_bytes(), module.fp32_bytes()) + 8, y + 15,
             "start", "tick", label);
    y += kRow;
  }
  return figure("Weight bytes", legendEntry("array", "stored") + legendEntry("reference", "fp32"),
                svg.finish());
}

std::string cyclesChart(const ModuleReport &module) {
  double maximum = largest(module, [](const LayerReport &layer) { return layer.cycles(); });
  if (maximum <= 0)
    return "";
  Svg svg(kWidth, kHeight, "cycles per layer of " + module.name());
  Axis axis(maximum);
  axis.draw(svg, "");
  Slots slots(module.layers_size());
  for (int i = 0; i < module.layers_size(); ++i) {
    const LayerReport &layer = module.layers(i);
    if (layer.cycles() > 0)
      svg.column(slots.left(i), kBase, slots.width(), axis.height(layer.cycles()),
                 boundClass(layer.bound()),
                 layerTitle(layer) + grouped(layer.cycles()) + " cycles, bound by " +
                     layer.bound());
  }
  drawLayerNumbers(svg, module.layers_size());
  return figure("Cycles per layer", boundLegend(), svg.finish());
}

namespace {

/// The first layer whose SQNR is 6 dB below that of all layers before it, of which there are some;
/// -1 if there is none.
int firstJump(const ModuleReport &module) {
  constexpr double kJump = 6; // half of the signal's accuracy
  constexpr int kFewest = 3;
  double least = std::numeric_limits<double>::infinity();
  int before = 0;
  for (int i = 0; i < module.layers_size(); ++i) {
    const double sqnr = module.layers(i).sqnr();
    if (sqnr == 0 || !std::isfinite(sqnr))
      continue;
    if (before++ >= kFewest && sqnr < least - kJump)
      return i;
    least = std::min(least, sqnr);
  }
  return -1;
}

} // namespace

std::string sqnrChart(const ModuleReport &module) {
  double maximum = largest(module, [](const LayerReport &layer) { return layer.sqnr(); });
  if (maximum <= 0)
    return "";
  Svg svg(kWidth, kHeight, "SQNR per layer of " + module.name());
  Axis axis(maximum);
  axis.draw(svg, "dB");
  Slots slots(module.layers_size());
  double radius = std::clamp(slots.pitch * 0.4, 2.0, 4.0);
  std::vector<int> measured;
  for (int i = 0; i < module.layers_size(); ++i)
    if (module.layers(i).sqnr() != 0 && !std::isnan(module.layers(i).sqnr()))
      measured.push_back(i);
  for (int i : measured) {
    const LayerReport &layer = module.layers(i);
    double y = kBase - axis.height(layer.sqnr());
    svg.line(slots.middle(i), kBase, slots.middle(i), y, "stem");
    if (layer.isolated_sqnr() > 0 && std::isfinite(layer.isolated_sqnr()))
      svg.circle(slots.middle(i),
                 kBase - std::min(axis.height(layer.isolated_sqnr()), kBase - kTop), radius * 0.7,
                 "vector dot",
                 layerTitle(layer) + decibels(layer.isolated_sqnr()) + " on exact inputs");
    svg.circle(slots.middle(i), y, radius, "array dot", layerTitle(layer) + decibels(layer.sqnr()));
  }
  drawLayerNumbers(svg, module.layers_size());
  std::stable_sort(measured.begin(), measured.end(),
                   [&](int a, int b) { return module.layers(a).sqnr() < module.layers(b).sqnr(); });
  std::string lowest;
  for (size_t i = 0; i < std::min<size_t>(3, measured.size()); ++i) {
    const LayerReport &layer = module.layers(measured[i]);
    lowest += (i ? ", " : "") + layer.name() + " " + decibels(layer.sqnr());
  }
  std::string legend = legendEntry("array", "as it runs") +
                       legendEntry("vector", "on exact inputs") +
                       "<span class=\"key\">lowest: " + escapeHtml(lowest) + "</span>";
  if (int jump = firstJump(module); jump >= 0)
    legend +=
        "<span class=\"key\">first jump: " + escapeHtml(module.layers(jump).name()) + "</span>";
  return figure("SQNR per layer, against the float model", legend, svg.finish());
}

std::string trafficChart(const ModuleReport &module) {
  double maximum = largest(module, [](const LayerReport &layer) { return layer.dram_bytes(); });
  maximum = std::max(maximum, largest(module, [](const LayerReport &layer) {
                       return runs(layer) ? layer.dram_lower_bound_bytes() : 0;
                     }));
  if (maximum <= 0)
    return "";
  Svg svg(kWidth, kHeight, "DRAM bytes per layer of " + module.name());
  Axis axis(maximum);
  axis.draw(svg, "B");
  Slots slots(module.layers_size());
  int64_t moved = 0, needed = 0;
  for (int i = 0; i < module.layers_size(); ++i) {
    const LayerReport &layer = module.layers(i);
    if (!runs(layer))
      continue;
    moved += layer.dram_bytes();
    needed += layer.dram_lower_bound_bytes();
    std::string hint = layerTitle(layer) + grouped(layer.dram_bytes()) +
                       " bytes moved, lower bound " + grouped(layer.dram_lower_bound_bytes());
    if (layer.dram_bytes() > 0)
      svg.column(slots.left(i), kBase, slots.width(), axis.height(layer.dram_bytes()), "dram",
                 hint);
    double y = kBase - axis.height(layer.dram_lower_bound_bytes());
    svg.rect(slots.left(i) - 0.5, y - 1, slots.width() + 1, 2, "limit", hint);
  }
  drawLayerNumbers(svg, module.layers_size());
  std::string ratio =
      needed > 0 ? " (all: " + fixed(static_cast<double>(moved) / needed, 2) + "x the bound)" : "";
  return figure("DRAM bytes per layer" + ratio,
                legendEntry("dram", "moved") + legendEntry("limit", "lower bound of any schedule"),
                svg.finish());
}

} // namespace sdopt
