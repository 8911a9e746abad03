//===- Svg.h - a small SVG writer -------------------------------*- C++ -*-===//
//
// Shapes as text, coordinates in CSS pixels with the origin at the top left. Colours are CSS
// classes, so that the page decides how they look in light and dark. Numbers never depend on the
// locale; all text is escaped here.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REPORT_SVG_H
#define SDOPT_COMPILER_REPORT_SVG_H

#include <string>
#include <utility>
#include <vector>

namespace sdopt {

/// & < > " ' as entities; control characters (not allowed in HTML) as U+FFFD.
std::string escapeHtml(const std::string &text);

class Svg {
public:
  /// `label` is read aloud instead of the picture.
  Svg(double width, double height, const std::string &label);

  /// `hint` is shown when the pointer rests on the shape; empty: none.
  void rect(double x, double y, double width, double height, const std::string &cssClass,
            const std::string &hint = "");
  /// A column that grows from `base` up, rounded at its upper end.
  void column(double x, double base, double width, double height, const std::string &cssClass,
              const std::string &hint = "");
  void line(double x1, double y1, double x2, double y2, const std::string &cssClass);
  /// Straight lines from point to point; the class decides whether the inside is filled.
  void path(const std::vector<std::pair<double, double>> &points, const std::string &cssClass,
            const std::string &hint = "");
  void circle(double x, double y, double radius, const std::string &cssClass,
              const std::string &hint = "");
  /// `anchor`: "start", "middle", "end".
  void text(double x, double y, const std::string &anchor, const std::string &cssClass,
            const std::string &content);

  /// The finished <svg> element.
  std::string finish() const;
  /// A file of its own, with the style that its classes have.
  std::string standalone(const std::string &style) const;

private:
  void close(const char *element, const std::string &hint);
  std::string body_;
};

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_SVG_H
