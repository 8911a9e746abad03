//===- CommandLine.cpp - flags of sdopt-compile -------------------------------===//

#include "CommandLine.h"

#include "CLI/CLI.hpp"
#include "compiler/report/Numbers.h"

#include <charconv>

namespace sdopt {

namespace {

constexpr const char *kOverview =
    R"(Compiles a diffusion pipeline from ONNX to a package for the reference NPU.

MODEL is a folder in the diffusers/optimum layout (model_index.json, MODULE/model.onnx, tokenizer/, scheduler/) or one .onnx file.

Examples
  compile all four modules, W8A16, check every lossless step, write report.html and report.json:
    sdopt-compile model/ -o pipeline.sdnpu --samples samples/ --verify --report report/
  8-bit activations for another machine; fail a build (exit code 2) if quality or size is not met:
    sdopt-compile model/ -o p.sdnpu --recipe w8a8 --target edge-tiny --samples samples/ --gate 'unet.psnr>=41dB,package<=9MB'
  look at one stage, then go on from it:
    sdopt-compile model/ --samples samples/ --stages stages/ --stop-after quantize
    sdopt-compile model/ --samples samples/ --stages stages/ --start-from quantize -o p.sdnpu
  calibrate once, compile many times:
    sdopt-compile model/ -o p.sdnpu --samples samples/ --statistics-out statistics/
    sdopt-compile model/ -o q.sdnpu --modules unet,vae_decoder --statistics statistics/unet.pb,statistics/vae_decoder.pb
  what other sizes of SRAM would cost, as a table, sweep.json and sweep.svg:
    sdopt-compile model/ --statistics statistics/unet.pb --modules unet --sweep sram=512KiB..8MiB --report sweep/
)";

constexpr const char *kExitCodes =
    "Exit code: 0 done, 1 error (one message names the thing and the place; nothing is left "
    "behind but snapshots, statistics and sensitivities that are whole, also where standard "
    "output does not take the result), 2 a gate failed or a layer regressed (package and report "
    "are written: they show why).";

/// A positive decimal number that fills the whole text, or 0.
int64_t positiveNumber(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value <= (int64_t(1) << 31)
             ? value
             : 0;
}

absl::Status parseShape(const std::string &text, CompileOptions &options) {
  size_t equals = text.find('=');
  Shape shape;
  for (size_t begin = equals + 1; equals != std::string::npos && begin <= text.size();) {
    size_t end = std::min(text.find('x', begin), text.size());
    shape.push_back(positiveNumber(std::string_view(text).substr(begin, end - begin)));
    begin = end + 1;
  }
  if (equals == std::string::npos || equals == 0 ||
      std::find_if(shape.begin(), shape.end(), [](int64_t dim) { return dim < 1; }) != shape.end())
    return absl::InvalidArgumentError("--input-shape " + text +
                                      " is not of the form MODULE.INPUT=2x9x64x64");
  options.inputShapes[text.substr(0, equals)] = shape;
  return absl::OkStatus();
}

absl::Status parseDimension(const std::string &text, CompileOptions &options) {
  size_t equals = text.find('=');
  int64_t value =
      equals == std::string::npos ? 0 : positiveNumber(std::string_view(text).substr(equals + 1));
  if (value < 1 || equals == 0)
    return absl::InvalidArgumentError("--dimension " + text + " is not of the form height=64");
  options.dimensions[text.substr(0, equals)] = value;
  return absl::OkStatus();
}

absl::Status parseOptionalStage(const std::string &text, std::optional<Stage> &stage) {
  if (text.empty())
    return absl::OkStatus();
  Stage parsed = Stage::Import;
  absl::Status status = parseStage(text, parsed);
  stage = parsed;
  return status;
}

/// Texts that need a second look after parsing.
struct RawFlags {
  std::vector<std::string> inputShapes, dimensions;
  std::string stopAfter, startFrom;
  std::string budget, floor;
  std::string verify, memoryLimit, encodingsVersion;
};

void addFiles(CLI::App &app, CompileOptions &options, RawFlags &raw) {
  app.add_option("MODEL", options.model, "Folder in diffusers/optimum layout, or one .onnx file");
  app.add_option("-o", options.output, "Package to write")->type_name("OUT.sdnpu");
  app.add_option("--samples", options.samples,
                 "Folder with MODULE_calibration and MODULE_test samples (.safetensors, .npz)")
      ->type_name("DIR");
  app.add_option("--statistics", options.statistics,
                 "Statistics to use instead of calibrating; repeat or separate by commas")
      ->type_name("MODULE.pb,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--statistics-out", options.statisticsOut,
                 "Folder that gets the statistics, MODULE.pb; a calibration that was interrupted "
                 "goes on from MODULE.partial.pb there")
      ->type_name("DIR");
  app.add_option("--report", options.reportFolder, "Folder that gets report.html and report.json")
      ->type_name("DIR");
  app.add_option(
         "--encodings", options.encodings,
         "AIMET encodings (0.4.0 to 0.6.1, 1.0.0, 2.0.0): their activations and weights get "
         "these scales instead of searched ones; repeat or separate by commas")
      ->type_name("MODULE.encodings,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--export-encodings", options.encodingsFolder,
                 "Folder that gets the scales of activations and weights as AIMET encodings, "
                 "MODULE.encodings")
      ->type_name("DIR");
  app.add_option("--encodings-version", raw.encodingsVersion, "Of --export-encodings")
      ->type_name("VERSION")
      ->default_str("2.0.0")
      ->check(CLI::IsMember({"1.0.0", "2.0.0"}));
  app.add_option("--masks", options.masks,
                 "Zeros of weights, as --export-masks writes them, instead of those that pruning "
                 "would choose; repeat or separate by commas")
      ->type_name("MODULE.safetensors,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--export-masks", options.masksOut,
                 "Folder that gets which weights pruning keeps, MODULE.safetensors")
      ->type_name("DIR");
  app.add_option("--codebooks", options.codebooks,
                 "Shared weights, as --export-codebooks writes them or trained further, whatever "
                 "the recipe says of these layers; repeat or separate by commas")
      ->type_name("MODULE.safetensors,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--export-codebooks", options.codebooksOut,
                 "Folder that gets codebook, scales and indices of layers whose weights are in "
                 "palettes, MODULE.safetensors")
      ->type_name("DIR");
  app.add_option("--export-onnx", options.exportFolder,
                 "Folder that gets the quantized modules as ONNX with QuantizeLinear and "
                 "DequantizeLinear (opset 21), MODULE/model.onnx")
      ->type_name("DIR");
  app.add_option("--depfile", options.depfile, "Write a Make/Ninja dependency file")
      ->type_name("FILE");
  app.add_flag("--print-inputs", options.printInputs,
               "List the files that decide the output, and stop");
}

void addChoices(CLI::App &app, CompileOptions &options, RawFlags &raw) {
  app.add_option("--target", options.target, "Preset (edge-tiny, mobile, laptop) or target file")
      ->type_name("NAME_OR_FILE")
      ->capture_default_str();
  app.add_option(
         "--recipe", options.recipe,
         "Built-in recipe (deep-compression, mixed, palette4, palette-mixed, pruned-2of4, w8a16, "
         "w8a8, w4a16, w4a8) or recipe file")
      ->type_name("NAME_OR_FILE")
      ->capture_default_str();
  auto *budget =
      app.add_option(
             "--budget", raw.budget,
             "Search a width for each layer's weights (of pruned ones also whether they stay "
             "so): the least error with so many bits (or bytes) per weight in the package")
          ->type_name("4.5bit");
  app.add_option("--min-psnr", raw.floor,
                 "The same: the fewest bits with which a module keeps this PSNR")
      ->type_name("40dB")
      ->excludes(budget);
  app.add_option(
         "--sensitivity", options.sensitivityFolder,
         "Folder that keeps the layers' errors, MODULE-KEY.sensitivity.pb: a search goes on "
         "where it was, another budget takes little time; recipes can share it")
      ->type_name("DIR");
  app.add_option("--sensitivity-samples", options.sensitivitySamples,
                 "Calibration samples that each layer's error is measured on")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--explain", options.explain,
                 "Print which rule of the recipe sets what for the layers of this name, glob or "
                 "re:EXPRESSION, and stop")
      ->type_name("NODE");
  app.add_option("--modules", options.modules, "Compile only these modules")
      ->type_name("NAME,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--input-shape", raw.inputShapes, "Shape of an input with symbolic dimensions")
      ->type_name("MODULE.INPUT=2x9x64x64")
      ->allow_extra_args(false);
  app.add_option(
         "--dimension", raw.dimensions,
         "Value of a symbolic dimension, in every module that has it; height and width of a "
         "folder are those of the latents, also where a module calls them latent_height and "
         "latent_width; the VAE encoder's picture follows")
      ->type_name("height=64")
      ->allow_extra_args(false);
  app.add_option("--batch", options.batch,
                 "Rows of text encoder and UNet (default 2: both guidance branches)")
      ->type_name("N");
  app.add_option("--threads", options.threads,
                 "Worker threads, 1 to 1024 (default: all cores); never changes an output")
      ->type_name("N");
  app.add_option("--memory-limit", raw.memoryLimit,
                 "Most memory that may be resident, mapped files included: 900MB, 1.5GiB; less is "
                 "kept and done side by side then, never changes an output; an error if a step "
                 "needs more")
      ->type_name("SIZE");
  app.add_option(
         "--steps", options.steps,
         "Denoising steps of one picture: what depends on the timestep alone is computed for "
         "each now and lies in the package, which runs no other schedule; reported rates are "
         "for so many (without: any schedule, rates for 50). The model's scheduler is DDIM, "
         "PNDM, Euler (also ancestral, of flow matching), DPM++ or UniPC")
      ->type_name("N");
}

void addStagesAndChecks(CLI::App &app, CompileOptions &options, RawFlags &raw) {
  app.add_option("--stages", options.stageFolder,
                 "Folder of snapshots, one subfolder for each module")
      ->type_name("DIR");
  app.add_option("--stop-after", raw.stopAfter,
                 "Stop after import, normalize, calibrate, quantize, lower or schedule")
      ->type_name("STAGE");
  app.add_option("--start-from", raw.startFrom,
                 "Go on from the snapshot that was made after this stage")
      ->type_name("STAGE");
  app.add_option("--verify", raw.verify,
                 "Check that every lossless step keeps every bit, with the fast kernels or (=spec) "
                 "the naive ones")
      ->type_name("[fast|spec]")
      ->expected(0, 1)
      ->default_str("fast")
      ->check(CLI::IsMember({"fast", "spec"}));
  app.add_option("--verify-samples", options.verifySamples,
                 "Recorded evaluations that --verify runs")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--gate", options.gates,
                 "Conditions on the report, e.g. 'unet.psnr>=40dB,package<=9MB'")
      ->type_name("CONDITIONS");
  app.add_option("--baseline", options.baseline,
                 "report.json to compare with; regressions are listed")
      ->type_name("FILE");
  app.add_option("--sweep", options.sweep,
                 "No package, but what one would cost if one number of the target were another: "
                 "sram, dram, dram_bandwidth, arrays or lanes, from one value to another by "
                 "doubling (sram=512KiB..8MiB) or a list (dram_bandwidth=25.6GB/s,51.2GB/s). "
                 "Prints a table; --report DIR gets sweep.json and sweep.svg")
      ->type_name("NAME=FROM..TO");
  app.add_flag("--quiet", options.quiet, "No progress");
}

/// A value that is there but empty is a variable that a script forgot to set, not a wish for
/// nothing.
absl::Status checkValues(const CLI::App &app) {
  for (const CLI::Option *option : app.get_options())
    if (option->get_expected_min() > 0)
      for (const std::string &value : option->results())
        if (value.empty())
          return absl::InvalidArgumentError(option->get_name() + " has an empty value");
  return absl::OkStatus();
}

} // namespace

absl::StatusOr<CommandLine> parseCommandLine(int argc, char **argv) {
  CLI::App app(kOverview, "sdopt-compile");
  app.set_version_flag("--version", "sdopt " SDOPT_VERSION);
  app.footer(kExitCodes);
  CommandLine line;
  RawFlags raw;
  addFiles(app, line.options, raw);
  addChoices(app, line.options, raw);
  addStagesAndChecks(app, line.options, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &help) {
    app.exit(help);
    line.finished = true;
    return line;
  } catch (const CLI::ParseError &error) {
    return absl::InvalidArgumentError(std::string(error.what()) + "; see --help");
  }
  if (app.get_option("--verify")->count() > 0)
    line.options.verify = raw.verify == "spec" ? VerifyMode::Spec : VerifyMode::Fast;
  if (raw.encodingsVersion == "1.0.0")
    line.options.encodingsVersion = EncodingsVersion::V1;
  if (app.get_option("--memory-limit")->count() > 0) {
    absl::StatusOr<int64_t> limit = parseBytes(raw.memoryLimit);
    if (!limit.ok())
      return absl::InvalidArgumentError("--memory-limit: " + std::string(limit.status().message()));
    line.options.memoryLimit = *limit;
  }
  if (absl::Status status = checkValues(app); !status.ok())
    return status;
  for (auto [text, flag, unit] : {std::tuple(&raw.budget, "--budget", "bit or byte"),
                                  std::tuple(&raw.floor, "--min-psnr", "dB")})
    if (!text->empty()) {
      if (text->ends_with("dB") != (std::string_view(flag) == "--min-psnr"))
        return absl::InvalidArgumentError(std::string(flag) + " " + *text + " must end in " + unit);
      line.options.budget = *text;
    }
  for (const std::string &shape : raw.inputShapes)
    if (absl::Status status = parseShape(shape, line.options); !status.ok())
      return status;
  for (const std::string &dimension : raw.dimensions)
    if (absl::Status status = parseDimension(dimension, line.options); !status.ok())
      return status;
  for (const absl::Status &status :
       {parseOptionalStage(raw.stopAfter, line.options.stopAfter),
        parseOptionalStage(raw.startFrom, line.options.startFrom), validate(line.options)})
    if (!status.ok())
      return status;
  return line;
}

} // namespace sdopt
