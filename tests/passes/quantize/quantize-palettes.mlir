// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/palette.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-quantize))" | FileCheck %s
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/palette-gptq.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-round,sdopt-quantize))" | FileCheck %s --check-prefix=ROUND

// Layers with the same input weigh its channels by the same numbers, once in the function.
// CHECK: %[[I:.*]] = sd.weight "sample.variance.{{.*}} : tensor<4xf32>
// CHECK: %[[W:.*]], %[[S:.*]], %[[P:.*]], %[[C:.*]] = sd.share_weight %{{.*}} importance %[[I]] means %{{.*}} {bits = 2 : i64, palette_outputs = 3 : i64} : tensor<4x4xf32> importance tensor<4xf32> means tensor<4xf32> -> tensor<4x4xi8>, tensor<4xf32>, tensor<2x4xi8>, tensor<4xf32>
// CHECK: %[[D:.*]] = sd.decode_weight %[[W]] palettes %[[P]] {axis = 1 : i64, bits = 2 : i64, palette_outputs = 3 : i64} : (tensor<4x4xi8>, tensor<2x4xi8>) -> tensor<4x4xi8>
// CHECK: sd.share_weight %{{.*}} importance %[[I]]
// CHECK: sd.linear %{{.*}}, %[[D]] scales %[[S]] bias %[[C]]

// ROUND: %[[C:.*]] = sd.weight "y.codes.{{.*}} : tensor<4x4xi8>
// ROUND: %[[S:.*]] = sd.weight "y.scales.{{.*}} : tensor<4xf32>
// ROUND: %[[P:.*]] = sd.weight "y.palettes.{{.*}} : tensor<1x4xi8>
// ROUND: %[[B:.*]] = sd.weight "y.correction.{{.*}} : tensor<4xf32>
// ROUND: %[[D:.*]] = sd.decode_weight %[[C]] palettes %[[P]] {axis = 1 : i64, bits = 2 : i64} : (tensor<4x4xi8>, tensor<1x4xi8>) -> tensor<4x4xi8>
// ROUND: sd.linear %{{.*}}, %[[D]] scales %[[S]] bias %[[B]]
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("w")
  %v = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.25]]> : tensor<4x4xf32> loc("v")
  %y = sd.linear %x, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("y")
  %u = sd.linear %x, %v : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("u")
  %z = sd.add %u, %y : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x4xf32> loc("z")
  return %z : tensor<1x8x6x4xf32>
}
