//===- ZoomQuality.cpp - pictures of a package against fp32 ---------------===//
//
// Compiles a pipeline (or takes its package), then lets the simulator and the fp32 model paint the
// same pictures from the same noise:
//
//   recorded    the samples' own pictures and masks, compared with the recorded results
//   zoom        the infinite zoom from each recorded start picture; only painted pixels count. Each
//               side goes on from its own pictures, so errors add up over the frames.
//
// PSNR = 20 log10(max|reference| / RMSE). Exit code 1 if frame 1 is below --at-least.
//
//===----------------------------------------------------------------------===//

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "compiler/files/WholeFile.h"
#include "compiler/package/Package.h"
#include "compiler/pipeline/Pipeline.h"
#include "compiler/report/Numbers.h"
#include "compiler/weights/TensorFile.h"
#include "tests/benchmark/FloatModels.h"
#include "tools/sdopt-run/PackageModels.h"
#include "tools/sdopt-run/RunZoom.h"
#include "tools/sdopt-run/Zoom.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <iostream>

using namespace sdopt;
namespace fs = std::filesystem;

namespace {

struct Options {
  std::string package; ///< empty: compile the model
  std::string model = SDOPT_TESTDATA "/patterns-sd2/opset17-fp32";
  std::string samples = SDOPT_TESTDATA "/patterns-sd2/samples";
  std::string recipe = "w8a16";
  std::string only;   ///< the one module that the package does, the others are fp32; empty: all
  std::string folder; ///< of the pictures; empty: a temporary one
  int64_t pictures = 4, frames = 3, steps = 12;
  uint64_t seed = 7;
  double border = 0.125;
  double atLeast = 35;
};

/// Takes each module from one of two sides and keeps the pictures that were painted.
class Recorder : public Models {
public:
  Recorder(Models &models, Models &others, const std::string &only)
      : text_(only.empty() || only == "text_encoder" ? models : others),
        unet_(only.empty() || only == "unet" ? models : others),
        encoder_(only.empty() || only == "vae_encoder" ? models : others),
        decoder_(only.empty() || only == "vae_decoder" ? models : others) {}
  ModelShapes shapes() const override { return unet_.shapes(); }
  absl::StatusOr<Tensor> encodeText(const Tensor &ids) override { return text_.encodeText(ids); }
  absl::StatusOr<Tensor> unet(const Tensor &sample, int64_t timestep,
                              const Tensor &hidden) override {
    return unet_.unet(sample, timestep, hidden);
  }
  absl::StatusOr<Tensor> encodePicture(const Tensor &picture) override {
    return encoder_.encodePicture(picture);
  }
  absl::StatusOr<Tensor> decodeLatent(const Tensor &latent) override {
    absl::StatusOr<Tensor> picture = decoder_.decodeLatent(latent);
    if (picture.ok())
      pictures.push_back(*picture);
    return picture;
  }
  std::vector<Tensor> pictures;

private:
  Models &text_, &unet_, &encoder_, &decoder_;
};

/// Error of the painted pixels of one or more pictures.
struct Error {
  double peak = 0, squares = 0;
  int64_t count = 0;

  void add(const Tensor &reference, const Tensor &actual, const Tensor &mask) {
    auto expected = reference.values<float>(), found = actual.values<float>(),
         where = mask.values<float>();
    for (size_t i = 0; i < expected.size(); ++i) {
      if (where[i % where.size()] < 0.5f)
        continue;
      double difference = static_cast<double>(found[i]) - expected[i];
      peak = std::max(peak, std::fabs(static_cast<double>(expected[i])));
      squares += difference * difference;
      ++count;
    }
  }
  void add(const Error &other) {
    peak = std::max(peak, other.peak);
    squares += other.squares;
    count += other.count;
  }
  double psnr() const {
    return 20 * std::log10(peak / std::sqrt(squares / static_cast<double>(count)));
  }
};

/// What both sides share.
struct Scene {
  Tokenizer tokenizer;
  Ddim ddim;
  float scalingFactor;
  std::unique_ptr<TensorFile> pipeline, unet; ///< recorded
  std::vector<std::string> prompts;
  int64_t steps; ///< of the recording
  float guidance;
};

absl::StatusOr<Scene> openScene(const Options &options) {
  std::map<std::string, std::string> texts;
  for (const char *name :
       {"tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json", "model_index.json"}) {
    absl::StatusOr<std::string> text = readFile(options.model + "/" + name);
    if (!text.ok())
      return text.status();
    texts[name] = *std::move(text);
  }
  absl::StatusOr<Tokenizer> tokenizer =
      Tokenizer::create(texts["tokenizer/vocab.json"], texts["tokenizer/merges.txt"],
                        texts["tokenizer/tokenizer_config.json"]);
  absl::StatusOr<Ddim> ddim = Ddim::create(texts["scheduler/scheduler_config.json"]);
  absl::StatusOr<float> factor = scalingFactor(texts["model_index.json"]);
  auto pipeline = TensorFile::open(options.samples + "/pipeline_test.safetensors");
  auto unet = TensorFile::open(options.samples + "/unet_test.safetensors");
  for (const absl::Status &status :
       {tokenizer.status(), ddim.status(), factor.status(), pipeline.status(), unet.status()})
    if (!status.ok())
      return status;
  const std::map<std::string, std::string> &metadata = (*pipeline)->metadata();
  return Scene{.tokenizer = *std::move(tokenizer),
               .ddim = *std::move(ddim),
               .scalingFactor = *factor,
               .pipeline = *std::move(pipeline),
               .unet = *std::move(unet),
               .prompts = nlohmann::json::parse(metadata.at("prompts")),
               .steps = std::stoll(metadata.at("steps")),
               .guidance = std::stof(metadata.at("guidance"))};
}

/// Paints recorded picture `index` again.
absl::StatusOr<Tensor> repaint(const Scene &scene, Models &models, int64_t index) {
  ModelShapes shapes = models.shapes();
  Shape latent = {1, shapes.latentChannels, shapes.latentHeight, shapes.latentWidth};
  absl::StatusOr<Tensor> picture = scene.pipeline->rows("image", index, 1),
                         mask = scene.pipeline->rows("mask", index, 1),
                         sample = scene.unet->rows("sample", index * scene.steps, 1),
                         hidden = encodePrompts(models, scene.tokenizer, "", scene.prompts[index]);
  for (const absl::Status &status :
       {picture.status(), mask.status(), sample.status(), hidden.status()})
    if (!status.ok())
      return status;
  Tensor noise = Tensor::of<float>(
      latent, sample->values<float>().first(static_cast<size_t>(elementCount(latent))));
  InpaintingOptions painting{
      .steps = scene.steps, .guidance = scene.guidance, .scalingFactor = scene.scalingFactor};
  absl::StatusOr<Painted> painted =
      inpaint(models, scene.ddim, painting, *picture, *mask, *hidden, noise);
  if (!painted.ok())
    return painted.status();
  return painted->picture;
}

/// The painted pictures of a zoom from recorded start picture `index`.
absl::StatusOr<std::vector<Tensor>> zoomFrom(const Scene &scene, const Options &options,
                                             Recorder &models, int64_t index,
                                             const std::string &folder) {
  absl::StatusOr<Tensor> start = scene.pipeline->rows("image", index, 1);
  if (!start.ok())
    return start.status();
  ZoomOptions zoomOptions{.prompt = scene.prompts[index],
                          .negativePrompt = "",
                          .start = toPicture(*start),
                          .frames = options.frames,
                          .interpolation = 1,
                          .inpainting = {.steps = options.steps,
                                         .guidance = scene.guidance,
                                         .scalingFactor = scene.scalingFactor},
                          .seed = options.seed,
                          .border = options.border,
                          .folder = folder};
  models.pictures.clear();
  absl::StatusOr<ZoomResult> result = zoom(models, scene.tokenizer, scene.ddim, zoomOptions);
  if (!result.ok())
    return result.status();
  return models.pictures;
}

std::string cell(double decibels) {
  std::string text = fixed(decibels, 1);
  return std::string(8 - std::min<size_t>(8, text.size()), ' ') + text;
}

void printLine(const std::string &what, const std::vector<Error> &errors) {
  Error all;
  std::cout << what << std::string(30 - std::min<size_t>(30, what.size()), ' ');
  for (const Error &error : errors) {
    std::cout << cell(error.psnr());
    all.add(error);
  }
  std::cout << "   all" << cell(all.psnr()) << std::endl;
}

absl::Status compareRecorded(const Scene &scene, const Options &options, Recorder &reference,
                             Recorder &models) {
  std::vector<Error> model(options.pictures), package(options.pictures);
  for (int64_t i = 0; i < options.pictures; ++i) {
    absl::StatusOr<Tensor> expected = scene.pipeline->rows("picture", i, 1),
                           mask = scene.pipeline->rows("mask", i, 1),
                           real = repaint(scene, reference, i), coded = repaint(scene, models, i);
    for (const absl::Status &status :
         {expected.status(), mask.status(), real.status(), coded.status()})
      if (!status.ok())
        return status;
    model[i].add(*expected, *real, *mask);
    package[i].add(*expected, *coded, *mask);
  }
  printLine("recorded, fp32 model", model);
  printLine("recorded, package", package);
  return absl::OkStatus();
}

/// The error of frame 1 over all start pictures.
absl::StatusOr<Error> compareZooms(const Scene &scene, const Options &options, Recorder &reference,
                                   Recorder &models, const std::string &folder) {
  ModelShapes shapes = models.shapes();
  Tensor mask = borderMask(shapes.width, shapes.height,
                           borderPixels(options.border, shapes.width, shapes.latentWidth),
                           borderPixels(options.border, shapes.height, shapes.latentHeight));
  std::vector<std::vector<Error>> frames(options.frames, std::vector<Error>(options.pictures));
  for (int64_t i = 0; i < options.pictures; ++i) {
    std::string place = absl::StrCat(folder, "/", i);
    auto expected = zoomFrom(scene, options, reference, i, place + "-fp32");
    auto actual = zoomFrom(scene, options, models, i, place + "-" + options.recipe);
    for (const absl::Status &status : {expected.status(), actual.status()})
      if (!status.ok())
        return status;
    for (int64_t frame = 0; frame < options.frames; ++frame)
      frames[frame][i].add((*expected)[frame], (*actual)[frame], mask);
  }
  for (int64_t frame = 0; frame < options.frames; ++frame)
    printLine(absl::StrCat("zoom frame ", frame + 1), frames[frame]);
  Error first;
  for (const Error &error : frames[0])
    first.add(error);
  return first;
}

absl::Status compilePackage(const Options &options, const std::string &output) {
  CompileOptions compilation;
  compilation.model = options.model;
  compilation.samples = options.samples;
  compilation.recipe = options.recipe;
  compilation.output = output;
  absl::StatusOr<CompileResult> result = compile(compilation, {});
  if (!result.ok())
    return result.status();
  for (const ModuleReport &module : result->report.modules())
    std::cout << module.name() << ": " << fixed(module.psnr(), 1) << " dB\n";
  return absl::OkStatus();
}

absl::Status run(const Options &options, const std::string &scratch) {
  std::string path = options.package;
  if (path.empty()) {
    path = scratch + "/pipeline.sdnpu";
    if (absl::Status status = compilePackage(options, path); !status.ok())
      return status;
  }
  absl::StatusOr<Scene> scene = openScene(options);
  auto package = Package::open(path);
  auto reference = FloatModels::create(options.model);
  for (const absl::Status &status : {scene.status(), package.status(), reference.status()})
    if (!status.ok())
      return status;
  absl::StatusOr<Target> target = parseTarget((*package)->provenance().target, path + ": target");
  if (!target.ok())
    return target.status();
  auto models = PackageModels::create(**package, *target);
  if (!models.ok())
    return models.status();
  std::cout << "PSNR (dB) of painted pixels against fp32, " << options.pictures << " pictures, "
            << options.steps << " steps, border " << options.border << std::endl;
  Recorder real(**reference, **reference, ""), coded(**models, **reference, options.only);
  if (absl::Status status = compareRecorded(*scene, options, real, coded); !status.ok())
    return status;
  absl::StatusOr<Error> first =
      compareZooms(*scene, options, real, coded, options.folder.empty() ? scratch : options.folder);
  if (!first.ok())
    return first.status();
  if (!(first->psnr() >= options.atLeast))
    return absl::FailedPreconditionError(absl::StrCat("zoom frame 1 has ", fixed(first->psnr(), 1),
                                                      " dB; needed: ", options.atLeast));
  return absl::OkStatus();
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  CLI::App app("Pictures that a package paints, against the fp32 model");
  app.add_option("PACKAGE", options.package, "Compiled here if not given")->type_name("");
  app.add_option("--model", options.model, "Folder of the pipeline")->type_name("DIR");
  app.add_option("--samples", options.samples, "Recorded samples")->type_name("DIR");
  app.add_option("--recipe", options.recipe, "To compile with");
  app.add_option("--pictures", options.pictures, "Recorded pictures to use")
      ->check(CLI::Range(1, 4));
  app.add_option("--frames", options.frames, "Frames of each zoom")->check(CLI::Range(1, 100));
  app.add_option("--steps", options.steps, "Denoising steps");
  app.add_option("--seed", options.seed, "Of the noise");
  app.add_option("--border", options.border, "Painted part of each side");
  app.add_option("--at-least", options.atLeast, "dB that zoom frame 1 needs");
  app.add_option("--only", options.only, "Take one module from the package, the others in fp32")
      ->check(CLI::IsMember({"text_encoder", "unet", "vae_encoder", "vae_decoder"}));
  app.add_option("-o,--output", options.folder, "Keep the pictures here")->type_name("DIR");
  CLI11_PARSE(app, argc, argv);

  std::string scratch = (fs::temp_directory_path() / "sdopt-zoom-quality-XXXXXX").string();
  if (!mkdtemp(scratch.data())) {
    std::cerr << "zoom-quality: cannot make a folder in " << fs::temp_directory_path() << "\n";
    return 1;
  }
  absl::Status status = run(options, scratch);
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  if (!status.ok())
    std::cerr << "zoom-quality: " << status.message() << "\n";
  return status.ok() ? 0 : 1;
}
