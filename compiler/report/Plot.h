//===- Plot.h - frame, axis and legend of a chart ---------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_REPORT_PLOT_H
#define SDOPT_COMPILER_REPORT_PLOT_H

#include "compiler/report/Svg.h"

#include <algorithm>
#include <array>
#include <string>

namespace sdopt {

inline constexpr double kWidth = 960;
inline constexpr double kLeft = 76;   ///< room for axis labels
inline constexpr double kRight = 950; ///< right end of the plot
inline constexpr double kTop = 14, kBase = 190, kHeight = 214;

std::string figure(const std::string &heading, const std::string &legend,
                   const std::string &picture);
/// What a colour means.
std::string legendEntry(const std::string &cssClass, const std::string &text);

/// 1, 2 or 5 times a power of ten such that at most four steps reach `maximum`.
double tickStep(double maximum);

/// Of a tick: round numbers, "50 k", not "50.0 k".
std::string tickText(double value, const char *unit);

inline constexpr std::array<const char *, 4> kBounds = {"array", "vector", "dram", "latency"};
/// The colour of what bounds a layer. Names come from files: only the known ones become classes.
const char *boundClass(const std::string &bound);
std::string boundLegend();

/// A vertical axis from 0 with horizontal grid lines.
struct Axis {
  double step, maximum, base;
  explicit Axis(double largest, double base = kBase);
  /// Of a value above the base, in pixels.
  double height(double value) const;
  /// `top`: how far below the upper end of the picture the plot begins.
  void draw(Svg &svg, const char *unit, double top = 0) const;
};

/// Where marks stand: equal slots from left to right.
struct Slots {
  double pitch;
  explicit Slots(int count) : pitch((kRight - kLeft) / std::max(count, 1)) {}
  double width() const { return std::min(24.0, pitch > 4 ? pitch - 2 : pitch * 0.85); }
  double left(int i) const { return kLeft + pitch * i + (pitch - width()) / 2; }
  double middle(int i) const { return kLeft + pitch * (i + 0.5); }
};

/// Numbers of some of `count` layers, below the base.
void drawLayerNumbers(Svg &svg, int count, double base = kBase);

/// Its end, with an ellipsis in front, if it has more characters.
std::string shortened(const std::string &name, size_t longest);
/// Pixels that a small text takes, about.
double textWidth(const std::string &text);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_PLOT_H
