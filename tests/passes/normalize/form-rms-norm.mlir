// RUN: %sdopt-opt %s --sdopt-form-rms-norm | FileCheck %s

// CHECK-LABEL: @power
// CHECK: %[[Y:.*]] = sd.rms_norm %arg0, %{{.*}} {epsilon = {{.*}}E-7 : f64} : (tensor<2x3x4xf32>, tensor<4xf32>)
// CHECK-NEXT: return %[[Y]]
func.func @power(%x: tensor<2x3x4xf32>) -> tensor<2x3x4xf32> {
  %g = sd.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %two = sd.constant dense<2.0> : tensor<f32>
  %one = sd.constant dense<1.0> : tensor<f32>
  %eps = sd.constant dense<1.0e-6> : tensor<f64>
  %e = sd.cast %eps : tensor<f64> -> tensor<f32>
  %a = sd.binary pow %x, %two : (tensor<2x3x4xf32>, tensor<f32>) -> tensor<2x3x4xf32>
  %b = sd.reduce mean %a {axes = array<i64: -1>, keep_dims = true} : (tensor<2x3x4xf32>) -> tensor<2x3x1xf32>
  %c = sd.binary add %b, %e : (tensor<2x3x1xf32>, tensor<f32>) -> tensor<2x3x1xf32>
  %d = sd.unary sqrt %c : (tensor<2x3x1xf32>) -> tensor<2x3x1xf32>
  %r = sd.binary div %one, %d : (tensor<f32>, tensor<2x3x1xf32>) -> tensor<2x3x1xf32>
  %n = sd.binary mul %x, %r : (tensor<2x3x4xf32>, tensor<2x3x1xf32>) -> tensor<2x3x4xf32>
  %y = sd.binary mul %g, %n : (tensor<4xf32>, tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  return %y : tensor<2x3x4xf32>
}

// The norm of heads is taken before they are transposed.
// CHECK-LABEL: @heads
// CHECK: %[[N:.*]] = sd.rms_norm %arg0, %{{.*}} : (tensor<1x5x2x4xf32>, tensor<4xf32>)
// CHECK: %[[Y:.*]] = sd.transpose %[[N]] [0, 2, 1, 3]
// CHECK: return %[[Y]]
func.func @heads(%h: tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32> {
  %g = sd.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %e = sd.constant dense<1.0e-6> : tensor<f32>
  %x = sd.transpose %h [0, 2, 1, 3] : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %a = sd.binary mul %x, %x : (tensor<1x2x5x4xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  %b = sd.reduce mean %a {axes = array<i64: 3>, keep_dims = true} : (tensor<1x2x5x4xf32>) -> tensor<1x2x5x1xf32>
  %c = sd.binary add %b, %e : (tensor<1x2x5x1xf32>, tensor<f32>) -> tensor<1x2x5x1xf32>
  %d = sd.unary sqrt %c : (tensor<1x2x5x1xf32>) -> tensor<1x2x5x1xf32>
  %n = sd.binary div %x, %d : (tensor<1x2x5x4xf32>, tensor<1x2x5x1xf32>) -> tensor<1x2x5x4xf32>
  %y = sd.binary mul %n, %g : (tensor<1x2x5x4xf32>, tensor<4xf32>) -> tensor<1x2x5x4xf32>
  return %y : tensor<1x2x5x4xf32>
}

// Over other dimensions, or without a factor for each channel, it stays.
// CHECK-LABEL: @others
// CHECK-NOT: sd.rms_norm
func.func @others(%x: tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<2x3x4xf32>) {
  %e = sd.constant dense<1.0e-6> : tensor<f32>
  %k = sd.constant dense<3.0> : tensor<f32>
  %a = sd.binary mul %x, %x : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %b = sd.reduce mean %a {axes = array<i64: 1>, keep_dims = true} : (tensor<2x3x4xf32>) -> tensor<2x1x4xf32>
  %c = sd.binary add %b, %e : (tensor<2x1x4xf32>, tensor<f32>) -> tensor<2x1x4xf32>
  %d = sd.unary sqrt %c : (tensor<2x1x4xf32>) -> tensor<2x1x4xf32>
  %n = sd.binary div %x, %d : (tensor<2x3x4xf32>, tensor<2x1x4xf32>) -> tensor<2x3x4xf32>
  %p = sd.reduce mean %a {axes = array<i64: 2>, keep_dims = true} : (tensor<2x3x4xf32>) -> tensor<2x3x1xf32>
  %q = sd.binary add %p, %e : (tensor<2x3x1xf32>, tensor<f32>) -> tensor<2x3x1xf32>
  %r = sd.unary sqrt %q : (tensor<2x3x1xf32>) -> tensor<2x3x1xf32>
  %s = sd.binary div %x, %r : (tensor<2x3x4xf32>, tensor<2x3x1xf32>) -> tensor<2x3x4xf32>
  %y = sd.binary mul %s, %k : (tensor<2x3x4xf32>, tensor<f32>) -> tensor<2x3x4xf32>
  return %n, %y : tensor<2x3x4xf32>, tensor<2x3x4xf32>
}
