// RUN: %sdopt-opt %s --sdopt-fold-identities | FileCheck %s

// CHECK-LABEL: @neutral
// CHECK-NEXT: return %arg0
func.func @neutral(%x: tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32> {
  %one = sd.constant dense<1.0> : tensor<f32>
  %zero = sd.constant dense<0.0> : tensor<4x1x1xf32>
  %a = sd.binary div %x, %one : (tensor<1x4x8x6xf32>, tensor<f32>) -> tensor<1x4x8x6xf32>
  %b = sd.binary mul %one, %a : (tensor<f32>, tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  %c = sd.binary add %b, %zero : (tensor<1x4x8x6xf32>, tensor<4x1x1xf32>) -> tensor<1x4x8x6xf32>
  %d = sd.cast %c : tensor<1x4x8x6xf32> -> tensor<1x4x8x6xf32>
  %e = sd.pad %d {before = array<i64: 0, 0, 0, 0>, after = array<i64: 0, 0, 0, 0>, value = 0.0 : f64}
    : (tensor<1x4x8x6xf32>) -> tensor<1x4x8x6xf32>
  return %e : tensor<1x4x8x6xf32>
}

// One over x is not x, and a sum that broadcasts is not its operand.
// CHECK-LABEL: @kept
// CHECK: sd.binary div
// CHECK: sd.binary add
func.func @kept(%x: tensor<4xf32>) -> tensor<2x4xf32> {
  %one = sd.constant dense<1.0> : tensor<f32>
  %zero = sd.constant dense<0.0> : tensor<2x4xf32>
  %a = sd.binary div %one, %x : (tensor<f32>, tensor<4xf32>) -> tensor<4xf32>
  %b = sd.binary add %a, %zero : (tensor<4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return %b : tensor<2x4xf32>
}

// CHECK-LABEL: @expansion
// CHECK: sd.reshape %arg0 : tensor<1xi64> -> tensor<1x1xi64>
func.func @expansion(%t: tensor<1xi64>) -> tensor<1x1xi64> {
  %a = sd.expand %t : tensor<1xi64> -> tensor<1x1xi64>
  return %a : tensor<1x1xi64>
}
