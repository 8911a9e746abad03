//===- sdopt-translate.cpp - between files and IR -----------------------------===//

#include "Translations.h"

#include "mlir/Tools/mlir-translate/MlirTranslateMain.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

int main(int argc, char **argv) {
  llvm::cl::AddExtraVersionPrinter(
      [](llvm::raw_ostream &out) { out << "sdopt " SDOPT_VERSION "\n"; });
  sdopt::registerTranslations();
  return mlir::failed(mlir::mlirTranslateMain(
      argc, argv, "sdopt-translate: ONNX to sd, scheduled npu to assembly"));
}
