//===- ReportHtml.cpp - report.html ---------------------------------------===//

#include "compiler/report/Charts.h"
#include "compiler/report/Numbers.h"
#include "compiler/report/PowerChart.h"
#include "compiler/report/Report.h"
#include "compiler/report/Svg.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace sdopt {

namespace {

// The four bounds keep their colour everywhere; both sets were chosen for their own background.
constexpr const char *kStyle = R"css(
:root{color-scheme:light dark;--page:#f6f6f4;--card:#fcfcfb;--line:#e3e2de;--grid:#ecebe7;--axis:#b5b3ac;--ink:#0b0b0b;--soft:#52514e;--faint:#7a7872;
--array:#2a78d6;--vector:#1baf7a;--dram:#eb6834;--latency:#a3a19a;--reference:#cfcdc6;--bad:#c22f2f}
@media(prefers-color-scheme:dark){:root{--page:#111110;--card:#1a1a19;--line:#333230;--grid:#292826;--axis:#5a5853;--ink:#f4f3f0;--soft:#c3c2b7;--faint:#979489;
--array:#3987e5;--vector:#199e70;--dram:#d95926;--latency:#77756e;--reference:#4a4843;--bad:#ef7070}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1320px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}h2{font-size:18px;margin:36px 0 12px}
.lead{color:var(--soft);margin:0 0 22px;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:14px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:14px 18px}.tile .name{color:var(--soft);font-size:13px}.tile .value{font-size:30px;font-weight:650;line-height:1.25}
.tile .more{color:var(--faint);font-size:13px;overflow-wrap:anywhere}
.card{padding:14px 18px;margin:0 0 14px}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600;vertical-align:bottom}th.t,td.t{text-align:left}td.name{white-space:normal;overflow-wrap:anywhere;min-width:180px}td.wrap{white-space:normal;min-width:120px}
tbody tr:last-child td{border-bottom:0}tbody tr:hover{background:var(--grid)}td small{color:var(--faint)}
figure{margin:0 0 18px;max-width:1080px}figcaption{font-size:13px;font-weight:600;margin-bottom:6px}
.key{font-weight:400;color:var(--soft);margin-left:14px;overflow-wrap:anywhere}.key i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
svg{display:block;width:100%;height:auto}svg text{font:11px system-ui,sans-serif;fill:var(--faint)}svg text.label{font-size:13px;fill:var(--ink)}
svg .grid{stroke:var(--grid)}svg .axis{stroke:var(--axis)}svg .stem{stroke:var(--array);stroke-opacity:.35;stroke-width:1.5}svg .dot{stroke:var(--card);stroke-width:1}
svg .roof{fill:none;stroke:var(--soft);stroke-width:1.3}svg .tensor{fill:var(--array);fill-opacity:.3;stroke:var(--array);stroke-width:.6}
svg .boundary{fill:var(--vector);fill-opacity:.35;stroke:var(--vector);stroke-width:.6}svg .live{fill:none;stroke:var(--ink);stroke-width:1.3}
svg .ceiling{fill:none;stroke:var(--bad);stroke-width:1.3;stroke-dasharray:5 3}svg .lane{fill:var(--grid)}
.key i.tensor{background:var(--array);opacity:.4}.key i.boundary{background:var(--vector);opacity:.45}.key i.live{background:var(--ink);height:3px;vertical-align:middle}
.key i.ceiling{background:var(--bad);height:3px;vertical-align:middle}
svg .trace{stroke-width:1.5;stroke-opacity:.55}svg .trace.array{stroke:var(--array)}svg .trace.vector{stroke:var(--vector)}svg .trace.dram{stroke:var(--dram)}
.array{fill:var(--array);background:var(--array)}.vector{fill:var(--vector);background:var(--vector)}.dram{fill:var(--dram);background:var(--dram)}
.latency{fill:var(--latency);background:var(--latency)}.reference{fill:var(--reference);background:var(--reference)}.limit{fill:var(--ink);background:var(--ink)}
.key i.limit{height:3px;vertical-align:middle}
td .chip{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:6px}
summary{cursor:pointer;font-weight:600;padding:4px 0}details details summary{font-weight:500;color:var(--soft)}
details[open]>summary{margin-bottom:10px}summary .count{color:var(--faint);font-weight:400;margin-left:8px}
ul{margin:6px 0;padding-left:20px}li{overflow-wrap:anywhere;margin:2px 0}.missed{color:var(--bad);font-weight:600}code{font:12px ui-monospace,monospace}
@media print{details>*{display:block}body{background:#fff}}
)css";

std::string cell(const std::string &text) { return "<td>" + text + "</td>"; }
std::string textCell(const std::string &text) {
  return "<td class=\"t name\">" + escapeHtml(text) + "</td>";
}

std::string headerRow(const std::vector<std::string> &names, size_t textColumns) {
  std::string row = "<thead><tr>";
  for (size_t i = 0; i < names.size(); ++i)
    row += std::string("<th") + (i < textColumns ? " class=\"t\"" : "") + ">" + names[i] + "</th>";
  return row + "</tr></thead>\n";
}

std::string ratioOf(double part, double whole) {
  return whole > 0 ? fixed(part / whole, 3) + "x" : "–";
}

std::string psnrText(const ModuleReport &module) {
  return module.samples() > 0 ? decibels(module.psnr()) : "not measured";
}

std::string tile(const std::string &name, const std::string &value, const std::string &more) {
  return "<div class=\"tile\"><div class=\"name\">" + escapeHtml(name) +
         "</div><div class=\"value\">" + escapeHtml(value) + "</div><div class=\"more\">" +
         escapeHtml(more) + "</div></div>\n";
}

std::string tiles(const Report &report) {
  const PipelineReport &pipeline = report.pipeline();
  int64_t fp32 = 0;
  for (const ModuleReport &module : report.modules())
    fp32 += module.fp32_bytes();
  std::string html = "<div class=\"tiles\">\n";
  bool rated = pipeline.images_per_second() > 0;
  std::string steps = std::to_string(pipeline.steps()) + " steps, guidance batch " +
                      std::to_string(pipeline.guidance_batch());
  html +=
      tile("Images per second", rated ? significant(pipeline.images_per_second()) : "not modelled",
           rated ? withPrefix(pipeline.seconds_per_image(), "s") + " per image, " + steps : "");
  html += tile("Images per second per watt",
               rated ? significant(pipeline.images_per_second_per_watt()) : "not modelled",
               rated ? withPrefix(pipeline.joules_per_image(), "J") + " per image at " +
                           withPrefix(pipeline.average_power(), "W")
                     : "");
  html += tile("Package", withPrefix(report.package_bytes(), "B"),
               fp32 > 0 ? ratioOf(report.package_bytes(), fp32) + " of the fp32 weights (" +
                              withPrefix(fp32, "B") + ")"
                        : "");
  const ModuleReport *worst = worstModule(report);
  html += tile("Worst PSNR", worst ? decibels(worst->psnr()) : "not measured",
               worst ? worst->name() + ", " + grouped(worst->samples()) + " samples"
                     : "no samples were given");
  return html + "</div>\n";
}

std::string moduleRow(const ModuleReport &module) {
  std::string psnr = escapeHtml(psnrText(module));
  if (module.samples() > 0 && module.worst_psnr() != 0)
    psnr += "<br><small>worst call " + escapeHtml(decibels(module.worst_psnr())) + "</small>";
  if (module.has_worst_bucket_psnr())
    psnr += "<br><small>worst timesteps " + escapeHtml(decibels(module.worst_bucket_psnr())) +
            "</small>";
  if (module.has_guided_psnr())
    psnr += "<br><small>guided " + escapeHtml(decibels(module.guided_psnr())) + "</small>";
  std::string row = "<tr>" + textCell(module.name());
  row += "<td class=\"t\">" + escapeHtml(module.recipe()) + "</td>";
  row += cell(grouped(module.parameters()) + "<br><small>" + fixed(module.weight_bits(), 2) +
              " bits</small>");
  row += cell(withPrefix(module.package_bytes(), "B") + "<br><small>" +
              ratioOf(module.package_bytes(), module.fp32_bytes()) + " of fp32</small>");
  row += cell(psnr);
  row += cell(withPrefix(module.cycles(), "") + "<br><small>" + withPrefix(module.seconds(), "s") +
              "</small>");
  row += cell(withPrefix(module.energy(), "J"));
  row += cell(withPrefix(module.dram_read_bytes(), "B") + "<br><small>" +
              withPrefix(module.dram_write_bytes(), "B") + " written</small>");
  row += cell(withPrefix(module.sram_peak_bytes(), "B"));
  return row + "</tr>\n";
}

std::string howOften(const std::string &phase) {
  if (phase == "step")
    return "in each step";
  return "once per " + escapeHtml(phase == "schedule" ? "timestep" : phase);
}

std::string phaseTable(const Report &report) {
  std::string rows;
  for (const ModuleReport &module : report.modules())
    for (const PhaseReport &phase : module.phases())
      rows += "<tr>" + textCell(module.name()) + "<td class=\"t\">" + howOften(phase.name()) +
              "</td>" + cell(std::to_string(phase.layers())) +
              cell(withPrefix(phase.weight_bytes(), "B")) + cell(withPrefix(phase.seconds(), "s")) +
              cell(withPrefix(phase.energy(), "J")) + cell(withPrefix(phase.dram_bytes(), "B")) +
              cell(withPrefix(phase.kept_bytes(), "B")) + "</tr>\n";
  if (rows.empty())
    return "";
  return "<h2>What runs how often</h2>\n<div class=\"card scroll\"><table>\n" +
         headerRow(
             {"module", "runs", "layers", "weights", "time", "energy", "DRAM", "kept for later"},
             2) +
         "<tbody>\n" + rows + "</tbody></table></div>\n";
}

std::string moduleTable(const Report &report) {
  std::string html = "<h2>Modules</h2>\n<div class=\"card scroll\"><table>\n" +
                     headerRow({"module", "recipe", "parameters", "package", "PSNR", "cycles",
                                "energy", "DRAM read", "SRAM peak"},
                               2) +
                     "<tbody>\n";
  for (const ModuleReport &module : report.modules())
    html += moduleRow(module);
  return html + "</tbody></table></div>\n";
}

std::string layerRow(const LayerReport &layer) {
  static const std::vector<std::string> kKnown = {"array", "vector", "dram", "latency"};
  std::string bound = escapeHtml(layer.bound());
  for (const std::string &known : kKnown)
    if (layer.bound() == known)
      bound = "<i class=\"chip " + known + "\"></i>" + known;
  std::string bits = layer.weight_bits() > 0 ? "W" + std::to_string(layer.weight_bits()) : "";
  if (layer.activation_bits() > 0)
    bits += "A" + std::to_string(layer.activation_bits());
  // Codes of fewer bits carry scales of groups with them.
  if (layer.stored_weight_bits() > 0)
    bits += "<br><small title=\"" + escapeHtml(layer.weight_form()) + "\">" +
            fixed(layer.stored_weight_bits(), 2) + "</small>";
  return "<tr>" + cell(std::to_string(layer.index())) + textCell(layer.name()) +
         "<td class=\"t\">" + escapeHtml(layer.kind()) + "</td>" + cell(bits) +
         cell(layer.sqnr() != 0 ? escapeHtml(decibels(layer.sqnr())) : "–") +
         cell(layer.isolated_sqnr() != 0 ? escapeHtml(decibels(layer.isolated_sqnr())) : "–") +
         cell(layer.cosine() != 0 ? fixed(layer.cosine(), 5) : "–") +
         cell(grouped(layer.cycles())) + "<td class=\"t\">" + bound + "</td>" +
         cell(grouped(layer.dram_bytes())) +
         cell(runs(layer) ? ratioOf(layer.dram_bytes(), layer.dram_lower_bound_bytes()) : "–") +
         cell(withPrefix(layer.energy(), "J")) + cell(withPrefix(layer.sram_bytes(), "B")) +
         "<td class=\"t wrap\"><code>" + escapeHtml(layer.tiling()) + "</code></td></tr>\n";
}

std::string layerTable(const ModuleReport &module) {
  std::string html =
      "<details><summary>All " + std::to_string(module.layers_size()) + " layers of " +
      escapeHtml(module.name()) +
      "</summary><div class=\"scroll\"><table>\n"
      "<thead><tr><th>#</th><th class=\"t\">layer</th><th "
      "class=\"t\">kind</th><th>bits</th><th>SQNR</th><th>alone</th><th>cosine</th><th>cycles</th>"
      "<th class=\"t\">bound</th><th>DRAM bytes</th><th>of bound</th><th>energy</th><th>SRAM</th>"
      "<th class=\"t\">tiling</th></tr></thead>\n<tbody>\n";
  for (const LayerReport &layer : module.layers())
    html += layerRow(layer);
  return html + "</tbody></table></div></details>\n";
}

std::string moduleSection(const ModuleReport &module, const MachineReport &machine, bool open) {
  std::string facts =
      grouped(module.layers_size()) + " layers, " + grouped(module.commands()) + " commands, " +
      withPrefix(module.macs(), "MAC") +
      (module.skipped_macs() > 0 ? " (" + withPrefix(module.skipped_macs(), "MAC") + " skipped)"
                                 : "") +
      ", DRAM arena " + withPrefix(module.arena_bytes(), "B");
  if (module.arena_lower_bound_bytes() > 0)
    facts += " (" + ratioOf(module.arena_bytes(), module.arena_lower_bound_bytes()) +
             " of the largest live set)";
  return std::string("<details class=\"card\"") + (open ? " open" : "") + "><summary>" +
         escapeHtml(module.name()) + "<span class=\"count\">" + escapeHtml(facts) +
         "</span></summary>\n" + timestepChart(module) + guidanceChart(module) + sqnrChart(module) +
         driftChart(module) + rangeChart(module) + timelineChart(module, machine) +
         rooflineChart(module, machine) + cyclesChart(module) + trafficChart(module) +
         memoryChart(module) + sramChart(module, machine) + layerTable(module) + "</details>\n";
}

/// The module with the most cycles is the one to look at first.
std::string moduleSections(const Report &report) {
  if (report.modules_size() == 0)
    return "";
  int slowest = 0;
  for (int i = 1; i < report.modules_size(); ++i)
    if (report.modules(i).cycles() > report.modules(slowest).cycles())
      slowest = i;
  std::string html = "<h2>Layers</h2>\n";
  for (int i = 0; i < report.modules_size(); ++i)
    html += moduleSection(report.modules(i), report.machine(), i == slowest);
  return html;
}

std::string limitText(const PowerStudy &study) {
  std::string text = study.goal();
  if (study.most_layer_power() > 0)
    text += ", layers at most " + withPrefix(study.most_layer_power(), "W");
  if (study.most_seconds() > 0)
    text += ", at most " + withPrefix(study.most_seconds(), "s");
  return text;
}

std::string spanText(double low, double high, const char *unit) {
  return (low < high ? withPrefix(low, unit) + " to " : "") + withPrefix(high, unit);
}

std::string choiceRow(const PowerChoice &choice) {
  std::string row = "<tr><td class=\"t\">" + escapeHtml(choice.policy()) + "</td>";
  if (!choice.problem().empty())
    return row + "<td class=\"t\" colspan=\"8\" style=\"white-space:normal\">" +
           escapeHtml(choice.problem()) + "</td></tr>\n";
  std::string each; // shown where the pointer rests: modules are many
  double low = HUGE_VAL, high = 0, slow = HUGE_VAL, fast = 0;
  for (const ModuleClockReport &module : choice.modules()) {
    each += module.name() + ": " + fixed(module.voltage(), 2) + " V, " +
            spanText(module.lowest_clock(), module.highest_clock(), "Hz") + "\n";
    low = std::min(low, module.voltage());
    high = std::max(high, module.voltage());
    slow = std::min(slow, module.lowest_clock());
    fast = std::max(fast, module.highest_clock());
  }
  return row + cell(withPrefix(choice.seconds(), "s")) + cell(withPrefix(choice.energy(), "J")) +
         cell(significant(choice.images_per_second())) +
         cell(significant(choice.images_per_second_per_watt())) +
         cell(withPrefix(choice.layer_power(), "W")) + cell(withPrefix(choice.peak_power(), "W")) +
         cell(grouped(choice.clock_switches()) + " + " + grouped(choice.voltage_switches())) +
         "<td class=\"wrap\" title=\"" + escapeHtml(each) + "\">" +
         (low < high ? fixed(low, 2) + " to " : "") + fixed(high, 2) + " V, " +
         spanText(slow, fast, "Hz") + "</td></tr>\n";
}

std::string powerSection(const PowerReport &power) {
  if (power.studies_size() == 0)
    return "";
  std::vector<TimeEnergy> curve;
  for (const PowerPoint &point : power.curve())
    curve.push_back({point.seconds(), point.energy()});
  // What the policies reach under the first goal without limits shows where they stand.
  std::vector<NamedTimeEnergy> marks;
  for (const PowerChoice &choice : power.studies(0).choices())
    if (choice.problem().empty())
      marks.push_back({choice.policy(), {choice.seconds(), choice.energy()}});
  std::string html = "<h2>Voltage and clock</h2>\n<div class=\"card\">\n" +
                     timeEnergyChart(curve, marks) + "<div class=\"scroll\"><table>\n" +
                     headerRow({"policy", "time", "energy", "images/s", "images/s/W", "layer power",
                                "peak", "clock + V changes", "voltage and clocks"},
                               1) +
                     "<tbody>\n";
  for (const PowerStudy &study : power.studies()) {
    html +=
        "<tr><td class=\"t\" colspan=\"9\"><b>" + escapeHtml(limitText(study)) + "</b></td></tr>\n";
    for (const PowerChoice &choice : study.choices())
      html += choiceRow(choice);
  }
  return html + "</tbody></table></div></div>\n";
}

std::string remarkItem(const Remark &remark) {
  std::string html = "<li>";
  if (remark.kind() == Remark::MISSED)
    html += "<span class=\"missed\">missed</span> ";
  if (!remark.module().empty())
    html += escapeHtml(remark.module()) + ": ";
  if (!remark.where().empty())
    html += "<code>" + escapeHtml(remark.where()) + "</code> ";
  return html + escapeHtml(remark.what()) + "</li>\n";
}

/// Passes in the order in which they first spoke.
std::string remarks(const Report &report) {
  if (report.remarks_size() == 0)
    return "";
  std::vector<std::pair<std::string, std::vector<const Remark *>>> groups;
  for (const Remark &remark : report.remarks()) {
    size_t i = 0;
    while (i < groups.size() && groups[i].first != remark.pass())
      ++i;
    if (i == groups.size())
      groups.push_back({remark.pass(), {}});
    groups[i].second.push_back(&remark);
  }
  std::string html = "<h2>Decisions</h2>\n<div class=\"card\">\n";
  for (const auto &[pass, members] : groups) {
    size_t missed = 0;
    for (const Remark *remark : members)
      missed += remark->kind() == Remark::MISSED;
    html += "<details><summary>" + escapeHtml(pass) + "<span class=\"count\">" +
            std::to_string(members.size()) + (members.size() == 1 ? " remark" : " remarks") +
            (missed ? ", " + std::to_string(missed) + " missed" : "") + "</span></summary><ul>\n";
    for (const Remark *remark : members)
      html += remarkItem(*remark);
    html += "</ul></details>\n";
  }
  return html + "</div>\n";
}

std::string assumptions(const Report &report) {
  if (report.assumptions_size() == 0)
    return "";
  std::string html = "<h2>Assumptions</h2>\n<div class=\"card\">Cycles and energy are modelled "
                     "with these constants of the target.\n<ul>\n";
  for (const std::string &assumption : report.assumptions())
    html += "<li>" + escapeHtml(assumption) + "</li>\n";
  return html + "</ul></div>\n";
}

} // namespace

std::string toHtml(const Report &report) {
  std::string lead = "compiled for " + report.target() + " with recipe " + report.recipe() +
                     " by sdopt " + report.version();
  if (!report.target_digest().empty())
    lead += " (target " + report.target_digest().substr(0, 12) + ")";
  std::string charts = boundsChart(report) + weightsChart(report);
  if (!charts.empty())
    charts = "<h2>Where the cycles and bytes go</h2>\n<div class=\"card\">\n" + charts + "</div>\n";
  return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>" +
         escapeHtml(report.model()) + " on " + escapeHtml(report.target()) +
         " - sdopt</title>\n<style>" + kStyle + "</style></head>\n<body><main>\n<h1>" +
         escapeHtml(report.model()) + "</h1>\n<p class=\"lead\">" + escapeHtml(lead) + "</p>\n" +
         tiles(report) + moduleTable(report) + phaseTable(report) + powerSection(report.power()) +
         charts + moduleSections(report) + remarks(report) + assumptions(report) +
         "</main></body></html>\n";
}

} // namespace sdopt
