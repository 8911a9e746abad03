//===- RangeCharts.cpp - ranges over the denoising steps --------------------===//

#include "compiler/report/Charts.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sdopt {

namespace {

constexpr const char *kColours[] = {"array", "vector", "dram"};

double magnitude(const ValueRange &range) {
  return std::max(std::fabs(range.min()), std::fabs(range.max()));
}

double largestOf(const LayerReport &layer) {
  double largest = 0;
  for (const ValueRange &range : layer.ranges())
    largest = std::max(largest, magnitude(range));
  return largest;
}

/// Of the largest over all buckets, %.
double share(const LayerReport &layer, int bucket) {
  return 100 * magnitude(layer.ranges(bucket)) / largestOf(layer);
}

double leastShare(const LayerReport &layer) {
  double least = 100;
  for (int i = 0; i < layer.ranges_size(); ++i)
    least = std::min(least, share(layer, i));
  return least;
}

std::string interval(const TimestepInterval &timesteps) {
  return timestepText(timesteps.first(), timesteps.last());
}

std::string hint(const ModuleReport &module, const LayerReport &layer, int bucket) {
  const ValueRange &range = layer.ranges(bucket);
  return layer.name() + "\ntimesteps " + interval(module.range_timesteps(bucket)) + "\n" +
         significant(range.min()) + " to " + significant(range.max()) + ", root mean square " +
         significant(range.rms());
}

/// Layers whose ranges are known, in order of execution.
std::vector<int> knownLayers(const ModuleReport &module) {
  std::vector<int> known;
  for (int i = 0; i < module.layers_size(); ++i) {
    const LayerReport &layer = module.layers(i);
    if (layer.ranges_size() == module.range_timesteps_size() && layer.ranges_size() > 1 &&
        largestOf(layer) > 0 && std::isfinite(largestOf(layer)))
      known.push_back(i);
  }
  return known;
}

} // namespace

std::string driftChart(const ModuleReport &module) {
  const std::vector<int> known = knownLayers(module);
  if (known.empty())
    return "";
  Svg svg(kWidth, kHeight, "Range of each layer by timestep of " + module.name());
  Axis axis(100);
  axis.draw(svg, "%");
  Slots slots(module.layers_size());
  const double radius = std::clamp(slots.pitch * 0.4, 2.0, 4.0);
  const int last = module.range_timesteps_size() - 1;
  for (int i : known) {
    const LayerReport &layer = module.layers(i);
    svg.line(slots.middle(i), kBase - axis.height(leastShare(layer)), slots.middle(i),
             kBase - axis.height(100), "stem");
    for (int bucket : {last, 0})
      svg.circle(slots.middle(i), kBase - axis.height(share(layer, bucket)), radius,
                 std::string(kColours[bucket == 0 ? 0 : 1]) + " dot", hint(module, layer, bucket));
  }
  svg.text(kRight, kBase + 16, "end", "tick", "layers in order of execution");
  const std::string legend =
      legendEntry(kColours[0], "timesteps " + interval(module.range_timesteps(0))) +
      legendEntry(kColours[1], "timesteps " + interval(module.range_timesteps(last))) +
      "<span class=\"key\">line: from the least to the largest bucket</span>";
  return figure("Range of each layer's output by timestep, of its largest magnitude", legend,
                svg.finish());
}

std::string rangeChart(const ModuleReport &module) {
  std::vector<int> known = knownLayers(module);
  if (known.empty())
    return "";
  std::ranges::stable_sort(known, {}, [&](int i) { return leastShare(module.layers(i)); });
  known.resize(std::min(known.size(), std::size(kColours)));
  Svg svg(kWidth, kHeight, "Range against timestep of " + module.name());
  Axis axis(100);
  axis.draw(svg, "%");
  Slots slots(module.range_timesteps_size());
  std::string legend;
  for (size_t k = 0; k < known.size(); ++k) {
    const LayerReport &layer = module.layers(known[k]);
    legend += legendEntry(kColours[k], layer.name() + ", at most " + significant(largestOf(layer)));
    for (int bucket = 0; bucket < layer.ranges_size(); ++bucket) {
      const double y = kBase - axis.height(share(layer, bucket));
      if (bucket > 0)
        svg.line(slots.middle(bucket - 1), kBase - axis.height(share(layer, bucket - 1)),
                 slots.middle(bucket), y, std::string("trace ") + kColours[k]);
      svg.circle(slots.middle(bucket), y, 4, std::string(kColours[k]) + " dot",
                 hint(module, layer, bucket));
    }
  }
  for (int bucket = 0; bucket < module.range_timesteps_size(); ++bucket)
    svg.text(slots.middle(bucket), kBase + 16, "middle", "tick",
             interval(module.range_timesteps(bucket)));
  return figure("Range against timestep where it drifts most, of its largest magnitude", legend,
                svg.finish());
}

} // namespace sdopt
