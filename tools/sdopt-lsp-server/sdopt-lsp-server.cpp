//===- sdopt-lsp-server.cpp - editor support for .mlir files -----------------===//

#include "compiler/pipeline/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  sdopt::registerSdoptDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
