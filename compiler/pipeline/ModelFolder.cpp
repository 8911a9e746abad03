//===- ModelFolder.cpp - a pipeline as its owner has it -----------------------===//

#include "compiler/pipeline/ModelFolder.h"

#include "compiler/files/WholeFile.h"
#include "nlohmann/json.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

namespace fs = std::filesystem;
using nlohmann::json;

namespace sdopt {

namespace {

/// In the order in which a pipeline runs them.
constexpr const char *kKnownModules[] = {"text_encoder", "text_encoder_2", "text_encoder_3",
                                         "vae_encoder",  "unet",           "transformer",
                                         "vae_decoder"};
constexpr const char *kAssets[] = {"model_index.json",
                                   "tokenizer/vocab.json",
                                   "tokenizer/merges.txt",
                                   "tokenizer/tokenizer_config.json",
                                   "tokenizer_2/vocab.json",
                                   "tokenizer_2/merges.txt",
                                   "tokenizer_2/tokenizer_config.json",
                                   "scheduler/scheduler_config.json"};

/// What exporters call the height and the width of the latents.
constexpr std::array<std::array<const char *, 3>, 2> kLatentSizes = {
    {{"height", "latent_height", "height_latent"}, {"width", "latent_width", "width_latent"}}};

size_t order(const std::string &name) {
  return std::find(std::begin(kKnownModules), std::end(kKnownModules), name) -
         std::begin(kKnownModules);
}

/// A config.json; an empty object if there is none.
absl::StatusOr<json> readConfig(const fs::path &path) {
  if (!fs::exists(path))
    return json::object();
  absl::StatusOr<std::string> text = readFile(path.string());
  if (!text.ok())
    return text.status();
  json config = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded() || !config.is_object())
    return absl::InvalidArgumentError("'" + path.string() + "' is not a JSON object");
  return config;
}

/// An integer entry, or 0.
int64_t integer(const json &config, const char *key) {
  auto entry = config.find(key);
  return entry != config.end() && entry->is_number_integer() ? entry->get<int64_t>() : 0;
}

/// Pixels of a picture for one latent pixel: a factor 2 for each level of the autoencoder but one.
int64_t autoencoderFactor(const json &config) {
  auto levels = config.find("block_out_channels");
  if (levels == config.end() || !levels->is_array() || levels->empty() || levels->size() > 16)
    return 8;
  return int64_t(1) << (levels->size() - 1);
}

void bindDimension(ModelModule &module, std::initializer_list<const char *> names, int64_t value) {
  if (value > 0)
    for (const char *dimension : names)
      module.import.defaultDimensions.emplace(dimension, value);
}

/// A size of the latents under one name is that under all.
absl::Status nameLatentSizes(std::map<std::string, int64_t> &dimensions) {
  for (const auto &names : kLatentSizes) {
    const char *given = nullptr;
    for (const char *name : names) {
      if (!dimensions.contains(name))
        continue;
      if (given && dimensions[name] != dimensions[given])
        return absl::InvalidArgumentError("--dimension " + std::string(given) + "=" +
                                          std::to_string(dimensions[given]) + " and " + name + "=" +
                                          std::to_string(dimensions[name]) +
                                          " are one size of the latents; give one of them");
      given = name;
    }
    if (given)
      for (const char *name : names)
        dimensions.emplace(name, dimensions[given]);
  }
  return absl::OkStatus();
}

/// Sizes that the configurations give for symbolic dimensions.
absl::Status bindFromConfigs(const fs::path &folder, ModelFolder &model,
                             const CompileOptions &options) {
  // What denoises is a UNet or a transformer.
  bool hasUnet = fs::exists(folder / "unet" / "config.json");
  absl::StatusOr<json> denoiser =
      readConfig(folder / (hasUnet ? "unet" : "transformer") / "config.json");
  absl::StatusOr<json> text = readConfig(folder / "text_encoder" / "config.json");
  // Both halves of the autoencoder have the same configuration.
  bool decoder = fs::exists(folder / "vae_decoder" / "config.json");
  absl::StatusOr<json> vae =
      readConfig(folder / (decoder ? "vae_decoder" : "vae_encoder") / "config.json");
  for (const absl::Status &status : {denoiser.status(), text.status(), vae.status()})
    if (!status.ok())
      return status;
  std::map<std::string, int64_t> dimensions = options.dimensions;
  if (absl::Status status = nameLatentSizes(dimensions); !status.ok())
    return status;
  int64_t latent = integer(*denoiser, "sample_size");
  int64_t picture = latent * autoencoderFactor(*vae);
  int64_t tokens = integer(*text, "max_position_embeddings");
  for (ModelModule &module : model.modules) {
    module.import.dimensions = dimensions;
    // Sizes are those of the latents, as the UNet names them; the VAE encoder reads pixels.
    if (module.name == "vae_encoder")
      for (const char *name : {"height", "width"})
        if (auto given = module.import.dimensions.find(name);
            given != module.import.dimensions.end())
          given->second *= autoencoderFactor(*vae);
    bool autoencoder = module.name.starts_with("vae");
    module.import.batch = autoencoder ? 1 : options.batch.value_or(2);
    int64_t size = module.name == "vae_encoder" ? picture : latent;
    bindDimension(module, {"height", "width"}, size);
    bindDimension(module, {"latent_height", "latent_width", "height_latent", "width_latent"},
                  latent);
    bindDimension(module, {"sequence_length"}, tokens);
  }
  return absl::OkStatus();
}

/// "unet.sample" -> module unet, input sample; a bare input name goes to a single module.
absl::Status bindInputShapes(ModelFolder &model, const CompileOptions &options) {
  for (const auto &[key, shape] : options.inputShapes) {
    size_t dot = key.find('.');
    bool found = false;
    for (ModelModule &module : model.modules) {
      bool here = dot != std::string::npos && key.substr(0, dot) == module.name;
      if (!here && model.modules.size() > 1)
        continue;
      module.import.inputShapes[here ? key.substr(dot + 1) : key] = shape;
      found = true;
    }
    if (!found)
      return absl::InvalidArgumentError("--input-shape " + key + "=" + toString(shape) +
                                        " names no module; write it as MODULE.INPUT=SHAPE");
  }
  return absl::OkStatus();
}

std::string namesOf(const ModelFolder &model) {
  std::string names;
  for (const ModelModule &module : model.modules)
    names += (names.empty() ? "" : ", ") + module.name;
  return names;
}

absl::StatusOr<ModelFolder> singleFile(const fs::path &path, const CompileOptions &options) {
  ModelFolder model;
  model.name = path.filename().string();
  std::string stem = path.stem().string();
  if (stem == "model" && path.has_parent_path() && !path.parent_path().filename().empty())
    stem = path.parent_path().filename().string();
  ModelModule module{stem, path.string(), {}};
  module.import.name = stem;
  module.import.batch = options.batch;
  module.import.dimensions = options.dimensions;
  model.modules.push_back(module);
  return model;
}

} // namespace

std::vector<std::string> namesOfSize(const std::string &name) {
  for (const auto &names : kLatentSizes)
    if (std::find(names.begin(), names.end(), name) != names.end())
      return {names.begin(), names.end()};
  return {name};
}

absl::StatusOr<ModelFolder> openModelFolder(const CompileOptions &options) {
  fs::path path(options.model);
  std::error_code error;
  ModelFolder model;
  if (fs::is_regular_file(path, error)) {
    absl::StatusOr<ModelFolder> file = singleFile(path, options);
    if (!file.ok())
      return file;
    model = *std::move(file);
  } else if (fs::is_directory(path, error)) {
    path = fs::path(path.lexically_normal().string());
    model.name =
        path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
    for (const fs::directory_entry &entry : fs::directory_iterator(path, error))
      if (fs::is_regular_file(entry.path() / "model.onnx", error)) {
        ModelModule module{
            entry.path().filename().string(), (entry.path() / "model.onnx").string(), {}};
        module.import.name = module.name;
        model.modules.push_back(module);
      }
    std::sort(model.modules.begin(), model.modules.end(),
              [](const ModelModule &a, const ModelModule &b) {
                return std::pair(order(a.name), a.name) < std::pair(order(b.name), b.name);
              });
    if (model.modules.empty())
      return absl::InvalidArgumentError(
          "folder '" + options.model +
          "' has no MODULE/model.onnx; give a folder in the diffusers/optimum layout or "
          "one .onnx file");
    if (absl::Status status = bindFromConfigs(path, model, options); !status.ok())
      return status;
    for (const char *asset : kAssets)
      if (fs::exists(path / asset)) {
        absl::StatusOr<std::string> bytes = readFile((path / asset).string());
        if (!bytes.ok())
          return bytes.status();
        model.assets.push_back({asset, *std::move(bytes)});
      }
  } else {
    return absl::NotFoundError("no such model: '" + options.model + "'");
  }
  if (absl::Status status = bindInputShapes(model, options); !status.ok())
    return status;
  if (!options.modules.empty()) {
    for (const std::string &wanted : options.modules)
      if (std::none_of(model.modules.begin(), model.modules.end(),
                       [&](const ModelModule &module) { return module.name == wanted; }))
        return absl::InvalidArgumentError("--modules names '" + wanted + "', which is not in '" +
                                          options.model + "'; there are " + namesOf(model));
    auto leftOut =
        std::stable_partition(model.modules.begin(), model.modules.end(), [&](const auto &module) {
          return std::find(options.modules.begin(), options.modules.end(), module.name) !=
                 options.modules.end();
        });
    model.leftOut.assign(leftOut, model.modules.end());
    model.modules.erase(leftOut, model.modules.end());
  }
  if (options.batch &&
      std::none_of(model.modules.begin(), model.modules.end(),
                   [&](const ModelModule &module) { return module.import.batch == options.batch; }))
    return absl::InvalidArgumentError("--batch " + std::to_string(*options.batch) +
                                      " is of text encoder and UNet; compiled are " +
                                      namesOf(model) + ", of pictures one at a time");
  return model;
}

} // namespace sdopt
