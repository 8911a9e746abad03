//===- SdOps.cpp - generated parts of the operations -----------------------===//

#include "dialects/sd/Sd.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

#include "dialects/sd/SdEnums.cpp.inc"

#include "dialects/sd/EvaluationInterface.cpp.inc"

#define GET_OP_CLASSES
#include "dialects/sd/SdOps.cpp.inc"

void sdopt::sd::SdDialect::registerOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/sd/SdOps.cpp.inc"
      >();
}
