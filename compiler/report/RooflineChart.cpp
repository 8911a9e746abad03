//===- RooflineChart.cpp - layers below the roofs of the machine ------------===//

#include "compiler/report/Charts.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <vector>

namespace sdopt {

namespace {

constexpr double kEnd = 800, kFoot = 320; ///< right end and base of the plot
constexpr size_t kNames = 8;              ///< that the hint of one dot tells

/// 10^exponent: "0.01", "1,000".
std::string powerOfTen(int exponent) {
  if (exponent >= 0)
    return grouped(static_cast<int64_t>(std::llround(std::pow(10.0, exponent))));
  return "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + "1";
}

/// Whole decades around some positive numbers.
struct Decades {
  int first = 0, last = 0;
  double from, to; ///< pixels

  Decades(double least, double most, double from, double to)
      : first(static_cast<int>(std::floor(std::log10(least)))),
        last(std::max(static_cast<int>(std::ceil(std::log10(most))), first + 1)), from(from),
        to(to) {}
  double at(double value) const {
    return from + (to - from) * (std::log10(value) - first) / (last - first);
  }
  /// Between grid lines that have room for their text.
  int step() const { return (last - first + 7) / 8; }
};

/// What a layer does: its multiplications, or else what the vector unit makes.
struct Work {
  double operations = 0, seconds = 0;
  double intensity = 0; ///< operations per DRAM byte; infinite without traffic
  double rate() const { return operations / seconds; }
};

Work workOf(const LayerReport &layer, const MachineReport &machine) {
  const auto cycles =
      static_cast<double>(std::max({layer.cycles(), layer.array_cycles(), layer.vector_cycles(),
                                    layer.dma_in_cycles() + layer.dma_out_cycles()}));
  const double operations = layer.macs() > 0 ? 2 * static_cast<double>(layer.macs())
                                             : static_cast<double>(layer.vector_elements());
  return {operations, cycles / machine.clock(),
          operations / static_cast<double>(std::max<int64_t>(layer.dram_bytes(), 0))};
}

struct Roof {
  const char *name;
  double rate;
};

struct Dot {
  std::string names, numbers;
  size_t layers = 0;
  double x = 0, y = 0;
};

/// Layers that look alike share one.
using Dots = std::map<std::tuple<int64_t, int64_t, std::string>, Dot>;

void addDot(Dots &dots, const LayerReport &layer, const Work &work, double x, double y) {
  Dot &dot = dots[{std::llround(x), std::llround(y), boundClass(layer.bound())}];
  if (++dot.layers == 1) {
    dot.x = x;
    dot.y = y;
    dot.numbers =
        withPrefix(work.rate(), "OP/s") + ", " +
        (std::isfinite(work.intensity) ? significant(work.intensity) + " operations per DRAM byte"
                                       : "no DRAM traffic") +
        ", bound by " + layer.bound();
  }
  if (dot.layers <= kNames)
    dot.names += layer.name() + " (" + layer.kind() + ")\n";
}

void drawRoofs(Svg &svg, const std::vector<Roof> &roofs, const MachineReport &machine,
               const Decades &across, const Decades &up) {
  const double bandwidth = machine.dram_bandwidth();
  const double foot = std::max(std::pow(10.0, across.first), std::pow(10.0, up.first) / bandwidth);
  svg.path({{across.at(foot), up.at(foot * bandwidth)},
            {across.at(roofs[0].rate / bandwidth), up.at(roofs[0].rate)}},
           "roof");
  double above = -100;
  for (const Roof &roof : roofs) {
    const double y = up.at(roof.rate);
    svg.line(across.at(roof.rate / bandwidth), y, kEnd, y, "roof");
    // Below the one before, if they are near.
    above = std::max(y + 4, above + 13);
    svg.text(kEnd + 6, above, "start", "tick",
             std::string(roof.name) + " " + withPrefix(roof.rate, "OP/s"));
  }
}

void drawGrid(Svg &svg, const Decades &across, const Decades &up) {
  for (int i = up.first; i <= up.last; i += up.step()) {
    const double y = up.at(std::pow(10.0, i));
    svg.line(kLeft, y, kEnd, y, i == up.first ? "axis" : "grid");
    svg.text(kLeft - 8, y + 4, "end", "tick", tickText(std::pow(10.0, i), "OP/s"));
  }
  for (int i = across.first; i <= across.last; i += across.step()) {
    const double x = across.at(std::pow(10.0, i));
    svg.line(x, kTop, x, kFoot, "grid");
    svg.text(x, kFoot + 16, "middle", "tick", powerOfTen(i));
  }
  svg.text(kEnd, kFoot + 30, "end", "tick", "operations per DRAM byte");
}

} // namespace

std::string rooflineChart(const ModuleReport &module, const MachineReport &machine) {
  std::vector<Roof> roofs = {{"8 x 8 bit", machine.operations_8x8()},
                             {"16 x 8 bit", machine.operations_16x8()},
                             {"16 x 16 bit", machine.operations_16x16()},
                             {"vector", machine.vector_elements()}};
  std::ranges::stable_sort(roofs, std::greater(), &Roof::rate);
  const double bandwidth = machine.dram_bandwidth();
  if (!(machine.clock() > 0 && bandwidth > 0 && roofs.back().rate > 0))
    return "";
  double least = roofs.back().rate / bandwidth, most = roofs[0].rate / bandwidth;
  double slowest = roofs.back().rate;
  std::vector<std::pair<const LayerReport *, Work>> works;
  for (const LayerReport &layer : module.layers()) {
    const Work work = workOf(layer, machine);
    if (!(work.operations > 0 && work.seconds > 0))
      continue;
    works.emplace_back(&layer, work);
    slowest = std::min(slowest, work.rate());
    if (std::isfinite(work.intensity)) {
      least = std::min(least, work.intensity);
      most = std::max(most, work.intensity);
    }
  }
  if (works.empty())
    return "";
  // Layers without traffic stand beyond all others.
  const Decades across(least, most * 2, kLeft, kEnd), up(slowest, roofs[0].rate, kFoot, kTop);
  Svg svg(kWidth, kFoot + 36, "roofline of " + module.name());
  drawGrid(svg, across, up);
  drawRoofs(svg, roofs, machine, across, up);
  Dots dots;
  for (const auto &[layer, work] : works)
    addDot(dots, *layer, work, std::isfinite(work.intensity) ? across.at(work.intensity) : kEnd - 4,
           up.at(work.rate()));
  for (const auto &[key, dot] : dots)
    svg.circle(
        dot.x, dot.y, 3.5, std::get<2>(key) + " dot",
        dot.names +
            (dot.layers > kNames ? "and " + std::to_string(dot.layers - kNames) + " more\n" : "") +
            dot.numbers);
  const auto still = static_cast<size_t>(module.layers_size()) - works.size();
  std::string legend = boundLegend() +
                       "<span class=\"key\">slope: " + escapeHtml(withPrefix(bandwidth, "B/s")) +
                       " of DRAM</span>";
  if (still > 0)
    legend += "<span class=\"key\">" + std::to_string(still) +
              (still == 1 ? " layer only moves bytes</span>" : " layers only move bytes</span>");
  return figure("Operations per second against operations per DRAM byte", legend, svg.finish());
}

} // namespace sdopt
