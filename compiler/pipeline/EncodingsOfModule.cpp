//===- EncodingsOfModule.cpp - formats that come from elsewhere, or go there --===//

#include "compiler/encodings/Encodings.h"
#include "compiler/export/CollectFormats.h"
#include "compiler/export/ExportOnnx.h"
#include "compiler/pipeline/Diagnostics.h"
#include "compiler/pipeline/ModuleCompiler.h"
#include "dialects/sd/FormatNames.h"
#include "passes/quantize/ImposedCodes.h"

#include "llvm/ADT/StringRef.h"

#include <filesystem>

using namespace mlir;
namespace fs = std::filesystem;

namespace sdopt {

namespace {

constexpr size_t kMostNamesTold = 20;

/// Values and weights that can have codes of their own.
std::set<std::string> namesWithCodes(func::FuncOp function) {
  std::set<std::string> names;
  for (BlockArgument argument : function.getArguments())
    names.insert(sd::valueName(argument));
  for (Operation &op : function.getBody().front()) {
    for (Value result : op.getResults())
      names.insert(sd::valueName(result));
    for (Value operand : op.getOperands())
      names.insert(weightName(operand));
  }
  return names;
}

/// "'a', 'b', ..."
std::string listed(const std::set<std::string> &names) {
  std::string text;
  size_t count = 0;
  for (const std::string &name : names) {
    if (++count > kMostNamesTold)
      return text + ", ...";
    text += (text.empty() ? "'" : ", '") + name + "'";
  }
  return text;
}

/// The name without what this compiler adds for a second code and for scaled weights.
std::string baseName(llvm::StringRef name) {
  name.consume_back(kNarrowSuffix);
  while (name.consume_back(kSmoothSuffix)) {
  }
  return name.str();
}

} // namespace

/// Of a model that another tool quantized.
void ModuleCompiler::tellWhatIsNotKept() {
  if (const std::set<std::string> &names = opened_.imposed.codedTwice; !names.empty())
    addRemark("encodings",
              std::to_string(names.size()) +
                  " values have two codes in the model, and the first one here: " + listed(names));
  if (const std::set<std::string> &names = opened_.imposed.notKept; !names.empty())
    addRemark("encodings", std::to_string(names.size()) +
                               " constants have other codes in the model than symmetric ones of " +
                               "8 bits; those that are weights are quantized as the recipe says: " +
                               listed(names));
}

absl::Status ModuleCompiler::imposeFormats() {
  tellWhatIsNotKept();
  const std::string *path = nullptr;
  for (const std::string &file : options_.encodings)
    if (options_.modules.size() == 1 || fs::path(file).stem() == model_.name ||
        !fs::is_directory(options_.model)) {
      if (path)
        return absl::InvalidArgumentError("--encodings gives '" + *path + "' and '" + file +
                                          "' for module '" + model_.name + "'; give one of them");
      path = &file;
    }
  if (!path)
    return absl::OkStatus();
  absl::StatusOr<ImposedFormats> read = readEncodings(*path);
  if (!read.ok())
    return read.status();
  absl::StatusOr<std::vector<std::string>> names = layerNamesOfFile(model_.path, model_.name);
  if (!names.ok())
    return names.status();
  std::set<std::string> coded = namesWithCodes(function(*module_)), known = coded;
  for (llvm::StringRef name : *names) {
    name.consume_front(model_.name + "/");
    known.insert(name.str());
  }
  std::set<std::string> unknown;
  size_t unused = 0;
  for (const auto &[name, format] : read->tensors) {
    if (!known.count(baseName(name)) && !known.count(name))
      unknown.insert(name);
    else if (!coded.count(baseName(name)) && !coded.count(name))
      ++unused;
  }
  if (!unknown.empty())
    return absl::InvalidArgumentError("'" + *path + "': " + std::to_string(unknown.size()) +
                                      " names are of no tensor of module '" + model_.name +
                                      "': " + listed(unknown));
  if (unused > 0)
    addRemark("encodings", std::to_string(unused) + " tensors of '" +
                               fs::path(*path).filename().string() +
                               "' have no codes of their own here: they lie within operations " +
                               "that are computed as one");
  for (auto &[name, format] : read->tensors)
    opened_.imposed.tensors[name] = std::move(format);
  opened_.imposed.origin = read->origin;
  return absl::OkStatus();
}

absl::Status ModuleCompiler::exportTo(std::vector<std::unique_ptr<AtomicFile>> &files) {
  for (auto &[folder, file] : prepared_)
    files.push_back(std::move(file));
  prepared_.clear();
  if (!options_.exportFolder.empty())
    if (absl::Status status = exportModel(files); !status.ok())
      return status;
  return options_.encodingsFolder.empty() ? absl::OkStatus() : exportFormats(files);
}

absl::Status ModuleCompiler::exportModel(std::vector<std::unique_ptr<AtomicFile>> &files) {
  progress("export");
  ErrorCollector errors(context_.get());
  fs::path folder = fs::path(options_.exportFolder) / model_.name;
  if (absl::Status status = makeFolder(folder); !status.ok())
    return status;
  const std::string dataName = "model.onnx_data";
  absl::StatusOr<std::unique_ptr<AtomicFile>> data = AtomicFile::create(folder / dataName);
  if (!data.ok())
    return data.status();
  absl::StatusOr<std::unique_ptr<AtomicFile>> model = AtomicFile::create(folder / "model.onnx");
  if (!model.ok())
    return model.status();
  absl::Status status = exportOnnx(function(*quantized_), evaluation_, **model, **data, dataName);
  files.push_back(*std::move(data));
  files.push_back(*std::move(model));
  return status.ok() ? status : errors.explain(status, "export failed");
}

absl::Status ModuleCompiler::exportFormats(std::vector<std::unique_ptr<AtomicFile>> &files) {
  ErrorCollector errors(context_.get());
  absl::StatusOr<CollectedFormats> collected = collectFormats(function(*quantized_), evaluation_);
  if (!collected.ok())
    return errors.explain(collected.status(), "export failed");
  if (absl::Status status = makeFolder(options_.encodingsFolder); !status.ok())
    return status;
  absl::StatusOr<std::unique_ptr<AtomicFile>> file =
      AtomicFile::create(fs::path(options_.encodingsFolder) / (model_.name + ".encodings"));
  if (!file.ok())
    return file.status();
  absl::Status status = (*file)->write(
      encodingsText(collected->formats, collected->weights, options_.encodingsVersion));
  files.push_back(*std::move(file));
  return status;
}

} // namespace sdopt
