//===- sdopt-opt.cpp - runs passes on .mlir files ----------------------------===//

#include "compiler/pipeline/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

int main(int argc, char **argv) {
  llvm::cl::AddExtraVersionPrinter(
      [](llvm::raw_ostream &out) { out << "sdopt " SDOPT_VERSION "\n"; });
  sdopt::leaveOperationsOutOfErrors();
  mlir::DialectRegistry registry;
  sdopt::registerSdoptDialects(registry);
  sdopt::registerSdoptPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "sdopt pass driver\n", registry));
}
