//===- Baseline.cpp - what became worse -----------------------------------===//

#include "compiler/report/Gates.h"
#include "compiler/report/Numbers.h"

#include <map>

namespace sdopt {

namespace {

/// Compares the metrics of one thing (package, module, layer) and collects what is worse.
class Comparer {
public:
  Comparer(const BaselineTolerances &tolerances, std::vector<Regression> &found)
      : tolerances_(tolerances), found_(found) {}

  std::string module, layer;

  /// Decibels: more is better. A baseline of 0 was not measured; losing a measurement is a
  /// regression.
  void quality(const char *metric, double before, double after) {
    // The negated comparison also catches a value that is not a number.
    if (before != 0 && !(after >= before - tolerances_.decibels))
      add(RegressionKind::Worse, metric, before, after);
  }

  /// Cycles, bytes, joules: less is better.
  void cost(const char *metric, double before, double after) {
    if (!(after <= before * (1 + tolerances_.relative)))
      add(RegressionKind::Worse, metric, before, after);
  }

  void add(RegressionKind kind, const char *metric = "", double before = 0, double after = 0) {
    found_.push_back({kind, module, layer, metric, before, after});
  }

private:
  const BaselineTolerances &tolerances_;
  std::vector<Regression> &found_;
};

template <typename Message, typename Range>
std::map<std::string, const Message *> byName(const Range &range) {
  std::map<std::string, const Message *> index;
  for (const Message &message : range)
    index.emplace(message.name(), &message);
  return index;
}

void compareLayer(Comparer &comparer, const LayerReport &before, const LayerReport &after) {
  comparer.quality("sqnr", before.sqnr(), after.sqnr());
  comparer.cost("cycles", before.cycles(), after.cycles());
  comparer.cost("dram_bytes", before.dram_bytes(), after.dram_bytes());
  comparer.cost("weight_bytes", before.weight_bytes(), after.weight_bytes());
  comparer.cost("sram_bytes", before.sram_bytes(), after.sram_bytes());
  comparer.cost("energy", before.energy(), after.energy());
}

void compareLayers(Comparer &comparer, const ModuleReport &before, const ModuleReport &after) {
  auto beforeByName = byName<LayerReport>(before.layers());
  auto afterByName = byName<LayerReport>(after.layers());
  for (const LayerReport &layer : after.layers()) {
    comparer.layer = layer.name();
    auto match = beforeByName.find(layer.name());
    if (match == beforeByName.end())
      comparer.add(RegressionKind::New);
    else
      compareLayer(comparer, *match->second, layer);
  }
  for (const LayerReport &layer : before.layers())
    if (!afterByName.count(layer.name())) {
      comparer.layer = layer.name();
      comparer.add(RegressionKind::Missing);
    }
  comparer.layer.clear();
}

void compareModule(Comparer &comparer, const ModuleReport &before, const ModuleReport &after) {
  if (before.samples() > 0) {
    comparer.quality("psnr", before.psnr(), after.samples() > 0 ? after.psnr() : 0);
    comparer.quality("worst_psnr", before.worst_psnr(),
                     after.samples() > 0 ? after.worst_psnr() : 0);
  }
  if (before.has_worst_bucket_psnr())
    comparer.quality("worst_bucket_psnr", before.worst_bucket_psnr(), after.worst_bucket_psnr());
  if (before.has_guided_psnr()) {
    comparer.quality("guided_psnr", before.guided_psnr(), after.guided_psnr());
    comparer.quality("guidance_sqnr", before.guidance_sqnr(), after.guidance_sqnr());
  }
  comparer.cost("cycles", before.cycles(), after.cycles());
  comparer.cost("seconds", before.seconds(), after.seconds());
  comparer.cost("energy", before.energy(), after.energy());
  comparer.cost("weight_bytes", before.weight_bytes(), after.weight_bytes());
  comparer.cost("package_bytes", before.package_bytes(), after.package_bytes());
  comparer.cost("dram_read_bytes", before.dram_read_bytes(), after.dram_read_bytes());
  comparer.cost("dram_write_bytes", before.dram_write_bytes(), after.dram_write_bytes());
  comparer.cost("sram_peak_bytes", before.sram_peak_bytes(), after.sram_peak_bytes());
  comparer.cost("arena_bytes", before.arena_bytes(), after.arena_bytes());
  compareLayers(comparer, before, after);
}

} // namespace

std::vector<Regression> compareWithBaseline(const Report &report, const Report &baseline,
                                            const BaselineTolerances &tolerances) {
  std::vector<Regression> found;
  Comparer comparer(tolerances, found);
  comparer.cost("package_bytes", baseline.package_bytes(), report.package_bytes());
  // A module compiled alone has no rate of images.
  if (baseline.pipeline().seconds_per_image() > 0) {
    comparer.cost("seconds_per_image", baseline.pipeline().seconds_per_image(),
                  report.pipeline().seconds_per_image());
    comparer.cost("joules_per_image", baseline.pipeline().joules_per_image(),
                  report.pipeline().joules_per_image());
  }
  auto before = byName<ModuleReport>(baseline.modules());
  auto after = byName<ModuleReport>(report.modules());
  for (const ModuleReport &module : report.modules()) {
    comparer.module = module.name();
    auto match = before.find(module.name());
    if (match == before.end())
      comparer.add(RegressionKind::New);
    else
      compareModule(comparer, *match->second, module);
  }
  for (const ModuleReport &module : baseline.modules())
    if (!after.count(module.name())) {
      comparer.module = module.name();
      comparer.add(RegressionKind::Missing);
    }
  return found;
}

std::string describe(const Regression &regression) {
  std::string place = regression.module.empty() ? "package" : regression.module;
  if (!regression.layer.empty())
    place += " " + regression.layer;
  if (regression.kind == RegressionKind::New)
    return place + ": not in the baseline";
  if (regression.kind == RegressionKind::Missing)
    return place + ": only in the baseline";
  return place + ": " + regression.metric + " " + significant(regression.before) + " -> " +
         significant(regression.after);
}

} // namespace sdopt
