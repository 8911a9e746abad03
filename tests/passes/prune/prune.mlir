// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/magnitude.yaml},func.func(sdopt-prune))" | FileCheck %s --check-prefix=MAGNITUDE
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/methods.yaml},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-prune))" | FileCheck %s
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-prune))" | FileCheck %s --check-prefix=NONE
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/methods.yaml},func.func(sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-prune,sdopt-calibrate{samples=%S/../quantize/Inputs/picture.safetensors},sdopt-quantize))" | FileCheck %s --check-prefix=CODES

// NONE-NOT: sd.prune_weight

// The first convolution keeps all weights; so would the last layer, but a rule names it.
// MAGNITUDE-NOT: sd.prune_weight
// MAGNITUDE: sd.conv2d
// MAGNITUDE: %[[M:.*]] = sd.weight "swept.mask.{{.*}} : tensor<2xi8>
// MAGNITUDE: %[[P:.*]] = sd.prune_weight %{{.*}} mask %[[M]] : (tensor<4x4xf32>, tensor<2xi8>) -> tensor<4x4xf32>
// MAGNITUDE: sd.linear %{{.*}}, %[[P]] :
// MAGNITUDE: %[[L:.*]] = sd.weight "last.mask.{{.*}} : tensor<2xi8>
// MAGNITUDE: %[[Q:.*]] = sd.prune_weight %{{.*}} mask %[[L]]
// MAGNITUDE: sd.linear %{{.*}}, %[[Q]] :

// What is updated has other values, and the mean that its outputs lose goes into the bias if the recipe corrects it.
// CHECK: sd.conv2d
// CHECK: %[[M:.*]] = sd.weight "swept.mask.{{.*}} : tensor<2xi8>
// CHECK: %[[V:.*]] = sd.weight "swept.kept.{{.*}} : tensor<4x4xf32>
// CHECK: %[[P:.*]] = sd.prune_weight %{{.*}} mask %[[M]] values %[[V]]
// CHECK: %[[Z:.*]] = sd.weight "swept.bias.{{.*}} : tensor<4xf32>
// CHECK: %[[A:.*]] = sd.weight "swept.pruning_mean.{{.*}} : tensor<4xf32>
// CHECK: %[[B:.*]] = sd.binary add %[[Z]], %[[A]] {sdopt.pruning_correction}
// CHECK: sd.linear %{{.*}}, %[[P]] bias %[[B]] :
// CHECK: %[[N:.*]] = sd.weight "solved.mask.
// CHECK: %[[W:.*]] = sd.weight "solved.kept.
// CHECK: %[[S:.*]] = sd.prune_weight %{{.*}} mask %[[N]] values %[[W]]
// CHECK-NOT: sd.binary
// CHECK: sd.linear %{{.*}}, %[[S]] :
// CHECK-NOT: sd.prune_weight
// CHECK: sd.linear
// CHECK: %[[L:.*]] = sd.weight "last.mask.
// CHECK: sd.prune_weight %{{.*}} mask %[[L]] :

// CODES: %[[P:.*]] = sd.prune_weight
// CODES: sd.quantize_weight %[[P]]
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.3> : tensor<4x4x2x2xf32> loc("w")
  %y = sd.conv2d %x, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 0, 0>, groups = 1 : i64} : (tensor<1x8x6x4xf32>, tensor<4x4x2x2xf32>) -> tensor<1x8x6x4xf32> loc("y")
  %a = sd.silu %y : (tensor<1x8x6x4xf32>) -> tensor<1x8x6x4xf32> loc("a")
  %u = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("u")
  %z = sd.linear %a, %u : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("swept")
  %v = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.25, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("v")
  %s = sd.linear %z, %v : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("solved")
  %t = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.5, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("t")
  %n = sd.linear %s, %t : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("near")
  %r = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.75, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("r")
  %l = sd.linear %n, %r : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("last")
  return %l : tensor<1x8x6x4xf32>
}
