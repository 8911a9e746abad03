// RUN: %sdopt-opt %s --split-input-file --verify-diagnostics --sdopt-store

!x = !quant.uniform<i16:f32, 1.0e-3>
// expected-error@+1 {{'func.func' op needs a target to choose forms of weights}}
func.func @no_target(%arg0: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> tensor<1x8x6x4xf32> {
  %x = sd.quantize %arg0 : tensor<1x8x6x4xf32> -> tensor<1x8x6x4x!x>
  %r = sd.dequantize %x : tensor<1x8x6x4x!x> -> tensor<1x8x6x4xf32>
  return %r : tensor<1x8x6x4xf32>
}
