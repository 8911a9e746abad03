//===- sdopt-opt.cpp - runs passes on .mlir files ----------------------------===//

#include "compiler/pipeline/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  sdopt::registerSdoptDialects(registry);
  sdopt::registerSdoptPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "sdopt pass driver\n", registry));
}
