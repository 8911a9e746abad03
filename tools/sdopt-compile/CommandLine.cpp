//===- CommandLine.cpp - flags of sdopt-compile -------------------------------===//

#include "CommandLine.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace cl = llvm::cl;

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
    sdopt-compile model/ -o q.sdnpu --statistics statistics/unet.pb ...

Exit code: 0 done, 1 error (one message names the thing and the place; nothing is left behind), 2 a gate failed or a layer regressed.
)";

cl::OptionCategory category("sdopt-compile options");

/// All flags; they register themselves with LLVM's parser and live as long as parsing does.
struct Flags {
  cl::opt<std::string> model{cl::Positional, cl::desc("MODEL"), cl::value_desc("MODEL"),
                             cl::cat(category)};
  cl::opt<std::string> output{"o", cl::desc("Package to write"), cl::value_desc("OUT.sdnpu"),
                              cl::cat(category)};
  cl::opt<std::string> target{
      "target", cl::desc("Preset (edge-tiny, mobile, laptop) or target file"),
      cl::value_desc("NAME_OR_FILE"), cl::init("mobile"), cl::cat(category)};
  cl::opt<std::string> recipe{"recipe", cl::desc("Built-in recipe (w8a16, w8a8) or recipe file"),
                              cl::value_desc("NAME_OR_FILE"), cl::init("w8a16"), cl::cat(category)};
  cl::opt<std::string> samples{
      "samples",
      cl::desc("Folder with MODULE_calibration and MODULE_test samples (.safetensors, .npz)"),
      cl::value_desc("DIR"), cl::cat(category)};
  cl::list<std::string> statistics{
      "statistics", cl::desc("Statistics to use instead of calibrating"),
      cl::value_desc("MODULE.pb"), cl::CommaSeparated, cl::cat(category)};
  cl::opt<std::string> statisticsOut{"statistics-out",
                                     cl::desc("Folder that gets the statistics, MODULE.pb"),
                                     cl::value_desc("DIR"), cl::cat(category)};
  cl::opt<std::string> report{"report", cl::desc("Folder that gets report.html and report.json"),
                              cl::value_desc("DIR"), cl::cat(category)};
  cl::opt<std::string> stages{"stages",
                              cl::desc("Folder of snapshots, one subfolder for each module"),
                              cl::value_desc("DIR"), cl::cat(category)};
  cl::opt<std::string> stopAfter{
      "stop-after",
      cl::desc("Stop after import, normalize, calibrate, quantize, lower or schedule"),
      cl::value_desc("STAGE"), cl::cat(category)};
  cl::opt<std::string> startFrom{"start-from",
                                 cl::desc("Go on from the snapshot that was made after this stage"),
                                 cl::value_desc("STAGE"), cl::cat(category)};
  cl::list<std::string> modules{"modules", cl::desc("Compile only these modules"),
                                cl::value_desc("NAME,..."), cl::CommaSeparated, cl::cat(category)};
  cl::list<std::string> inputShapes{"input-shape",
                                    cl::desc("Shape of an input with symbolic dimensions"),
                                    cl::value_desc("MODULE.INPUT=2x9x64x64"), cl::cat(category)};
  cl::opt<int64_t> batch{
      "batch", cl::desc("Rows of text encoder and UNet (default 2: both guidance branches)"),
      cl::value_desc("N"), cl::init(0), cl::cat(category)};
  cl::opt<VerifyMode> verify{
      "verify",
      cl::desc("Check that every lossless step keeps every bit"),
      cl::ValueOptional,
      cl::values(clEnumValN(VerifyMode::Fast, "", "with the fast kernels"),
                 clEnumValN(VerifyMode::Fast, "fast", "with the fast kernels"),
                 clEnumValN(VerifyMode::Spec, "spec", "with the naive kernels of docs/spec.md")),
      cl::init(VerifyMode::Off),
      cl::cat(category)};
  cl::opt<int64_t> verifySamples{"verify-samples",
                                 cl::desc("Recorded evaluations that --verify runs (default 2)"),
                                 cl::value_desc("N"), cl::init(2), cl::cat(category)};
  cl::opt<int> threads{"threads",
                       cl::desc("Worker threads (default: all cores); never changes an output"),
                       cl::value_desc("N"), cl::init(0), cl::cat(category)};
  cl::opt<int> steps{
      "steps", cl::desc("Denoising steps of one picture, for the reported rates (default 50)"),
      cl::value_desc("N"), cl::init(50), cl::cat(category)};
  cl::opt<std::string> gate{
      "gate", cl::desc("Conditions on the report, e.g. 'unet.psnr>=40dB,package<=9MB'"),
      cl::value_desc("CONDITIONS"), cl::cat(category)};
  cl::opt<std::string> baseline{"baseline",
                                cl::desc("report.json to compare with; regressions are listed"),
                                cl::value_desc("FILE"), cl::cat(category)};
  cl::opt<std::string> depfile{"depfile", cl::desc("Write a Make/Ninja dependency file"),
                               cl::value_desc("FILE"), cl::cat(category)};
  cl::opt<bool> printInputs{"print-inputs",
                            cl::desc("List the files that decide the output, and stop"),
                            cl::cat(category)};
  cl::opt<bool> quiet{"quiet", cl::desc("No progress"), cl::cat(category)};
};

absl::Status parseShape(const std::string &text, CompileOptions &options) {
  auto error = [&] {
    return absl::InvalidArgumentError("--input-shape " + text +
                                      " is not of the form MODULE.INPUT=2x9x64x64");
  };
  size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return error();
  Shape shape;
  llvm::SmallVector<llvm::StringRef> parts;
  llvm::StringRef(text).drop_front(equals + 1).split(parts, 'x');
  for (llvm::StringRef part : parts) {
    int64_t dim = 0;
    if (part.getAsInteger(10, dim) || dim < 1 || dim > (int64_t(1) << 31))
      return error();
    shape.push_back(dim);
  }
  options.inputShapes[text.substr(0, equals)] = shape;
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

} // namespace

absl::StatusOr<CompileOptions> parseCommandLine(int argc, char **argv) {
  Flags flags;
  cl::HideUnrelatedOptions(category);
  std::string errors;
  llvm::raw_string_ostream stream(errors);
  if (!cl::ParseCommandLineOptions(argc, argv, kOverview, &stream))
    return absl::InvalidArgumentError(llvm::StringRef(errors).trim().str());
  CompileOptions options;
  options.model = flags.model;
  options.output = flags.output;
  options.target = flags.target;
  options.recipe = flags.recipe;
  options.samples = flags.samples;
  options.statistics.assign(flags.statistics.begin(), flags.statistics.end());
  options.statisticsOut = flags.statisticsOut;
  options.reportFolder = flags.report;
  options.stageFolder = flags.stages;
  options.modules.assign(flags.modules.begin(), flags.modules.end());
  if (flags.batch.getNumOccurrences())
    options.batch = flags.batch;
  options.verify = flags.verify;
  options.verifySamples = flags.verifySamples;
  options.threads = flags.threads;
  options.steps = flags.steps;
  options.gates = flags.gate;
  options.baseline = flags.baseline;
  options.depfile = flags.depfile;
  options.printInputs = flags.printInputs;
  options.quiet = flags.quiet;
  for (const std::string &shape : flags.inputShapes)
    if (absl::Status status = parseShape(shape, options); !status.ok())
      return status;
  for (const absl::Status &status :
       {parseOptionalStage(flags.stopAfter, options.stopAfter),
        parseOptionalStage(flags.startFrom, options.startFrom), validate(options)})
    if (!status.ok())
      return status;
  return options;
}

} // namespace sdopt
