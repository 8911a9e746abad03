//===- Plot.h - frame, axis and legend of a chart ---------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_REPORT_PLOT_H
#define SDOPT_COMPILER_REPORT_PLOT_H

#include "compiler/report/Svg.h"

#include <algorithm>
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

/// A vertical axis from 0 with horizontal grid lines.
struct Axis {
  double step, maximum;
  explicit Axis(double largest);
  /// Of a value above the base, in pixels.
  double height(double value) const;
  void draw(Svg &svg, const char *unit) const;
};

/// Where marks stand: equal slots from left to right.
struct Slots {
  double pitch;
  explicit Slots(int count) : pitch((kRight - kLeft) / std::max(count, 1)) {}
  double width() const { return std::min(24.0, pitch > 4 ? pitch - 2 : pitch * 0.85); }
  double left(int i) const { return kLeft + pitch * i + (pitch - width()) / 2; }
  double middle(int i) const { return kLeft + pitch * (i + 0.5); }
};

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_PLOT_H
