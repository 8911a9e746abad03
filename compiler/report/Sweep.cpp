//===- Sweep.cpp - cost against budget, for people ------------------------===//

#include "compiler/report/Sweep.h"

#include "compiler/report/Numbers.h"
#include "compiler/report/Plot.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace sdopt {

namespace {

constexpr const char *kColours[] = {"array", "vector", "dram", "latency"};

constexpr const char *kStyle = R"css(
text{font:11px system-ui,sans-serif;fill:#7a7872}.label{font-size:13px;fill:#0b0b0b}.grid{stroke:#ecebe7}.axis{stroke:#b5b3ac}.page{fill:#fcfcfb}
.array{fill:#2a78d6;stroke:#2a78d6}.vector{fill:#1baf7a;stroke:#1baf7a}.dram{fill:#eb6834;stroke:#eb6834}.latency{fill:#a3a19a;stroke:#a3a19a}.trace{fill:none;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#979489}.label{fill:#f4f3f0}.grid{stroke:#292826}.axis{stroke:#5a5853}.page{fill:#1a1a19}
.array{fill:#3987e5;stroke:#3987e5}.vector{fill:#199e70;stroke:#199e70}.dram{fill:#d95926;stroke:#d95926}.latency{fill:#77756e;stroke:#77756e}.trace{fill:none}}
)css";

/// What one panel shows of a module.
struct Measure {
  const char *name, *unit;
  double (*value)(const SweepModule &);
};

constexpr std::array<Measure, 3> kMeasures = {
    {{"time", "s", [](const SweepModule &module) { return module.seconds(); }},
     {"DRAM bytes", "B",
      [](const SweepModule &module) { return static_cast<double>(module.dram_bytes()); }},
     {"energy", "J", [](const SweepModule &module) { return module.energy(); }}}};

constexpr double kPanel = kHeight + 24;

class Panels {
public:
  explicit Panels(const SweepReport &sweep)
      : sweep_(sweep), svg_(kWidth, kPanel * kMeasures.size() + 30,
                            "cost against " + sweep.field() + " of " + sweep.target()) {}

  std::string draw() {
    svg_.rect(0, 0, kWidth, kPanel * kMeasures.size() + 30, "page");
    drawNames();
    for (size_t i = 0; i < kMeasures.size(); ++i)
      drawPanel(kMeasures[i], 30 + kPanel * static_cast<double>(i));
    return svg_.standalone(kStyle);
  }

private:
  void drawNames() {
    double x = kLeft;
    svg_.text(8, 18, "start", "label", sweep_.field());
    for (int m = 0; m < sweep_.points(0).modules_size(); ++m) {
      const std::string name = shortened(sweep_.points(0).modules(m).name(), 24);
      svg_.rect(x + 60, 8, 10, 10, kColours[m % 4]);
      svg_.text(x + 76, 18, "start", "label", name);
      x += 40 + 1.3 * textWidth(name);
    }
  }

  double at(int point) const {
    const double low = std::log2(sweep_.points(0).number());
    const double high = std::log2(sweep_.points(sweep_.points_size() - 1).number());
    const double share =
        high > low ? (std::log2(sweep_.points(point).number()) - low) / (high - low) : 0.5;
    return kLeft + 40 + (kRight - kLeft - 80) * share;
  }

  void drawPanel(const Measure &measure, double top) {
    double most = 0;
    for (const SweepPoint &point : sweep_.points())
      for (const SweepModule &module : point.modules())
        if (module.problem().empty())
          most = std::max(most, measure.value(module));
    const Axis axis(most);
    axis.draw(svg_, measure.unit, top);
    svg_.text(kRight, top + kTop - 3, "end", "label", measure.name);
    double end = -100;
    for (int i = 0; i < sweep_.points_size(); ++i) {
      const std::string text = sweep_.points(i).value();
      const double width = textWidth(text);
      if (at(i) - width / 2 < end + 8)
        continue;
      end = at(i) + width / 2;
      svg_.text(at(i), top + kBase + 16, "middle", "tick", text);
    }
    for (int m = 0; m < sweep_.points(0).modules_size(); ++m)
      drawModule(measure, axis, m, top);
  }

  void drawModule(const Measure &measure, const Axis &axis, int m, double top) {
    std::vector<std::pair<double, double>> line;
    for (int i = 0; i < sweep_.points_size(); ++i) {
      const SweepModule &module = sweep_.points(i).modules(m);
      if (!module.problem().empty())
        continue;
      const double y = top + kBase - axis.height(measure.value(module));
      line.emplace_back(at(i), y);
      svg_.circle(at(i), y, 3.5, kColours[m % 4],
                  module.name() + " with " + sweep_.points(i).value() + "\n" +
                      withPrefix(measure.value(module), measure.unit));
    }
    if (line.size() > 1)
      svg_.path(line, std::string(kColours[m % 4]) + " trace");
  }

  const SweepReport &sweep_;
  Svg svg_;
};

std::string json(const SweepReport &sweep) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(sweep, &text, options);
  return status.ok() ? text : "{}\n";
}

/// Columns of equal width, names left, numbers right.
std::string rowText(const std::vector<std::string> &cells) {
  std::string row;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string blanks(cells[i].size() < 13 ? 13 - cells[i].size() : 0, ' ');
    row += (i ? " " : "") + (i < 2 ? cells[i] + blanks : blanks + cells[i]);
  }
  return row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
}

} // namespace

std::string sweepTable(const SweepReport &sweep) {
  std::string table =
      rowText({sweep.field(), "module", "ms", "floor ms", "cycles", "DRAM MB", "SRAM KiB", "mJ"});
  std::string problems;
  for (const SweepPoint &point : sweep.points()) {
    for (const SweepModule &module : point.modules()) {
      if (!module.problem().empty()) {
        table += rowText({point.value(), module.name(), "-", "-", "-", "-", "-", "-"});
        problems += point.value() + ", " + module.name() + ": " + module.problem() + "\n";
        continue;
      }
      table += rowText({point.value(), module.name(), fixed(module.seconds() * 1e3, 3),
                        fixed(module.floor_seconds() * 1e3, 3), std::to_string(module.cycles()),
                        fixed(static_cast<double>(module.dram_bytes()) / 1e6, 2),
                        fixed(static_cast<double>(module.sram_peak_bytes()) / 1024, 0),
                        fixed(module.energy() * 1e3, 3)});
    }
    if (point.pipeline().seconds_per_image() > 0)
      table +=
          rowText({point.value(), "picture", fixed(point.pipeline().seconds_per_image() * 1e3, 3),
                   "", "", "", "", fixed(point.pipeline().joules_per_image() * 1e3, 3)});
  }
  return table + problems;
}

std::string sweepSvg(const SweepReport &sweep) {
  return sweep.points_size() == 0 ? "" : Panels(sweep).draw();
}

absl::Status writeSweep(const SweepReport &sweep, const std::string &folder,
                        std::vector<std::unique_ptr<AtomicFile>> &files) {
  if (absl::Status status = makeFolder(folder); !status.ok())
    return status;
  auto data = AtomicFile::create(folder + "/sweep.json");
  auto picture = AtomicFile::create(folder + "/sweep.svg");
  for (const absl::Status &status : {data.status(), picture.status()})
    if (!status.ok())
      return status;
  absl::Status status = (*data)->write(json(sweep));
  if (status.ok())
    status = (*picture)->write(sweepSvg(sweep));
  files.push_back(*std::move(data));
  files.push_back(*std::move(picture));
  return status;
}

} // namespace sdopt
