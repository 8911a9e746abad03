//===- TimestepCharts.cpp - quality over the denoising steps ----------------===//

#include "compiler/report/Charts.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <cmath>
#include <functional>
#include <vector>

namespace sdopt {

namespace {

/// Absent where it was not measured or is infinite.
struct Series {
  const char *cssClass, *name;
  std::function<bool(const TimestepReport &)> isKnown;
  std::function<double(const TimestepReport &)> value;
};

/// Points joined by lines, the timesteps in ascending order.
std::string chart(const ModuleReport &module, const std::string &heading,
                  const std::vector<Series> &all) {
  const auto &timesteps = module.timesteps();
  auto isDrawn = [](const Series &series, const TimestepReport &timestep) {
    return series.isKnown(timestep) && std::isfinite(series.value(timestep));
  };
  double maximum = 0;
  for (const Series &series : all)
    for (const TimestepReport &timestep : timesteps)
      if (isDrawn(series, timestep))
        maximum = std::max(maximum, series.value(timestep));
  if (maximum <= 0)
    return "";
  Svg svg(kWidth, kHeight, heading + " of " + module.name());
  Axis axis(maximum);
  axis.draw(svg, "dB");
  Slots slots(timesteps.size());
  std::string legend;
  for (const Series &series : all) {
    legend += legendEntry(series.cssClass, series.name);
    for (int i = 0; i < timesteps.size(); ++i) {
      if (!isDrawn(series, timesteps[i]))
        continue;
      double y = kBase - axis.height(series.value(timesteps[i]));
      if (i > 0 && isDrawn(series, timesteps[i - 1]))
        svg.line(slots.middle(i - 1), kBase - axis.height(series.value(timesteps[i - 1])),
                 slots.middle(i), y, std::string("trace ") + series.cssClass);
      std::string hint = "timestep " + timestepText(timesteps[i].first(), timesteps[i].last()) +
                         ", " + std::to_string(timesteps[i].calls()) + " calls\n" + series.name +
                         " " + decibels(series.value(timesteps[i]));
      if (timesteps[i].has_guidance_cosine())
        hint += "\ncosine of c - u " + fixed(timesteps[i].guidance_cosine(), 4);
      svg.circle(slots.middle(i), y, 3.5, std::string(series.cssClass) + " dot", hint);
    }
  }
  int step = std::max(1, timesteps.size() / 10);
  for (int i = 0; i < timesteps.size() - 1; i += step)
    svg.text(slots.middle(i), kBase + 16, "middle", "tick",
             timestepText(timesteps[i].first(), timesteps[i].first()));
  svg.text(kRight, kBase + 16, "end", "tick", "timestep");
  return figure(heading, legend, svg.finish());
}

} // namespace

std::string timestepChart(const ModuleReport &module) {
  auto always = [](const TimestepReport &) { return true; };
  return chart(module, "PSNR by timestep",
               {{"array", "all calls", always, [](auto &t) { return t.psnr(); }},
                {"dram", "worst call", always, [](auto &t) { return t.worst_psnr(); }},
                {"vector", "guided: u + 5 (c - u)", [](auto &t) { return t.has_guided_psnr(); },
                 [](auto &t) { return t.guided_psnr(); }}});
}

std::string guidanceChart(const ModuleReport &module) {
  return chart(
      module, "Signal of guidance by timestep, against the reference",
      {{"vector", "SQNR of conditional minus unconditional",
        [](auto &t) { return t.has_guidance_sqnr(); }, [](auto &t) { return t.guidance_sqnr(); }}});
}

} // namespace sdopt
