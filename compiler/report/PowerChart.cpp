#include "compiler/report/PowerChart.h"

#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
};

bool overlap(const Box &a, const Box &b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

Box around(double x, double y, double radius) {
  return {x - radius, y - radius, x + radius, y + radius};
}

/// Puts names beside their marks where they hide neither marks nor each other.
class Labels {
public:
  explicit Labels(std::vector<Box> marks) : taken_(std::move(marks)) {}

  void draw(Svg &svg, double x, double y, const std::string &text) {
    constexpr double kCharacter = 7.2, kAscent = 11, kDescent = 3, kRow = 15;
    const double width = kCharacter * static_cast<double>(text.size());
    for (int row = 0; row < 8; ++row)
      for (const double below : {y - 6 - kRow * row, y + 15 + kRow * row})
        for (const bool isRight : {true, false}) {
          const double left = isRight ? x + 8 : x - 8 - width;
          const Box box = {left, below - kAscent, left + width, below + kDescent};
          if (box.left < kLeft || box.right > kWidth || box.top < 0 || box.bottom > kBase ||
              std::ranges::any_of(taken_, [&](const Box &other) { return overlap(box, other); }))
            continue;
          taken_.push_back(box);
          return svg.text(isRight ? x + 8 : x - 8, below, isRight ? "start" : "end", "label", text);
        }
    svg.text(x + 8, y - 6, "start", "label", text);
  }

private:
  std::vector<Box> taken_;
};

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
  std::vector<Box> marks;
  for (const TimeEnergy &point : curve)
    marks.push_back(around(x(point), y(point), 3.5));
  const std::vector<NamedTimeEnergy> named = merged(policies);
  for (const NamedTimeEnergy &policy : named) {
    svg.circle(x(policy.value), y(policy.value), 5, "vector dot",
               policy.name + "\n" + hintOf(policy.value));
    marks.push_back(around(x(policy.value), y(policy.value), 5));
  }
  Labels labels(std::move(marks));
  for (const NamedTimeEnergy &policy : named)
    labels.draw(svg, x(policy.value), y(policy.value), policy.name);
  return figure(
      heading, legendEntry("array", "least energy in the time") + legendEntry("vector", "policies"),
      svg.finish());
}

} // namespace sdopt
