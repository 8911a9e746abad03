//===- SdDialect.cpp - registration ----------------------------------------===//

#include "dialects/sd/Sd.h"

using namespace mlir;

#include "dialects/sd/SdDialect.cpp.inc"

void sdopt::sd::SdDialect::initialize() {
  registerAttrs();
  registerOps();
}

sdopt::Resources &sdopt::sd::resources(MLIRContext *context) {
  return context->getOrLoadDialect<SdDialect>()->resources;
}
