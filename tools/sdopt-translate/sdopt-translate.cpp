//===- sdopt-translate.cpp - between files and IR -----------------------------===//

#include "Translations.h"

#include "mlir/Tools/mlir-translate/MlirTranslateMain.h"

int main(int argc, char **argv) {
  sdopt::registerTranslations();
  return mlir::failed(mlir::mlirTranslateMain(
      argc, argv, "sdopt-translate: ONNX to sd, scheduled npu to assembly"));
}
