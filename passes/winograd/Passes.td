//===- Passes.td - fewer products -------------------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_WINOGRAD_PASSES_TD
#define SDOPT_PASSES_WINOGRAD_PASSES_TD

include "mlir/Pass/PassBase.td"

def Winograd : Pass<"sdopt-winograd", "::mlir::func::FuncOp"> {
  let summary = "Choose which 3x3 convolutions take fewer products by F(2x2, 3x3) (lossless)";
  let description = [{
    Lossless: the same bits, 16 products instead of 36 for each 2x2 outputs (docs/spec.md, section 7). A convolution with a 3x3 window of
    stride 1 is done so where the target's multipliers are wide enough (`array.multiplier`) and its best tiling takes fewer
    cycles than the best one of the plain products. The attribute `npu.winograd` says so; a remark tells both numbers. The transform
    of weights has next to no zeros: where so many weights are zero that skipping them leaves fewer products, `sdopt-store`,
    which reads the weights, takes the attribute back. Off with `winograd: false` in the recipe.
  }];
  let dependentDialects = ["::sdopt::npu::NpuDialect"];
}

#endif // SDOPT_PASSES_WINOGRAD_PASSES_TD
