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

def QuantizeWinograd : Pass<"sdopt-quantize-winograd", "::mlir::ModuleOp"> {
  let summary = "Choose 3x3 convolutions by F(4x4, 3x3), and a power of two for each product (lossy)";
  let description = [{
    Lossy: 36 products instead of 144 for each 4x4 outputs, of transformed codes of 11 bits and weights of 12 bits (docs/spec.md,
    section 8; R. Andri et al., "Going Further With Winograd Convolutions", MICRO 2022). For quantized convolutions whose recipe gives
    `winograd_min_sqnr`, with a 3x3 window, strides and dilations of 1 and one group, and a target whose
    multipliers are wide enough:

    - the convolution must take fewer cycles so than by plain products (of which zeros may leave some out, unless the recipe stores zeros like
      other weights) and than by F(2x2, 3x3), each with its best tiling;
    - four of the recorded evaluations, evenly spread, run through the function of codes. Each of the 36 shifts of codes is the one of
      least squared error on what the layer reads, each of those of weights the one of least squared error on the layer's weights;
    - the same evaluations run again: squares of the sums by F(4x4, 3x3) minus the exact ones are added up in real numbers, and those of the exact
      ones minus the mean of their channel. SQNR
      must be at least what the recipe says, and no codes may let an accumulator leave its 48 bits.

    The shifts are then part of what the operation means: `tap_shifts`. Functions of all buckets of timesteps get the same. A remark tells
    the SQNR and the cycles of the three ways. Both terms of weights of 16 bits are convolutions of their own.

    ```mlir
    %y = sd.conv2d %x, %w scales %s {..., sdopt.winograd_min_sqnr = 40.0 : f64}
    ```
    becomes
    ```mlir
    %y = sd.conv2d %x, %w scales %s {..., tap_shifts = #sd.tap_shifts<codes = [3, 3, ...], weights = [0, 1, ...]>}
    ```
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

#endif // SDOPT_PASSES_WINOGRAD_PASSES_TD
