//===- NormalizePipeline.cpp - the phase as one list -------------------------===//

#include "passes/normalize/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace sdopt {

void buildNormalizePipeline(OpPassManager &manager) {
  OpPassManager &passes = manager.nest<func::FuncOp>();
  passes.addPass(createFoldIdentities());
  passes.addPass(createCSEPass());
  passes.addPass(createFoldShapeOps());
  passes.addPass(createFoldPadding());
  passes.addPass(createFormLinear());
  passes.addPass(createFormActivations());
  passes.addPass(createFormGeglu());
  passes.addPass(createSplitLinear());
  passes.addPass(createFormGroupNorm());
  passes.addPass(createFormRmsNorm());
  passes.addPass(createHoistConcat());
  passes.addPass(createFormAttention());
  passes.addPass(createFormTimeEmbedding());
  passes.addPass(createFormEmbedding());
  passes.addPass(createFormPoolToken());
  passes.addPass(createFormModulate());
  passes.addPass(createFormAdd());
  passes.addPass(createConvertLayout());
  passes.addPass(createFoldShapeOps());
  passes.addPass(createSplitTranspose());
  passes.addPass(createCSEPass());
  passes.addPass(createSortOps());
  passes.addPass(createCheckNormalized());
}

void registerSdoptNormalizePipeline() {
  PassPipelineRegistration<>("sdopt-normalize", "From exporter idioms to named operations",
                             [](OpPassManager &manager) { buildNormalizePipeline(manager); });
}

} // namespace sdopt
