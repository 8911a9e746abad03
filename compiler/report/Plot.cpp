//===- Plot.cpp - frame, axis and legend of a chart -------------------------===//

#include "compiler/report/Plot.h"

#include "compiler/report/Numbers.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

bool beginsCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

} // namespace

std::string tickText(double value, const char *unit) {
  std::string text = withPrefix(value, unit);
  size_t point = text.find('.'), end = text.find(' ');
  if (point != std::string::npos && text.find_first_not_of('0', point + 1) == end)
    text.erase(point, end - point);
  return text;
}

const char *boundClass(const std::string &bound) {
  for (const char *known : kBounds)
    if (bound == known)
      return known;
  return "latency";
}

std::string boundLegend() {
  std::string legend;
  for (const char *bound : kBounds)
    legend += legendEntry(bound, std::string(bound) == "dram" ? "DRAM" : bound);
  return legend;
}

std::string shortened(const std::string &name, size_t longest) {
  const auto characters = static_cast<size_t>(std::ranges::count_if(name, beginsCharacter));
  if (characters <= longest)
    return name;
  size_t at = 0;
  for (size_t left = characters - longest + 1; left > 0; --left)
    for (++at; at < name.size() && !beginsCharacter(name[at]);)
      ++at;
  return "…" + name.substr(at);
}

double textWidth(const std::string &text) {
  return 6.2 * static_cast<double>(std::ranges::count_if(text, beginsCharacter));
}

std::string figure(const std::string &heading, const std::string &legend,
                   const std::string &picture) {
  return "<figure>\n<figcaption>" + escapeHtml(heading) + legend + "</figcaption>\n" + picture +
         "</figure>\n";
}

std::string legendEntry(const std::string &cssClass, const std::string &text) {
  return "<span class=\"key\"><i class=\"" + cssClass + "\"></i>" + escapeHtml(text) + "</span>";
}

double tickStep(double maximum) {
  double step = 1;
  while (step * 4 < maximum)
    step *= 10;
  while (step * 4 / 10 >= maximum)
    step /= 10;
  for (double divisor : {5.0, 2.0})
    if (step / divisor * 4 >= maximum)
      return step / divisor;
  return step;
}

Axis::Axis(double largest, double base) : base(base) {
  double top = largest > 0 && std::isfinite(largest) ? largest : 1;
  step = tickStep(top);
  maximum = step * std::ceil(top / step);
}

double Axis::height(double value) const {
  return std::clamp(value / maximum, 0.0, 1.0) * (base - kTop);
}

void Axis::draw(Svg &svg, const char *unit, double top) const {
  for (int i = 0; i * step <= maximum * (1 + 1e-9); ++i) {
    double y = top + base - height(i * step);
    svg.line(kLeft, y, kRight, y, i == 0 ? "axis" : "grid");
    svg.text(kLeft - 8, y + 4, "end", "tick", i == 0 ? "0" : tickText(i * step, unit));
  }
}

void drawLayerNumbers(Svg &svg, int count, double base) {
  const Slots slots(count);
  const double step = std::max(1.0, tickStep(count / 2.5));
  const double end = kRight - 40; // where the name of the axis begins
  for (int i = 0; i < count && slots.middle(i) < end; i += static_cast<int>(step))
    svg.text(slots.middle(i), base + 16, "middle", "tick", std::to_string(i));
  svg.text(kRight, base + 16, "end", "tick", "layer");
}

} // namespace sdopt
