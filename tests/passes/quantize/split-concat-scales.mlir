// RUN: %sdopt-opt %s --split-input-file --pass-pipeline="builtin.module(sdopt-open-resources{recipe=w8a16},func.func(sdopt-calibrate{samples=%S/Inputs/picture.safetensors},sdopt-split-concat-scales))" | FileCheck %s

// Each part is normalized by itself; the convolution reads a concatenation of its own in which the smaller part counts more.
// CHECK-LABEL: func.func @parts
// CHECK-SAME: sdopt.calibrated
// CHECK: %[[S:.*]] = sd.weight "c.split.{{.*}}" digest {{.*}} : tensor<8xf32>
// CHECK: %[[A:.*]] = sd.linear
// CHECK: %[[C:.*]] = sd.concat %[[A]], %[[X:.*]] {axis = -1 : i64, exponents = array<i64: 0, {{[5-7]}}>, sdopt.divided_by = "c.split.{{.*}}", sdopt.statistics_of = "c"}
// CHECK: %[[G0:.*]] = sd.slice %{{.*}} {ends = array<i64: 4>, starts = array<i64: 0>
// CHECK: %[[N0:.*]] = sd.group_norm %[[A]], %[[G0]], {{.*}}groups = 2 : i64{{.*}}sdopt.statistics_of = "n"
// CHECK: %[[N1:.*]] = sd.group_norm %[[X]], {{.*}}groups = 2 : i64{{.*}}sdopt.statistics_of = "n"
// CHECK: sd.concat %[[N0]], %[[N1]] {axis = -1 : i64}
// CHECK: %[[V:.*]] = sd.reshape %[[S]] : tensor<8xf32> -> tensor<8x1x1xf32>
// CHECK: %[[W:.*]] = sd.binary mul %{{.*}}, %[[V]] : (tensor<1x8x1x1xf32>, tensor<8x1x1xf32>) -> tensor<1x8x1x1xf32>
// CHECK: sd.conv2d %[[C]], %[[W]]
func.func @parts(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x1xf32> {sd.name = "y"}, tensor<1x8x6x8xf32> {sd.name = "n"}, tensor<1x8x6x8xf32> {sd.name = "c"}) {
  %m = sd.constant dense<[[64.0, 0.0, 0.0, 0.0], [0.0, 64.0, 0.0, 0.0], [0.0, 0.0, 64.0, 0.0], [0.0, 0.0, 0.0, 64.0]]> : tensor<4x4xf32> loc("m")
  %w = sd.constant dense<[[[[0.015625]], [[0.0078125]], [[-0.015625]], [[0.0078125]], [[0.5]], [[-1.0]], [[1.0]], [[0.75]]]]> : tensor<1x8x1x1xf32> loc("w")
  %g = sd.constant dense<[1.0, 3.0, 0.5, 2.0, 1.0, 0.75, 0.5, 2.0]> : tensor<8xf32> loc("g")
  %b = sd.constant dense<[0.5, -1.0, 0.0, 1.0, 0.0, 0.25, 0.5, 1.0]> : tensor<8xf32> loc("b")
  %a = sd.linear %x, %m : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("a")
  %c = sd.concat %a, %x {axis = -1 : i64} : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x8xf32> loc("c")
  %n = sd.group_norm %c, %g, %b {groups = 4 : i64, epsilon = 1.0e-5 : f64, layout = 1 : i32} : (tensor<1x8x6x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<1x8x6x8xf32> loc("n")
  %y = sd.conv2d %c, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64} : (tensor<1x8x6x8xf32>, tensor<1x8x1x1xf32>) -> tensor<1x8x6x1xf32> loc("y")
  return %y, %n, %c : tensor<1x8x6x1xf32>, tensor<1x8x6x8xf32>, tensor<1x8x6x8xf32>
}

// -----

// A concatenation that only convolutions read counts its parts itself; one of parts that are alike stays.
// CHECK-LABEL: func.func @one_reader
// CHECK: sd.concat %{{.*}}, %{{.*}} {axis = 3 : i64, exponents = array<i64: 0, {{[5-7]}}>, sdopt.divided_by = "c.split.{{.*}}"}
// CHECK: sd.concat %{{.*}}, %{{.*}} {axis = 3 : i64} :
func.func @one_reader(%x: tensor<1x8x6x4xf32> {sd.name = "sample"}) -> (tensor<1x8x6x1xf32> {sd.name = "y"}, tensor<1x8x6x1xf32> {sd.name = "z"}) {
  %m = sd.constant dense<[[64.0, 0.0, 0.0, 0.0], [0.0, 64.0, 0.0, 0.0], [0.0, 0.0, 64.0, 0.0], [0.0, 0.0, 0.0, 64.0]]> : tensor<4x4xf32> loc("m")
  %w = sd.constant dense<[[0.015625, 0.0078125, -0.015625, 0.0078125, 0.5, -1.0, 1.0, 0.75]]> : tensor<1x8xf32> loc("w")
  %v = sd.constant dense<[[1.0, 0.5, -1.0, 0.25, 0.5, -1.0, 1.0, 0.75]]> : tensor<1x8xf32> loc("v")
  %a = sd.linear %x, %m : (tensor<1x8x6x4xf32>, tensor<4x4xf32>) -> tensor<1x8x6x4xf32> loc("a")
  %c = sd.concat %a, %x {axis = 3 : i64} : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x8xf32> loc("c")
  %y = sd.linear %c, %w : (tensor<1x8x6x8xf32>, tensor<1x8xf32>) -> tensor<1x8x6x1xf32> loc("y")
  %d = sd.concat %x, %x {axis = 3 : i64} : (tensor<1x8x6x4xf32>, tensor<1x8x6x4xf32>) -> tensor<1x8x6x8xf32> loc("d")
  %z = sd.linear %d, %v : (tensor<1x8x6x8xf32>, tensor<1x8xf32>) -> tensor<1x8x6x1xf32> loc("z")
  return %y, %z : tensor<1x8x6x1xf32>, tensor<1x8x6x1xf32>
}
