//===- Options.cpp - everything a compilation is asked ------------------------===//

#include "compiler/pipeline/Options.h"

#include "compiler/pipeline/Sweep.h"
#include "compiler/recipe/NamePattern.h"
#include "compiler/recipe/Recipe.h"

#include <array>

namespace sdopt {

namespace {
constexpr std::array<const char *, 7> kStages = {"import", "normalize", "calibrate", "quantize",
                                                 "lower",  "schedule",  "emit"};
}

const char *name(Stage stage) { return kStages[static_cast<size_t>(stage)]; }

absl::Status parseStage(const std::string &text, Stage &stage) {
  std::string known;
  for (size_t i = 0; i < kStages.size(); ++i) {
    if (text == kStages[i]) {
      stage = static_cast<Stage>(i);
      return absl::OkStatus();
    }
    known += (i ? ", " : "") + std::string(kStages[i]);
  }
  return absl::InvalidArgumentError("unknown stage '" + text + "'; stages are " + known);
}

namespace {

/// --sweep makes no package: what is about one goes with it no more.
absl::Status validateSweep(const CompileOptions &options) {
  if (absl::StatusOr<Sweep> sweep = parseSweep(options.sweep); !sweep.ok())
    return sweep.status();
  const std::pair<bool, const char *> unused[] = {
      {!options.output.empty(), "-o"},
      {options.stopAfter.has_value(), "--stop-after"},
      {options.verify != VerifyMode::Off, "--verify"},
      {!options.gates.empty(), "--gate"},
      {!options.baseline.empty(), "--baseline"},
      {!options.depfile.empty(), "--depfile"},
      {!options.exportFolder.empty(), "--export-onnx"},
      {!options.encodingsFolder.empty(), "--export-encodings"},
      {!options.masksOut.empty(), "--export-masks"},
      {!options.codebooksOut.empty(), "--export-codebooks"},
      {!options.explain.empty(), "--explain"}};
  for (const auto &[isGiven, flag] : unused)
    if (isGiven)
      return absl::InvalidArgumentError(std::string("--sweep tells costs and makes no package; ") +
                                        "leave out " + flag);
  if (options.startFrom && *options.startFrom >= Stage::Schedule)
    return absl::InvalidArgumentError(std::string("--sweep schedules anew, but --start-from ") +
                                      name(*options.startFrom) + " takes a scheduled module");
  return absl::OkStatus();
}

} // namespace

absl::Status validate(const CompileOptions &options) {
  auto error = [](const std::string &message) { return absl::InvalidArgumentError(message); };
  if (options.model.empty())
    return error("no model given; name a folder of ONNX files or one .onnx file");
  if (!options.sweep.empty())
    if (absl::Status status = validateSweep(options); !status.ok())
      return status;
  bool emits = !options.stopAfter || *options.stopAfter == Stage::Emit;
  if (!options.explain.empty()) {
    if (!options.output.empty() || options.stopAfter || options.startFrom)
      return error("--explain tells settings and makes nothing; leave out -o, --stop-after and "
                   "--start-from");
    absl::Status pattern = checkNamePattern(options.explain);
    return pattern.ok() ? pattern : error("--explain: " + std::string(pattern.message()));
  }
  if (emits && options.output.empty() && !options.printInputs && options.sweep.empty())
    return error("no output given; name the package with -o OUT.sdnpu");
  if (!emits && !options.output.empty())
    return error(std::string("--stop-after ") + name(*options.stopAfter) +
                 " makes no package, but -o " + options.output + " asks for one");
  if ((options.startFrom || !emits) && options.stageFolder.empty())
    return error("--stop-after and --start-from need --stages DIR, the folder of snapshots");
  if (options.startFrom && options.stopAfter && *options.startFrom >= *options.stopAfter)
    return error(std::string("--start-from ") + name(*options.startFrom) +
                 " is not before --stop-after " + name(*options.stopAfter));
  if (!emits &&
      (!options.gates.empty() || !options.baseline.empty() || !options.reportFolder.empty()))
    return error(
        "--gate, --baseline and --report need a whole compilation, but --stop-after is given");
  if ((!options.exportFolder.empty() || !options.encodingsFolder.empty()) && options.stopAfter &&
      *options.stopAfter < Stage::Quantize)
    return error(
        std::string(options.exportFolder.empty() ? "--export-encodings" : "--export-onnx") +
        " needs a quantized model, but --stop-after " + name(*options.stopAfter) + " is given");
  if (!options.encodings.empty() && options.startFrom && *options.startFrom >= Stage::Quantize)
    return error(std::string("--encodings is about how to quantize, but --start-from ") +
                 name(*options.startFrom) + " takes a quantized model");
  if (!options.statistics.empty() && !options.statisticsOut.empty())
    return error("--statistics reads what --statistics-out would write; give one of them");
  if (!options.masksOut.empty() && ((options.startFrom && *options.startFrom >= Stage::Calibrate) ||
                                    (options.stopAfter && *options.stopAfter < Stage::Calibrate)))
    return error("--export-masks writes what pruning chooses in stage calibrate, which does not "
                 "run");
  if (!options.codebooksOut.empty() &&
      ((options.startFrom && *options.startFrom >= Stage::Quantize) ||
       (options.stopAfter && *options.stopAfter < Stage::Quantize)))
    return error("--export-codebooks writes what is chosen in stage quantize, which does not run");
  if (!options.codebooks.empty() && options.startFrom && *options.startFrom >= Stage::Quantize)
    return error(std::string("--codebooks is about how to quantize, but --start-from ") +
                 name(*options.startFrom) + " takes a quantized model");
  if (options.samples.empty() && options.statistics.empty() && !options.printInputs &&
      !(options.startFrom && *options.startFrom >= Stage::Calibrate) &&
      !(options.stopAfter && *options.stopAfter < Stage::Calibrate))
    return error("calibration needs recorded samples: give --samples DIR, or --statistics FILE");
  if (options.verify != VerifyMode::Off && options.samples.empty() && emits)
    return error("--verify needs recorded samples: give --samples DIR");
  if (!options.budget.empty() && !parseBudget(options.budget))
    return error("'" + options.budget +
                 "' is no budget: give bits or bytes per weight (--budget 4.5bit) or a floor "
                 "(--min-psnr 40dB)");
  if (options.sensitivitySamples < 1)
    return error("--sensitivity-samples is " + std::to_string(options.sensitivitySamples) +
                 " but must be 1 or more");
  if (options.verifySamples < 1)
    return error("--verify-samples is " + std::to_string(options.verifySamples) +
                 " but must be 1 or more");
  if (options.threads && (*options.threads < 1 || *options.threads > 1024))
    return error("--threads is " + std::to_string(*options.threads) + " but must be 1 to 1024");
  if (options.steps && (*options.steps < 1 || *options.steps > 1000))
    return error("--steps is " + std::to_string(*options.steps) + " but must be 1 to 1000");
  if (options.batch && (*options.batch < 1 || *options.batch > 1024))
    return error("--batch is " + std::to_string(*options.batch) + " but must be 1 to 1024");
  return absl::OkStatus();
}

} // namespace sdopt
