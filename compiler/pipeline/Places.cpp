//===- Places.cpp - where a compilation reads and writes ----------------------===//

#include "compiler/pipeline/Places.h"

#include "compiler/pipeline/StageFolder.h"

#include <algorithm>
#include <filesystem>
#include <map>

namespace fs = std::filesystem;

namespace sdopt {

namespace {

constexpr const char *kModel = "MODEL", *kOutput = "-o";

/// One name for all ways to a place.
fs::path resolved(const std::string &path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  fs::path whole = fs::weakly_canonical(absolute, error);
  if (error)
    whole = absolute.lexically_normal();
  return whole.has_filename() ? whole : whole.parent_path();
}

absl::Status taken(const Place &place, const std::string &by) {
  return absl::InvalidArgumentError("cannot write '" + place.path + "' for " + place.option + ": " +
                                    by);
}

/// Outputs that come last fail first if they have no place.
absl::Status checkFolders(const CompileOptions &options) {
  std::error_code error;
  const auto isNoFolder = [&](const std::string &path) {
    return !path.empty() && fs::exists(path, error) && !fs::is_directory(path, error);
  };
  if (isNoFolder(options.reportFolder))
    return absl::InvalidArgumentError("cannot write the report into '" + options.reportFolder +
                                      "': it is no folder");
  for (const std::string &folder :
       {options.exportFolder, options.encodingsFolder, options.masksOut, options.codebooksOut})
    if (isNoFolder(folder))
      return absl::InvalidArgumentError("cannot export into '" + folder + "': it is no folder");
  if (options.depfile.empty())
    return absl::OkStatus();
  if (fs::is_directory(options.depfile, error))
    return absl::InvalidArgumentError("cannot write '" + options.depfile +
                                      "': it is there already and is a folder");
  if (!fs::is_directory(fs::absolute(options.depfile).parent_path(), error))
    return absl::NotFoundError("cannot write '" + options.depfile + "': no such folder");
  return absl::OkStatus();
}

} // namespace

std::vector<Place> inputPlaces(const CompileOptions &options, const ModelFolder &model) {
  std::vector<Place> inputs;
  std::error_code error;
  auto addIfFile = [&](const char *option, const std::string &path) {
    if (fs::is_regular_file(path, error))
      inputs.push_back({option, path});
  };
  for (const ModelModule &module : model.modules) {
    std::vector<std::string> files;
    for (const fs::directory_entry &entry :
         fs::directory_iterator(fs::path(module.path).parent_path(), error))
      if (entry.is_regular_file(error) && entry.path().extension() != ".sdnpu" &&
          (fs::is_directory(options.model) || entry.path() == module.path))
        files.push_back(entry.path().string());
    std::sort(files.begin(), files.end());
    for (const std::string &file : files)
      inputs.push_back({kModel, file});
  }
  // Sizes of one module may come from the configuration of another.
  if (!options.modules.empty())
    for (const char *folder : {"unet", "transformer", "text_encoder", "vae_decoder"})
      if (std::ranges::find(options.modules, folder) == options.modules.end())
        addIfFile(kModel, (fs::path(options.model) / folder / "config.json").string());
  for (const Asset &asset : model.assets)
    addIfFile(kModel, (fs::path(options.model) / asset.name).string());
  if (!options.samples.empty())
    for (const ModelModule &module : model.modules)
      for (const char *set :
           {"_calibration.safetensors", "_test.safetensors", "_calibration.npz", "_test.npz"})
        addIfFile("--samples", (fs::path(options.samples) / (module.name + set)).string());
  for (const auto &[option, files] :
       {std::pair("--statistics", &options.statistics),
        std::pair("--encodings", &options.encodings), std::pair("--masks", &options.masks),
        std::pair("--codebooks", &options.codebooks)})
    for (const std::string &file : *files)
      addIfFile(option, file);
  addIfFile("--recipe", options.recipe);
  addIfFile("--target", options.target);
  addIfFile("--baseline", options.baseline);
  return inputs;
}

std::vector<Place> outputPlaces(const CompileOptions &options, const ModelFolder &model) {
  std::vector<Place> outputs;
  auto add = [&](const char *option, const std::string &folder, const fs::path &file) {
    if (!folder.empty())
      outputs.push_back({option, (fs::path(folder) / file).string()});
  };
  for (auto [option, file] :
       {std::pair(kOutput, &options.output), std::pair("--depfile", &options.depfile)})
    if (!file->empty())
      outputs.push_back({option, *file});
  for (const char *extension : {".html", ".json"})
    if (options.sweep.empty())
      add("--report", options.reportFolder, std::string("report") + extension);
  if (!options.sweep.empty())
    for (const char *file : {"sweep.json", "sweep.svg"})
      add("--report", options.reportFolder, file);
  for (const ModelModule &module : model.modules) {
    for (const char *file : {"model.onnx", "model.onnx_data"})
      add("--export-onnx", options.exportFolder, fs::path(module.name) / file);
    add("--export-encodings", options.encodingsFolder, module.name + ".encodings");
    add("--export-masks", options.masksOut, module.name + ".safetensors");
    add("--export-codebooks", options.codebooksOut, module.name + ".safetensors");
    for (const char *ending : {".pb", ".partial.pb"})
      add("--statistics-out", options.statisticsOut, module.name + ending);
    if (!options.stageFolder.empty())
      for (const std::string &file : StageFolder(options.stageFolder, module.name).files())
        outputs.push_back({"--stages", file});
  }
  if (!options.sensitivityFolder.empty())
    outputs.push_back({"--sensitivity", options.sensitivityFolder, /*isFolder=*/true});
  return outputs;
}

absl::Status checkPlaces(const CompileOptions &options, const ModelFolder &model) {
  const std::vector<Place> inputs = inputPlaces(options, model),
                           outputs = outputPlaces(options, model);
  std::map<fs::path, const Place *> read, written;
  for (const Place &input : inputs)
    read.emplace(resolved(input.path), &input);
  std::map<fs::path, std::string> modules; ///< folders of which every file is read
  std::error_code error;
  if (fs::is_directory(options.model, error))
    for (const ModelModule &module : model.modules) {
      const fs::path folder = fs::path(module.path).parent_path();
      modules.emplace(resolved(folder), folder);
    }
  for (const Place &output : outputs) {
    if (output.isFolder)
      continue;
    const fs::path place = resolved(output.path);
    if (auto found = read.find(place); found != read.end())
      return taken(output, std::string(found->second->option) + " reads it");
    if (auto found = modules.find(place.parent_path());
        found != modules.end() && place.extension() != ".sdnpu")
      return taken(output, kModel + (" reads all files of '" + found->second + "'"));
    if (auto [found, isNew] = written.emplace(place, &output); !isNew)
      return taken(output, std::string(found->second->option) + " writes it");
  }
  for (const Place &output : outputs) {
    const fs::path place = resolved(output.path);
    for (fs::path at = output.isFolder ? place : place.parent_path(); at != at.root_path();
         at = at.parent_path())
      if (auto found = written.find(at); found != written.end())
        return taken(output, std::string(found->second->option) + " writes the file '" +
                                 found->second->path + "'");
  }
  return checkFolders(options);
}

} // namespace sdopt
