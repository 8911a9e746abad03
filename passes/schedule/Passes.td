//===- Passes.td - scheduling -----------------------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_SCHEDULE_PASSES_TD
#define SDOPT_PASSES_SCHEDULE_PASSES_TD

include "mlir/Pass/PassBase.td"

def Schedule : Pass<"sdopt-schedule", "::mlir::func::FuncOp"> {
  let summary = "Choose tiles and place tensors (lossless)";
  let description = [{
    Lossless. Searches tile sizes for the target's SRAM under the traffic model (compiler/schedule) and places every
    tensor in the DRAM arena; the result is in the attributes `npu.tiling` and `npu.place`. The plan is checked by an independent
    validator. What does not fit is an error that says how many bytes are short.
  }];
  let dependentDialects = ["::sdopt::npu::NpuDialect"];
}

#endif // SDOPT_PASSES_SCHEDULE_PASSES_TD
