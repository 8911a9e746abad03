//===- Plot.cpp - frame, axis and legend of a chart -------------------------===//

#include "compiler/report/Plot.h"

#include "compiler/report/Numbers.h"

#include <cmath>

namespace sdopt {

namespace {

/// Ticks are round numbers: "50 k", not "50.0 k".
std::string tickText(double value, const char *unit) {
  std::string text = withPrefix(value, unit);
  size_t point = text.find('.'), end = text.find(' ');
  if (point != std::string::npos && text.find_first_not_of('0', point + 1) == end)
    text.erase(point, end - point);
  return text;
}

} // namespace

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

Axis::Axis(double largest) {
  double top = largest > 0 && std::isfinite(largest) ? largest : 1;
  step = tickStep(top);
  maximum = step * std::ceil(top / step);
}

double Axis::height(double value) const {
  return std::clamp(value / maximum, 0.0, 1.0) * (kBase - kTop);
}

void Axis::draw(Svg &svg, const char *unit) const {
  for (int i = 0; i * step <= maximum * (1 + 1e-9); ++i) {
    double y = kBase - height(i * step);
    svg.line(kLeft, y, kRight, y, i == 0 ? "axis" : "grid");
    svg.text(kLeft - 8, y + 4, "end", "tick", i == 0 ? "0" : tickText(i * step, unit));
  }
}

} // namespace sdopt
