//===- Translations.cpp - translations between files and IR -------------------===//

#include "Translations.h"

#include "compiler/import/Import.h"
#include "compiler/pipeline/Emit.h"
#include "compiler/pipeline/Registration.h"
#include "compiler/target/Target.h"

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

LogicalResult printAssembly(Operation *op, llvm::raw_ostream &out) {
  absl::StatusOr<Target> target = loadTarget(flags().target);
  if (!target.ok())
    return op->emitError() << std::string(target.status().message());
  LogicalResult result = success();
  op->walk([&](func::FuncOp function) {
    absl::StatusOr<EmittableModule> module = prepareModule(function, *target);
    if (!module.ok()) {
      result = failure();
      if (!module.status().message().empty())
        function.emitError() << std::string(module.status().message());
      return;
    }
    out << "// " << function.getName() << "\n";
    for (const Command &command : module->info.program.commands)
      out << disassemble(command) << "\n";
  });
  return result;
}

} // namespace

void registerTranslations() {
  flags();
  static TranslateToMLIRRegistration import(
      "import-onnx", "ONNX file to sd",
      [](llvm::SourceMgr &sources, MLIRContext *context) { return importFile(sources, context); },
      [](DialectRegistry &registry) { registerSdoptDialects(registry); });
  static TranslateFromMLIRRegistration assembly(
      "npu-to-assembly", "scheduled npu IR to commands as text", printAssembly,
      [](DialectRegistry &registry) { registerSdoptDialects(registry); });
}

} // namespace sdopt
