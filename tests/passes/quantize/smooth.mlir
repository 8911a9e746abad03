// RUN: %sdopt-opt %s --split-input-file --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/smooth.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-smooth))" | FileCheck %s
// RUN: %sdopt-opt %s --split-input-file --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-smooth))" | FileCheck %s --check-prefix=WIDE
// RUN: %sdopt-opt %s --split-input-file --pass-pipeline="builtin.module(sdopt-open-resources{recipe=%S/Inputs/smooth.yaml},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-smooth,sdopt-quantize))" | FileCheck %s --check-prefix=CODES

// Nothing moves where 16-bit codes are read.
// WIDE-NOT: sd.binary
// After quantization all that is left tells which values are no longer those of the source model.
// CODES-NOT: sdopt.calibrated
// CODES-NOT: sdopt.divided_by
// CODES: sd.layer_norm {{.*}}sdopt.smoothed
// CODES: sd.geglu {{.*}}sdopt.smoothed

// A norm's gamma and beta are divided, the weights of all that read it multiplied.
// CHECK-LABEL: func.func @norm
// CHECK-SAME: sdopt.calibrated
// CHECK: %[[S:.*]] = sd.weight "n.smooth.{{.*}}" digest {{.*}} : tensor<4xf32>
// CHECK: %[[G:.*]] = sd.binary div %{{.*}}, %[[S]]
// CHECK: %[[B:.*]] = sd.binary div %{{.*}}, %[[S]]
// CHECK: sd.layer_norm %{{.*}}, %[[G]], %[[B]] {{.*}}sdopt.divided_by = "n.smooth.
// CHECK: %[[V:.*]] = sd.binary mul %[[W:.*]], %[[S]] : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
// CHECK: sd.linear %{{.*}}, %[[V]]
// CHECK: sd.linear
func.func @norm(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x2xf32> {sd.name = "out"}) {
  %gamma = sd.constant dense<[1.0, 8.0, 0.5, 1.0]> : tensor<4xf32> loc("gamma")
  %beta = sd.constant dense<[0.0, 1.0, -0.5, 0.25]> : tensor<4xf32> loc("beta")
  %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25]]> : tensor<2x4xf32> loc("w")
  %v = sd.constant dense<[[0.25, 0.25, 1.0, 1.0], [1.0, 0.5, -1.0, 0.25]]> : tensor<2x4xf32> loc("v")
  %n = sd.layer_norm %x, %gamma, %beta {epsilon = 1.0e-5 : f64} : (tensor<1x8x6x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<1x8x6x4xf32> loc("n")
  %a = sd.linear %n, %w : (tensor<1x8x6x4xf32>, tensor<2x4xf32>) -> tensor<1x8x6x2xf32> loc("a")
  %b = sd.linear %n, %v : (tensor<1x8x6x4xf32>, tensor<2x4xf32>) -> tensor<1x8x6x2xf32> loc("b")
  %y = sd.add %a, %b : (tensor<1x8x6x2xf32>, tensor<1x8x6x2xf32>) -> tensor<1x8x6x2xf32> loc("out")
  return %y : tensor<1x8x6x2xf32>
}

// -----

// Behind geglu only the left half of the linear layer's rows is divided; transposed weights stay transposed.
// CHECK-LABEL: func.func @geglu
// CHECK: %[[BOTH:.*]] = sd.weight "h.smooth.
// CHECK: %[[S:.*]] = sd.weight "g.smooth.
// CHECK: %[[T:.*]] = sd.binary div %{{.*}}, %[[BOTH]] : (tensor<4x4xf32>, tensor<4xf32>)
// CHECK: sd.transpose %[[T]]
// CHECK: sd.binary div %{{.*}}, %[[BOTH]] : (tensor<4xf32>, tensor<4xf32>)
// CHECK: sd.linear {{.*}}sdopt.divided_by = "h.smooth.
// CHECK: sd.geglu {{.*}}sdopt.divided_by = "g.smooth.
// CHECK: sd.binary mul %{{.*}}, %[[S]] : (tensor<3x2xf32>, tensor<2xf32>)
func.func @geglu(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x3xf32> {sd.name = "out"}) {
  %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("w")
  %b = sd.constant dense<[0.5, 4.0, 0.0, 1.0]> : tensor<4xf32> loc("b")
  %v = sd.constant dense<[[0.25, 0.25], [1.0, 1.0], [1.0, 0.5]]> : tensor<3x2xf32> loc("v")
  %t = sd.transpose %w [1, 0] : (tensor<4x4xf32>) -> tensor<4x4xf32> loc("t")
  %h = sd.linear %x, %t bias %b : (tensor<1x8x6x4xf32>, tensor<4x4xf32>, tensor<4xf32>) -> tensor<1x8x6x4xf32> loc("h")
  %g = sd.geglu %h : (tensor<1x8x6x4xf32>) -> tensor<1x8x6x2xf32> loc("g")
  %y = sd.linear %g, %v : (tensor<1x8x6x2xf32>, tensor<3x2xf32>) -> tensor<1x8x6x3xf32> loc("out")
  return %y : tensor<1x8x6x3xf32>
}

// -----

// A value that another operation reads too stays as it is.
// CHECK-LABEL: func.func @shared
// CHECK-NOT: sd.binary
func.func @shared(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x4xf32> {sd.name = "out"}) {
  %gamma = sd.constant dense<[1.0, 8.0, 0.5, 1.0]> : tensor<4xf32> loc("gamma")
  %w = sd.constant dense<[[0.5, -0.25, 0.125, 1.0], [0.0, 0.5, -1.0, 0.25], [1.0, 1.0, 0.5, 0.5], [-0.75, 0.0, 0.0, 0.125]]> : tensor<4x4xf32> loc("w")
  %n = sd.layer_norm %x, %gamma {epsilon = 1.0e-5 : f64} : (tensor<1x8x6x4xf32>, tensor<4xf32>) -> tensor<1x8x6x4xf32> loc("n")
  %a = sd.linear %n, %w : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("a")
  %y = sd.add %n, %a : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x4xf32> loc("out")
  return %y : tensor<1x8x6x4xf32>
}
