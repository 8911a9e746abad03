//===- CommandLine.cpp - what sdopt-run is asked for ----------------------===//

#include "tools/sdopt-run/CommandLine.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "compiler/files/PartialFiles.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/MemoryLimit.h"
#include "compiler/report/Numbers.h"

#include <charconv>
#include <cmath>
#include <thread>

namespace sdopt {

namespace {

constexpr const char *kOverview = R"(Runs a compiled package on the simulated NPU.

One module on recorded samples (all records; prints cycles, DRAM bytes, energy, and the PSNR of outputs that the file has
recorded):
  sdopt-run pipeline.sdnpu --module unet --inputs samples/unet_test.safetensors -o out.safetensors
  sdopt-run pipeline.sdnpu --module vae_decoder --inputs samples/vae_decoder_test.safetensors --trace trace.json

An infinite zoom with the whole pipeline (more with: sdopt-run zoom --help):
  sdopt-run zoom pipeline.sdnpu --prompt 'small red rings on blue' --frames 4 -o zoom
)";

constexpr const char *kFooter =
    "A trace opens in Perfetto or chrome://tracing.\nExit codes: 0 done, 1 error.";

constexpr const char *kZoomOverview =
    "Paints an infinite zoom with the whole pipeline of a package";

constexpr const char *kZoomFooter =
    R"(Each painted picture holds the one before it, shrunk, in its centre; the frames between them are interpolated. Leaves
frame_0000.png, frame_0001.png, ... and zoom.webp in the output folder. The same arguments give the same bytes.

Examples
  sdopt-run zoom pipeline.sdnpu --prompt 'small red rings on blue' --frames 4 -o zoom
  sdopt-run zoom pipeline.sdnpu --prompt 'large cyan waves on black' --start photo.png --steps 50 --guidance 7.5 --seed 42
)";

void addModuleFlags(CLI::App &app, RunModuleOptions &options) {
  app.add_option("PACKAGE", options.package, "Package to run")->type_name("");
  app.add_option("--module", options.module, "Module to run")->type_name("NAME");
  app.add_option("--inputs", options.inputs, "Recorded inputs (.safetensors or .npz)")
      ->type_name("FILE");
  app.add_option("-o,--output", options.output, "Outputs (.safetensors)")->type_name("FILE");
  app.add_option("--trace", options.trace, "Timeline of the first record (JSON)")
      ->type_name("FILE");
}

/// Text that is read as an unsigned number may be negative or too large: another one is meant.
std::string isSeed(const std::string &text) {
  uint64_t seed = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error == std::errc() && end == text.data() + text.size())
    return {};
  return "'" + text + "' is no whole number from 0 to 2^64 - 1";
}

void addPictureFlags(CLI::App &app, RunZoomOptions &options) {
  ZoomOptions &zoom = options.zoom;
  app.add_option("PACKAGE", options.package, "Package with all four modules")->type_name("");
  app.add_option("--prompt", zoom.prompt, "What to paint")->type_name("TEXT");
  app.add_option("--negative", zoom.negativePrompt, "What not to paint")->type_name("TEXT");
  app.add_option("--start", options.start, "Picture in the middle; without it one is painted")
      ->type_name("PNG");
  app.add_option("--steps", zoom.inpainting.steps, "Denoising steps")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--guidance", zoom.inpainting.guidance, "Classifier-free guidance scale; 1: none")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--seed", zoom.seed, "Of the noise")
      ->type_name("N")
      ->capture_default_str()
      ->check(isSeed);
}

void addFrameFlags(CLI::App &app, ZoomOptions &zoom) {
  app.add_option("--frames", zoom.frames, "Key frames to paint")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--interpolate", zoom.interpolation,
                 "One painted frame in N, the others lie between them")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--border", zoom.border, "Painted part of each side")
      ->type_name("X")
      ->capture_default_str();
  app.add_option("--feather", zoom.feather, "Pixels over which the centre fades into the border")
      ->type_name("N")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--direction",
         [&zoom](const std::string &text) {
           zoom.direction = text == "out" ? ZoomDirection::Out : ZoomDirection::In;
         },
         "Playing order: in (ends at the start picture) or out")
      ->check(CLI::IsMember({"in", "out"}))
      ->type_name("")
      ->default_str("in");
  app.add_option("-o,--output", zoom.folder, "Output folder")
      ->type_name("DIR")
      ->capture_default_str();
}

void addThreads(CLI::App &app, int &threads) {
  app.add_option("--threads", threads,
                 "Worker threads, 1 to 1024 (default: all cores); never changes a result")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
}

void addMemoryLimit(CLI::App &app, std::string &limit) {
  app.add_option("--memory-limit", limit,
                 "Most memory that may be resident, mapped files included: 900MB, 1.5GiB; less is "
                 "kept for the next run then, never changes a result; an error if a run needs more")
      ->type_name("SIZE");
}

/// 0 without a limit.
absl::StatusOr<int64_t> parseMemoryLimit(const CLI::App &app, const std::string &limit) {
  if (app.count("--memory-limit") == 0)
    return 0;
  absl::StatusOr<int64_t> bytes = parseBytes(limit);
  if (bytes.ok())
    return bytes;
  return absl::InvalidArgumentError(absl::StrCat("--memory-limit: ", bytes.status().message()));
}

void useThreads(int threads) {
  setKernelThreads(threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency()));
}

absl::Status missing(const std::string &what) {
  return absl::InvalidArgumentError(what + " is missing; see --help");
}

absl::StatusOr<RunCommand> checked(const RunModuleOptions &options) {
  if (options.package.empty())
    return missing("PACKAGE");
  if (options.module.empty())
    return missing("--module");
  if (options.inputs.empty())
    return missing("--inputs");
  return RunCommand(options);
}

absl::StatusOr<RunCommand> checked(const RunZoomOptions &options, bool hasPrompt) {
  if (options.package.empty())
    return missing("PACKAGE");
  if (!hasPrompt)
    return missing("--prompt");
  return RunCommand(options);
}

} // namespace

absl::StatusOr<RunCommand> parseRunCommand(int argc, char **argv) {
  RunModuleOptions module;
  RunZoomOptions zoom;
  zoom.zoom.folder = "zoom";
  CLI::App app(kOverview, "sdopt-run");
  app.set_version_flag("--version", "sdopt " SDOPT_VERSION);
  app.footer(kFooter);
  addModuleFlags(app, module);
  addThreads(app, module.threads);
  std::string moduleLimit, zoomLimit;
  addMemoryLimit(app, moduleLimit);
  CLI::App *zoomCommand = app.add_subcommand("zoom", kZoomOverview);
  zoomCommand->footer(kZoomFooter);
  addPictureFlags(*zoomCommand, zoom);
  addFrameFlags(*zoomCommand, zoom.zoom);
  addThreads(*zoomCommand, zoom.threads);
  addMemoryLimit(*zoomCommand, zoomLimit);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &help) {
    app.exit(help);
    return RunCommand(std::monostate());
  } catch (const CLI::ParseError &error) {
    std::string what = error.what();
    return absl::InvalidArgumentError(
        absl::StrCat(what.substr(0, what.find('\n')), "; see --help"));
  }
  bool zooms = zoomCommand->parsed();
  absl::StatusOr<int64_t> limit =
      zooms ? parseMemoryLimit(*zoomCommand, zoomLimit) : parseMemoryLimit(app, moduleLimit);
  if (!limit.ok())
    return limit.status();
  module.memoryLimit = zoom.memoryLimit = *limit;
  if (zooms)
    return checked(zoom, zoomCommand->count("--prompt") > 0);
  return checked(module);
}

absl::Status run(const RunCommand &command) {
  absl::Status status;
  if (const auto *module = std::get_if<RunModuleOptions>(&command)) {
    useThreads(module->threads);
    setMemoryLimit(module->memoryLimit);
    status = runModuleCommand(*module);
  } else if (const auto *zoom = std::get_if<RunZoomOptions>(&command)) {
    useThreads(zoom->threads);
    setMemoryLimit(zoom->memoryLimit);
    status = runZoomCommand(*zoom);
  }
  if (!status.ok())
    removeEmptyFolders();
  if (status.ok() || refusedMemory() == 0)
    return status;
  // What follows the refusal takes some more.
  const double allowed = 1.25 * static_cast<double>(refusedMemory());
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; allow more with --memory-limit ",
                                   fixed(std::ceil(allowed / 1e6), 0), "MB"));
}

} // namespace sdopt
