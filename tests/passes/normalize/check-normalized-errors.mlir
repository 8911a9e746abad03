// RUN: not %sdopt-opt %s --sdopt-check-normalized 2>&1 | FileCheck %s

// CHECK: error: 'func.func' op the NPU cannot run 3 operations that are left after normalization:
// CHECK-SAME: sd.unary tanh x 2 at '/mid/Tanh', 'late'; sd.softmax x 1 at '/mid/Softmax'. It runs conv2d (of one group, padded by less than its kernel's reach), linear,
// CHECK-NOT: error:
func.func @plain(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = sd.unary tanh %x : (tensor<4xf32>) -> tensor<4xf32> loc(#tanh)
  %b = sd.softmax %a {axis = 0 : i64} : (tensor<4xf32>) -> tensor<4xf32> loc(#softmax)
  %c = sd.unary tanh %b : (tensor<4xf32>) -> tensor<4xf32> loc("late")
  return %c : tensor<4xf32>
}
#tanh = loc("early"("/mid/Tanh"))
#softmax = loc("middle"("/mid/Softmax"))

// CHECK: error: 'func.func' op the NPU cannot run 3 operations that are left after normalization:
// CHECK-SAME: sd.conv2d of 2 groups x 1 at 'depthwise'; sd.conv2d with padding beyond its kernel's reach x 2 at 'above', 'right'. It runs
// CHECK-NOT: error:
func.func @convolutions(%x: tensor<1x5x5x2xf32>, %d: tensor<2x1x3x3xf32>, %w: tensor<2x2x3x3xf32>) -> tensor<1x5x5x2xf32> {
  %a = sd.conv2d %x, %d {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 1, 1, 1, 1>, groups = 2 : i64} : (tensor<1x5x5x2xf32>, tensor<2x1x3x3xf32>) -> tensor<1x5x5x2xf32> loc("depthwise")
  %b = sd.conv2d %a, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 2>, padding = array<i64: 2, 4, 2, 4>, groups = 1 : i64} : (tensor<1x5x5x2xf32>, tensor<2x2x3x3xf32>) -> tensor<1x7x9x2xf32> loc("whole reach")
  %c = sd.conv2d %b, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 2>, padding = array<i64: 3, 0, 0, 0>, groups = 1 : i64} : (tensor<1x7x9x2xf32>, tensor<2x2x3x3xf32>) -> tensor<1x8x5x2xf32> loc("above")
  %e = sd.conv2d %c, %w {layout = 1 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = array<i64: 0, 0, 0, 3>, groups = 1 : i64} : (tensor<1x8x5x2xf32>, tensor<2x2x3x3xf32>) -> tensor<1x6x6x2xf32> loc("right")
  %y = sd.slice %e {starts = array<i64: 0, 0, 0, 0>, ends = array<i64: 1, 5, 5, 2>, steps = array<i64: 1, 1, 1, 1>} : (tensor<1x6x6x2xf32>) -> tensor<1x5x5x2xf32>
  return %y : tensor<1x5x5x2xf32>
}
