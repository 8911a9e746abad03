// RUN: %sdopt-opt %s --split-input-file --verify-diagnostics --sdopt-quantize
// RUN: %sdopt-opt %s --split-input-file --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-quantize))"

// Without recipe and statistics nothing can be quantized.
// expected-error@+1 {{'func.func' op needs a recipe and statistics to be quantized}}
func.func @no_resources(%x: tensor<1x4xf32> {sd.name = "x"}) -> tensor<1x4xf32> {
  %y = sd.silu %x : (tensor<1x4xf32>) -> tensor<1x4xf32>
  return %y : tensor<1x4xf32>
}
