//===- TimelineChart.cpp - what the queues do over a step -------------------===//

#include "compiler/report/Charts.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sdopt {

namespace {

constexpr double kLane = 30, kGap = 8;    ///< heights
constexpr double kStrip = 10, kLine = 14; ///< of the strip of layers, of a line of names
constexpr int kLines = 3;
constexpr size_t kMostNames = 16, kLongestName = 30;

const char *laneName(const std::string &queue) {
  if (queue == "in")
    return "DMA in";
  if (queue == "out")
    return "DMA out";
  return queue == "vector" ? "vector" : "array";
}

const char *laneClass(const std::string &queue) {
  return queue == "array" ? "array" : queue == "vector" ? "vector" : "dram";
}

struct Scale {
  double cycles;
  double at(double cycle) const {
    return kLeft + (kRight - kLeft) * std::clamp(cycle / cycles, 0.0, 1.0);
  }
};

/// The share of each column in which the queue works, as one skyline.
void drawLane(Svg &svg, const TimelineLane &lane, const TimelineReport &timeline, double top) {
  const Scale scale{static_cast<double>(timeline.cycles())};
  const double base = top + kLane;
  svg.rect(kLeft, top, kRight - kLeft, kLane, "lane");
  const int columns = lane.busy_cycles_size();
  auto edge = [&](int i) {
    return std::floor(static_cast<double>(timeline.cycles()) * i / columns);
  };
  std::vector<std::pair<double, double>> points = {{kLeft, base}};
  double busy = 0;
  for (int i = 0; i < columns; ++i) {
    const double share = lane.busy_cycles(i) / std::max(edge(i + 1) - edge(i), 1.0);
    const double y = base - kLane * std::clamp(share, 0.0, 1.0);
    busy += lane.busy_cycles(i);
    if (points.back().second != y) {
      points.emplace_back(scale.at(edge(i)), points.back().second);
      points.emplace_back(scale.at(edge(i)), y);
    }
  }
  points.emplace_back(kRight, points.back().second);
  points.emplace_back(kRight, base);
  const double share = 100 * busy / static_cast<double>(timeline.cycles());
  svg.path(points, laneClass(lane.queue()),
           std::string(laneName(lane.queue())) + ": works in " + fixed(share, 1) + " % of cycles");
  svg.text(kLeft - 8, top + 13, "end", "tick", laneName(lane.queue()));
  svg.text(kLeft - 8, top + 26, "end", "tick", fixed(share, 0) + " %");
}

std::string hintOf(const LayerReport &layer) {
  return layer.name() + " (" + layer.kind() + ")\n" + grouped(layer.cycles()) +
         " cycles, bound by " + layer.bound();
}

/// Names on the first line that has room for them, the longest layers first.
class NameLines {
public:
  explicit NameLines(double top) : top_(top) {}

  bool add(Svg &svg, const std::string &name, double middle) {
    const std::string text = shortened(name, kLongestName);
    const double width = textWidth(text);
    const double left = std::clamp(middle - width / 2, kLeft, kRight - width);
    for (int line = 0; line < kLines; ++line) {
      if (!isFree(line, left, left + width) || !isReached(line, middle))
        continue;
      taken_[line].emplace_back(left, left + width);
      const double y = top_ + kLine * (line + 1);
      svg.line(middle, top_, middle, y - 9, "axis");
      svg.text(left, y, "start", "tick", text);
      pointers_.push_back({middle, line});
      return true;
    }
    return false;
  }

private:
  /// Neither a name nor a pointer to a line below is there.
  bool isFree(int line, double left, double right) const {
    return std::ranges::none_of(taken_[line],
                                [&](const auto &other) {
                                  return left < other.second + 8 && other.first < right + 8;
                                }) &&
           std::ranges::none_of(pointers_, [&](const auto &pointer) {
             return pointer.second > line && left < pointer.first + 4 && pointer.first < right + 4;
           });
  }
  /// No name above is in the way of the pointer.
  bool isReached(int line, double middle) const {
    for (int above = 0; above < line; ++above)
      for (const auto &[from, to] : taken_[above])
        if (middle > from - 2 && middle < to + 2)
          return false;
    return true;
  }

  double top_;
  std::vector<std::pair<double, double>> taken_[kLines];
  std::vector<std::pair<double, int>> pointers_;
};

/// Layers of the phase that take time, those that are too narrow to see left out.
std::vector<const LayerReport *> layersOf(const ModuleReport &module, int first) {
  std::vector<const LayerReport *> layers;
  for (int i = first; i < module.layers_size(); ++i)
    if (module.layers(i).cycles() > 0)
      layers.push_back(&module.layers(i));
  return layers;
}

} // namespace

std::string timelineChart(const ModuleReport &module, const MachineReport &machine) {
  const TimelineReport &timeline = module.timeline();
  if (timeline.cycles() <= 0 || timeline.lanes_size() == 0 || !(machine.clock() > 0))
    return "";
  const double strip = kTop + timeline.lanes_size() * (kLane + kGap);
  const double names = strip + kStrip, foot = names + kLines * kLine + 8;
  Svg svg(kWidth, foot + 20, "timeline of " + module.name());
  double top = kTop;
  for (const TimelineLane &lane : timeline.lanes()) {
    drawLane(svg, lane, timeline, top);
    top += kLane + kGap;
  }
  // Layers of earlier phases come first.
  int first = 0;
  for (const PhaseReport &phase : module.phases())
    if (phase.name() != timeline.phase())
      first += phase.layers();
  const Scale scale{static_cast<double>(timeline.cycles())};
  std::vector<const LayerReport *> layers = layersOf(module, first);
  svg.text(kLeft - 8, strip + 9, "end", "tick", "layers");
  svg.rect(kLeft, strip, kRight - kLeft, kStrip, "lane");
  constexpr double kLeast = 0.8; // pixels
  for (const LayerReport *layer : layers) {
    const double from = scale.at(static_cast<double>(layer->first_cycle()));
    const double to =
        scale.at(static_cast<double>(layer->first_cycle()) + static_cast<double>(layer->cycles()));
    if (to - from >= kLeast)
      svg.rect(from, strip, to - from - (to - from > 3 ? 0.6 : 0), kStrip,
               boundClass(layer->bound()), hintOf(*layer));
  }
  std::ranges::stable_sort(layers, std::greater(), &LayerReport::cycles);
  layers.resize(std::min(layers.size(), kMostNames));
  NameLines lines(names);
  for (const LayerReport *layer : layers)
    lines.add(svg, layer->name(),
              scale.at(static_cast<double>(layer->first_cycle()) +
                       static_cast<double>(layer->cycles()) / 2));
  svg.line(kLeft, foot, kRight, foot, "axis");
  const double seconds = static_cast<double>(timeline.cycles()) / machine.clock();
  const double step = tickStep(seconds);
  for (int i = 0; i * step <= seconds * (1 + 1e-9); ++i)
    svg.text(kLeft + (kRight - kLeft) * std::min(i * step / seconds, 1.0), foot + 14,
             i * step > 0.97 * seconds ? "end" : "middle", "tick",
             i == 0 ? "0" : tickText(i * step, "s"));
  const std::string what = module.phases_size() > 0 ? "Timeline of a step" : "Timeline of a run";
  return figure(what + ": share of the time in which each queue works",
                boundLegend() + "<span class=\"key\">strip: layers by what bounds them, the "
                                "longest named</span>",
                svg.finish());
}

} // namespace sdopt
