// RUN: %sdopt-opt %s --sdopt-form-geglu --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK: the slices are not the left and, under gelu, the right half

// CHECK-LABEL: @halves
// CHECK-NEXT: %[[Y:.*]] = sd.geglu %arg0 : (tensor<1x5x8xf32>) -> tensor<1x5x4xf32>
// CHECK-NEXT: return %[[Y]]
func.func @halves(%x: tensor<1x5x8xf32>) -> tensor<1x5x4xf32> {
  %l = sd.slice %x {starts = array<i64: 0, 0, 0>, ends = array<i64: 1, 5, 4>, steps = array<i64: 1, 1, 1>} : (tensor<1x5x8xf32>) -> tensor<1x5x4xf32>
  %r = sd.slice %x {starts = array<i64: 0, 0, 4>, ends = array<i64: 1, 5, 8>, steps = array<i64: 1, 1, 1>} : (tensor<1x5x8xf32>) -> tensor<1x5x4xf32>
  %g = sd.gelu %r : (tensor<1x5x4xf32>) -> tensor<1x5x4xf32>
  %y = sd.binary mul %g, %l : (tensor<1x5x4xf32>, tensor<1x5x4xf32>) -> tensor<1x5x4xf32>
  return %y : tensor<1x5x4xf32>
}

// CHECK-LABEL: @halves_swapped
// CHECK: sd.binary mul
func.func @halves_swapped(%x: tensor<1x5x8xf32>) -> tensor<1x5x4xf32> {
  %l = sd.slice %x {starts = array<i64: 0, 0, 0>, ends = array<i64: 1, 5, 4>, steps = array<i64: 1, 1, 1>} : (tensor<1x5x8xf32>) -> tensor<1x5x4xf32>
  %r = sd.slice %x {starts = array<i64: 0, 0, 4>, ends = array<i64: 1, 5, 8>, steps = array<i64: 1, 1, 1>} : (tensor<1x5x8xf32>) -> tensor<1x5x4xf32>
  %g = sd.gelu %l : (tensor<1x5x4xf32>) -> tensor<1x5x4xf32>
  %y = sd.binary mul %r, %g : (tensor<1x5x4xf32>, tensor<1x5x4xf32>) -> tensor<1x5x4xf32>
  return %y : tensor<1x5x4xf32>
}
