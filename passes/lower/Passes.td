//===- Passes.td - from integer sd to npu -----------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_LOWER_PASSES_TD
#define SDOPT_PASSES_LOWER_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerToNpu : Pass<"sdopt-lower-to-npu", "::mlir::func::FuncOp"> {
  let summary = "Make one npu operation of each engine operation (lossless)";
  let description = [{
    Lossless: every code stays the same to the bit. Requantization constants, tables and channel parameters become
    explicit; reshapes become `npu.view`, which costs nothing. `sd.quantize`, `sd.dequantize` and casts of integer inputs stay at the
    function's boundary for the host. Accumulators are checked against their width (int32 for 8-bit, 48 bits for 16-bit inputs).
  }];
  let dependentDialects = ["::sdopt::npu::NpuDialect"];
}

#endif // SDOPT_PASSES_LOWER_PASSES_TD
