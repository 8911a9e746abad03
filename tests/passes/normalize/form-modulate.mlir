// RUN: %sdopt-opt %s --sdopt-form-modulate | FileCheck %s

// (1 + scale) * x + shift, in either order.
// CHECK-LABEL: @adaptive
// CHECK: %[[Y:.*]] = sd.modulate %arg0 by %arg1 plus %arg2 {offset = 1.000000e+00 : f64}
// CHECK-NEXT: return %[[Y]]
func.func @adaptive(%x: tensor<2x6x4xf32>, %s: tensor<2x1x4xf32>, %h: tensor<2x1x4xf32>) -> tensor<2x6x4xf32> {
  %one = sd.constant dense<1.0> : tensor<f32>
  %g = sd.binary add %one, %s : (tensor<f32>, tensor<2x1x4xf32>) -> tensor<2x1x4xf32>
  %a = sd.binary mul %g, %x : (tensor<2x1x4xf32>, tensor<2x6x4xf32>) -> tensor<2x6x4xf32>
  %y = sd.binary add %h, %a : (tensor<2x1x4xf32>, tensor<2x6x4xf32>) -> tensor<2x6x4xf32>
  return %y : tensor<2x6x4xf32>
}

// A gate; the residual stays a sum.
// CHECK-LABEL: @gate
// CHECK: %[[G:.*]] = sd.modulate %arg0 by %arg1 {offset = 0.000000e+00 : f64}
// CHECK: sd.binary add %arg0, %[[G]]
func.func @gate(%x: tensor<1x6x4xf32>, %s: tensor<1x1x4xf32>) -> tensor<1x6x4xf32> {
  %a = sd.binary mul %x, %s : (tensor<1x6x4xf32>, tensor<1x1x4xf32>) -> tensor<1x6x4xf32>
  %y = sd.binary add %x, %a : (tensor<1x6x4xf32>, tensor<1x6x4xf32>) -> tensor<1x6x4xf32>
  return %y : tensor<1x6x4xf32>
}

// Another reader of the product: the shift stays apart. A negative constant is no offset.
// CHECK-LABEL: @read_twice
// CHECK: %[[S:.*]] = sd.binary sub
// CHECK: %[[M:.*]] = sd.modulate %arg0 by %{{.*}} {offset = 0.000000e+00 : f64}
// CHECK: %[[A:.*]] = sd.binary add %[[M]], %arg1
// CHECK: return %[[M]], %[[A]]
func.func @read_twice(%x: tensor<1x6x4xf32>, %s: tensor<1x1x4xf32>) -> (tensor<1x6x4xf32>, tensor<1x6x4xf32>) {
  %one = sd.constant dense<1.0> : tensor<f32>
  %g = sd.binary sub %s, %one : (tensor<1x1x4xf32>, tensor<f32>) -> tensor<1x1x4xf32>
  %a = sd.binary mul %x, %g : (tensor<1x6x4xf32>, tensor<1x1x4xf32>) -> tensor<1x6x4xf32>
  %y = sd.binary add %a, %s : (tensor<1x6x4xf32>, tensor<1x1x4xf32>) -> tensor<1x6x4xf32>
  return %a, %y : tensor<1x6x4xf32>, tensor<1x6x4xf32>
}

// Of a picture, channels before pixels.
// CHECK-LABEL: @picture
// CHECK-DAG: %[[X:.*]] = sd.transpose %arg0 [0, 2, 3, 1]
// CHECK-DAG: %[[S:.*]] = sd.reshape %arg1 : tensor<2x4x1x1xf32> -> tensor<2x1x1x4xf32>
// CHECK-DAG: %[[H:.*]] = sd.reshape %arg2 : tensor<2x4x1x1xf32> -> tensor<2x1x1x4xf32>
// CHECK: %[[Y:.*]] = sd.modulate %[[X]] by %[[S]] plus %[[H]] {offset = 1.000000e+00 : f64}
// CHECK-NEXT: %[[P:.*]] = sd.transpose %[[Y]] [0, 3, 1, 2]
// CHECK-NEXT: return %[[P]]
func.func @picture(%x: tensor<2x4x3x5xf32>, %s: tensor<2x4x1x1xf32>, %h: tensor<2x4x1x1xf32>) -> tensor<2x4x3x5xf32> {
  %one = sd.constant dense<1.0> : tensor<f32>
  %g = sd.binary add %s, %one : (tensor<2x4x1x1xf32>, tensor<f32>) -> tensor<2x4x1x1xf32>
  %a = sd.binary mul %x, %g : (tensor<2x4x3x5xf32>, tensor<2x4x1x1xf32>) -> tensor<2x4x3x5xf32>
  %y = sd.binary add %a, %h : (tensor<2x4x3x5xf32>, tensor<2x4x1x1xf32>) -> tensor<2x4x3x5xf32>
  return %y : tensor<2x4x3x5xf32>
}

// One number for each token is no modulation of channels; equal shapes are none either.
// CHECK-LABEL: @others
// CHECK-NOT: sd.modulate
func.func @others(%x: tensor<1x6x4xf32>, %t: tensor<1x6x1xf32>) -> (tensor<1x6x4xf32>, tensor<1x6x4xf32>) {
  %a = sd.binary mul %x, %t : (tensor<1x6x4xf32>, tensor<1x6x1xf32>) -> tensor<1x6x4xf32>
  %b = sd.binary mul %x, %x : (tensor<1x6x4xf32>, tensor<1x6x4xf32>) -> tensor<1x6x4xf32>
  return %a, %b : tensor<1x6x4xf32>, tensor<1x6x4xf32>
}
