//===- Passes.td - quantization passes --------------------------*- tablegen -*-===//

#ifndef SDOPT_PASSES_QUANTIZE_PASSES_TD
#define SDOPT_PASSES_QUANTIZE_PASSES_TD

include "mlir/Pass/PassBase.td"

def Quantize : Pass<"sdopt-quantize", "::mlir::func::FuncOp"> {
  let summary = "Give every activation a code and every weight int8 codes (lossy)";
  let description = [{
    Lossy: the loss of each layer and of the output is measured and reported. Reads the recipe and the statistics of
    the function as it is now (a statistic of another function is an error).

    - A value is 8-bit (asymmetric) if every layer that reads it asks for 8 bits, else 16-bit (symmetric); a layer that
      asks for 8 bits of a 16-bit value gets it through `sd.requantize`.
    - Reshapes, transposes, upsampling and token pooling keep the code of their input.
    - Weights of conv2d, linear and embedding become int8 codes with one scale per output channel (or row).
    - The function still takes and gives real numbers: `sd.quantize` and `sd.dequantize` stand at its boundary.
  }];
  let dependentDialects = ["::sdopt::sd::SdDialect"];
}

#endif // SDOPT_PASSES_QUANTIZE_PASSES_TD
