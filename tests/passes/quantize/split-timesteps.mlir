// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/buckets.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/steps.safetensors}),sdopt-split-timesteps)" | FileCheck %s --check-prefix=SPLIT
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/buckets.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/steps.safetensors}),sdopt-split-timesteps,func.func(sdopt-quantize))" | FileCheck %s
// RUN: %sdopt-opt %s --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-calibrate{samples=%S/Inputs/steps.safetensors}),sdopt-split-timesteps)" | FileCheck %s --check-prefix=ONE

// A function for each bucket, of the same operations.
// SPLIT: func.func @f(
// SPLIT-SAME: attributes {sdopt.calibrated = "[[D:.*]]", sdopt.first_timestep = 1.000000e+00 : f64}
// SPLIT: sd.layer_norm
// SPLIT: func.func @f.bucket1(
// SPLIT-SAME: attributes {sdopt.calibrated = "[[D]]", sdopt.first_timestep = 1.600000e+01 : f64}
// SPLIT: sd.layer_norm
// ONE: func.func @f(
// ONE-NOT: sdopt.first_timestep
// ONE-NOT: bucket1

// What depends on the timestep gets codes of its own; input and result have the same in both.
// CHECK: func.func @f({{.*}}sdopt.first_timestep = 1.000000e+00 : f64
// CHECK: sd.quantize %arg0 : tensor<1x12x4xf32> -> tensor<1x12x4x[[X:!quant.uniform<.*>]]>
// CHECK: sd.modulate {{.*}} -> tensor<1x12x4x[[V:!quant.uniform<.*>]]>
// CHECK: sd.layer_norm {{.*}} -> tensor<1x12x4x[[Y:!quant.uniform<.*>]]>
// CHECK: func.func @f.bucket1({{.*}}sdopt.first_timestep = 1.600000e+01 : f64
// CHECK: sd.quantize %arg0 : tensor<1x12x4xf32> -> tensor<1x12x4x[[X]]>
// CHECK-NOT: sd.modulate {{.*}} -> tensor<1x12x4x[[V]]>
// CHECK: sd.layer_norm {{.*}} -> tensor<1x12x4x[[Y]]>
func.func @f(%x: tensor<1x12x4xf32> {sd.name = "x"}, %t: tensor<1xi64> {sd.name = "timestep"}) -> (tensor<1x12x4xf32> {sd.name = "y"}) {
  %w = sd.constant dense<[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]> : tensor<4x4xf32> loc("w")
  %a = sd.constant dense<[1.0, 0.5, 2.0, 1.0]> : tensor<4xf32> loc("a")
  %b = sd.constant dense<[0.0, 0.5, 0.0, -1.0]> : tensor<4xf32> loc("b")
  %e = sd.time_embedding %t {cos_first = true, frequency_shift = 0.0 : f64, max_period = 10000.0 : f64} : (tensor<1xi64>) -> tensor<1x4xf32> loc("e")
  %g = sd.linear %e, %w : (tensor<1x4xf32>, tensor<4x4xf32>) -> tensor<1x4xf32> loc("g")
  %r = sd.reshape %g : tensor<1x4xf32> -> tensor<1x1x4xf32> loc("r")
  %v = sd.modulate %x by %r {offset = 0.0 : f64} : (tensor<1x12x4xf32>, tensor<1x1x4xf32>) -> tensor<1x12x4xf32> loc("v")
  %y = sd.layer_norm %v, %a, %b {epsilon = 1.0e-9 : f64} : (tensor<1x12x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x12x4xf32> loc("y")
  return %y : tensor<1x12x4xf32>
}
