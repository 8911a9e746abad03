// RUN: %sdopt-opt %s --sdopt-split-transpose | FileCheck %s

// Patches to a picture: channels first, then rows of pixels.
// CHECK-LABEL: @patches
// CHECK: %[[A:.*]] = sd.reshape %arg0 : tensor<2x3x4x5x6x7xf32> -> tensor<2x360x7x1xf32>
// CHECK: %[[B:.*]] = sd.transpose %[[A]] [0, 2, 1, 3] : (tensor<2x360x7x1xf32>) -> tensor<2x7x360x1xf32>
// CHECK: %[[C:.*]] = sd.reshape %[[B]] : tensor<2x7x360x1xf32> -> tensor<42x4x5x6xf32>
// CHECK: %[[D:.*]] = sd.transpose %[[C]] [0, 2, 1, 3] : (tensor<42x4x5x6xf32>) -> tensor<42x5x4x6xf32>
// CHECK: sd.reshape %[[D]] : tensor<42x5x4x6xf32> -> tensor<2x7x3x5x4x6xf32>
func.func @patches(%x: tensor<2x3x4x5x6x7xf32>) -> tensor<2x7x3x5x4x6xf32> {
  %y = sd.transpose %x [0, 5, 1, 3, 2, 4] : (tensor<2x3x4x5x6x7xf32>) -> tensor<2x7x3x5x4x6xf32>
  return %y : tensor<2x7x3x5x4x6xf32>
}

// CHECK-LABEL: @few_dimensions
// CHECK: sd.transpose %arg0 [3, 2, 1, 0]
// CHECK-NEXT: return
func.func @few_dimensions(%x: tensor<2x3x4x5xf32>) -> tensor<5x4x3x2xf32> {
  %y = sd.transpose %x [3, 2, 1, 0] : (tensor<2x3x4x5xf32>) -> tensor<5x4x3x2xf32>
  return %y : tensor<5x4x3x2xf32>
}
