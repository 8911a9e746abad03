//===- EvaluationInterface.td - meaning of an operation ---------*- tablegen -*-===//

#ifndef SDOPT_DIALECTS_SD_EVALUATIONINTERFACE_TD
#define SDOPT_DIALECTS_SD_EVALUATIONINTERFACE_TD

include "mlir/IR/OpBase.td"

def Sd_EvaluationInterface : OpInterface<"EvaluationInterface"> {
  let cppNamespace = "::sdopt::sd";
  let description = [{
    Computes an operation on tensors: float values as F32, quantized ones as their codes (I8, I16). Implemented as
    external models in compiler/reference, so that the dialect links no kernels.
  }];
  let methods = [
    InterfaceMethod<[{
      Evaluates the operation. `operands` are parallel to the operands, `results` to the results. Errors are
      emitted on the operation.
    }], "::mlir::LogicalResult", "evaluate",
    (ins "::llvm::ArrayRef<::sdopt::Tensor>":$operands,
         "::llvm::SmallVectorImpl<::sdopt::Tensor> &":$results,
         "const ::sdopt::EvaluationContext &":$context)>,
  ];
}

#endif // SDOPT_DIALECTS_SD_EVALUATIONINTERFACE_TD
