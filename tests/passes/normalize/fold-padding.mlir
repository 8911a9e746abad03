// RUN: %sdopt-opt %s --sdopt-fold-padding --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK-DAG: the border is not zero
// CHECK-DAG: the padding is not on height and width only

// CHECK-LABEL: @bottom_right
// CHECK-NOT: sd.pad
// CHECK: sd.conv2d %arg0, {{.*}}padding = array<i64: 0, 0, 1, 1>
func.func @bottom_right(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x4x3xf32> {
  %w = sd.weight "w" digest "" : tensor<4x4x3x3xf32>
  %p = sd.pad %x {before = array<i64: 0, 0, 0, 0>, after = array<i64: 0, 0, 1, 1>, value = 0.0 : f64}
    : (tensor<1x4x8x6xf32>) -> tensor<1x4x9x7xf32>
  %y = sd.conv2d %p, %w {layout = 0 : i32, strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>,
    padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64} : (tensor<1x4x9x7xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x4x3xf32>
  return %y : tensor<1x4x4x3xf32>
}

// CHECK-LABEL: @ones
// CHECK: sd.pad
func.func @ones(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %w = sd.weight "w" digest "" : tensor<4x4x3x3xf32>
  %p = sd.pad %x {before = array<i64: 0, 0, 1, 1>, after = array<i64: 0, 0, 1, 1>, value = 1.0 : f64}
    : (tensor<1x4x8x6xf32>) -> tensor<1x4x10x8xf32>
  %y = sd.conv2d %p, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
    padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64} : (tensor<1x4x10x8xf32>, tensor<4x4x3x3xf32>) -> tensor<1x4x8x6xf32>
  return %y : tensor<1x4x8x6xf32>
}

// CHECK-LABEL: @channels
// CHECK: sd.pad
func.func @channels(%x: tensor<1x3x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %w = sd.weight "w" digest "" : tensor<4x4x1x1xf32>
  %p = sd.pad %x {before = array<i64: 0, 0, 0, 0>, after = array<i64: 0, 1, 0, 0>, value = 0.0 : f64}
    : (tensor<1x3x8x6xf32>) -> tensor<1x4x8x6xf32>
  %y = sd.conv2d %p, %w {layout = 0 : i32, strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
    padding = array<i64: 0, 0, 0, 0>, groups = 1 : i64} : (tensor<1x4x8x6xf32>, tensor<4x4x1x1xf32>) -> tensor<1x4x8x6xf32>
  return %y : tensor<1x4x8x6xf32>
}
