#include "compiler/report/PowerChart.h"

#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

std::string hintOf(const TimeEnergy &point) {
  return withPrefix(point.seconds, "s") + ", " + withPrefix(point.joules, "J") + "\n" +
         significant(1 / point.seconds) + " images/s, " + significant(1 / point.joules) +
         " images/s/W";
}

bool isNumber(const TimeEnergy &point) {
  return std::isfinite(point.seconds) && std::isfinite(point.joules) && point.seconds > 0 &&
         point.joules > 0;
}

/// One entry for each point, with the names of all that are there.
std::vector<NamedTimeEnergy> merged(const std::vector<NamedTimeEnergy> &policies) {
  std::vector<NamedTimeEnergy> result;
  for (const NamedTimeEnergy &policy : policies) {
    const auto same = std::find_if(result.begin(), result.end(), [&](const NamedTimeEnergy &other) {
      return other.value.seconds == policy.value.seconds &&
             other.value.joules == policy.value.joules;
    });
    if (same == result.end())
      result.push_back(policy);
    else
      same->name += ", " + policy.name;
  }
  return result;
}

} // namespace

std::string timeEnergyChart(const std::vector<TimeEnergy> &curve,
                            const std::vector<NamedTimeEnergy> &policies) {
  std::vector<TimeEnergy> all = curve;
  for (const NamedTimeEnergy &policy : policies)
    all.push_back(policy.value);
  if (curve.empty() || !std::all_of(all.begin(), all.end(), isNumber))
    return "";
  TimeEnergy most;
  for (const TimeEnergy &point : all) {
    most.seconds = std::max(most.seconds, point.seconds);
    most.joules = std::max(most.joules, point.joules);
  }
  const Axis energy(most.joules), time(most.seconds);
  // Room for a name beside the last mark.
  constexpr double kEnd = kRight - 70;
  auto x = [&](const TimeEnergy &point) {
    return kLeft + (kEnd - kLeft) * point.seconds / time.maximum;
  };
  auto y = [&](const TimeEnergy &point) { return kBase - energy.height(point.joules); };
  const std::string heading = "Energy of a picture against its time, by voltage and clock";
  Svg svg(kWidth, kHeight, heading);
  energy.draw(svg, "J");
  for (int i = 0; i * time.step <= time.maximum * (1 + 1e-9); ++i)
    svg.text(x({i * time.step, 0}), kBase + 16, "middle", "tick",
             i == 0 ? "0" : withPrefix(i * time.step, "s"));
  for (size_t i = 0; i < curve.size(); ++i) {
    if (i > 0)
      svg.line(x(curve[i - 1]), y(curve[i - 1]), x(curve[i]), y(curve[i]), "trace array");
    svg.circle(x(curve[i]), y(curve[i]), 3.5, "array dot", hintOf(curve[i]));
  }
  for (const NamedTimeEnergy &policy : merged(policies)) {
    svg.circle(x(policy.value), y(policy.value), 5, "vector dot",
               policy.name + "\n" + hintOf(policy.value));
    svg.text(x(policy.value) + 8, y(policy.value) - 6, "start", "label", policy.name);
  }
  return figure(
      heading, legendEntry("array", "least energy in the time") + legendEntry("vector", "policies"),
      svg.finish());
}

} // namespace sdopt
