//===- StageFolder.cpp - snapshots between stages -----------------------------===//

#include "compiler/pipeline/StageFolder.h"

#include "compiler/files/Blake3.h"
#include "compiler/files/PartialFiles.h"
#include "compiler/files/WholeFile.h"
#include "compiler/report/Report.h"

#include "dialects/sd/BucketFunctions.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/Parser/Parser.h"
#include "nlohmann/json.hpp"
#include "llvm/Support/raw_ostream.h"

#include <filesystem>

using namespace mlir;

namespace sdopt {

namespace {

std::string printed(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OpPrintingFlags flags;
  flags.enableDebugInfo(/*enable=*/true, /*prettyForm=*/false);
  module->print(stream, flags);
  return text + "\n";
}

std::string digestOf(const std::string &text) { return blake3Hex(std::as_bytes(std::span(text))); }

/// Entry "snapshots" of a manifest: digests by stage.
nlohmann::json snapshotsOf(const nlohmann::json &manifest) {
  auto entry = manifest.is_object() ? manifest.find("snapshots") : manifest.end();
  return entry != manifest.end() && entry->is_object() ? *entry : nlohmann::json::object();
}

} // namespace

StageFolder::StageFolder(const std::string &folder, const std::string &module)
    : module_(module), folder_((std::filesystem::path(folder) / module).string()) {}

std::string StageFolder::statisticsPath() const { return folder_ + "/statistics.pb"; }

std::vector<std::string> StageFolder::files() const {
  std::vector<std::string> files = {statisticsPath(), folder_ + "/statistics.partial.pb",
                                    folder_ + "/overlay.safetensors", folder_ + "/manifest.json"};
  for (Stage stage = Stage::Import; stage != Stage::Emit;
       stage = static_cast<Stage>(static_cast<int>(stage) + 1))
    for (const char *extension : {".mlir", ".report.json"})
      files.push_back(folder_ + "/" + name(stage) + extension);
  return files;
}

absl::Status StageFolder::save(Stage stage, ModuleOp module, const WeightStore &weights,
                               const StageState &state) const {
  if (absl::Status status = makeFolder(folder_); !status.ok())
    return status;
  std::string text = printed(module);
  nlohmann::json snapshots = nlohmann::json::object();
  if (absl::StatusOr<std::string> before = readFile(folder_ + "/manifest.json"); before.ok())
    snapshots = snapshotsOf(nlohmann::json::parse(*before, nullptr, false));
  snapshots[name(stage)] = digestOf(text);
  nlohmann::json manifest = {
      {"stage", name(stage)}, {"files", state.digests}, {"snapshots", snapshots}};
  for (const absl::Status &status :
       {writeFileAtomically(folder_ + "/" + name(stage) + ".mlir", text),
        weights.saveOverlay(folder_ + "/overlay.safetensors"),
        writeFileAtomically(folder_ + "/" + name(stage) + ".report.json", toJson(state.partial)),
        writeFileAtomically(folder_ + "/manifest.json", manifest.dump(1) + "\n")})
    if (!status.ok())
      return status;
  return absl::OkStatus();
}

absl::Status StageFolder::loadOverlay(WeightStore &weights) const {
  return weights.loadOverlay(folder_ + "/overlay.safetensors");
}

absl::StatusOr<OwningOpRef<ModuleOp>> StageFolder::load(Stage stage, MLIRContext &context,
                                                        StageState &state) const {
  std::string path = folder_ + "/" + name(stage) + ".mlir";
  absl::StatusOr<std::string> text = readFile(path);
  if (!text.ok())
    return absl::NotFoundError(std::string(text.status().message()) + "; run with --stop-after " +
                               name(stage) + " --stages first");
  absl::StatusOr<std::string> reportText = readFile(folder_ + "/" + name(stage) + ".report.json");
  if (!reportText.ok())
    return reportText.status();
  absl::StatusOr<Report> partial =
      fromJson(*reportText, folder_ + "/" + name(stage) + ".report.json");
  if (!partial.ok())
    return partial.status();
  if (partial->modules_size() != 1 || partial->modules(0).name() != module_)
    return absl::InvalidArgumentError("'" + folder_ + "/" + name(stage) +
                                      ".report.json' is not the report of module '" + module_ +
                                      "' alone");
  absl::StatusOr<std::string> manifestText = readFile(folder_ + "/manifest.json");
  if (!manifestText.ok())
    return manifestText.status();
  nlohmann::json manifest = nlohmann::json::parse(*manifestText, nullptr, false);
  auto files = manifest.is_object() ? manifest.find("files") : manifest.end();
  if (!manifest.is_object() || files == manifest.end() || !files->is_object())
    return absl::InvalidArgumentError("'" + folder_ + "/manifest.json' is not a manifest of files");
  for (const auto &[file, digest] : files->items()) {
    auto known = state.digests.find(file);
    if (known == state.digests.end() || !digest.is_string() ||
        known->second != digest.get<std::string>())
      return absl::FailedPreconditionError(
          "'" + file + "' is not the file that the snapshots in '" + folder_ + "' were made of");
  }
  state.partial = *std::move(partial);
  nlohmann::json snapshots = snapshotsOf(manifest);
  auto written = snapshots.find(name(stage));
  state.edited = written != snapshots.end() && *written == digestOf(*text) ? "" : path;
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(*text, ParserConfig(&context), path);
  if (!module)
    return absl::InvalidArgumentError("");
  std::string expected = module_;
  size_t functions = 0;
  for (Operation &op : *module->getBody()) {
    auto function = dyn_cast<func::FuncOp>(op);
    if (!function || function.getName() != expected || !llvm::hasSingleElement(function.getBody()))
      break;
    if (++functions < 2 || function->hasAttr(sd::kFirstTimestepAttribute))
      expected = sd::bucketName(module_, functions);
  }
  if (functions == 0 || functions != module->getBody()->getOperations().size())
    return absl::InvalidArgumentError("'" + path + "' is not one function '" + module_ +
                                      "' with a body of one block");
  return module;
}

} // namespace sdopt
