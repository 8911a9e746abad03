// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16 codebooks=%S/Inputs/codebooks.safetensors},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-impose-codebooks))" | FileCheck %s --check-prefix=IMPOSE
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/palette-gptq.yaml codebooks=%S/Inputs/codebooks.safetensors},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-smooth,sdopt-impose-codebooks,sdopt-round,sdopt-quantize))" | FileCheck %s
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-impose-codebooks))" | FileCheck %s --check-prefix=NONE

// Without a file of codebooks nothing happens.
// NONE-NOT: sdopt.

// The pass notes where the codes are, and their form: two output channels share a palette where their entries are the same.
// IMPOSE: func.func @picture{{.*}}sdopt.calibrated
// IMPOSE: sd.linear {{.*}}sdopt.rounded = {bits = 2 : i64, codes = "y.codes.{{.*}}", correction = "y.correction.{{.*}}", palette_outputs = 2 : i64, palettes = "y.palettes.{{.*}}", scales = "y.scales.{{.*}}"}
// IMPOSE: sd.linear {{.*}}sdopt.rounded = {bits = 1 : i64, codes = "u.codes.{{.*}}", correction = "u.correction.{{.*}}", palette_outputs = 0 : i64, palettes = "u.palettes.{{.*}}", scales = "u.scales.{{.*}}"}

// Whatever the recipe says.
// CHECK: %[[C:.*]] = sd.weight "y.codes.{{.*}} : tensor<4x4xi8>
// CHECK: %[[S:.*]] = sd.weight "y.scales.{{.*}} : tensor<4xf32>
// CHECK: %[[P:.*]] = sd.weight "y.palettes.{{.*}} : tensor<2x4xi8>
// CHECK: %[[B:.*]] = sd.weight "y.correction.{{.*}} : tensor<4xf32>
// CHECK: %[[D:.*]] = sd.decode_weight %[[C]] palettes %[[P]] {axis = 1 : i64, bits = 2 : i64, palette_outputs = 2 : i64} : (tensor<4x4xi8>, tensor<2x4xi8>) -> tensor<4x4xi8>
// CHECK: sd.linear %{{.*}}, %[[D]] scales %[[S]] bias %[[B]]
// CHECK: %[[Q:.*]] = sd.weight "u.palettes.{{.*}} : tensor<1x2xi8>
// CHECK: sd.decode_weight %{{.*}} palettes %[[Q]] {axis = 1 : i64, bits = 1 : i64} : (tensor<4x4xi8>, tensor<1x2xi8>) -> tensor<4x4xi8>
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("w")
  %v = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.25]]> : tensor<4x4xf32> loc("v")
  %y = sd.linear %x, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("y")
  %u = sd.linear %x, %v : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("u")
  %z = sd.add %u, %y : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x4xf32> loc("z")
  return %z : tensor<1x8x6x4xf32>
}
