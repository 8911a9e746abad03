//===- RunZoom.cpp - an infinite zoom from a package ------------------------===//

#include "tools/sdopt-run/RunZoom.h"

#include "absl/strings/str_cat.h"
#include "compiler/report/Numbers.h"
#include "tools/sdopt-run/PackageModels.h"
#include "tools/sdopt-run/Progress.h"

#include <nlohmann/json.hpp>

#include <iostream>

namespace sdopt {

namespace {

absl::StatusOr<std::string> asset(const Package &package, const std::string &path,
                                  const std::string &name) {
  for (const Asset &candidate : package.assets())
    if (candidate.name == name)
      return candidate.bytes;
  return absl::NotFoundError(
      absl::StrCat(path, ": no '", name, "' in the package; compile the whole pipeline folder"));
}

/// The host's side of the pipeline, from the package's assets.
struct Host {
  Tokenizer tokenizer;
  Ddim ddim;
  float scalingFactor = 0;
};

absl::Status withPath(const std::string &path, const absl::Status &status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<Host> readHost(const Package &package, const std::string &path) {
  std::map<std::string, std::string> texts;
  for (const char *name :
       {"tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json", "model_index.json"}) {
    absl::StatusOr<std::string> text = asset(package, path, name);
    if (!text.ok())
      return text.status();
    texts[name] = *std::move(text);
  }
  absl::StatusOr<Tokenizer> tokenizer =
      Tokenizer::create(texts["tokenizer/vocab.json"], texts["tokenizer/merges.txt"],
                        texts["tokenizer/tokenizer_config.json"]);
  if (!tokenizer.ok())
    return withPath(path, tokenizer.status());
  absl::StatusOr<Ddim> ddim = Ddim::create(texts["scheduler/scheduler_config.json"]);
  if (!ddim.ok())
    return withPath(path, ddim.status());
  absl::StatusOr<float> factor = scalingFactor(texts["model_index.json"]);
  if (!factor.ok())
    return withPath(path, factor.status());
  return Host{*std::move(tokenizer), *std::move(ddim), *factor};
}

void warnIfTruncated(const Tokenizer &tokenizer, const std::string &prompt) {
  absl::StatusOr<Tokens> tokens = tokenizer.encode(prompt);
  if (tokens.ok() && tokens->truncated)
    std::cerr << "sdopt-run: warning: the prompt is longer than " << tokenizer.maxLength()
              << " tokens; its end is not used\n";
}

void printRates(const ZoomResult &result, const std::vector<ModuleTotals> &totals,
                const Target &target, double seconds) {
  for (const ModuleTotals &module : totals)
    if (module.runs > 0)
      std::cout << "  " << module.name << ": " << grouped(module.runs) << " runs, "
                << withPrefix(module.sum.seconds / static_cast<double>(module.runs), "s") << " and "
                << withPrefix(module.sum.energy / static_cast<double>(module.runs), "J")
                << " each\n";
  ModelledRates painted = modelledRates(totals, result.painted),
                shown = modelledRates(totals, result.pictures);
  std::cout << "simulated on this machine in " << fixed(seconds, 1)
            << " s: " << significant(static_cast<double>(result.painted) / seconds)
            << " painted images/s\n"
            << "modelled NPU (" << target.name << "): " << significant(painted.imagesPerSecond)
            << " painted images/s, " << significant(painted.imagesPerJoule) << " images/s/W ("
            << withPrefix(painted.secondsPerImage, "s") << " and "
            << withPrefix(painted.joulesPerImage, "J") << " per painted image)\n"
            << "with the interpolated frames: " << significant(shown.imagesPerSecond)
            << " images/s, " << significant(shown.imagesPerJoule) << " images/s/W\n";
}

} // namespace

ModelledRates modelledRates(const std::vector<ModuleTotals> &totals, int64_t images) {
  double seconds = 0, joules = 0;
  for (const ModuleTotals &module : totals) {
    seconds += module.sum.seconds;
    joules += module.sum.energy;
  }
  ModelledRates rates;
  auto count = static_cast<double>(images);
  rates.secondsPerImage = seconds / count;
  rates.joulesPerImage = joules / count;
  rates.imagesPerSecond = seconds > 0 ? count / seconds : 0;
  rates.imagesPerJoule = joules > 0 ? count / joules : 0;
  return rates;
}

absl::StatusOr<float> scalingFactor(const std::string &modelIndex) {
  nlohmann::json json = nlohmann::json::parse(modelIndex, nullptr, false);
  if (!json.is_object() || !json.contains("vae_scaling_factor"))
    return absl::NotFoundError(
        "model_index.json has no 'vae_scaling_factor'; add the autoencoder's scaling_factor");
  const nlohmann::json &factor = json["vae_scaling_factor"];
  if (!factor.is_number() || !(factor.get<double>() > 0 && factor.get<double>() < 1e6))
    return absl::InvalidArgumentError(
        "model_index.json: 'vae_scaling_factor' is not a positive number");
  return static_cast<float>(factor.get<double>());
}

absl::Status runZoomCommand(RunZoomOptions options) {
  auto package = Package::open(options.package);
  if (!package.ok())
    return package.status();
  absl::StatusOr<Host> host = readHost(**package, options.package);
  if (!host.ok())
    return host.status();
  absl::StatusOr<Target> target =
      parseTarget((*package)->provenance().target, options.package + ": target");
  if (!target.ok())
    return target.status();
  auto models = PackageModels::create(**package, *target);
  if (!models.ok())
    return withPath(options.package, models.status());
  if (!options.start.empty()) {
    absl::StatusOr<Picture> start = readPng(options.start);
    if (!start.ok())
      return start.status();
    options.zoom.start = *std::move(start);
  }
  options.zoom.inpainting.scalingFactor = host->scalingFactor;
  warnIfTruncated(host->tokenizer, options.zoom.prompt);
  warnIfTruncated(host->tokenizer, options.zoom.negativePrompt);

  Progress progress("zoom");
  absl::StatusOr<ZoomResult> result =
      zoom(**models, host->tokenizer, host->ddim, options.zoom, [&](const ZoomProgress &at) {
        progress.show(at.frame * at.steps + at.step, at.frames * at.steps, "steps",
                      absl::StrCat("frame ", at.frame + 1, " of ", at.frames, ", "));
      });
  progress.finish();
  if (!result.ok())
    return result.status();
  std::cout << options.zoom.folder << ": " << result->pictures << " pictures (" << result->painted
            << " painted) and zoom.webp\n";
  printRates(*result, (*models)->totals(), *target, progress.seconds());
  return absl::OkStatus();
}

} // namespace sdopt
