//===- Registration.cpp - dialects and passes, in one place -------------------===//

#include "compiler/pipeline/Registration.h"

#include "compiler/pipeline/ResourcePasses.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/reference/NpuModels.h"
#include "dialects/npu/Npu.h"
#include "passes/lower/Passes.h"
#include "passes/normalize/Passes.h"
#include "passes/prune/Passes.h"
#include "passes/quantize/Passes.h"
#include "passes/schedule/Passes.h"
#include "passes/winograd/Passes.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/CommandLine.h"

void sdopt::registerSdoptDialects(mlir::DialectRegistry &registry) {
  registry
      .insert<mlir::func::FuncDialect, mlir::quant::QuantDialect, sd::SdDialect, npu::NpuDialect>();
  registerEvaluationModels(registry);
  registerNpuEvaluationModels(registry);
}

void sdopt::registerSdoptPasses() {
  registerSdoptNormalizePasses();
  registerSdoptNormalizePipeline();
  registerSdoptPrunePasses();
  registerSdoptQuantizePasses();
  registerSdoptLowerPasses();
  registerSdoptSchedulePasses();
  registerSdoptWinogradPasses();
  registerResourcePasses();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
}

void sdopt::leaveOperationsOutOfErrors() {
  mlir::registerMLIRContextCLOptions();
  if (llvm::cl::Option *option =
          llvm::cl::getRegisteredOptions().lookup("mlir-print-op-on-diagnostic"))
    static_cast<llvm::cl::opt<bool> *>(option)->setInitialValue(false);
}
