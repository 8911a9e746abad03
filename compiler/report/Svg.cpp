//===- Svg.cpp - a small SVG writer ---------------------------------------===//

#include "compiler/report/Svg.h"

#include "compiler/report/Numbers.h"

#include <algorithm>

namespace sdopt {

namespace {

/// Two decimals are a fiftieth of a pixel; trailing zeros are dropped.
std::string coordinate(double value) {
  std::string text = fixed(value, 2);
  while (text.back() == '0')
    text.pop_back();
  if (text.back() == '.')
    text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string attribute(const char *name, double value) {
  return std::string(" ") + name + "=\"" + coordinate(value) + "\"";
}

std::string attribute(const char *name, const std::string &value) {
  return std::string(" ") + name + "=\"" + escapeHtml(value) + "\"";
}

} // namespace

std::string escapeHtml(const std::string &text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '"')
      escaped += "&quot;";
    else if (c == '\'')
      escaped += "&#39;";
    else if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f)
      escaped += "\xEF\xBF\xBD";
    else
      escaped += c;
  }
  return escaped;
}

Svg::Svg(double width, double height, const std::string &label) {
  body_ = "<svg viewBox=\"0 0 " + coordinate(width) + " " + coordinate(height) + "\" role=\"img\"" +
          attribute("aria-label", label) + ">\n";
}

void Svg::close(const char *element, const std::string &hint) {
  if (hint.empty())
    body_ += "/>\n";
  else
    body_ += "><title>" + escapeHtml(hint) + "</title></" + element + ">\n";
}

void Svg::rect(double x, double y, double width, double height, const std::string &cssClass,
               const std::string &hint) {
  body_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) +
           attribute("height", height) + attribute("class", cssClass);
  close("rect", hint);
}

void Svg::column(double x, double base, double width, double height, const std::string &cssClass,
                 const std::string &hint) {
  double radius = std::min({3.0, width / 2, height});
  double top = base - height;
  body_ += "<path d=\"M" + coordinate(x) + " " + coordinate(base) + "V" + coordinate(top + radius) +
           "Q" + coordinate(x) + " " + coordinate(top) + " " + coordinate(x + radius) + " " +
           coordinate(top) + "H" + coordinate(x + width - radius) + "Q" + coordinate(x + width) +
           " " + coordinate(top) + " " + coordinate(x + width) + " " + coordinate(top + radius) +
           "V" + coordinate(base) + "Z\"" + attribute("class", cssClass);
  close("path", hint);
}

void Svg::line(double x1, double y1, double x2, double y2, const std::string &cssClass) {
  body_ += "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
           attribute("y2", y2) + attribute("class", cssClass);
  close("line", "");
}

void Svg::path(const std::vector<std::pair<double, double>> &points, const std::string &cssClass,
               const std::string &hint) {
  body_ += "<path d=\"";
  for (size_t i = 0; i < points.size(); ++i) {
    const auto &[x, y] = points[i];
    if (i == 0)
      body_ += "M" + coordinate(x) + " " + coordinate(y);
    else if (y == points[i - 1].second)
      body_ += "H" + coordinate(x);
    else if (x == points[i - 1].first)
      body_ += "V" + coordinate(y);
    else
      body_ += "L" + coordinate(x) + " " + coordinate(y);
  }
  body_ += "\"" + attribute("class", cssClass);
  close("path", hint);
}

void Svg::circle(double x, double y, double radius, const std::string &cssClass,
                 const std::string &hint) {
  body_ += "<circle" + attribute("cx", x) + attribute("cy", y) + attribute("r", radius) +
           attribute("class", cssClass);
  close("circle", hint);
}

void Svg::text(double x, double y, const std::string &anchor, const std::string &cssClass,
               const std::string &content) {
  body_ += "<text" + attribute("x", x) + attribute("y", y) + attribute("text-anchor", anchor) +
           attribute("class", cssClass) + ">" + escapeHtml(content) + "</text>\n";
}

std::string Svg::finish() const { return body_ + "</svg>\n"; }

std::string Svg::standalone(const std::string &style) const {
  const size_t begin = body_.find(' '), end = body_.find('\n') + 1;
  return body_.substr(0, begin) + " xmlns=\"http://www.w3.org/2000/svg\"" +
         body_.substr(begin, end - begin) + "<style>" + style + "</style>\n" + body_.substr(end) +
         "</svg>\n";
}

} // namespace sdopt
