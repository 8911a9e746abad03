// RUN: %sdopt-opt %s --sdopt-split-linear | FileCheck %s

// CHECK-LABEL: @slices
// CHECK-DAG: %[[W0:.*]] = sd.slice %{{.*}} {ends = array<i64: 2, 3>, starts = array<i64: 0, 0>, steps = array<i64: 1, 1>} : (tensor<4x3xf32>) -> tensor<2x3xf32>
// CHECK-DAG: %[[B0:.*]] = sd.slice %{{.*}} {ends = array<i64: 2>, starts = array<i64: 0>, steps = array<i64: 1>} : (tensor<4xf32>) -> tensor<2xf32>
// CHECK-DAG: %[[W1:.*]] = sd.slice %{{.*}} {ends = array<i64: 4, 3>, starts = array<i64: 2, 0>, steps = array<i64: 1, 1>} : (tensor<4x3xf32>) -> tensor<2x3xf32>
// CHECK-DAG: %[[Y0:.*]] = sd.linear %arg0, %[[W0]] bias %[[B0]]
// CHECK-DAG: %[[Y1:.*]] = sd.linear %arg0, %[[W1]] bias
// CHECK: return %[[Y0]], %[[Y1]]
func.func @slices(%x: tensor<2x3xf32>) -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %w = sd.constant dense<0.5> : tensor<4x3xf32>
  %b = sd.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %y = sd.linear %x, %w bias %b : (tensor<2x3xf32>, tensor<4x3xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  %l = sd.slice %y {starts = array<i64: 0, 0>, ends = array<i64: 2, 2>, steps = array<i64: 1, 1>} : (tensor<2x4xf32>) -> tensor<2x2xf32>
  %r = sd.slice %y {starts = array<i64: 0, 2>, ends = array<i64: 2, 4>, steps = array<i64: 1, 1>} : (tensor<2x4xf32>) -> tensor<2x2xf32>
  return %l, %r : tensor<2x2xf32>, tensor<2x2xf32>
}

// Rows are cut, or the whole is read too: nothing is split.
// CHECK-LABEL: @whole
// CHECK: sd.linear %arg0, %{{.*}} : (tensor<2x3xf32>, tensor<4x3xf32>) -> tensor<2x4xf32>
// CHECK-NOT: sd.linear
func.func @whole(%x: tensor<2x3xf32>) -> (tensor<1x4xf32>, tensor<2x4xf32>) {
  %w = sd.constant dense<0.5> : tensor<4x3xf32>
  %y = sd.linear %x, %w : (tensor<2x3xf32>, tensor<4x3xf32>) -> tensor<2x4xf32>
  %l = sd.slice %y {starts = array<i64: 0, 0>, ends = array<i64: 1, 4>, steps = array<i64: 1, 1>} : (tensor<2x4xf32>) -> tensor<1x4xf32>
  return %l, %y : tensor<1x4xf32>, tensor<2x4xf32>
}
