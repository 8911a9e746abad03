//===- CommandLine.cpp - what sdopt-run is asked for ----------------------===//

#include "tools/sdopt-run/CommandLine.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace sdopt {

namespace {

namespace cl = llvm::cl;

constexpr const char *kOverview =
    "sdopt-run: runs a compiled package on the simulated NPU\n"
    "\n"
    "One module on recorded samples (all records; prints cycles, DRAM bytes, energy, and the PSNR "
    "of\n"
    "outputs that the file has recorded):\n"
    "  sdopt-run pipeline.sdnpu --module unet --inputs samples/unet_test.safetensors -o "
    "out.safetensors\n"
    "  sdopt-run pipeline.sdnpu --module vae_decoder --inputs vae.safetensors --trace trace.json\n"
    "\n"
    "An infinite zoom with the whole pipeline (see sdopt-run zoom --help):\n"
    "  sdopt-run zoom pipeline.sdnpu --prompt 'small red rings on blue' --frames 4 -o zoom\n"
    "  sdopt-run zoom pipeline.sdnpu --prompt 'large cyan waves on black' --start photo.png "
    "--steps 50 \\\n"
    "    --guidance 7.5 --seed 42 --interpolate 5 -o zoom\n"
    "\n"
    "The trace opens in Perfetto or chrome://tracing. A zoom leaves frame_0000.png, "
    "frame_0001.png, ...\n"
    "and zoom.webp; the same arguments give the same bytes.\n";

/// Options live while the command line is read; none is global.
struct ModuleFlags {
  cl::OptionCategory category{"running one module"};
  cl::opt<std::string> package{cl::Positional, cl::desc("PACKAGE"), cl::cat(category)};
  cl::opt<std::string> module{"module", cl::value_desc("NAME"), cl::desc("module to run"),
                              cl::cat(category)};
  cl::opt<std::string> inputs{"inputs", cl::value_desc("FILE"),
                              cl::desc("recorded inputs (.safetensors or .npz)"),
                              cl::cat(category)};
  cl::opt<std::string> output{"o", cl::value_desc("FILE"), cl::desc("outputs (.safetensors)"),
                              cl::cat(category)};
  cl::opt<std::string> trace{"trace", cl::value_desc("FILE"),
                             cl::desc("timeline of the first record (JSON)"), cl::cat(category)};
};

struct ZoomFlags {
  cl::SubCommand command{"zoom", "paint an infinite zoom with the whole pipeline"};
  cl::OptionCategory category{"infinite zoom"};
  cl::opt<std::string> package{cl::Positional, cl::desc("PACKAGE"), cl::cat(category),
                               cl::sub(command)};
  cl::opt<std::string> prompt{"prompt", cl::value_desc("TEXT"), cl::desc("what to paint"),
                              cl::cat(category), cl::sub(command)};
  cl::opt<std::string> negative{"negative", cl::value_desc("TEXT"),
                                cl::desc("what not to paint (default: nothing)"), cl::cat(category),
                                cl::sub(command)};
  cl::opt<std::string> start{"start", cl::value_desc("PNG"),
                             cl::desc("picture in the middle (default: painted)"),
                             cl::cat(category), cl::sub(command)};
  cl::opt<int64_t> frames{"frames",
                          cl::init(4),
                          cl::value_desc("N"),
                          cl::desc("key frames to paint (default: 4)"),
                          cl::cat(category),
                          cl::sub(command)};
  cl::opt<int64_t> interpolate{
      "interpolate",       cl::init(5),
      cl::value_desc("N"), cl::desc("one painted frame in N, the others between them (default: 5)"),
      cl::cat(category),   cl::sub(command)};
  cl::opt<int64_t> steps{"steps",
                         cl::init(20),
                         cl::value_desc("N"),
                         cl::desc("denoising steps (default: 20)"),
                         cl::cat(category),
                         cl::sub(command)};
  cl::opt<double> guidance{
      "guidance",          cl::init(5.0),
      cl::value_desc("X"), cl::desc("classifier-free guidance scale, 1 = none (default: 5)"),
      cl::cat(category),   cl::sub(command)};
  cl::opt<uint64_t> seed{"seed",
                         cl::init(0),
                         cl::value_desc("N"),
                         cl::desc("of the noise (default: 0)"),
                         cl::cat(category),
                         cl::sub(command)};
  cl::opt<double> border{"border",
                         cl::init(0.125),
                         cl::value_desc("X"),
                         cl::desc("painted part of each side (default: 0.125)"),
                         cl::cat(category),
                         cl::sub(command)};
  cl::opt<int64_t> feather{"feather",
                           cl::init(0),
                           cl::value_desc("PIXELS"),
                           cl::desc("fade from centre to border (default: 0)"),
                           cl::cat(category),
                           cl::sub(command)};
  cl::opt<ZoomDirection> direction{
      "direction",
      cl::init(ZoomDirection::In),
      cl::desc("playing order (default: in)"),
      cl::values(clEnumValN(ZoomDirection::In, "in", "from the widest picture to the start"),
                 clEnumValN(ZoomDirection::Out, "out", "from the start to the widest picture")),
      cl::cat(category),
      cl::sub(command)};
  cl::opt<std::string> folder{"o",
                              cl::init("zoom"),
                              cl::value_desc("DIR"),
                              cl::desc("output folder (default: zoom)"),
                              cl::cat(category),
                              cl::sub(command)};
};

absl::Status missing(const std::string &what) {
  return absl::InvalidArgumentError(what + " is missing; see sdopt-run --help");
}

absl::StatusOr<RunCommand> moduleCommand(const ModuleFlags &flags) {
  if (flags.package.empty())
    return missing("PACKAGE");
  if (flags.module.empty())
    return missing("--module");
  if (flags.inputs.empty())
    return missing("--inputs");
  return RunModuleOptions{flags.package, flags.module, flags.inputs, flags.output, flags.trace};
}

absl::StatusOr<RunCommand> zoomCommand(const ZoomFlags &flags) {
  if (flags.package.empty())
    return missing("PACKAGE");
  if (flags.prompt.getNumOccurrences() == 0)
    return missing("--prompt");
  RunZoomOptions options;
  options.package = flags.package;
  options.start = flags.start;
  options.zoom.prompt = flags.prompt;
  options.zoom.negativePrompt = flags.negative;
  options.zoom.frames = flags.frames;
  options.zoom.interpolation = flags.interpolate;
  options.zoom.inpainting.steps = flags.steps;
  options.zoom.inpainting.guidance = static_cast<float>(flags.guidance);
  options.zoom.seed = flags.seed;
  options.zoom.border = flags.border;
  options.zoom.feather = flags.feather;
  options.zoom.direction = flags.direction;
  options.zoom.folder = flags.folder;
  return options;
}

/// The parser's messages name the program first and may take several lines; keep what is wrong.
absl::Status parserError(const std::string &text) {
  std::string line = text.substr(0, text.find('\n'));
  size_t colon = line.find(": ");
  return absl::InvalidArgumentError((colon == std::string::npos ? line : line.substr(colon + 2)) +
                                    "; see sdopt-run --help");
}

} // namespace

absl::StatusOr<RunCommand> parseRunCommand(int argc, char **argv) {
  ModuleFlags module;
  ZoomFlags zoom;
  cl::HideUnrelatedOptions(module.category);
  cl::HideUnrelatedOptions(zoom.category, zoom.command);
  std::string errors;
  llvm::raw_string_ostream stream(errors);
  if (!cl::ParseCommandLineOptions(argc, argv, kOverview, &stream))
    return parserError(errors);
  return zoom.command ? zoomCommand(zoom) : moduleCommand(module);
}

absl::Status run(const RunCommand &command) {
  if (const auto *module = std::get_if<RunModuleOptions>(&command))
    return runModuleCommand(*module);
  return runZoomCommand(std::get<RunZoomOptions>(command));
}

} // namespace sdopt
