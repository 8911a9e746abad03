//===- Translations.cpp - translations between files and IR -------------------===//

#include "Translations.h"

#include "compiler/import/Import.h"
#include "compiler/pipeline/Emit.h"
#include "compiler/pipeline/Registration.h"
#include "compiler/pipeline/ResourcePasses.h"
#include "compiler/target/Target.h"
#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/Sd.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-translate/Translation.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/SourceMgr.h"

#include <filesystem>

using namespace mlir;
namespace cl = llvm::cl;

namespace sdopt {

namespace {

/// Flags of both translations; registered with LLVM's parser as long as the program runs.
struct Flags {
  cl::opt<std::string> target{"target", cl::desc("Preset or target file for --npu-to-assembly"),
                              cl::init("mobile")};
  cl::opt<std::string> model{
      "model", cl::desc("Model folder that the weights for --npu-to-assembly are in")};
  cl::opt<std::string> weights{
      "weights", cl::desc("overlay.safetensors of the snapshot for --npu-to-assembly")};
  cl::opt<int64_t> batch{"batch", cl::desc("Value of symbolic first dimensions for --import-onnx"),
                         cl::init(1)};
  cl::list<std::string> dimensions{"dimension",
                                   cl::desc("Value of a symbolic dimension for --import-onnx"),
                                   cl::value_desc("height=16")};
};

Flags &flags() {
  static Flags instance;
  return instance;
}

OwningOpRef<Operation *> importFile(llvm::SourceMgr &sources, MLIRContext *context) {
  std::string path = sources.getMemoryBuffer(sources.getMainFileID())->getBufferIdentifier().str();
  ImportOptions options;
  options.name = std::filesystem::path(path).stem().string();
  options.batch = flags().batch;
  for (llvm::StringRef dimension : flags().dimensions) {
    int64_t value = 0;
    auto [name, number] = dimension.split('=');
    if (number.getAsInteger(10, value)) {
      emitError(UnknownLoc::get(context), "--dimension ")
          << dimension << " is not of the form height=16";
      return nullptr;
    }
    options.dimensions[name.str()] = value;
  }
  WeightStore weights;
  absl::StatusOr<ImportedModel> model = importOnnx(path, options, *context, weights);
  if (!model.ok()) {
    emitError(UnknownLoc::get(context)) << std::string(model.status().message());
    return nullptr;
  }
  return OwningOpRef<Operation *>(model->module.release());
}

LogicalResult printCommands(func::FuncOp function, const Target &target, llvm::raw_ostream &out) {
  absl::StatusOr<EmittableModule> module = prepareModule(function, target);
  absl::Status status = module.status();
  // Where constants lie depends on what they take.
  if (status.ok())
    status =
        packInMemory(*module, target, sd::resources(function.getContext()).evaluation).status();
  if (!status.ok())
    return status.message().empty() ? failure()
                                    : function.emitError() << std::string(status.message());
  out << "// " << function.getName() << "\n";
  for (const Command &command : module->info.program.commands)
    out << disassemble(command) << "\n";
  for (auto [i, bucket] : llvm::enumerate(module->info.buckets)) {
    out << "// " << sd::bucketName(function.getName(), i + 1) << "\n";
    for (const Command &command : bucket.program.commands)
      out << disassemble(command) << "\n";
  }
  return success();
}

LogicalResult printAssembly(Operation *op, llvm::raw_ostream &out) {
  absl::StatusOr<Target> target = loadTarget(flags().target);
  if (!target.ok())
    return op->emitError() << std::string(target.status().message());
  for (const auto &[name, path] : {std::pair("sd.model", flags().model.getValue()),
                                   std::pair("sd.weights", flags().weights.getValue())})
    if (!path.empty())
      op->setAttr(name, StringAttr::get(op->getContext(), path));
  PassManager manager(op->getContext());
  if (failed(parsePassPipeline("sdopt-open-resources", manager)) || failed(manager.run(op)))
    return failure();
  LogicalResult result = success();
  op->walk([&](func::FuncOp function) {
    if (!sd::isLaterBucket(function) && failed(printCommands(function, *target, out)))
      result = failure();
  });
  return result;
}

} // namespace

void registerTranslations() {
  flags();
  registerResourcePasses();
  static TranslateToMLIRRegistration import(
      "import-onnx", "ONNX file to sd",
      [](llvm::SourceMgr &sources, MLIRContext *context) { return importFile(sources, context); },
      [](DialectRegistry &registry) { registerSdoptDialects(registry); });
  static TranslateFromMLIRRegistration assembly(
      "npu-to-assembly", "scheduled npu IR to commands as text", printAssembly,
      [](DialectRegistry &registry) { registerSdoptDialects(registry); });
}

} // namespace sdopt
