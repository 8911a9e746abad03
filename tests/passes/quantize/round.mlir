// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/gptq.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-round))" | FileCheck %s --check-prefix=ROUND
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/gptq.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-round,sdopt-quantize))" | FileCheck %s
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-round))" | FileCheck %s --check-prefix=NEAREST

// Without 'rounding: gptq' nothing happens.
// NEAREST-NOT: sdopt.

// The pass leaves the function as it is and notes where the codes are.
// ROUND: func.func @picture{{.*}}sdopt.calibrated
// ROUND: sd.conv2d %arg0, %{{.*}} {{.*}}sdopt.rounded = {codes = "y.codes.{{.*}}", correction = "y.correction.{{.*}}", groups = "y.groups.{{.*}}", scales = "y.scales.{{.*}}", zeros = "y.zeros.{{.*}}"}
// Without bias correction there is none, and 8 bits have no groups.
// ROUND: sd.linear %{{.*}} {sdopt.rounded = {codes = "eight.codes.{{.*}}", scales = "eight.scales.{{[0-9a-f]*}}"}}
// ROUND: sd.linear
// ROUND-NOT: sdopt.rounded

// CHECK-NOT: sdopt.
// CHECK: %[[C:.*]] = sd.weight "y.codes.{{.*}} : tensor<4x4x2x2xi8>
// CHECK: %[[S:.*]] = sd.weight "y.scales.{{.*}} : tensor<4xf32>
// CHECK: %[[G:.*]] = sd.weight "y.groups.{{.*}} : tensor<4x2x2x1xi8>
// CHECK: %[[Z:.*]] = sd.weight "y.zeros.{{.*}} : tensor<4x2x2x1xi8>
// CHECK: %[[B:.*]] = sd.weight "y.correction.{{.*}} : tensor<4xf32>
// CHECK: %[[D:.*]] = sd.decode_weight %[[C]] groups %[[G]] zeros %[[Z]]
// CHECK: sd.conv2d %{{.*}}, %[[D]] scales %[[S]] bias %[[B]]
// CHECK: %[[E:.*]] = sd.weight "eight.codes.{{.*}} : tensor<4x4xi8>
// CHECK: sd.linear %{{.*}}, %[[E]] scales
func.func @picture(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %w = sd.constant dense<0.3> : tensor<4x4x2x2xf32> loc("w")
  %v = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("v")
  %y = sd.conv2d %x, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 0, 0>, groups = 1 : i64} : (tensor<1x8x6x4xf32>, tensor<4x4x2x2xf32>) -> tensor<1x8x6x4xf32> loc("y")
  %z = sd.linear %y, %v : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("eight")
  %u = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.25]]> : tensor<4x4xf32> loc("u")
  %n = sd.linear %z, %u : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("near")
  return %n : tensor<1x8x6x4xf32>
}
