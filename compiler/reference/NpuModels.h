//===- NpuModels.h - evaluation of the npu dialect --------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_REFERENCE_NPUMODELS_H
#define SDOPT_COMPILER_REFERENCE_NPUMODELS_H

namespace mlir {
class DialectRegistry;
}

namespace sdopt {

/// Attaches the evaluation models of the npu dialect (registerEvaluationModels() does those of sd).
void registerNpuEvaluationModels(mlir::DialectRegistry &registry);

} // namespace sdopt

#endif // SDOPT_COMPILER_REFERENCE_NPUMODELS_H
