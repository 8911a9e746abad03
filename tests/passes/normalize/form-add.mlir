// RUN: %sdopt-opt %s --sdopt-form-add --remarks-filter-missed=normalize --remark-format=emitRemark 2>&1 | FileCheck %s

// CHECK: the shapes are neither equal nor one number for each channel

// CHECK-LABEL: @residual
// CHECK-NEXT: %[[Y:.*]] = sd.add %arg0, %arg1
// CHECK-NEXT: return %[[Y]]
func.func @residual(%a: tensor<1x4x8x6xf32>, %b: tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %y = sd.binary add %a, %b : (tensor<1x4x8x6xf32>, tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  return %y : tensor<1x4x8x6xf32>
}

// CHECK-LABEL: @time_projection
// CHECK: %[[X:.*]] = sd.transpose %arg1 [0, 2, 3, 1]
// CHECK: %[[T:.*]] = sd.reshape %{{.*}} : tensor<2x4x1x1xf32> -> tensor<2x1x1x4xf32>
// CHECK: %[[S:.*]] = sd.add %[[X]], %[[T]] : (tensor<2x8x6x4xf32>, tensor<2x1x1x4xf32>) -> tensor<2x8x6x4xf32>
// CHECK: %[[Y:.*]] = sd.transpose %[[S]] [0, 3, 1, 2]
// CHECK-NEXT: return %[[Y]]
func.func @time_projection(%t: tensor<2x4xf32>, %x: tensor<2x4x8x6xf32>) -> tensor<2x4x8x6xf32> {
  %r = sd.reshape %t : tensor<2x4xf32> -> tensor<2x4x1x1xf32>
  %y = sd.binary add %r, %x : (tensor<2x4x1x1xf32>, tensor<2x4x8x6xf32>) -> tensor<2x4x8x6xf32>
  return %y : tensor<2x4x8x6xf32>
}

// CHECK-LABEL: @over_batch
// CHECK: sd.binary add
func.func @over_batch(%a: tensor<2x4x8x6xf32>, %b: tensor<1x4x8x6xf32>) -> tensor<2x4x8x6xf32> {
  %y = sd.binary add %a, %b : (tensor<2x4x8x6xf32>, tensor<1x4x8x6xf32>) -> tensor<2x4x8x6xf32>
  return %y : tensor<2x4x8x6xf32>
}

// Positions are the same for all pictures.
// CHECK-LABEL: @positions
// CHECK: %[[X:.*]] = sd.reshape %arg0 : tensor<2x3x4xf32> -> tensor<1x2x12xf32>
// CHECK: %[[P:.*]] = sd.reshape %{{.*}} : tensor<1x3x4xf32> -> tensor<1x1x12xf32>
// CHECK: %[[S:.*]] = sd.add %[[X]], %[[P]]
// CHECK: sd.reshape %[[S]] : tensor<1x2x12xf32> -> tensor<2x3x4xf32>
func.func @positions(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %p = sd.constant dense<0.5> : tensor<1x3x4xf32>
  %y = sd.binary add %x, %p : (tensor<2x3x4xf32>, tensor<1x3x4xf32>) -> tensor<2x3x4xf32>
  return %y : tensor<2x3x4xf32>
}

// CHECK-LABEL: @positions_of_one
// CHECK: sd.add %arg0, %{{.*}} : (tensor<1x3x4xf32>, tensor<1x3x4xf32>)
func.func @positions_of_one(%x: tensor<1x3x4xf32>) -> tensor<1x3x4xf32> {
  %p = sd.constant dense<0.5> : tensor<1x3x4xf32>
  %y = sd.binary add %p, %x : (tensor<1x3x4xf32>, tensor<1x3x4xf32>) -> tensor<1x3x4xf32>
  return %y : tensor<1x3x4xf32>
}
