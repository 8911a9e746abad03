//===- record-codes.cpp - every code of a quantized module --------------------===//
//
//   record-codes MODEL STAGES SAMPLES MODULE CALLS OUT.safetensors
//
// Evaluates the snapshot that sdopt-compile left after quantize on CALLS of the recorded calls,
// spread evenly.
// OUT holds the codes of all values of the first call under their names, and what call i takes and
// gives as "input/i/NAME" and "result/i/NAME".
//
//===----------------------------------------------------------------------===//

#include "compiler/calibration/Samples.h"
#include "compiler/pipeline/ModelFolder.h"
#include "compiler/pipeline/Registration.h"
#include "compiler/pipeline/StageFolder.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/Safetensors.h"

#include <cstdio>
#include <cstdlib>

using namespace mlir;
using namespace sdopt;

namespace {

using Named = std::vector<std::pair<std::string, Tensor>>;

absl::StatusOr<Named> record(func::FuncOp function, const WeightStore &weights,
                             const std::string &samples, int64_t calls) {
  absl::StatusOr<SampleFile> file = SampleFile::open(samples);
  if (!file.ok())
    return file.status();
  absl::StatusOr<SampleReader> reader = SampleReader::open(function, {*file}, calls);
  if (!reader.ok())
    return reader.status();
  Named named;
  std::set<std::string> known;
  Evaluator evaluator(function, {&fastKernels(), &weights});
  for (int64_t call = 0; call < reader->size(); ++call) {
    absl::StatusOr<Sample> sample = reader->read(call);
    if (!sample.ok())
      return sample.status();
    for (auto [i, input] : llvm::enumerate(sample->inputs))
      named.emplace_back(
          "input/" + std::to_string(call) + "/" + sd::valueName(function.getArgument(i)), input);
    auto observe = [&](Value value, const Tensor &tensor) {
      std::string name = sd::valueName(value);
      if (call == 0 && isQuantized(value.getType()) && known.insert(name).second)
        named.emplace_back(name, tensor);
    };
    FailureOr<SmallVector<Tensor>> results = evaluator.run(sample->inputs, observe);
    if (failed(results))
      return absl::InternalError("evaluation failed");
    for (auto [i, result] : llvm::enumerate(*results)) {
      auto name = function.getResultAttrOfType<StringAttr>(i, sd::SdDialect::kNameAttr);
      named.emplace_back("result/" + std::to_string(call) + "/" + name.str(), result);
    }
  }
  return named;
}

absl::Status run(char **arguments) {
  CompileOptions options;
  options.model = arguments[1];
  options.modules = {arguments[4]};
  absl::StatusOr<ModelFolder> folder = openModelFolder(options);
  if (!folder.ok())
    return folder.status();
  DialectRegistry registry;
  registerSdoptDialects(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  WeightStore weights;
  const ModelModule &module = folder->modules.front();
  absl::StatusOr<ImportedModel> imported = importOnnx(module.path, module.import, context, weights);
  if (!imported.ok())
    return imported.status();
  StageState state;
  state.digests = imported->digests;
  const StageFolder stages(arguments[2], module.name);
  absl::StatusOr<OwningOpRef<ModuleOp>> quantized = stages.load(Stage::Quantize, context, state);
  if (!quantized.ok())
    return quantized.status();
  if (absl::Status status = stages.loadOverlay(weights); !status.ok())
    return status;
  absl::StatusOr<Named> named = record(*(*quantized)->getOps<func::FuncOp>().begin(), weights,
                                       arguments[3], std::strtoll(arguments[5], nullptr, 10));
  return named.ok() ? writeSafetensors(arguments[6], *named) : named.status();
}

} // namespace

int main(int count, char **arguments) {
  absl::Status status =
      count == 7 ? run(arguments) : absl::InvalidArgumentError("needs six arguments");
  if (!status.ok())
    std::fprintf(stderr, "record-codes: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
