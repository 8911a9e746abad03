// RUN: split-file %s %t
// RUN: %sdopt-opt %t/unknown.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16 codebooks=%S/Inputs/codebooks-unknown.safetensors},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-impose-codebooks))"
// RUN: %sdopt-opt %t/shared.mlir --verify-diagnostics --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16 codebooks=%S/Inputs/codebooks.safetensors},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-impose-codebooks))"

//--- unknown.mlir
// expected-error@+1 {{'func.func' op has no layer with a codebook for 'x.codebook' and 1 others}}
func.func @unknown(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.5> : tensor<4x4xf32> loc("w")
  %y = sd.linear %x, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("y")
  return %y : tensor<1x8x6x4xf32>
}

//--- shared.mlir
func.func @shared(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.5> : tensor<4x4xf32> loc("w")
  // expected-error@unknown {{'sd.linear' op shares its weights with other layers: they can't have codebook 'y'}}
  %y = sd.linear %x, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("y")
  %u = sd.linear %y, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("u")
  return %u : tensor<1x8x6x4xf32>
}
