//===- sdopt-lsp-server.cpp - editor support for .mlir files -----------------===//

#include "compiler/pipeline/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

int main(int argc, char **argv) {
  llvm::cl::AddExtraVersionPrinter(
      [](llvm::raw_ostream &out) { out << "sdopt " SDOPT_VERSION "\n"; });
  mlir::DialectRegistry registry;
  sdopt::registerSdoptDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
